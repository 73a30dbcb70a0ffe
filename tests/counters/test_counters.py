"""Counters in memory and in Redis: the same properties, and the same answers to the same questions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.counters.base import WINDOW_S, Correction, Counters, Give, Lease, Money, Spent, Take, Taken, Window
from comporta.counters.memory import Memory
from comporta.counters.shared import Shared

END_S = 2e9
_prefixes = itertools.count()


class Clock:
    """A time of our own, in whole milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> float:
        return self.now_ms / 1000


Make = Callable[[Clock], Counters]


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    made: list[Counters] = []
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""

    def new(clock: Clock) -> Counters:
        prefix = f"{{t}}{next(_prefixes)}:"
        made.append(Shared(url, clock=clock, prefix=prefix) if url else Memory(clock=clock))
        return made[-1]

    yield new
    for counters in made:
        await counters.close()


async def settled(counters: Counters) -> None:
    """Wait until what was given back has arrived."""
    if isinstance(counters, Shared):
        await counters.flushed()


async def test_a_window_lets_exactly_its_limit_through(make: Make) -> None:
    counters = make(Clock())
    asked = [counters.take(Take(f"c{n}", (Window("k", 100),))) for n in range(300)]
    taken = await asyncio.gather(*asked)
    assert sum(one.refused is None for one in taken) == 100
    assert all(one.wait_s > 0 for one in taken if one.refused)


async def test_a_refused_take_counts_nowhere(make: Make) -> None:
    counters = make(Clock())
    await counters.take(Take("a", (Window("narrow", 1),)))
    both = Take("b", (Window("wide", 5), Window("narrow", 1)), (Lease("l", 1),))
    refused = await counters.take(both)
    assert (refused.refused, refused.index) == ("window", 1)
    assert [level.total for level in refused.levels] == [0, 1]
    assert (await counters.take(Take("c", (Window("wide", 5),), (Lease("l", 1),)))).levels[0].total == 1


async def test_the_wait_that_is_told_is_enough_and_no_second_too_long(make: Make) -> None:
    clock = Clock()
    counters = make(clock)
    for _ in range(2):
        await counters.take(Take("a", (Window("k", 2),)))
        clock.now_ms += 7_300
    refused = await counters.take(Take("a", (Window("k", 2),)))
    clock.now_ms += round(refused.wait_s * 1000) - 1
    assert (await counters.take(Take("a", (Window("k", 2),)))).refused == "window"
    clock.now_ms += 1
    assert (await counters.take(Take("a", (Window("k", 2),)))).refused is None


async def test_an_amount_above_the_limit_passes_when_the_window_is_empty(make: Make) -> None:
    counters = make(Clock())
    assert (await counters.take(Take("a", (Window("k", 10, 50),)))).refused is None
    assert (await counters.take(Take("b", (Window("k", 10, 1),)))).refused == "window"


async def test_tokens_are_corrected_after_the_answer(make: Make) -> None:
    counters = make(Clock())
    first = await counters.take(Take("a", (Window("k", 100, 90),)))
    assert (await counters.take(Take("b", (Window("k", 100, 50),)))).refused == "window"
    counters.give(Give("a", corrections=(Correction("k", first.second, -80),)))
    second = await counters.take(Take("b", (Window("k", 100, 50),)))
    assert second.refused is None
    assert second.levels[0].total == 60


async def test_a_lease_is_free_again_when_it_is_given_back_or_dropped(make: Make) -> None:
    counters = make(Clock())
    assert (await counters.take(Take("a", leases=(Lease("k", 1),)))).refused is None
    assert (await counters.take(Take("b", leases=(Lease("k", 1),)))).refused == "lease"
    assert (await counters.take(Take("a", leases=(Lease("other", 1),), drop=("k",)))).refused is None
    assert (await counters.take(Take("b", leases=(Lease("k", 1),)))).refused is None
    counters.give(Give("b", leases=("k",)))
    assert (await counters.take(Take("c", leases=(Lease("k", 1),)))).refused is None


async def test_money_that_nobody_knows_is_unknown_until_the_ledger_has_spoken(make: Make) -> None:
    counters = make(Clock())
    asked = Take("a", money=(Money("k", 100, 10, END_S),))
    assert (await counters.take(asked)).refused == "unknown"
    await counters.level((Spent("k", 95, END_S),))
    assert (await counters.take(asked)).refused == "money"
    assert (await counters.take(Take("a", money=(Money("k", 105, 10, END_S),)))).refused is None


