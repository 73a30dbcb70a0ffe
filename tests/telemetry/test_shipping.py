"""Records reach PostgreSQL exactly once in effect, whatever happens on the way."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.errors import Unavailable
from comporta.store.database import Database
from comporta.telemetry import partitions
from comporta.telemetry.record import CallRecord, decoded
from comporta.telemetry.shipping import Shipper, insert_batch
from comporta.telemetry.spool import Spool, segments

MakeRecord = Callable[..., CallRecord]


async def fetch(database: Database, query: str, *values: Any) -> list[Any]:
    async with database.connection() as connection:
        return await (await connection.execute(query, values)).fetchall()


async def totals(database: Database) -> tuple[int, int, int, int, int]:
    """Calls, spans, and the calls, tokens and money in the rollups."""
    calls = (await fetch(database, "select count(*) from call"))[0][0]
    spans = (await fetch(database, "select count(*) from span"))[0][0]
    sums = "select coalesce(sum(calls), 0), coalesce(sum(input_tokens), 0), coalesce(sum(cost_microusd), 0) from "
    minutes = (await fetch(database, sums + "rollup_minute"))[0]
    assert minutes == (await fetch(database, sums + "rollup_hour"))[0]
    return calls, spans, *(int(v) for v in minutes)


async def test_a_record_arrives_whole(database: Database, spool: Spool, make_record: MakeRecord) -> None:
    record = make_record("What is a «comporta»? Costs $5 \\ 100 %\n\ttab")
    spool.append(msgspec.structs.replace(record, prompt=msgspec.json.encode({"q": "a\tb\\n\n«»\u0007"}).decode()))
    assert await Shipper(database, spool).drain()
    who = "select route, model, credential, key_id, team, user_id, session, outcome, tags from call"
    assert await fetch(database, who) == [
        ("support", "gpt-x", "main", "key-1", "water", "u-1", "s-1", "ok", {}),
    ]
    what = "select id::text, started_at, input_tokens, cached_tokens, reasoning_tokens, cost_microusd from call"
    started = datetime.datetime.fromtimestamp(record.started_us / 1e6, datetime.UTC)
    assert await fetch(database, what) == [(record.id, started, 100, 20, 0, 150)]
    rest = await fetch(database, "select duration_us, first_us, prompt, reply from call")
    assert rest == [(2000, 1000, {"q": "a\tb\\n\n«»\u0007"}, [{"text": "Here."}])]
    spans = await fetch(database, "select name, start_us, duration_us, depth, attributes from span order by number")
    assert spans == [("choose", 5, 100, 0, None), ("request", 9, 90, 1, {"provider": "openai"})]


async def test_a_call_without_usage_has_no_tokens_and_an_unknown_cost_is_null(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    spool.append(msgspec.structs.replace(make_record(), usage=None, cost_microusd=None))
    spool.append(msgspec.structs.replace(make_record(), cost_microusd=None))
    assert await Shipper(database, spool).drain()
    rows = await fetch(database, "select input_tokens, cost_microusd from call order by input_tokens")
    assert rows == [(100, None), (None, None)]
    assert await fetch(database, "select sum(unpriced_calls), sum(cost_microusd) from rollup_minute") == [(1, 0)]


async def test_a_spool_that_fell_behind_is_emptied_in_larger_batches(
    database: Database, spool: Spool, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    async def insert(database: Database, records: Sequence[CallRecord]) -> int:
        sizes.append(len(records))
        return await insert_batch(database, records)

    shipper = Shipper(database, spool, batch_records=10, insert=insert)
    for _ in range(10):
        spool.append(make_record())
    assert await shipper.drain()
    monkeypatch.setattr("comporta.telemetry.shipping._BEHIND_BYTES", 100)
    for _ in range(50):
        spool.append(make_record())
    assert await shipper.drain()
    assert sizes == [10, 40, 10]
    assert (await totals(database))[0] == 60


async def test_shipping_the_same_records_again_changes_nothing(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    records = [make_record() for _ in range(7)]
    for record in records:
        spool.append(record)
    assert await Shipper(database, spool).drain()
    before = await totals(database)
    await insert_batch(database, [*records, *records])
    assert await totals(database) == before == (7, 14, 7, 700, 1050)


async def test_a_commit_whose_answer_was_lost_is_not_counted_twice(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    failures = iter([True, False])

    async def insert(database: Database, records: Sequence[CallRecord]) -> int:
        done = await insert_batch(database, records)
        if next(failures, False):
            raise psycopg.OperationalError("the connection broke right after the commit")
        return done

    for _ in range(5):
        spool.append(make_record())
    shipper = Shipper(database, spool, interval_s=0.01, insert=insert)
    task = asyncio.create_task(shipper.run())
    while shipper.shipped < 5:  # noqa: ASYNC110 (the task tells nobody)
        await asyncio.sleep(0.01)
    shipper.stop()
    await task
    assert await totals(database) == (5, 10, 5, 500, 750)


class Cut(Exception):
    """The process is gone: nothing after this happens."""


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.sampled_from(["write", "write", "ship", "cut before", "cut after", "die"]), max_size=14))
async def test_any_cut_of_shipping_gives_every_record_once(
    database: Database, tmp_path_factory: pytest.TempPathFactory, make_record: MakeRecord, plan: list[str]
) -> None:
    """Writes, shippings, shippings cut before or after their commit, and deaths of the process, in any order."""
    calls, _, rolled, tokens, money = await totals(database)
    root = tmp_path_factory.mktemp("spool")
    spool, written = Spool(root, max_bytes=1 << 20), 0
    shipper = Shipper(database, spool, batch_records=2)
    for step in plan:
        if step == "write":
            written += spool.append(make_record())
        elif step == "die":
            spool.close()
            spool = Spool(root, max_bytes=1 << 20)
            shipper = Shipper(database, spool, batch_records=2)
        else:
            shipper._insert = _cutting(step)
            try:
                await shipper.ship_once()
            except Cut:
                shipper = Shipper(database, spool, batch_records=2)
    shipper._insert = insert_batch
    assert await shipper.drain()
    spool.close()
    after = await totals(database)
    assert after == (calls + written, after[1], rolled + written, tokens + 100 * written, money + 150 * written)


def _cutting(step: str) -> Callable[[Database, Sequence[CallRecord]], Any]:
    async def insert(database: Database, records: Sequence[CallRecord]) -> int:
        if step == "cut before":
            raise Cut
        done = await insert_batch(database, records)
        if step == "cut after":
            raise Cut
        return done

    return insert


async def test_a_poison_record_does_not_block_the_rest_and_its_figures_still_count(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    records = [make_record() for _ in range(9)]
    records[4] = msgspec.structs.replace(records[4], prompt='{"lone": "\\ud800"}')
    records[7] = msgspec.structs.replace(records[7], duration_us=2**63)
    for record in records:
        spool.append(record)
    shipper = Shipper(database, spool)
    assert await shipper.drain()
    assert (await totals(database))[0] == 8
    assert await fetch(database, "select prompt, capture from call where id = %s", records[4].id) == [(None, "dropped")]
    aside = [decoded(payload) for _, _, payload in shipper.quarantine.entries()]
    assert aside == [records[4], records[7]]
    assert shipper.quarantine.count == 2


@pytest.mark.parametrize("id", ["no-uuid", "a\tb", "a\nb", "\\.\n"])
async def test_a_record_with_an_id_that_is_none_is_put_aside(
    database: Database, spool: Spool, make_record: MakeRecord, id: str
) -> None:
    for record in (make_record(), msgspec.structs.replace(make_record(), id=id), make_record()):
        spool.append(record)
    shipper = Shipper(database, spool)
    assert await shipper.drain()
    assert (await totals(database))[0] == 2
    assert shipper.quarantine.count == 1


async def test_where_the_tables_are_missing_records_wait_and_none_is_put_aside(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    spool.append(make_record())
    shipper = Shipper(database, spool)
    async with database.connection() as connection:
        await connection.execute("alter table rollup_hour rename to elsewhere")
    assert not await shipper.drain()
    async with database.connection() as connection:
        await connection.execute("alter table elsewhere rename to rollup_hour")
    assert await shipper.drain()
    assert (await totals(database))[0] == 1
    assert shipper.quarantine.count == 0


async def test_nul_characters_are_stripped_and_what_only_looks_like_one_stays(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    prompt = msgspec.json.encode({"nul": "a\0\0b", "text": "\\u0000", "both": "\\\0"}).decode()
    spool.append(msgspec.structs.replace(make_record(), prompt=prompt, user="u\0ser"))
    shipper = Shipper(database, spool)
    assert await shipper.drain()
    rows = await fetch(database, "select prompt, user_id from call")
    assert rows == [({"nul": "ab", "text": "\\u0000", "both": "\\"}, "user")]
    assert shipper.quarantine.count == 0


async def test_records_of_dead_processes_are_adopted_and_those_of_living_ones_left_alone(
    database: Database, tmp_path: Path, make_record: MakeRecord
) -> None:
    dead, living, mine = (Spool(tmp_path) for _ in range(3))
    for spool in (dead, living, mine):
        spool.append(make_record())
    dead.close()
    assert await Shipper(database, mine).drain()
    assert (await totals(database))[0] == 2
    assert not dead.folder.exists()
    assert living.folder.exists()
    living.close()
    assert await Shipper(database, mine).drain()
    assert (await totals(database))[0] == 3
    mine.close()


async def test_what_is_shipped_leaves_the_spool(database: Database, spool: Spool, make_record: MakeRecord) -> None:
    for _ in range(20):
        spool.append(make_record("secret of the house"))
    assert await Shipper(database, spool).drain()
    assert sum(path.stat().st_size for path in segments(spool.folder)) == 0
    assert spool.bytes == 0


async def test_partitions_are_made_as_needed_and_old_ones_dropped(
    database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    day_us = 86_400_000_000
    record = make_record()
    for days in (0, 1, 40):
        old = msgspec.structs.replace(make_record(), started_us=record.started_us - days * day_us)
        spool.append(old)
    assert await Shipper(database, spool).drain()
    await partitions.ensure_partitions(database)
    assert (await totals(database))[0] == 3
    assert await partitions.retain(database, 30, minute_days=30, hour_days=400) == 3
    assert (await totals_of_calls(database)) == (2, 2, 3)


async def totals_of_calls(database: Database) -> tuple[int, ...]:
    counts = ("count(*) from call", "sum(calls) from rollup_minute", "sum(calls) from rollup_hour")
    return tuple([int((await fetch(database, f"select {c}"))[0][0]) for c in counts])


async def test_a_month_of_partitions_made_by_many_at_once_is_made_once(database: Database) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    days = {today + datetime.timedelta(days=n) for n in range(5)}
    await asyncio.gather(*(partitions.ensure_days(database, days) for _ in range(4)))
    assert (await fetch(database, "select count(*) from pg_inherits where inhparent = 'call'::regclass")) == [(5,)]


async def test_two_shippers_on_the_same_rollups_do_not_deadlock(
    database: Database, tmp_path: Path, make_record: MakeRecord
) -> None:
    spools = [Spool(tmp_path) for _ in range(3)]
    for n in range(60):
        for spool in spools:
            spool.append(make_record(route=f"route-{n % 7}", team=f"team-{n % 3}"))
    done = await asyncio.gather(*(Shipper(database, s, batch_records=10).drain() for s in spools))
    assert done == [True] * 3
    assert (await totals(database))[0] == 180
    for spool in spools:
        spool.close()


async def test_without_a_database_records_wait_in_the_spool(tmp_path: Path, make_record: MakeRecord) -> None:
    spool = Spool(tmp_path)
    spool.append(make_record())
    async with Database(f"host={tmp_path} dbname=nowhere connect_timeout=1") as away:
        shipper = Shipper(away, spool)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(shipper.ship_once(), 90)
        assert shipper.quarantine.count == 0
    assert spool.bytes > 0
    spool.close()
