"""Cached answers of one user: exported, and erased from the store and from every worker's memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from comporta.cache.far import Far
from comporta.cache.people import Answers
from comporta.cache.postgres import PostgresStore
from comporta.cache.redis import RedisStore
from comporta.errors import Unavailable
from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.store.people import digest_of, person_of
from support.caching import PLAIN, STREAM, Bench, Upstream, call_for

ANA, RUI = person_of("ana"), person_of("rui")


def asked_by(user: str, text: str) -> Call:
    call = call_for(text)
    call.user = user
    return call


class Worker:
    """One worker's stage, memory and layer behind."""

    def __init__(self, far: Far | None) -> None:
        self.bench = Bench(far=far)
        self.answers = Answers(self.bench.cache.memory, lambda: far)
        self.far = far
        self.upstream = Upstream(STREAM)

    async def ask(self, user: str, text: str) -> str:
        call = asked_by(user, text)
        await self.bench.ask(call, self.upstream)
        if self.far is not None:
            await self.far.flush()
        return call.cache

    async def exported(self, user: str, limit: int = 3) -> list[str]:
        texts, after = [], None
        while True:
            page = await self.answers.page(person_of(user), after, limit)
            texts += [row["reply"]["choices"][0]["text"] for row in page.rows]
            after = page.next
            if after is None:
                return texts

    async def erase(self, user: str) -> int:
        count, after = 0, None
        while True:
            removed = await self.answers.erase(person_of(user), after)
            count, after = count + removed.count, removed.next
            if after is None:
                return count


@pytest.fixture(params=["postgres", "redis"])
async def two(
    request: pytest.FixtureRequest, database: Database, redis_url: str
) -> AsyncIterator[tuple[Worker, Worker]]:
    fars = [
        Far(PostgresStore(database) if request.param == "postgres" else RedisStore(redis_url), limit_s=60.0)
        for _ in range(2)
    ]
    yield Worker(fars[0]), Worker(fars[1])
    for far in fars:
        await far.close()


async def test_answers_to_a_user_are_exported_and_erased_everywhere(two: tuple[Worker, Worker]) -> None:
    one, other = two
    for n in range(7):
        assert await one.ask("ana", f"hers {n}") == "miss"
    assert await one.ask("rui", "his") == "miss"
    assert await other.ask("ana", "hers 0") == "hit", "the other worker has it in memory now"
    assert await one.exported("ana") == ["Hello"] * 7 and await one.exported("rui") == ["Hello"]
    assert await one.erase("ana") == 7 and await one.erase("ana") == 0
    assert await one.exported("ana") == [] and await one.exported("rui") == ["Hello"]
    other.bench.cache.forget({ANA.digest: time.time()})
    assert [await worker.ask("rui", "hers 0") for worker in two] == ["miss", "hit"], "it was given anew, to another"
    assert await other.ask("ana", "his") == "hit"


async def test_what_waits_to_be_written_is_erased_with_the_rest(two: tuple[Worker, Worker]) -> None:
    one, other = two
    assert one.far is not None
    await one.bench.ask(asked_by("ana", "hers"), one.upstream)
    await one.bench.ask(asked_by("rui", "his"), one.upstream)
    one.bench.cache.forget({ANA.digest: time.time()})
    await one.far.flush()
    assert await other.exported("ana") == [] and await other.exported("rui") == ["Hello"]


async def test_an_answer_under_way_when_its_user_is_erased_is_not_kept() -> None:
    worker = Worker(None)
    begun = asked_by("ana", "long")
    events = await worker.bench.over(worker.upstream)(begun)
    worker.bench.cache.forget({ANA.digest: time.time()})
    assert [event async for event in events] == list(STREAM)
    begun.end()
    assert worker.bench.cache.memory.bytes == 0
    worker.bench.cache.forget({ANA.digest: begun.started_s - 1})
    assert await worker.ask("ana", "long") == "miss" and await worker.ask("ana", "long") == "hit"


async def test_a_second_erasure_of_the_same_user_is_heard_too() -> None:
    worker = Worker(None)
    worker.bench.cache.forget({ANA.digest: time.time() - 60})
    await worker.ask("ana", "again")
    worker.bench.cache.forget({ANA.digest: time.time()})
    assert await worker.exported("ana") == []


async def test_without_a_store_the_memory_is_exported_and_erased() -> None:
    worker = Worker(None)
    worker.upstream.events = PLAIN
    await worker.ask("ana", "hers")
    await worker.ask("rui", "his")
    assert await worker.exported("ana") == ["Hello"]
    assert await worker.erase("ana") == 1 and await worker.ask("rui", "his") == "hit"


async def test_a_store_that_is_away_is_told_rather_than_passed_over(redis_url: str) -> None:
    far = Far(RedisStore("redis://127.0.0.1:1/0"))
    worker = Worker(far)
    with pytest.raises(Unavailable) as told:
        await worker.answers.erase(ANA, None)
    assert told.value.code == "cache_unavailable"
    await far.close()


def test_two_users_never_share_a_mark() -> None:
    assert digest_of("ana") == ANA.digest != RUI.digest and len(ANA.digest) == 32
