"""Counters in this process: for one worker, and for a while without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from comporta.counters.base import KEPT_AFTER_S, WINDOW_S, Give, Level, Refusal, Spent, Take, Taken, Window

_SWEEP_EVERY_S = 60.0


class _Minute:
    """One window: counts by second, and their sum."""

    __slots__ = ("counts", "first", "last", "total")

    def __init__(self, now_s: int) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0
        self.first = self.last = now_s

    def slide(self, now_s: int) -> None:
        """Let go what is too old. Nothing is ever counted in a second before the last one counted in."""
        edge = now_s - WINDOW_S
        if self.last <= edge:
            self.counts.clear()
            self.total = 0
            self.first = self.last = now_s
        elif self.first <= edge:
            for second in range(self.first, edge + 1):
                self.total -= self.counts.pop(second, 0)
            self.first = edge + 1

    def take_back(self, amount: int, second: int) -> None:
        """What was counted last is not."""
        self.total -= amount
        self.counts[second] -= amount
        if not self.counts[second]:
            del self.counts[second]
            self.last = max(self.counts, default=self.first)

    def wait_s(self, too_much: int, now_s: float) -> float:
        """Seconds until so much has gone."""
        for second in sorted(self.counts):
            too_much -= self.counts[second]
            if too_much <= 0:
                return max(second + WINDOW_S - now_s, 0.001)
        return 0.001


class _Purse:
    """The money of one budget in one period."""

    __slots__ = ("end_s", "held", "holds", "spent")

    def __init__(self, spent: int, end_s: float) -> None:
        self.spent = spent
        self.end_s = end_s
        self.held = 0
        self.holds: dict[str, int] = {}


class Memory:
    """A holder lives as long as this process does, so nothing here expires but windows and periods."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: The second that was counted in last.
        self._second = 0
        self._minutes: dict[str, _Minute] = {}
        self._holders: dict[str, set[str]] = {}
        self._purses: dict[str, _Purse] = {}

    async def take(self, asked: Take) -> Taken:
        return self.take_now(asked)

    def take_now(self, asked: Take) -> Taken:
        """The same without waiting: nothing here does."""
        now_s = self._clock()
        if asked.drop:
            self._drop(asked.id, asked.drop)
        second = int(now_s)
        if second > self._second:
            self._second = second
        else:
            # A clock that was set back: nothing is counted before what was counted already.
            second = self._second
        # Counted as they are looked at, and taken back where one of the others refuses: that is rare.
        levels: list[Level] = []
        for window in asked.windows:
            level = self._count(window, second, now_s)
            if level is None:
                return self._refused("window", len(levels), asked, second, now_s)
            levels.append(level)
        for index, lease in enumerate(asked.leases):
            holders = self._holders.get(lease.key)
            if holders and len(holders) >= lease.limit and asked.id not in holders:
                return self._refused("lease", index, asked, second, now_s)
        held = False
        if asked.money:
            refusal, index, held = self._check_money(asked)
            if refusal is not None:
                return self._refused(refusal, index, asked, second, now_s)
            if held:
                self._hold(asked)
        for lease in asked.leases:
            holders = self._holders.get(lease.key)
            if holders is None:
                holders = self._holders[lease.key] = set()
            holders.add(asked.id)
        return Taken(None, 0, 0.0, second, held, tuple(levels))

    def _count(self, window: Window, second: int, now_s: float) -> Level | None:
        """Count it; None where there is no room."""
        minute = self._minutes.get(window.key)
        if minute is None:
            minute = self._minutes[window.key] = _Minute(second)
        elif minute.first <= second - WINDOW_S:
            minute.slide(second)
        amount, limit = window.amount, window.limit
        if amount > limit:
            amount = limit
        total = minute.total + amount
        if total > limit:
            return None
        minute.total = total
        minute.last = second
        counts = minute.counts
        counts[second] = counts.get(second, 0) + amount
        return Level(total, second + WINDOW_S - now_s if total else 0.0)

    def _refused(self, kind: Refusal, index: int, asked: Take, second: int, now_s: float) -> Taken:
        """Take back what was counted before the refusal."""
        for window in asked.windows[:index] if kind == "window" else asked.windows:
            self._minutes[window.key].take_back(min(window.amount, window.limit), second)
        wait_s = 0.0
        if kind == "window":
            window = asked.windows[index]
            minute = self._minutes[window.key]
            wait_s = minute.wait_s(minute.total + min(window.amount, window.limit) - window.limit, now_s)
        return Taken(kind, index, wait_s, levels=self._levels(asked, second, now_s))

    def _check_money(self, asked: Take) -> tuple[Refusal | None, int, bool]:
        fits = True
        for index, money in enumerate(asked.money):
            purse = self._purses.get(money.key)
            if purse is None:
                return "unknown", index, False
            others = purse.spent + purse.held - purse.holds.get(asked.id, 0)
            if others + money.amount_microusd > money.limit_microusd or others >= money.limit_microusd:
                if asked.whole or others >= money.limit_microusd:
                    return "money", index, False
                fits = False
        return None, 0, fits

    def _hold(self, asked: Take) -> None:
        for money in asked.money:
            purse = self._purses[money.key]
            purse.held += money.amount_microusd - purse.holds.get(asked.id, 0)
            purse.holds[asked.id] = money.amount_microusd

    def _levels(self, asked: Take, second: int, now_s: float) -> tuple[Level, ...]:
        levels = []
        for window in asked.windows:
            minute = self._minutes.get(window.key)
            if minute is not None:
                minute.slide(second)
            full = minute is not None and minute.total > 0
            levels.append(Level(minute.total, minute.last + WINDOW_S - now_s) if minute and full else Level(0, 0.0))
        return tuple(levels)

    def give(self, given: Give) -> None:
        for correction in given.corrections:
            minute = self._minutes.get(correction.key)
            if minute is not None and correction.second in minute.counts:
                minute.counts[correction.second] += correction.delta
                minute.total += correction.delta
        if given.leases:
            self._drop(given.id, given.leases)
        for key, spent in given.money:
            purse = self._purses.get(key)
            if purse is not None:
                purse.held -= purse.holds.pop(given.id, 0)
                purse.spent += spent

    def _drop(self, holder: str, keys: tuple[str, ...]) -> None:
        for key in keys:
            holders = self._holders.get(key)
            if holders is not None:
                holders.discard(holder)

    async def level(self, spent: tuple[Spent, ...]) -> None:
        for one in spent:
            purse = self._purses.get(one.key)
            if purse is None:
                self._purses[one.key] = _Purse(one.microusd, one.end_s)
            else:
                purse.spent = max(purse.spent, one.microusd)

    async def money(self, key: str) -> tuple[int, int] | None:
        purse = self._purses.get(key)
        return None if purse is None else (purse.spent, purse.held)

    async def run(self) -> None:
        """Forget what is over: users and keys come and go."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            self.sweep()

    def sweep(self) -> None:
        now_s = self._clock()
        for key in [k for k, minute in self._minutes.items() if minute.last <= now_s - WINDOW_S]:
            del self._minutes[key]
        for key in [k for k, holders in self._holders.items() if not holders]:
            del self._holders[key]
        for key in [k for k, purse in self._purses.items() if purse.end_s + KEPT_AFTER_S < now_s]:
            del self._purses[key]

    async def close(self) -> None:
        return
