"""Sums by property say the same as the rollups, before they are made, once they are, and when calls come late."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Callable

import msgspec
import pytest
from psycopg import sql

from comporta.store.database import Database
from comporta.telemetry.observability import facets
from comporta.telemetry.observability.report import report
from comporta.telemetry.partitions import ensure_days
from comporta.telemetry.record import CallRecord
from comporta.telemetry.series import Line, series
from comporta.telemetry.shipping import insert_batch

MakeRecord = Callable[..., CallRecord]
NOW = datetime.datetime.now(datetime.UTC)
HOUR = datetime.timedelta(hours=1)
NAMES = ["calls", "error_rate", "cost", "latency_p50", "first_token_p95", "daily_spend"]
ASKED: list[dict[str, object]] = [
    {}, {"filters": {"route": "a"}}, {"group_by": "model"}, {"filters": {"model": "m1"}, "group_by": "model"},
    {"filters": {"route": "a"}, "group_by": "model"},
]  # fmt: skip


async def put(database: Database, make_record: MakeRecord, route: str, model: str, back: float, **more: object) -> None:
    record = msgspec.structs.replace(
        make_record(duration_us=1_000_000), id=str(uuid.uuid4()), route=route, model=model,
        started_us=int((NOW - back * HOUR).timestamp() * 1e6), **more,
    )  # fmt: skip
    await ensure_days(database, [datetime.datetime.fromtimestamp(record.started_us / 1e6, datetime.UTC).date()])
    await insert_batch(database, [record])


async def everything(database: Database) -> list[list[Line]]:
    found = []
    for asked in ASKED:
        for step_s in (None, 3600, 1800):
            one = await series(database, NAMES, since=NOW - 6 * HOUR, until=NOW, step_s=step_s, now=NOW, **asked)  # type: ignore[arg-type]
            found.append(one.lines)
    return found


async def left(database: Database, table: str) -> int:
    async with database.connection() as connection:
        row = await (
            await connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table)))
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_figures_are_the_same_however_they_are_read(database: Database, make_record: MakeRecord) -> None:
    for route, model, back in (("a", "m1", 5.0), ("a", "m2", 4.0), ("b", "m1", 4.0), ("b", "m2", 0.0)):
        await put(database, make_record, route, model, back)
    await put(database, make_record, "a", "m1", 4.0, outcome_class="upstream", outcome="upstream_error")
    before = await everything(database)
    assert await facets.refresh(database) > 0
    assert await left(database, "facet_hour") > 0
    assert await everything(database) == before
    async with database.connection() as connection:
        await connection.execute("delete from rollup_hour where period < %s", [NOW - 3 * HOUR])
        await connection.execute("delete from rollup_minute where period < %s", [NOW - 3 * HOUR])
    # The last question takes two properties, which no sum by one can answer.
    assert (await everything(database))[:12] == before[:12], "they are read instead of the rollups"


async def test_calls_that_come_late_are_counted_at_once_and_summed_up_again(
    database: Database, make_record: MakeRecord
) -> None:
    await put(database, make_record, "a", "m1", 4.0)
    await facets.refresh(database)
    await put(database, make_record, "a", "m1", 4.0)
    assert (await everything(database))[0][0].total["calls"] == 2.0
    assert await facets.refresh(database) >= 2, "its minute and its hour, and its day where that is over"
    assert (await everything(database))[0][0].total["calls"] == 2.0
    assert await facets.refresh(database) == 0


async def test_what_still_runs_is_marked_once_and_left_alone(database: Database, make_record: MakeRecord) -> None:
    # The hour of this moment, which need not be that of the time when this module was read.
    moment = datetime.datetime.now(datetime.UTC)
    if moment.minute == 59 and moment.second > 45:
        await asyncio.sleep(15)
        moment = datetime.datetime.now(datetime.UTC)
    for _ in range(3):
        await put(database, make_record, "a", "m1", (NOW - moment) / HOUR)
    assert await left(database, "facet_stale_hour") == 1
    await facets.refresh(database, grace_s=0)
    assert await left(database, "facet_stale_hour") == 1 and await left(database, "facet_hour") == 0


async def test_a_batch_that_is_written_meanwhile_keeps_its_mark(database: Database, make_record: MakeRecord) -> None:
    await put(database, make_record, "a", "m1", 4.0)
    async with database.connection() as slow:
        # Its snapshot is taken, and then another batch comes in.
        await slow.execute("set transaction isolation level repeatable read")
        await slow.execute("select 1")
        await put(database, make_record, "a", "m1", 4.0)
        await facets._some(slow, "hour", {"grace_s": 0, "back_s": 1e6, "limit": 10})
    assert await left(database, "facet_stale_hour") == 1
    assert (await everything(database))[1][0].total["calls"] == 2.0


async def test_the_report_is_the_same_too(database: Database, make_record: MakeRecord) -> None:
    for back in (5.0, 4.0, 0.0):
        await put(database, make_record, "a", "m1", back)
    before = await report(database, window="7d", now=NOW)
    await facets.refresh(database)
    after = await report(database, window="7d", now=NOW)
    assert after == before and after.figures.total_requests == 3 == after.metrics["calls"]
    assert after.figures.p50 == pytest.approx(1.0, rel=0.04)


async def test_rollups_that_came_by_another_way_can_be_marked(database: Database, make_record: MakeRecord) -> None:
    await put(database, make_record, "a", "m1", 4.0)
    await facets.refresh(database)
    await facets.mark_all(database)
    assert await facets.refresh(database) >= 2
