"""The account of a user over several rooms: pages, parts, and going on where it was left."""

from __future__ import annotations

import asyncio

import pytest

from comporta.errors import BadRequest, ComportaError
from comporta.store import people as module
from comporta.store.database import Database
from comporta.store.people import HOLD_BACK, Page, People, Person, Removed, erased_since, person_of


class Room:
    """A room with so many things of everybody, given out and removed two at a time."""

    def __init__(self, kind: str, count: int, *, fails: bool = False) -> None:
        self.kind = kind
        self.count = count
        self.fails = fails

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        at = int(after or 0)
        rows = [{"n": n} for n in range(at, min(at + 2, self.count))]
        return Page(rows, str(at + 2) if at + 2 < self.count else None)

    async def erase(self, person: Person, after: str | None) -> Removed:
        if self.fails:
            raise ComportaError("away")
        gone = min(2, self.count)
        self.count -= gone
        return Removed(gone, "more" if self.count else None, (f"{self.kind} leaves a word",) if after is None else ())


async def test_an_export_goes_through_all_rooms_page_by_page(database: Database) -> None:
    people = People(database, [Room("calls", 3), Room("empty", 0), Room("cache", 2)])
    rows, after = [], None
    while True:
        page = await people.export("ana", after)
        rows += page.rows
        if page.next is None:
            break
        after = page.next
    assert rows == [
        {"kind": "calls", "n": 0}, {"kind": "calls", "n": 1}, {"kind": "calls", "n": 2}, {"kind": "cache", "n": 0},
        {"kind": "cache", "n": 1},
    ]  # fmt: skip


async def test_an_erasure_does_a_part_at_a_time_and_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORK_S", -1.0)
    people = People(database, [Room("calls", 5), Room("cache", 3)])
    first = await people.erase("ana", "admin")
    assert first.removed == {"calls": 2} and first.next == "calls:more" and first.left == ["calls leaves a word"]
    assert (await people.erasures())[0].ended_at is None
    removed = dict(first.removed)
    after: str | None = first.next
    while after is not None:
        part = await people.erase("ana", "admin", after)
        for kind, count in part.removed.items():
            removed[kind] = removed.get(kind, 0) + count
        after = part.next
    assert removed == {"calls": 5, "cache": 3}
    [erasure] = await people.erasures()
    assert erasure.ended_at is not None and erasure.removed == {"calls": 5, "cache": 3}


async def test_an_erasure_that_failed_is_taken_up_by_the_next(database: Database) -> None:
    calls, cache = Room("calls", 4), Room("cache", 2, fails=True)
    people = People(database, [calls, cache])
    with pytest.raises(ComportaError):
        await people.erase("ana", "admin")
    assert (await people.erasures())[0].removed == {"calls": 4}
    cache.fails = False
    assert (await people.erase("ana", "admin")).removed == {"calls": 0, "cache": 2}
    [erasure] = await people.erasures()
    assert erasure.removed == {"calls": 4, "cache": 2} and erasure.ended_at is not None


@pytest.mark.parametrize("after", ["", "calls", "nothing:1", ":"])
async def test_a_place_that_is_none_is_a_bad_request(database: Database, after: str) -> None:
    people = People(database, [Room("calls", 1)])
    for ask in (people.export("ana", after), people.erase("ana", "admin", after)):
        with pytest.raises(BadRequest) as told:
            await ask
        assert told.value.param == "after"


@pytest.mark.parametrize("user", ["", "  ", "\0"])
async def test_a_user_without_a_name_is_a_bad_request(database: Database, user: str) -> None:
    with pytest.raises(BadRequest) as told:
        await People(database, [Room("calls", 1)]).erase(user, "admin")
    assert told.value.param == "user"


async def test_an_erasure_waits_for_what_is_being_written_and_others_then_see_it(database: Database) -> None:
    people = People(database, ())
    async with database.connection() as writer:
        await writer.execute(HOLD_BACK)
        erasing = asyncio.create_task(people.erase("ana", "admin"))
        await asyncio.wait([erasing], timeout=0.2)
        assert not erasing.done()
    await erasing
    assert list(await erased_since(database, 60)) == [person_of("ana").digest]
    async with database.connection() as writer:
        await writer.execute(HOLD_BACK)


async def test_an_erasure_that_waits_too_long_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_LIMIT", "set local lock_timeout = '50ms'")
    async with database.connection() as writer:
        await writer.execute(HOLD_BACK)
        with pytest.raises(ComportaError, match="ask again"):
            await People(database, ()).erase("ana", "admin")
