"""Rows of native batches in the tables: put together by where they lead, leased, answered once, given back."""

from __future__ import annotations

import msgspec
import pytest

from comporta.gateway.batches import handovers as module
from comporta.gateway.batches.handovers import Handover, Handovers
from comporta.providers.batching import Result
from comporta.store.database import Database

PLACES = ('["openai","main","mini","chat/completions"]', '["openai","main","large","chat/completions"]')
BATCH = """
insert into batch (id, owner, key_id, endpoint, input_file_id, status, native, created_at, expires_at)
values (%s, 'o', 'k', '/v1/chat/completions', 'f', 'in_progress', true, now(), now() + interval '1 day')
"""
ROW = """
insert into batch_row (batch_id, number, custom_id, body, state, parked, request, place)
values (%(batch)s, %(number)s, 'r', '{}', %(state)s, %(parked)s, %(request)s, %(place)s)
"""


@pytest.fixture
def handovers(database: Database) -> Handovers:
    return Handovers(database)


async def batch(database: Database, id: str, *states: str, request: str = "{}") -> None:
    """A batch whose rows have these states, and lead to one place and the other in turn."""
    async with database.connection() as connection:
        await connection.execute(BATCH, [id])
        for number, state in enumerate(states, 1):
            parked = msgspec.json.encode({"caller": {"key_id": "k"}, "most_microusd": number, "user": "ana"}).decode()
            values = {"batch": id, "number": number, "state": state, "parked": parked, "request": request,
                      "place": PLACES[number % 2]}  # fmt: skip
            await connection.execute(ROW, values)


async def rows(database: Database, column: str) -> list[object]:
    async with database.connection() as connection:
        found = await (await connection.execute(f"select {column} from batch_row order by number")).fetchall()
    return [row[0] for row in found]


async def found(handovers: Handovers, id: str | None) -> Handover:
    assert id is not None
    one = await handovers.find(id, 3600, 3600)
    assert one is not None
    return one


async def begun(database: Database, handovers: Handovers) -> Handover:
    await batch(database, "b1", "parked", "done", "parked")
    assert await handovers.gather() == 1
    return await found(handovers, await handovers.claim(60))


async def test_rows_are_put_together_by_where_they_lead_once_all_have_come_that_far(
    database: Database, handovers: Handovers
) -> None:
    await batch(database, "b1", "parked", "parked", "parked", "running")
    assert await handovers.gather() == 0 and await handovers.any()
    async with database.connection() as connection:
        await connection.execute("update batch_row set state = 'done' where number = 4")
    assert await handovers.gather() == 2
    assert await handovers.gather() == 0
    taken = [await found(handovers, await handovers.claim(60)) for _ in range(2)]
    assert sorted((one.provider, one.credential, one.model, one.part, one.rows) for one in taken) == [
        ("openai", "main", "large", "chat/completions", 2), ("openai", "main", "mini", "chat/completions", 1),
    ]  # fmt: skip
    assert await handovers.claim(60) is None


async def test_no_handover_is_larger_than_may_be_held_in_memory(
    database: Database, handovers: Handovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    await batch(database, "b1", *["parked"] * 10, request="1234")
    assert await handovers.gather() == 6
    await batch(database, "b2", "parked", request="longer than is allowed")
    assert await handovers.gather() == 1


async def test_one_worker_at_a_time_has_a_handover_and_another_when_its_time_has_come(
    database: Database, handovers: Handovers
) -> None:
    one = await begun(database, handovers)
    assert await handovers.claim(60) is None
    await handovers.let_go(one.id, 3600)
    assert await handovers.claim(60) is None
    await handovers.let_go(one.id, 0)
    assert await handovers.claim(-1) == one.id
    # Its lease is over: whoever had it died.
    assert await handovers.claim(60) == one.id


async def test_answers_are_kept_once_and_what_has_none_is_asked_by_itself(
    database: Database, handovers: Handovers
) -> None:
    one = await begun(database, handovers)
    assert [item.id for item in await handovers.items(one)] == [f"{one.id}-1", f"{one.id}-3"]
    assert [share.most_microusd for share in await handovers.shares(one.id)] == [1, 3]
    told = [Result(f"{one.id}-1", "answered", 200, b'{"a": 1}'), Result(f"{one.id}-3", "again"),
            Result("cmp-other-1", "answered", 200, b"{}"), Result(f"{one.id}-x", "answered", 200, b"{}")]  # fmt: skip
    assert await handovers.keep(one, told) == 2
    assert await handovers.keep(one, [Result(f"{one.id}-1", "answered", 200, b'{"b": 2}')]) == 1
    assert await rows(database, "result") == ['{"a": 1}', None, None]
    assert await handovers.give_back(one.id, "ended") == (1, [])
    assert await rows(database, "state") == ["waiting", "done", "waiting"]
    assert await rows(database, "alone") == [False, False, True]
    assert await handovers.open(one.id)
    async with database.connection() as connection:
        await connection.execute("update batch_row set state = 'done' where number = 1")
    assert not await handovers.open(one.id)
    await handovers.note(one.id, state="closed", reason="x", ended_at="now")
    assert not await handovers.any()


async def test_a_batch_near_its_end_or_cancelled_is_stopping_and_long_after_it_late(
    database: Database, handovers: Handovers
) -> None:
    one = await begun(database, handovers)
    assert (one.stopping, one.late) == (False, False)
    # At most a quarter of the window is left for asking by itself.
    assert (await handovers.find(one.id, 100_000, 0)) == one
    async with database.connection() as connection:
        await connection.execute("update batch set created_at = now() - interval '1 day', expires_at = now()")
    soon = await found(handovers, one.id)
    assert (soon.stopping, soon.late) == (True, False)
    late = await handovers.find(one.id, 0, -1)
    assert late is not None and late.late
    assert await handovers.find("cmp-none", 0, 0) is None


async def test_what_is_known_of_a_provider_is_told_from_what_is_not(database: Database, handovers: Handovers) -> None:
    one = await begun(database, handovers)
    await handovers.note(one.id, remote_id="batch_1", submitted_at="now")
    assert await handovers.known("openai", ["batch_1", "batch_2"]) == {"batch_1"}
    assert await handovers.known("anthropic", ["batch_1"]) == set()
