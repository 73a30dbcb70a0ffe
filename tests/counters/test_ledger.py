"""The ledger as a machine: whatever happens in whatever order, what is spent and held never passes a budget's limit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from comporta.counters.base import LEASE_S, Counters, Give, Money, Spent, Take
from comporta.counters.memory import Memory
from comporta.counters.shared import Shared

T = TypeVar("T")
END_S = 2e9
_prefixes = itertools.count()


class Clock:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Held:
    """A call under way: which budgets it falls under, what it holds of each, and where it runs."""

    def __init__(self, id: str, keys: tuple[str, ...], amount: int, worker: int) -> None:
        self.id = id
        self.keys = keys
        self.amount = amount
        self.worker = worker
        #: When its hold lapses, once its worker has died.
        self.lapses_s: float | None = None


async def given(counters: Counters, give: Give) -> None:
    """Give back, and wait until it has arrived."""
    counters.give(give)
    if isinstance(counters, Shared):
        await counters.flushed()


async def renewed(counters: Counters) -> None:
    """Let a worker say that all its calls live."""
    if isinstance(counters, Shared):
        counters.renew()
        await counters.flushed()


class Ledger(RuleBasedStateMachine):
    """Calls of one or two workers against a budget of a team and one of everything, over two periods."""

    held = Bundle("held")
    redis_url: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.prefix = f"{{t}}{next(_prefixes)}:"
        self.workers: list[Counters] = [self._worker()]
        if self.redis_url is not None:
            self.workers.append(self._worker())
        self.limits: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        #: What the records say that have arrived: never more than was spent.
        self.recorded: dict[str, int] = {}
        self.calls: dict[str, Held] = {}
        self.period = 0
        self.count = 0

    def _worker(self) -> Counters:
        if self.redis_url is None:
            return Memory(clock=self.clock)
        return Shared(self.redis_url, clock=self.clock, prefix=self.prefix)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def keys(self, both: bool) -> tuple[str, ...]:
        return (f"team:{self.period}", f"all:{self.period}") if both else (f"all:{self.period}",)

    def _open_period(self) -> None:
        for name, limit in (("team", self.team), ("all", self.all)):
            key = f"{name}:{self.period}"
            self.limits[key], self.spent[key], self.recorded[key] = limit, 0, 0
            self.run(self.workers[0].level((Spent(key, 0, END_S),)))

    @initialize(team=st.integers(1, 60), all=st.integers(1, 80))
    def begin(self, team: int, all: int) -> None:
        self.team, self.all = team, all
        self._open_period()

    # ---- what happens ----

    def _in_use(self, key: str, but: str = "") -> int:
        return self.spent[key] + sum(c.amount for c in self.calls.values() if key in c.keys and c.id != but)

    def _take(self, worker: int, id: str, keys: tuple[str, ...], amount: int, whole: bool) -> bool:
        """Ask, and hold the answer against what must come of it: no room too little, and none too much."""
        money = tuple(Money(key, self.limits[key], amount, END_S) for key in keys)
        taken = self.run(self.workers[worker].take(Take(id, money=money, whole=whole)))
        used = {key: self._in_use(key, id) for key in keys}
        fits = all(used[k] + amount <= self.limits[k] for k in keys) and all(used[k] < self.limits[k] for k in keys)
        nothing_left = any(used[key] >= self.limits[key] for key in keys)
        assert (taken.refused is not None) == ((not fits) if whole else nothing_left)
        assert taken.held == fits
        return fits

    @rule(target=held, worker=st.integers(0, 1), amount=st.integers(0, 30), both=st.booleans(), whole=st.booleans())
    def ask(self, worker: int, amount: int, both: bool, whole: bool) -> Held:
        worker %= len(self.workers)
        self.count += 1
        call = Held(f"c{self.count}", self.keys(both), 0, worker)
        if self._take(worker, call.id, call.keys, amount, whole):
            call.amount = amount
            self.calls[call.id] = call
        return call

    @rule(call=held, more=st.integers(0, 30))
    def turn_to_a_dearer_model(self, call: Held, more: int) -> None:
        living = call.id in self.calls and call.lapses_s is None
        if living and self._take(call.worker, call.id, call.keys, call.amount + more, True):
            call.amount += more

    @rule(call=consumes(held), share=st.floats(0, 1))
    def end(self, call: Held, share: float) -> None:
        """At any cost that was covered, also after its period has ended; nothing where it was refused."""
        if call.id not in self.calls or call.lapses_s is not None:
            return
        del self.calls[call.id]
        cost = round(call.amount * share)
        for key in call.keys:
            self.spent[key] += cost
        self.run(given(self.workers[call.worker], Give(call.id, money=tuple((key, cost) for key in call.keys))))

    @rule(share=st.floats(0, 1))
    def records_arrive_and_the_ledger_is_asked(self, share: float) -> None:
        for key, spent in self.spent.items():
            self.recorded[key] = max(self.recorded[key], round(spent * share))
            self.run(self.workers[0].level((Spent(key, self.recorded[key], END_S),)))

    @rule(seconds=st.integers(1, 70))
    def time_passes(self, seconds: int) -> None:
        """The living renew what they hold three times as often as it would lapse."""
        until_s = self.clock.now_s + seconds
        while self.clock.now_s < until_s:
            self.clock.now_s = min(self.clock.now_s + LEASE_S / 3, until_s)
            for worker in self.workers:
                self.run(renewed(worker))
        for call in list(self.calls.values()):
            if call.lapses_s is not None and call.lapses_s <= self.clock.now_s:
                del self.calls[call.id]

    @precondition(lambda self: len(self.workers) > 1)
    @rule(worker=st.integers(0, 1))
    def a_worker_is_killed_and_another_one_takes_its_place(self, worker: int) -> None:
        for call in self.calls.values():
            if call.worker == worker and call.lapses_s is None:
                call.lapses_s = self.clock.now_s + LEASE_S
        self.run(self.workers[worker].close())
        self.workers[worker] = self._worker()

    @precondition(lambda self: self.period < 2)
    @rule()
    def the_next_period_begins(self) -> None:
        self.period += 1
        self._open_period()

    # ---- what always holds ----

    @invariant()
    def nothing_is_overspent(self) -> None:
        for key, limit in self.limits.items():
            assert self.spent[key] <= limit
            known = self.run(self.workers[0].money(key))
            assert known is not None and sum(known) <= limit

    @invariant()
    def the_counters_agree_with_what_happened(self) -> None:
        for key in self.limits:
            known = self.run(self.workers[-1].money(key))
            assert known is not None
            spent, held = known
            assert spent == self.spent[key]
            assert held == self._in_use(key) - spent

    def teardown(self) -> None:
        for worker in self.workers:
            self.run(worker.close())
        self.runner.close()


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_no_history_of_calls_deaths_and_periods_overspends(kind: str, redis_url: str) -> None:
    """WIRE 29: in memory with one worker, in Redis with two that may be killed at any moment."""

    class Machine(Ledger):
        pass

    Machine.redis_url = redis_url if kind == "redis" else None
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25 if kind == "redis" else 60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