async def test_the_ledger_only_ever_raises_what_is_spent(make: Make) -> None:
    counters = make(Clock())
    for spent, known in ((50, 50), (20, 50), (60, 60)):
        await counters.level((Spent("k", spent, END_S),))
        assert await counters.money("k") == (known, 0)


async def test_a_soft_hold_refuses_only_where_nothing_is_left(make: Make) -> None:
    counters = make(Clock())
    await counters.level((Spent("k", 95, END_S), Spent("big", 0, END_S)))
    soft = Take("a", money=(Money("big", 1000, 10, END_S), Money("k", 100, 10, END_S)), whole=False)
    taken = await counters.take(soft)
    assert (taken.refused, taken.held) == (None, False)
    assert await counters.money("big") == (0, 0)
    counters.give(Give("b", money=(("k", 5),)))
    await settled(counters)
    assert (await counters.take(soft)).refused == "money"


async def test_a_hold_is_raised_not_added_to_and_settles_at_the_real_cost(make: Make) -> None:
    counters = make(Clock())
    await counters.level((Spent("k", 0, END_S),))
    for amount, refused in ((10, None), (60, None), (101, "money")):
        taken = await counters.take(Take("a", money=(Money("k", 100, amount, END_S),)))
        assert taken.refused == refused
    assert await counters.money("k") == (0, 60)
    counters.give(Give("a", money=(("k", 42),)))
    await settled(counters)
    assert await counters.money("k") == (42, 0)


async def test_a_hold_of_nothing_is_let_go_like_any_other(make: Make) -> None:
    counters = make(Clock())
    await counters.level((Spent("k", 5, END_S),))
    assert (await counters.take(Take("a", money=(Money("k", 100, 0, END_S),)))).held
    counters.give(Give("a", money=(("k", 0),)))
    await settled(counters)
    assert await counters.money("k") == (5, 0)
    assert (await counters.take(Take("b", money=(Money("k", 100, 95, END_S),)))).held


async def test_reset_says_when_a_window_is_empty(make: Make) -> None:
    clock = Clock()
    counters = make(clock)
    taken = await counters.take(Take("a", (Window("k", 2),)))
    clock.now_ms += round(taken.levels[0].reset_s * 1000)
    assert (await counters.take(Take("a", (Window("k", 2),)))).levels[0].total == 1


takes = st.builds(
    lambda who, w, le, m, whole, drop: Take(
        f"c{who}",
        tuple(Window(f"w{k}", limit, amount) for k, (limit, amount) in w.items()),
        tuple(Lease(f"l{k}", limit) for k, limit in le.items()),
        tuple(Money(f"m{k}", limit, amount, END_S) for k, (limit, amount) in m.items()),
        whole, ("l0",) if drop else (),
    ),
    st.integers(0, 4),
    st.dictionaries(st.integers(0, 2), st.tuples(st.integers(1, 6), st.integers(0, 8)), max_size=3),
    st.dictionaries(st.integers(0, 1), st.integers(1, 3), max_size=2),
    st.dictionaries(st.integers(0, 2), st.tuples(st.integers(1, 50), st.integers(0, 30)), max_size=3),
    st.booleans(), st.booleans(),
)  # fmt: skip
steps = st.lists(
    st.one_of(
        takes,
        st.builds(
            lambda who, m, le: Give(f"c{who}", leases=tuple(f"l{k}" for k in le), money=tuple(m.items())),
            st.integers(0, 4),
            st.dictionaries(st.sampled_from(["m0", "m1", "m2"]), st.integers(0, 30), max_size=3),
            st.sets(st.integers(0, 1)),
        ),
        st.builds(lambda k, spent: Spent(f"m{k}", spent, END_S), st.integers(0, 2), st.integers(0, 40)),
        st.integers(1, 40_000),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_memory_and_redis_answer_alike_whatever_is_asked(redis_url: str, steps: list[object]) -> None:
    clock = Clock()
    memory = Memory(clock=clock)
    async with contextlib.AsyncExitStack() as stack:
        shared = Shared(redis_url, clock=clock, prefix=f"{{t}}{next(_prefixes)}:")
        stack.push_async_callback(shared.close)
        await compared(memory, shared, clock, steps)


def same(one: Taken, other: Taken) -> bool:
    """Alike, times to the millisecond."""
    return rounded(one) == rounded(other)


def rounded(one: Taken) -> tuple[object, ...]:
    levels = [(level.total, round(level.reset_s * 1000)) for level in one.levels]
    return one.refused, one.index, round(one.wait_s * 1000), one.second if one.refused is None else 0, one.held, levels


async def compared(memory: Memory, shared: Shared, clock: Clock, steps: list[object]) -> None:
    # Renewed, as a living worker does: what runs out differs, since a process outlives none of its own memory.
    for step in steps:
        if isinstance(step, int):
            clock.now_ms += step
            shared.renew()
        elif isinstance(step, Take):
            assert same(await memory.take(step), await shared.take(step)), step
        elif isinstance(step, Give):
            memory.give(step)
            shared.give(step)
        elif isinstance(step, Spent):
            await memory.level((step,))
            await shared.level((step,))
    await settled(shared)
    for key in ("m0", "m1", "m2"):
        assert await memory.money(key) == await shared.money(key)


@pytest.mark.parametrize("kind", ["memory", "redis"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1), st.integers(0, 5), st.booleans()), max_size=40),
    st.integers(1, 100),
)
async def test_no_interleaving_of_calls_overspends(
    redis_url: str, kind: str, calls: list[tuple[int, float, int, bool]], limit: int
) -> None:
    """WIRE 29: what is held and spent never passes the limit, whoever asks when, and whatever a call comes to."""
    clock = Clock()
    prefix = f"{{t}}{next(_prefixes)}:"
    counters: Counters = Shared(redis_url, clock=clock, prefix=prefix) if kind == "redis" else Memory(clock=clock)
    await counters.level((Spent("k", 0, END_S),))
    spent = 0

    async def call(number: int, amount: int, share: float, pauses: int, whole: bool) -> None:
        nonlocal spent
        holder = f"c{number}"
        first = await counters.take(Take(holder, money=(Money("k", limit, amount // 2, END_S),), whole=whole))
        for _ in range(pauses):
            await asyncio.sleep(0)
        cost = 0
        if first.refused is None:
            covered = await counters.take(Take(holder, money=(Money("k", limit, amount, END_S),)))
            cost = round(amount * share) if covered.refused is None else 0
        known = await counters.money("k")
        assert known is not None and sum(known) <= limit
        spent += cost
        counters.give(Give(holder, money=(("k", cost),)))

    await asyncio.gather(*(call(n, *facts) for n, facts in enumerate(calls)))
    await settled(counters)
    assert await counters.money("k") == (spent, 0)
    assert spent <= limit
    await counters.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 4)), max_size=60), st.integers(1, 12))
