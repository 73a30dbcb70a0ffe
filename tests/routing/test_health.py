"""Breakers open, rest, probe and close: by the same rules in memory and in Redis, whichever worker finds what."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.counters.breakers import PROBE_LASTS_S, Breakers, LocalBreakers
from comporta.counters.shared_breakers import SharedBreakers
from comporta.routing.health import BreakerLimits, Health

HERE = ("openai", "gpt-4o-mini", "default")
_prefixes = itertools.count()


class Clock:
    """The time of a process and of Redis, in whole milliseconds."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Workers:
    """The same health as several workers see it: all one in memory, each its own view with Redis."""

    def __init__(self, url: str | None, count: int, limits: BreakerLimits | None = None) -> None:
        self.clock = Clock()
        prefix = f"{{b}}{next(_prefixes)}:"

        def made() -> Breakers:
            if url is None:
                return LocalBreakers(self.clock, limits)
            return SharedBreakers(url, limits, clock=self.clock, server_clock=self.clock, prefix=prefix)

        self.breakers = [made() for _ in range(count if url else 1)]
        self._each = [Health(breakers=one) for one in self.breakers]
        self._turn = itertools.cycle(self._each)

    @property
    def next(self) -> Health:
        """The one whose turn it is."""
        return next(self._turn)

    async def settle(self) -> None:
        """Until everybody has heard what everybody said."""
        for _ in range(2):
            for one in self.breakers:
                if isinstance(one, SharedBreakers):
                    await one.flushed()
                    one.look()
                    await one.flushed()

    async def fail(self, times: int, wait_s: float | None = None) -> None:
        for _ in range(times):
            self.next.failed(HERE, wait_s)
            await self.settle()

    async def go(self) -> str | None:
        """Let a call through, as a probe where it must be one: its name, empty for any other; None where it may not."""
        health = self.next
        return "" if health.admits(HERE) else await health.claim(HERE)

    async def close(self) -> None:
        for one in self.breakers:
            await one.close()


Make = Callable[..., Workers]


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    async with AsyncExitStack() as stack:

        def new(limits: BreakerLimits | None = None) -> Workers:
            workers = Workers(url, 2, limits)
            stack.push_async_callback(workers.close)
            return workers

        yield new


async def test_wire_18_five_failures_in_a_row_open_it_and_one_probe_goes_when_it_has_rested(make: Make) -> None:
    workers = make()
    await workers.settle()
    for _ in range(5):
        assert await workers.go() == ""
        await workers.fail(1)
    assert await workers.go() is None and await workers.go() is None
    workers.clock.now_s += 15
    probes = [await workers.go() for _ in range(4)]
    assert [bool(probe) for probe in probes] == [True, False, False, False], "a second probe went out beside the first"
    assert None in probes and "" not in probes
    workers.next.succeeded(HERE, next(probe for probe in probes if probe))
    await workers.settle()
    assert [await workers.go() for _ in range(4)] == [""] * 4


async def test_wire_18_a_failed_probe_lets_it_rest_longer_but_never_so_long_that_a_recovery_goes_unseen_for_30_s(
    make: Make,
) -> None:
    workers = make()
    await workers.fail(5)
    rests = []
    for _ in range(4):
        rests.append(round(workers.next.rests_s(HERE)))
        workers.clock.now_s += rests[-1]
        health = workers.next
        probe = await health.claim(HERE)
        assert probe
        health.failed(HERE, None, probe)
        await workers.settle()
    assert rests == [15, 25, 25, 25]


async def test_half_of_twenty_opens_it_though_never_five_in_a_row(make: Make) -> None:
    workers = make()
    await workers.settle()
    for _ in range(9):
        for _ in range(2):
            health = workers.next
            health.succeeded(HERE)
            health.failed(HERE)
        await workers.settle()
    assert await workers.go() is None and await workers.go() is None


async def test_failures_that_a_good_call_of_any_worker_parts_are_not_in_a_row(make: Make) -> None:
    workers = make()
    await workers.settle()
    for _ in range(3):
        await workers.fail(4)
        workers.clock.now_s += 0.01
        for _ in range(10):
            workers.next.succeeded(HERE)
        await workers.settle()
    assert await workers.go() == "" and await workers.go() == ""


async def test_what_is_older_than_the_window_counts_no_more(make: Make) -> None:
    workers = make(BreakerLimits(failures=100))
    await workers.fail(18)
    workers.clock.now_s += 61
    await workers.fail(12)
    assert await workers.go() == ""


