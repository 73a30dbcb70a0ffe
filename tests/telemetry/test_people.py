"""Records of one user: exported whole, and erased so that the person goes and every figure stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from comporta.store.database import Database
from comporta.store.people import People, person_of
from comporta.telemetry.people import Calls, Waiting
from comporta.telemetry.record import CallRecord, encoded
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool
from comporta.telemetry.spooled import Quarantine
from comporta.telemetry.summary import summarise

MakeRecord = Callable[..., CallRecord]


@pytest.fixture
def shipper(database: Database, spool: Spool) -> Shipper:
    return Shipper(database, spool)


@pytest.fixture
def people(database: Database, spool: Spool, shipper: Shipper) -> People:
    return People(database, [Calls(database), Waiting(database, spool.root)], shipper.drain)


async def fetch(database: Database, query: str, *values: Any) -> list[Any]:
    async with database.connection() as connection:
        return await (await connection.execute(query, values)).fetchall()


def of(record: CallRecord, user: str | None, **changes: Any) -> CallRecord:
    return structs.replace(record, user=user, **changes)


async def all_pages(people: People, user: str) -> list[dict[str, Any]]:
    rows, after = [], None
    while True:
        page = await people.export(user, after)
        rows += page.rows
        if page.next is None:
            return rows
        after = page.next


async def test_an_export_has_every_call_of_the_user_and_nobody_elses(
    people: People, spool: Spool, make_record: MakeRecord
) -> None:
    mine = [of(make_record(f"question {n}"), "ana") for n in range(120)]
    for record in (*mine, of(make_record("secret of another"), "rui"), of(make_record("of nobody"), None)):
        spool.append(record)
    rows = await all_pages(people, "ana")
    assert [row["call"]["id"] for row in rows] == [record.id for record in mine]
    assert rows[7]["kind"] == "calls" and rows[7]["prompt"] == [{"text": "question 7"}]
    assert [span["name"] for span in rows[7]["spans"]] == ["choose", "request"]
    assert rows[7]["call"]["usage"]["input"] == 100 and rows[7]["call"]["session"] == "s-1"
    assert await all_pages(people, "nobody-of-that-name") == []


async def test_an_erased_call_keeps_its_figures_and_loses_person_and_content(
    people: People, database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    for n in range(1200):
        spool.append(of(make_record("personal"), "ana" if n % 2 else "rui", request_id=f"clients-own-{n}"))
    await people.export("ana")
    before = (await summarise(database, group_by="team")).figures
    done = await people.erase("ana", "admin")
    assert done.removed == {"calls": 600, "waiting": 0} and done.next is None and not done.left
    assert (await summarise(database, group_by="team")).figures == before
    [(calls, cost, tokens)] = await fetch(database, "select count(*), sum(cost_microusd), sum(input_tokens) from call")
    assert (calls, cost, tokens) == (1200, 1200 * 150, 1200 * 100)
    erased = await fetch(
        database,
        "select distinct user_id, session, reply_id, error_message, prompt, reply, request_id = id::text, key_id, team"
        " from call where capture = 'erased'",
    )
    assert erased == [(None, None, None, None, None, None, True, "key-1", "water")]
    attributes = "select count(attributes) from span join call on id = call_id where capture = 'erased'"
    assert await fetch(database, attributes) == [(0,)]
    assert await fetch(database, "select count(*) from call where user_id = 'rui' and prompt is not null") == [(600,)]


async def test_erasing_again_finds_nothing_and_says_so(people: People, spool: Spool, make_record: MakeRecord) -> None:
    spool.append(of(make_record(), "ana"))
    assert (await people.erase("ana", "admin")).removed == {"calls": 1, "waiting": 0}
    assert (await people.erase("ana", "admin")).removed == {"calls": 0, "waiting": 0}
    assert [one.removed for one in await people.erasures()] == [{}, {"calls": 1}]


async def test_the_record_of_an_erasure_holds_a_hash_and_no_name(
    people: People, database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    spool.append(of(make_record(), "ana@example.org"))
    await people.erase("ana@example.org", "the admin")
    [erasure] = await people.erasures()
    assert erasure.asked_by == "the admin" and erasure.ended_at is not None and erasure.removed == {"calls": 1}
    assert erasure.user_sha256 == person_of("ana@example.org").digest.hex()
    assert "ana@" not in str(await fetch(database, "select row_to_json(erasure)::text from erasure"))


async def test_a_record_that_another_worker_ships_later_is_anonymous_from_the_start(
    people: People, database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    others = Spool(spool.root)
    try:
        mine, anothers = of(make_record("late"), "ana"), of(make_record("late"), "rui")
        for record in (mine, anothers):
            others.append(record)
        [row] = await all_pages(people, "ana")
        assert row["kind"] == "waiting" and row["record"]["id"] == mine.id and "late" in row["record"]["prompt"]
        done = await people.erase("ana", "admin")
        assert done.removed == {"calls": 0, "waiting": 0} and "1 records in spools" in done.left[0]
        assert await Shipper(database, others).drain()
    finally:
        others.close()
    rows = await fetch(database, "select user_id, prompt is null, cost_microusd from call order by user_id nulls first")
    assert rows == [(None, True, 150), ("rui", False, 150)]


async def test_a_call_that_begins_after_the_erasure_is_recorded_as_ever(
    people: People, database: Database, spool: Spool, shipper: Shipper, make_record: MakeRecord
) -> None:
    await people.erase("ana", "admin")
    before = of(make_record(), "ana", started_us=int((time.time() - 5) * 1e6))
    after = of(make_record(), "ana", started_us=int((time.time() + 5) * 1e6))
    for record in (before, after):
        spool.append(record)
    assert await shipper.drain()
    assert await fetch(database, "select id::text from call where user_id = 'ana'") == [(after.id,)]


async def test_records_put_aside_are_exported_and_removed_too(
    people: People, spool: Spool, make_record: MakeRecord
) -> None:
    aside = Quarantine(spool.root)
    mine = of(make_record("aside"), "ana")
    aside.put(encoded(mine), "DataError")
    aside.put(encoded(of(make_record("kept"), "rui")), "DataError")
    aside.put(b"torn, with ana in it", "torn")
    aside.put(b"torn, of nobody", "torn")
    [row] = await all_pages(people, "ana")
    assert row["record"]["id"] == mine.id
    assert (await people.erase("ana", "admin")).removed["waiting"] == 2
    left = [payload for _, _, payload in aside.entries()]
    assert len(left) == 2 and b"kept" in left[0] and left[1] == b"torn, of nobody"


async def test_names_of_any_length_and_kind_are_found(
    people: People, database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    for user in ("é" * 300, "per cent % and 'quotes'", "a\nb:c/d"):
        spool.append(of(make_record(), user))
        assert [row["kind"] for row in await all_pages(people, user)] == ["calls"]
        assert (await people.erase(user, "admin")).removed["calls"] == 1
        late = of(make_record(), user, started_us=int((time.time() - 5) * 1e6))
        spool.append(late)
        await people.export("somebody")
        assert await fetch(database, "select user_id from call where id = %s", late.id) == [(None,)]
