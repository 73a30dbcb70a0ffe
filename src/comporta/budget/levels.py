"""How full budgets are, as this worker sees it: what calls meet now, and when people have to be told.

What is settled here is added at once. What other workers settled is asked of the counters every second, of the budgets
that calls concern: so a threshold is passed by whoever comes first, and at most a second late by the others. What is
held for calls that still run does not count: it is an upper bound, and a threshold would be told of too early.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from comporta.budget.acts import Step, amount_at
from comporta.budget.purses import Purse
from comporta.counters.base import KEPT_AFTER_S, Counters
from comporta.errors import ComportaError

log = structlog.get_logger("comporta.budget")

_LOOK_S = 1.0
#: After a failure the database is left alone for so long.
_REST_S = 5.0
_NEVER = 1 << 62
#: So many purses are kept in mind: each user may have one. What was forgotten the counters still know.
_REMEMBERED = 16_384

#: Has the thresholds told that so much spending of a purse has passed. Raises ComportaError.
Fire = Callable[[Purse, int], Awaitable[object]]


class _Level:
    """One purse as it was last known."""

    __slots__ = ("asked", "next_microusd", "purse", "spent", "told")

    def __init__(self, purse: Purse, spent: int) -> None:
        self.purse = purse
        self.spent = spent
        #: Whether a call was concerned since the last look.
        self.asked = True
        self.next_microusd = 0
        #: What was spent when people were told last.
        self.told = 0


class Levels:
    """Give `settled` what calls cost, ask `step` what holds, run `run` as a task."""

    def __init__(self, counters: Counters, fire: Fire, clock: Callable[[], float] = time.time) -> None:
        self._counters = counters
        self._fire = fire
        self._clock = clock
        self._held: dict[str, _Level] = {}
        self._woken = asyncio.Event()
        self._rest_until_s = 0.0
        self._away = False

    def settled(self, purses: Sequence[Purse], cost_microusd: int) -> None:
        """A call has ended at this cost."""
        for purse in purses:
            if purse.watched:
                level = self._held.get(purse.key)
                if level is None:
                    level = self._held[purse.key] = _Level(purse, 0)
                level.purse = purse
                level.asked = True
                level.spent += cost_microusd
                if level.spent >= level.next_microusd:
                    self._woken.set()

    async def step(self, purse: Purse) -> Step | None:
        """What calls under a purse meet now; None where nothing."""
        level = self._held.get(purse.key)
        if level is None:
            level = await self._first(purse)
        level.purse, level.asked = purse, True
        return purse.budget.acts.now(level.spent * 100 / purse.budget.limit_microusd)

    async def _first(self, purse: Purse) -> _Level:
        money = None
        with contextlib.suppress(ComportaError):
            money = await self._counters.money(purse.key)
        level = _Level(purse, money[0] if money is not None else 0)
        return self._held.setdefault(purse.key, level)

    async def run(self) -> None:
        """Look until cancelled: at once when a threshold may have been passed, else every second."""
        while True:
            # Not `wait_for`: up to Python 3.11 it forgets a cancelling that comes in the same turn as the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._woken.wait()
            self._woken.clear()
            await self.look()

    async def look(self) -> None:
        """Ask the counters about the purses that calls concerned, and have told what was passed."""
        self._forget()
        for level in [level for level in self._held.values() if level.asked]:
            level.asked = False
            try:
                await self._see(level)
            except Exception as error:
                # Whatever it is, calls go on, and the next look comes.
                level.asked = True
                level.next_microusd = _NEVER
                self._rest_until_s = self._clock() + _REST_S
                if not self._away:
                    log.warning("budget_alerts_wait", budget=level.purse.budget.name, reason=type(error).__name__)
                self._away = True
            else:
                self._away = self._away and self._clock() < self._rest_until_s

    async def _see(self, level: _Level) -> None:
        money = await self._counters.money(level.purse.key)
        if money is not None:
            level.spent = money[0]
        budget = level.purse.budget
        amounts = [amount_at(budget.limit_microusd, step.at) for step in budget.acts.steps]
        if any(level.told < amount <= level.spent for amount in amounts):
            if self._clock() < self._rest_until_s:
                level.asked = True
                return
            await self._fire(level.purse, level.spent)
            level.told = level.spent
        level.next_microusd = min((amount for amount in amounts if amount > level.spent), default=_NEVER)

    def _forget(self) -> None:
        over_s = self._clock() - KEPT_AFTER_S
        for key in [key for key, level in self._held.items() if level.purse.end_s < over_s]:
            del self._held[key]
        quiet = (key for key, level in self._held.items() if not level.asked)
        for key in [*itertools.islice(quiet, max(len(self._held) - _REMEMBERED, 0))]:
            del self._held[key]