async def test_a_probe_whose_client_left_makes_room_for_another(make: Make) -> None:
    workers = make()
    await workers.fail(5)
    workers.clock.now_s += 15
    health = workers.next
    probe = await health.claim(HERE)
    assert probe
    health.released(HERE, probe)
    await workers.settle()
    assert await workers.go()


async def test_a_probe_that_hangs_gives_way_to_another_and_still_closes_it_when_it_is_answered(make: Make) -> None:
    workers = make()
    await workers.fail(5)
    workers.clock.now_s += 15
    health = workers.next
    hanging = await health.claim(HERE)
    assert hanging
    for _ in range(int(PROBE_LASTS_S)):
        await workers.settle()
        assert await workers.go() is None
        workers.clock.now_s += 1
    for _ in range(5):
        await workers.settle()
        workers.clock.now_s += 1
    second = await workers.go()
    assert second and second != hanging
    health.succeeded(HERE, hanging)
    await workers.settle()
    assert await workers.go() == ""


async def test_what_another_call_says_is_no_word_of_the_probe(make: Make) -> None:
    workers = make()
    await workers.fail(5)
    workers.clock.now_s += 15
    health = workers.next
    assert await health.claim(HERE)
    health.succeeded(HERE)
    health.released(HERE)
    health.failed(HERE)
    await workers.settle()
    assert await workers.go() is None and await workers.go() is None


async def test_wire_15_what_the_upstream_asks_for_is_waited_for_by_all_up_to_the_bound(make: Make) -> None:
    workers = make()
    await workers.fail(1, wait_s=40)
    assert [await workers.go() for _ in range(2)] == [None, None]
    assert [round(workers.next.rests_s(HERE)) for _ in range(2)] == [40, 40]
    assert workers.next.admits(HERE, True), "who has waited for that long himself may go"
    workers.clock.now_s += 40
    assert [await workers.go() for _ in range(2)] == ["", ""]
    await workers.fail(1, wait_s=86_400)
    assert round(workers.next.rests_s(HERE)) == 60


async def test_wire_17_a_refused_key_rests_for_all_and_another_secret_under_its_name_is_tried_at_once(
    make: Make,
) -> None:
    workers = make()
    await workers.settle()
    workers.next.refuse_key("openai", "default", "old")
    await workers.settle()
    for _ in range(2):
        assert workers.next.key_rests("openai", "default", "old")
        assert not workers.next.key_rests("openai", "default", "new")
        (one,) = workers.next.ailing()
        assert (one.provider, one.model, one.credential, one.state) == ("openai", None, "default", "refused")
    workers.clock.now_s += 301
    for _ in range(2):
        assert not workers.next.key_rests("openai", "default", "old")


async def test_what_rests_is_shown_with_its_state(make: Make) -> None:
    workers = make()
    await workers.fail(5)
    for _ in range(2):
        (one,) = workers.next.ailing()
        assert (one.provider, one.model, one.credential) == HERE
        assert (one.state, round(one.left_s)) == ("open", 15)
    workers.clock.now_s += 15
    assert await workers.go()
    await workers.settle()
    assert [one.state for _ in range(2) for one in workers.next.ailing()] == ["probed", "probed"]
    await workers.fail(1, wait_s=30)
    assert "asked" in [one.state for one in workers.next.ailing()]


async def test_new_limits_hold_at_once(make: Make) -> None:
    workers = make()
    await workers.fail(1)
    for breakers in workers.breakers:
        Health(breakers=breakers).limits = BreakerLimits(failures=2, rest_s=3)
    await workers.fail(1)
    assert round(workers.next.rests_s(HERE)) == 3


history = st.lists(st.tuples(st.sampled_from(["good", "bad", "left"]), st.integers(0, 20_000)), max_size=40)


@pytest.mark.parametrize("kind", ["memory", "redis"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history)
async def test_wire_18_in_any_history_at_most_one_probe_is_out_and_it_always_comes_back(
    redis_url: str, kind: str, history: list[tuple[str, int]]
) -> None:
    workers = Workers(redis_url if kind == "redis" else None, 2, BreakerLimits(failures=3, of=4))
    await workers.settle()
    for outcome, pause_ms in history:
        workers.clock.now_s += pause_ms / 1000
        health = workers.next
        probe = "" if health.admits(HERE) else await health.claim(HERE)
        if probe is None:
            continue
        if probe:
            assert [await workers.go() for _ in range(3)] == [None] * 3
        told = {"good": health.succeeded, "left": health.released}
        if outcome == "bad":
            health.failed(HERE, None, probe)
        else:
            told[outcome](HERE, probe)
        await workers.settle()
    workers.clock.now_s += 26
    assert await workers.go() is not None
    await workers.close()
