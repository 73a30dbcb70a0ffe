"""Forgetting what was spent, on a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from comporta.counters.base import Money, Spent, Take, Window
from comporta.counters.forgetting import forget_spent
from comporta.counters.shared import Shared
from comporta.errors import Unavailable


async def test_sums_of_budgets_are_forgotten_and_other_counts_are_not(redis_url: str) -> None:
    counters = Shared(redis_url)
    try:
        end_s = 4_000_000_000.0
        await counters.level((Spent("one", 700, end_s), Spent("two", 5, end_s)))
        taken = await counters.take(Take("call", (Window("key:r", 10),), (), (Money("one", 1000, 100, end_s),)))
        assert taken.refused is None and await counters.money("one") == (700, 100)
        assert await asyncio.to_thread(forget_spent, redis_url) >= 2
        assert await counters.money("one") is None and await counters.money("two") is None
        again = await counters.take(Take("next", (Window("key:r", 10),), (), ()))
        assert again.levels[0].total == 2
        # The ledger is the truth again.
        await counters.level((Spent("one", 300, end_s),))
        assert await counters.money("one") == (300, 0)
    finally:
        await counters.close()


async def test_a_redis_that_is_away_is_told() -> None:
    with pytest.raises(Unavailable, match="can't be reached"):
        await asyncio.to_thread(forget_spent, "redis://127.0.0.1:9/0")