async def test_no_sixty_seconds_ever_hold_more_than_the_limit(asked: list[tuple[int, int]], limit: int) -> None:
    clock = Clock()
    counters = Memory(clock=clock)
    passed: list[tuple[int, int]] = []
    for pause_ms, amount in asked:
        clock.now_ms += pause_ms
        if (await counters.take(Take("a", (Window("k", limit, amount),)))).refused is None:
            passed.append((clock.now_ms, min(amount, limit)))
    for begin_ms, _ in passed:
        assert sum(n for at, n in passed if begin_ms <= at < begin_ms + (WINDOW_S - 1) * 1000) <= limit


async def test_a_refusal_leaves_every_window_as_it_was(make: Make) -> None:
    clock = Clock()
    counters = make(clock)
    await counters.take(Take("first", (Window("a", 5), Window("b", 1)), (Lease("l", 1),)))
    clock.now_ms += 20_000
    refused = [
        await counters.take(Take("second", (Window("a", 5), Window("b", 1)))),
        await counters.take(Take("third", (Window("a", 5),), (Lease("l", 1),))),
        await counters.take(Take("fourth", (Window("a", 5),), (), (Money("m", 10, 1, END_S),))),
    ]
    assert [one.refused for one in refused] == ["window", "lease", "unknown"]
    assert [one.levels[0].total for one in refused] == [1, 1, 1]
    assert all(one.levels[0].reset_s == WINDOW_S - 20 for one in refused)


async def test_what_nobody_holds_any_more_takes_no_memory() -> None:
    clock = Clock()
    counters = Memory(clock=clock)
    for number in range(100):
        id = f"c{number}"
        await counters.take(Take(id, (Window(f"user:{number}:r", 5),), (Lease(f"user:{number}:c", 1),)))
        counters.give(Give(id, leases=(f"user:{number}:c",)))
    clock.now_ms += 62_000
    counters.sweep()
    assert not counters._minutes and not counters._holders


async def test_a_clock_that_is_set_back_lets_no_more_through() -> None:
    clock = Clock()
    counters = Memory(clock=clock)
    taken = []
    for number in range(20):
        taken.append(await counters.take(Take(f"c{number}", (Window("k", 10),))))
        clock.now_ms -= 5_000
    assert sum(one.refused is None for one in taken) == 10
