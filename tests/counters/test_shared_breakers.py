"""What only breakers in Redis have to stand: workers that differ or die, and a Redis that is away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from comporta.counters import shared_breakers
from comporta.counters.breakers import Place
from comporta.counters.shared_breakers import CLAIM_S, SharedBreakers
from comporta.testing.servers import ask_redis, redis_server

HERE: Place = ("openai", "gpt-4o-mini", "default")
NOWHERE = "unix:///nonexistent/redis.sock"


class Clock:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def two(redis_url: str) -> AsyncIterator[tuple[SharedBreakers, SharedBreakers, Clock]]:
    clock = Clock()
    first, second = (SharedBreakers(redis_url, clock=clock, server_clock=clock) for _ in range(2))
    yield first, second, clock
    await first.close()
    await second.close()


async def look(*breakers: SharedBreakers) -> None:
    for one in (*breakers, *breakers):
        await one.flushed()
        one.look()
        await one.flushed()


async def until(met: Callable[[], bool], within_s: float = 60.0) -> bool:
    deadline_s = time.monotonic() + within_s
    while not met() and time.monotonic() < deadline_s:  # noqa: ASYNC110 (another process is looked at)
        await asyncio.sleep(0.01)
    return met()


Two = tuple[SharedBreakers, SharedBreakers, Clock]


async def test_a_healthy_call_sends_nothing_to_redis(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = two
    await look(first, second)

    async def refused(*_: object) -> bytes:
        raise AssertionError("asked Redis")

    monkeypatch.setattr(first, "_run_script", refused)
    for _ in range(100):
        assert first.admits(HERE)
        first.succeeded(HERE)
        first.released(HERE)
    await first.flushed()
    assert first.shared


async def test_good_calls_are_told_only_while_a_place_has_failed_lately(two: Two) -> None:
    first, second, clock = two
    await look(first, second)
    second.failed(HERE)
    await look(first, second)
    first.succeeded(HERE)
    assert first._breakers[HERE].untold == 1
    await look(first)
    assert first._breakers[HERE].untold == 0
    clock.now_s += 61
    first.succeeded(HERE)
    await look(first)
    assert first._breakers[HERE].untold == 1


async def test_wire_18_the_claim_of_a_killed_worker_lapses(two: Two) -> None:
    killed, living, clock = two
    for _ in range(5):
        killed.failed(HERE)
    await look(killed, living)
    clock.now_s += 15
    assert await killed.claim(HERE)
    await look(living)
    assert await living.claim(HERE) is None
    clock.now_s += CLAIM_S
    assert await living.claim(HERE)


async def test_wire_18_of_many_workers_that_ask_in_the_same_moment_one_gets_the_probe(redis_url: str) -> None:
    clock = Clock()
    workers = [SharedBreakers(redis_url, clock=clock, server_clock=clock) for _ in range(8)]
    for _ in range(5):
        workers[0].failed(HERE)
    await look(*workers)
    clock.now_s += 15
    claims = await asyncio.gather(*(one.claim(HERE) for one in workers for _ in range(5)))
    assert sum(claim is not None for claim in claims) == 1
    for one in workers:
        await one.close()


async def test_a_call_cancelled_while_it_claims_leaves_no_probe_behind(two: Two) -> None:
    first, second, clock = two
    for _ in range(5):
        first.failed(HERE)
    await look(first, second)
    clock.now_s += 15
    claiming = asyncio.create_task(first.claim(HERE))
    await asyncio.sleep(0)
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    await look(first, second)
    assert await second.claim(HERE)


async def test_a_worker_that_is_answered_itself_asks_on_until_it_fails_once(two: Two) -> None:
    cut_off, well, clock = two
    cut_off.failed(HERE)
    await cut_off.flushed()
    clock.now_s += 0.05
    well.succeeded(HERE)
    for _ in range(4):
        cut_off.failed(HERE)
    await look(cut_off)
    well.look()
    await well.flushed()
    assert not cut_off.admits(HERE)
    assert well.admits(HERE)
    well.failed(HERE)
    assert not well.admits(HERE)


async def test_found_by_one_it_soon_holds_for_all(redis_url: str) -> None:
    """WIRE 15, 17: what rests, with the task that looks, and in real time."""
    first, second = SharedBreakers(redis_url), SharedBreakers(redis_url)
    tasks = [asyncio.create_task(one.run()) for one in (first, second)]
    try:
        assert await until(lambda: first.shared is True and second.shared is True)
        first.rest(("key", "openai", "dead", "0"), 300)
        first.failed(HERE, 60.0)
        assert await until(lambda: second.rests(("key", "openai", "dead", "0")) and not second.admits(HERE))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await first.close()
        await second.close()


async def test_a_worker_that_starts_knows_before_its_first_call_what_the_others_know(redis_url: str) -> None:
    old, new = SharedBreakers(redis_url), SharedBreakers(redis_url)
    for _ in range(5):
        old.failed(HERE)
    old.rest(("key", "openai", "dead", "0"), 300)
    await old.flushed()
    await new.open()
    assert not new.admits(HERE) and new.rests(("key", "openai", "dead", "0"))
    await old.close()
    await new.close()


async def test_without_redis_a_worker_decides_by_itself_and_at_once() -> None:
    clock = Clock()
    alone = SharedBreakers(NOWHERE, clock=clock)
    for _ in range(5):
        assert alone.admits(HERE)
        alone.failed(HERE)
    assert not alone.admits(HERE) and await alone.claim(HERE) is None
    await alone.flushed()
    clock.now_s += 15
    probe = await alone.claim(HERE)
    assert probe and await alone.claim(HERE) is None
    alone.succeeded(HERE, probe)
    assert alone.admits(HERE)
    assert not alone.shared
    await alone.close()


async def test_a_redis_that_does_not_answer_holds_a_probe_up_only_briefly(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, clock = two
    for _ in range(5):
        first.failed(HERE)
    await look(first)
    clock.now_s += 15

    async def silent(*_: object) -> bytes:
        await asyncio.sleep(30)
        raise TimeoutError

    monkeypatch.setattr(first, "_run_script", silent)
    started_s = time.monotonic()
    assert await first.claim(HERE)
    assert time.monotonic() - started_s < 25


async def test_what_was_known_holds_on_without_redis_and_what_was_found_is_told_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_breakers, "_REST_S", 0.05)
    there: Place = ("anthropic", "claude", None)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server())
        first, second = SharedBreakers(url), SharedBreakers(url)
        for _ in range(5):
            first.failed(HERE)
        await look(first, second)
        real, first._line = first._line, SharedBreakers(NOWHERE)._line
        await look(first)
        assert not first.shared and not first.admits(HERE)
        for _ in range(5):
            first.failed(there)
        first.rest(("key", "openai", "dead", "0"), 300)
        assert not first.admits(there)
        # Redis comes back as it does after a restart: with nothing in it.
        ask_redis(Path(urlsplit(url).path), "FLUSHALL")
        ask_redis(Path(urlsplit(url).path), "SCRIPT FLUSH")
        first._line = real
        await asyncio.sleep(0.06)
        await look(first, second)
        assert all(one.shared for one in (first, second))
        assert not second.admits(there) and not second.admits(HERE)
        assert second.rests(("key", "openai", "dead", "0"))
        await first.close()
        await second.close()


async def test_everything_in_redis_has_a_time_to_live_under_its_own_names(two: Two, redis_url: str) -> None:
    first, _, clock = two
    for _ in range(5):
        first.failed(HERE)
    first.rest(("key", "openai", "dead", "0"), 300)
    await look(first)
    clock.now_s += 15
    assert await first.claim(HERE)
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        keys = await redis.keys("*")
        assert len(keys) == 4 and all(str(key).startswith("{comporta}:b") for key in keys)
        assert all([await redis.pttl(key) > 0 for key in keys])
