"""How much of the records is kept: by size and by age, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
import structlog.testing
from msgspec import structs

from comporta.app.jobs import Keep, make_app
from comporta.budget.budgets import Budget
from comporta.budget.ledger import spent_from
from comporta.budget.periods import period_of
from comporta.store.database import Database, connect
from comporta.telemetry import partitions
from comporta.telemetry.record import CallRecord
from comporta.telemetry.shipping import insert_batch

MakeRecord = Callable[..., CallRecord]

DAY = datetime.timedelta(days=1)
#: So much of text can't be compressed away.
TEXT_BYTES = 6_000


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def fetch(database: Database, query: str, *values: Any) -> list[Any]:
    async with database.connection() as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()


def made_at(make_record: MakeRecord, days_ago: int, count: int) -> list[CallRecord]:
    """Calls of one day, a second apart from its noon (today: up to now), each with content of its own."""
    today = now()
    end = today if days_ago == 0 else (today - days_ago * DAY).replace(hour=12)
    found = []
    for n in range(count):
        at = end - datetime.timedelta(seconds=count - n)
        record = make_record(os.urandom(TEXT_BYTES // 2).hex())
        found.append(structs.replace(record, started_us=int(at.timestamp() * 1e6)))
    return found


async def put(database: Database, records: Sequence[CallRecord]) -> None:
    await partitions.ensure_days(database, {partitions.day_of(record) for record in records})
    await insert_batch(database, records)


async def days_of(database: Database) -> dict[int, int]:
    """Calls by how many days ago they were."""
    rows = await fetch(database, "select (started_at at time zone 'UTC')::date, count(*) from call group by 1")
    today = now().date()
    return {(today - day).days: count for day, count in rows}


async def test_the_oldest_days_go_until_the_rest_fits(database: Database, make_record: MakeRecord) -> None:
    for days_ago in (4, 3, 2, 1, 0):
        await put(database, made_at(make_record, days_ago, 40))
    by_day = await partitions.sizes(database)
    assert [size > 40 * TEXT_BYTES for _, size in by_day] == [True] * 5
    total = sum(size for _, size in by_day)
    measured = (await fetch(database, "select pg_database_size(current_database())"))[0][0]
    assert total < measured
    untouched = await partitions.keep_within(database, total)
    assert untouched == partitions.Kept(total)
    with structlog.testing.capture_logs() as logs:
        kept = await partitions.keep_within(database, total - by_day[0][1] - 1)
    assert kept.dropped == (by_day[0][0], by_day[1][0]) and kept.shortened is None
    assert kept.size_bytes == total - by_day[0][1] - by_day[1][1]
    assert await days_of(database) == {2: 40, 1: 40, 0: 40}
    assert (await fetch(database, "select count(*) from span"))[0][0] == 3 * 40 * 2
    (told,) = logs
    assert told["event"] == "records_over_their_size" and len(told["dropped"]) == 2
    after = (await fetch(database, "select pg_database_size(current_database())"))[0][0]
    assert measured - after > 70 * TEXT_BYTES, "the disk has it back"


async def test_of_a_single_day_that_is_too_large_the_latest_calls_stay(
    database: Database, make_record: MakeRecord
) -> None:
    if now().time() < datetime.time(0, 10):
        pytest.skip("the day is too young to have earlier calls")
    records = made_at(make_record, 0, 300)
    await put(database, records)
    await put(database, made_at(make_record, 1, 5))
    size = sum(size for _, size in await partitions.sizes(database))
    kept = await partitions.keep_within(database, size // 2)
    assert kept.shortened == now().date() and len(kept.dropped) == 1
    assert kept.size_bytes < size // 2
    rows = [row[0] for row in await fetch(database, "select id::text from call order by started_at")]
    assert rows == [record.id for record in records[-len(rows) :]]
    assert 60 < len(rows) < 200
    assert (await fetch(database, "select count(*) from span"))[0][0] == 2 * len(rows)
    # New calls go on coming in, and what was shipped before is not doubled.
    more = made_at(make_record, 0, 3)
    await put(database, [*more, records[-1]])
    assert (await fetch(database, "select count(*) from call"))[0][0] == len(rows) + 3
    indexes = "select count(*) from pg_indexes where tablename = %s"
    name = f"call_{now():%Y%m%d}"
    other = f"call_{now() + DAY:%Y%m%d}"
    await partitions.ensure_partitions(database)
    assert await fetch(database, indexes, name) == await fetch(database, indexes, other)


async def test_a_call_that_is_read_at_length_keeps_nobody_waiting_long(
    database: Database, make_record: MakeRecord
) -> None:
    await put(database, made_at(make_record, 1, 3))
    async with await connect(database.dsn, autocommit=False) as reader:
        await reader.execute("select count(*) from call")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await asyncio.wait_for(partitions.keep_within(database, 1000), 90)
        heard: list[int] = []
        await Keep(30, 60, 400, record_bytes=1000, measured=heard.append).within_size(database)
        assert heard == []
    assert (await partitions.keep_within(database, 1000)).dropped


async def test_what_is_spent_in_running_periods_outlives_every_bound(
    database: Database, make_record: MakeRecord
) -> None:
    month_begin, month_end = period_of("month", now().timestamp())
    earliest = datetime.datetime.fromtimestamp(month_begin, datetime.UTC)
    days = (now().date() - earliest.date()).days
    records = [*made_at(make_record, days, 4), *made_at(make_record, 0, 4)]
    if days == 0:
        records = [structs.replace(record, started_us=int(month_begin * 1e6) + n) for n, record in enumerate(records)]
    await put(database, records)
    await partitions.keep_within(database, 1000)
    assert await partitions.retain(database, 0.01, minute_days=0.001, hour_days=0.001) >= 0
    budget = Budget("b", "everything", "all", None, "month", 10**9, 0.0, "test")
    assert await spent_from(database)(budget, month_begin, month_end) == 8 * 150
    week_begin, week_end = period_of("week", now().timestamp())
    spent = await spent_from(database)(budget, week_begin, week_end)
    assert spent == 150 * sum(record.started_us >= week_begin * 1e6 for record in records)
    # What no period needs any more goes with its time.
    await put(database, made_at(make_record, 60, 2))
    await partitions.retain(database, 30, hour_days=30)
    assert await fetch(database, "select sum(calls)::int from rollup_hour") == [(8,)]


async def test_the_clock_keeps_records_within_their_size_and_tells_it(
    database: Database, make_record: MakeRecord
) -> None:
    await put(database, made_at(make_record, 2, 5))
    heard: list[int] = []
    app = make_app(database.dsn, database, Keep(30, 60, 400, record_bytes=1000, measured=heard.append))
    task = app.tasks["record_size"]
    assert any(periodic.task is task for periodic in app.periodic_registry.periodic_tasks.values())
    await task.func(0)
    assert await days_of(database) == {}
    assert len(heard) == 1 and heard[0] < 5 * TEXT_BYTES
