"""PostgreSQL and Redis behind the cache: shared by workers, kept over restarts, swept and erased."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from comporta.cache.entry import Row
from comporta.cache.far import Far
from comporta.cache.policy import CachePolicy
from comporta.cache.postgres import PostgresStore, prune
from comporta.cache.redis import PREFIX, RedisStore
from comporta.store.database import Database
from comporta.store.people import People, digest_of
from support.caching import PLAIN, STREAM, Bench, Upstream, call_for


class Workers:
    """Workers of one gate, each with a memory of its own over one store."""

    def __init__(self, kind: str, database: Database, redis_url: str) -> None:
        self._kind, self._database, self._redis_url = kind, database, redis_url
        self._fars: list[Far] = []

    def start(self, policy: CachePolicy | None = None) -> tuple[Bench, Far]:
        store = PostgresStore(self._database) if self._kind == "postgres" else RedisStore(self._redis_url)
        # Tests run beside others: a busy machine is no store that is away.
        far = Far(store, limit_s=60.0)
        self._fars.append(far)
        return Bench(policy, far), far

    async def stop(self) -> None:
        for far in self._fars:
            await far.close()


@pytest.fixture(params=["postgres", "redis"])
async def workers(request: pytest.FixtureRequest, database: Database, redis_url: str) -> AsyncIterator[Workers]:
    workers = Workers(request.param, database, redis_url)
    yield workers
    await workers.stop()


async def test_two_workers_share_what_either_was_told(workers: Workers) -> None:
    one, its_far = workers.start()
    other, others_far = workers.start()
    upstream = Upstream(STREAM)
    for far in (its_far, others_far):
        await far.store.refresh()
    await one.ask(call_for(), upstream)
    await its_far.flush()
    await others_far.store.refresh()
    call = call_for()
    assert await other.ask(call, upstream) == list(STREAM)
    assert call.cache == "hit" and upstream.asked == 1
    stranger = call_for(team="blue")
    await other.ask(stranger, upstream)
    assert stranger.cache == "miss"


async def test_answers_outlive_the_worker(workers: Workers) -> None:
    first, far = workers.start()
    upstream = Upstream(PLAIN)
    await first.ask(call_for(), upstream)
    await far.close()
    second, _ = workers.start()
    for _ in range(2):
        call = call_for()
        assert await second.ask(call, upstream) == list(PLAIN)
        assert call.cache == "hit" and call.usage == PLAIN[0].usage
    assert upstream.asked == 1


async def test_time_counts_from_the_first_keeping_whoever_reads(workers: Workers) -> None:
    one, far = workers.start()
    other, _ = workers.start()
    upstream = Upstream()
    await one.ask(call_for(), upstream)
    await far.flush()
    other.clock.now_s += 3000
    await other.ask(call_for(), upstream)
    other.clock.now_s += 700
    late = call_for()
    await other.ask(late, upstream)
    assert late.cache == "miss" and upstream.asked == 2


async def test_the_newest_of_several_answers_counts_and_odd_names_lose_no_batch(workers: Workers) -> None:
    _, far = workers.start()
    await far.store.put(
        [
            Row(b"k" * 32, b"old", 0.0, 60.0, "te\0am", "r\ud800", b"u" * 32),
            Row(b"k" * 32, b"new", 0.0, 60.0, "te\0am", "r\ud800", None),
        ]
    )
    await far.store.put([Row(b"k" * 32, b"newest", 0.0, 0.2, "t", "r", None), Row(b"l" * 32, b"", 0.0, 1.0, "t", "r")])
    assert await far.store.get([b"k" * 32, b"l" * 32, b"m" * 32]) == {b"k" * 32: b"newest", b"l" * 32: b""}


async def test_redis_lets_entries_expire_by_itself(redis_url: str) -> None:
    store = RedisStore(redis_url)
    await store.put([Row(b"k" * 32, b"body", 0.0, 90.5, "t", "r")])
    assert 89 <= await store._redis.ttl(PREFIX + b"k" * 32) <= 91
    await store.close()


async def test_what_was_never_stored_costs_no_question(database: Database) -> None:
    store = PostgresStore(database)
    assert store.may_hold(b"a" * 32), "until it is known what is there"
    await store.refresh()
    assert not store.may_hold(b"a" * 32)
    await store.put([Row(b"a" * 32, b"", 0.0, 60.0, "t", "r")])
    assert store.may_hold(b"a" * 32)


async def test_the_filter_is_made_anew_when_it_is_full(database: Database) -> None:
    mine, theirs = PostgresStore(database), PostgresStore(database)
    await mine.refresh()
    assert mine._known is not None
    mine._known.count = mine._known.room + 1
    await theirs.put([Row(bytes([i]) * 32, b"", 0.0, 60.0, "t", "r") for i in range(50)])
    await mine.refresh()
    assert mine._known.count == 50
    assert all(mine.may_hold(bytes([i]) * 32) for i in range(50))


async def test_the_sweep_takes_the_expired_and_then_the_oldest(database: Database) -> None:
    store = PostgresStore(database)
    await store.put([Row(b"e" * 32, b"gone", 0.0, -1.0, "t", "r")])
    for name in (b"a", b"b", b"c"):
        await store.put([Row(name * 32, bytes(1000), 0.0, 60.0, "t", "r")])
    assert await prune(database, 1 << 20) == 1
    assert await prune(database, 2500) == 1
    assert sorted(await store.get([n * 32 for n in (b"a", b"b", b"c")])) == [b"b" * 32, b"c" * 32]


async def test_an_answer_to_a_user_who_was_erased_meanwhile_is_not_stored(database: Database) -> None:
    store, ana = PostgresStore(database), digest_of("ana")
    await People(database, ()).erase("ana", "admin")
    rows = [Row(b"a" * 32, b"1", 0.0, 60.0, "t", "r", ana, time.time() - 5)]
    rows.append(Row(b"b" * 32, b"2", 0.0, 60.0, "t", "r", digest_of("rui"), time.time() - 5))
    rows.append(Row(b"c" * 32, b"3", 0.0, 60.0, "t", "r", ana, time.time() + 5))
    await store.put(rows)
    assert sorted(await store.get([row.key for row in rows])) == [b"b" * 32, b"c" * 32]


async def test_a_locked_table_is_a_miss_in_time_and_found_again_afterwards(database: Database) -> None:
    far = Far(PostgresStore(database), limit_s=0.5, rest_s=0.1)
    bench = Bench(far=far)
    upstream = Upstream()
    await bench.ask(call_for(), upstream)
    await far.flush()
    bench.cache.memory.resize(0, 0)
    async with database.connection() as connection:
        await connection.execute("lock table cache_entry in access exclusive mode")
        # The lock is held until this one has given up.
        blocked = call_for()
        await bench.ask(blocked, upstream)
        assert blocked.cache == "miss"
    assert far.failures >= 1
    await far.flush()
    assert await _hit_soon(bench, upstream)
    await far.close()


async def test_a_redis_that_halts_is_a_miss_in_time_and_found_again_afterwards(redis_url: str) -> None:
    store = RedisStore(redis_url)
    far = Far(store, limit_s=0.5, rest_s=0.1)
    bench = Bench(far=far)
    upstream = Upstream()
    await bench.ask(call_for(), upstream)
    await far.flush()
    bench.cache.memory.resize(0, 0)
    await store._redis.client_pause(3000)
    started_s = time.monotonic()
    halted = call_for()
    await bench.ask(halted, upstream)
    assert halted.cache == "miss" and time.monotonic() - started_s < 2.9
    assert await _hit_soon(bench, upstream)
    await far.close()


async def _hit_soon(bench: Bench, upstream: Upstream) -> bool:
    """Whether an answer comes out of the cache sooner or later."""
    for _ in range(400):
        call = call_for()
        await bench.ask(call, upstream)
        if call.cache == "hit":
            return True
        await asyncio.sleep(0.1)
    return False
