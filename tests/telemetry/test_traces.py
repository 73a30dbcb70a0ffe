"""A trace is read once: what it holds of a call's spans is what the call itself says, or says that it is not all."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec
import pytest

from comporta.store.database import Database
from comporta.telemetry import traces
from comporta.telemetry.calls import one_call
from comporta.telemetry.partitions import day_of, ensure_days
from comporta.telemetry.record import CallRecord
from comporta.telemetry.shipping import insert_batch
from comporta.telemetry.traces import read_trace

MakeRecord = Callable[..., CallRecord]
TRACE = "a" * 32


async def put(database: Database, make_record: MakeRecord, n: int) -> list[CallRecord]:
    made = [msgspec.structs.replace(make_record(), id=str(uuid.uuid4()), trace_id=TRACE) for _ in range(n)]
    await ensure_days(database, {day_of(one) for one in made})
    await insert_batch(database, made)
    return made


async def test_spans_that_a_trace_read_are_those_of_the_call(database: Database, make_record: MakeRecord) -> None:
    first, _ = await put(database, make_record, 2)
    trace = await read_trace(database, TRACE)
    spans = trace.whole_spans(first.id)
    alone = await one_call(database, first.id)
    assert spans == alone.spans and {"provider": "openai"} in [span.attributes for span in alone.spans]
    assert await one_call(database, first.id, spans=spans) == alone
    assert trace.whole_spans(str(uuid.uuid4())) is None


@pytest.mark.parametrize(("name", "most"), [("_MOST_WITH_ATTRIBUTES", 1), ("MOST_SPANS", 3), ("MOST_CALLS", 1)])
async def test_a_trace_that_is_too_long_does_not_pass_parts_for_the_whole(
    database: Database, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    made = await put(database, make_record, 2)
    monkeypatch.setattr(traces, name, most)
    trace = await read_trace(database, TRACE)
    assert trace.calls and all(trace.whole_spans(one.id) is None for one in made)
