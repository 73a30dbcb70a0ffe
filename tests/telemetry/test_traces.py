"""A trace as a whole: what is too much of it is left out, and said."""

from __future__ import annotations

import time

import pytest

from comporta.store.database import Database
from comporta.telemetry import traces
from comporta.telemetry.otlp.foreign import store
from comporta.telemetry.otlp.normal import Foreign
from comporta.telemetry.traces import read_trace
from comporta.types import Caller

TRACE = "ab" * 16


def span(number: int) -> Foreign:
    started_us = time.time_ns() // 1000 + number
    return Foreign(
        TRACE, f"{number:016x}", None, f"span {number}", "tool", started_us, 10, None, "app", None, None, None, {}
    )


async def test_spans_of_others_beyond_what_is_shown_are_said_to_be_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(database, [span(number) for number in range(3)], Caller("k", "app"))
    whole = await read_trace(database, TRACE)
    assert ([one.name for one in whole.others], whole.cut) == (["span 0", "span 1", "span 2"], False)
    monkeypatch.setattr(traces, "MOST_SPANS", 2)
    cut = await read_trace(database, TRACE)
    assert ([one.name for one in cut.others], cut.cut) == (["span 0", "span 1"], True)
