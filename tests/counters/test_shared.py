"""What only counters in Redis have to stand: workers that die, and a Redis that is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from comporta.counters import shared
from comporta.counters.base import LEASE_S, Give, Lease, Money, Spent, Take, Window
from comporta.counters.settings import RedisAwaySection
from comporta.counters.shared import Shared
from comporta.errors import Unavailable
from comporta.testing.servers import ask_redis, redis_server

END_S = 2e9
NOWHERE = "unix:///nonexistent/redis.sock"


class Clock:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_what_a_killed_worker_held_is_free_when_its_time_has_run_out(redis_url: str) -> None:
    clock = Clock()
    dead, living, other = (Shared(redis_url, clock=clock) for _ in range(3))
    try:
        await dead.level((Spent("k", 0, END_S),))
        await dead.take(Take("a", leases=(Lease("l", 2),), money=(Money("k", 100, 60, END_S),)))
        await living.take(Take("b", leases=(Lease("l", 2),), money=(Money("k", 100, 40, END_S),)))
        asked = Take("c", leases=(Lease("l", 2),), money=(Money("k", 100, 60, END_S),))
        for _ in range(4):
            assert (await other.take(asked)).refused == "lease"
            clock.now_s += LEASE_S / 4
            living.renew()
            await living.flushed()
        clock.now_s += 1
        assert (await other.take(asked)).refused is None
        assert await other.money("k") == (0, 100)
    finally:
        for one in (dead, living, other):
            await one.close()


async def test_without_redis_each_worker_keeps_its_share_of_a_limit_and_budgets_refuse() -> None:
    counters = Shared(NOWHERE, workers=2)
    taken = [await counters.take(Take(f"c{n}", (Window("k", 10),))) for n in range(10)]
    assert sum(one.refused is None for one in taken) == 5
    with pytest.raises(Unavailable) as refused:
        await counters.take(Take("a", money=(Money("k", 100, 1, END_S),)))
    assert (refused.value.status, refused.value.code) == (503, "budgets_unavailable")
    await counters.close()


async def test_what_holds_without_redis_is_a_setting() -> None:
    strict = Shared(NOWHERE, away=RedisAwaySection(limits="refuse", budgets="allow"))
    assert (await strict.take(Take("a", money=(Money("k", 100, 1, END_S),)))).refused is None
    with pytest.raises(Unavailable):
        await strict.take(Take("a", (Window("k", 10),)))
    loose = Shared(NOWHERE, away=RedisAwaySection(limits="allow"))
    for _ in range(3):
        assert (await loose.take(Take("a", (Window("k", 1),)))).refused is None
    await strict.close()
    await loose.close()


async def test_after_redis_is_back_everything_given_back_meanwhile_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_REST_S", 0.05)
    with redis_server() as url:
        counters = Shared(url)
        await counters.level((Spent("k", 0, END_S),))
        assert (await counters.take(Take("a", money=(Money("k", 100, 100, END_S),)))).held
        real, counters._line = counters._line, Shared(NOWHERE)._line
        assert (await counters.take(Take("x", (Window("w", 5),)))).refused is None
        counters.give(Give("a", money=(("k", 30),)))
        await asyncio.sleep(0.1)
        counters._line = real
        assert (await counters.take(Take("b", money=(Money("k", 100, 70, END_S),)))).refused is None
        assert await counters.money("k") == (30, 70)
        await counters.close()


async def test_a_redis_that_forgot_everything_asks_the_ledger_again(redis_url: str) -> None:
    counters = Shared(redis_url)
    await counters.level((Spent("k", 50, END_S),))
    ask_redis(Path(redis_url.removeprefix("unix://").partition("?")[0]), "FLUSHALL")
    ask_redis(Path(redis_url.removeprefix("unix://").partition("?")[0]), "SCRIPT FLUSH")
    assert (await counters.take(Take("a", money=(Money("k", 100, 1, END_S),)))).refused == "unknown"
    await counters.close()


async def test_a_call_cancelled_while_it_asks_leaves_nothing_taken(redis_url: str) -> None:
    counters = Shared(redis_url)
    await counters.level((Spent("k", 0, END_S),))
    asking = asyncio.create_task(counters.take(Take("a", leases=(Lease("l", 1),), money=(Money("k", 9, 9, END_S),))))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await counters.flushed()
    assert (await counters.take(Take("b", leases=(Lease("l", 1),), money=(Money("k", 9, 9, END_S),)))).refused is None
    await counters.close()
