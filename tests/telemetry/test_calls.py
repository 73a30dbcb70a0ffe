"""Calls as they are listed and shown."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import msgspec
import pytest

from comporta.errors import BadRequest, NotFound
from comporta.store.database import Database
from comporta.telemetry.calls import list_calls, one_call
from comporta.telemetry.partitions import ensure_partitions
from comporta.telemetry.record import CallRecord
from comporta.telemetry.shipping import insert_batch
from comporta.types import Usage

MakeRecord = Callable[..., CallRecord]
change = msgspec.structs.replace


async def test_pages_hold_every_call_once_newest_first(database: Database, make_record: MakeRecord) -> None:
    record = make_record()
    # Several at the same microsecond: the id must decide, or a page's edge loses or doubles one.
    records = [change(make_record(), started_us=record.started_us + n // 3) for n in range(10)]
    await ensure_partitions(database)
    await insert_batch(database, records)
    seen: list[str] = []
    after = None
    for _ in range(4):
        page = await list_calls(database, limit=3, after=after)
        seen += [c.id for c in page.calls]
        after = page.next
    assert after is None
    assert seen == [r.id for r in sorted(records, key=lambda r: (r.started_us, r.id), reverse=True)]


async def test_filters_narrow_the_list(database: Database, make_record: MakeRecord) -> None:
    await ensure_partitions(database)
    odd = change(
        make_record(route="other", team="fire"), model="m2", provider="p2", outcome="upstream_fault", user="u2",
        session="s2", key_id="key-2", trace_id="t2", environment="staging", feature="search",
    )  # fmt: skip
    await insert_batch(database, [make_record(), odd, make_record()])
    wanted = {
        "route": "other", "model": "m2", "provider": "p2", "outcome": "upstream_fault", "key": "key-2", "team": "fire",
        "user": "u2", "session": "s2", "trace": "t2", "environment": "staging", "feature": "search",
    }  # fmt: skip
    for name, value in wanted.items():
        page = await list_calls(database, filters={name: value})
        assert [c.id for c in page.calls] == [odd.id], name
    assert len((await list_calls(database, filters={"outcome": "ok"})).calls) == 2


async def test_since_and_until_bound_the_list(database: Database, make_record: MakeRecord) -> None:
    record = make_record()
    second_us = 1_000_000
    await ensure_partitions(database)
    day_start = record.started_us - record.started_us % 86_400_000_000
    await insert_batch(database, [change(make_record(), started_us=day_start + n * second_us) for n in range(5)])
    start = datetime.datetime.fromtimestamp(day_start / 1e6, datetime.UTC)
    second = datetime.timedelta(seconds=1)
    without_zone = (start + 4 * second).replace(tzinfo=None)
    page = await list_calls(database, since=start + second, until=without_zone)
    assert [c.started_at.second for c in page.calls] == [3, 2, 1]


async def test_one_call_comes_with_spans_and_content(database: Database, make_record: MakeRecord) -> None:
    record = make_record("Where is it?")
    await ensure_partitions(database)
    await insert_batch(database, [record, change(make_record(), usage=None)])
    found = await one_call(database, record.id)
    assert (found.call.id, found.call.user, found.call.key_name) == (record.id, "u-1", "backend")
    assert found.call.usage == Usage(input=100, cached=20, output=30)
    assert found.prompt == [{"text": "Where is it?"}]
    assert [(s.name, s.depth) for s in found.spans] == [("choose", 0), ("request", 1)]
    msgspec.json.encode(found)


@pytest.mark.parametrize("id", ["nonsense", "01890000-0000-7000-8000-000000000000"])
async def test_a_call_that_is_not_there_is_not_found(database: Database, id: str) -> None:
    with pytest.raises(NotFound):
        await one_call(database, id)


async def test_what_can_t_be_asked_is_refused(database: Database) -> None:
    with pytest.raises(BadRequest, match="filtered by 'nobody'"):
        await list_calls(database, filters={"nobody": "x"})
    with pytest.raises(BadRequest, match="1 to 500"):
        await list_calls(database, limit=501)
    for after in ("", "x", "bm90IGpzb24=", "WyIyMDI2Il0="):
        with pytest.raises(BadRequest, match="earlier page"):
            await list_calls(database, after=after)
