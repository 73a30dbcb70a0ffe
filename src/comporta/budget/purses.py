"""Which budgets a call falls under, as money to be counted, and what the ledger says was spent of them before."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from msgspec import Struct

from comporta.budget.budgets import Budget, Budgets, Spent
from comporta.budget.periods import period_of
from comporta.counters import base
from comporta.counters.base import Counters
from comporta.errors import Unavailable
from comporta.types import Caller

log = structlog.get_logger("comporta.budget")

#: Callers are remembered up to so many: keys come and go.
_REMEMBERED = 16_384
#: The ledger is asked so often whether it knows of more: what a worker that died had spent, for one.
LEVEL_EVERY_S = 30.0


class Purse(Struct, frozen=True, gc=False):
    """One budget in one period, and what it is counted by."""

    budget: Budget
    key: str
    begin_s: float
    end_s: float


class _Carried(Struct, frozen=True, gc=False):
    """The purses of one caller while none of their periods ends."""

    caller: Caller
    purses: list[Purse]
    begin_s: float
    end_s: float


class Purses:
    """Budgets by whom they concern. `spent` sums the ledger, `drain` brings in what lies in the spool."""

    def __init__(
        self,
        budgets: Budgets,
        counters: Counters,
        spent: Spent,
        drain: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._budgets = budgets
        self._counters = counters
        self._spent = spent
        self._drain = drain
        self._clock = clock
        self._since_s = clock()
        self._lock = asyncio.Lock()
        self._seen: Mapping[str, Budget] | None = None
        self._of: dict[tuple[str, str | None], list[Budget]] = {}
        self._open: dict[str, Purse] = {}
        self._carried: dict[str, _Carried] = {}

    def of(self, caller: Caller) -> list[Purse]:
        """The purses of a caller's budgets now; all of them must have room."""
        held = self._budgets.all
        if held is not self._seen:
            self._index(held)
        if not self._of:
            return []
        now_s = self._clock()
        carried = self._carried.get(caller.key_id)
        if carried is not None and carried.caller is caller and carried.begin_s <= now_s < carried.end_s:
            return carried.purses
        purses = self._purses_of(caller, now_s)
        begin_s, end_s = max((p.begin_s for p in purses), default=0.0), min((p.end_s for p in purses), default=math.inf)
        if len(self._carried) >= _REMEMBERED:
            del self._carried[next(iter(self._carried))]
        self._carried[caller.key_id] = _Carried(caller, purses, begin_s, end_s)
        return purses

    def _purses_of(self, caller: Caller, now_s: float) -> list[Purse]:
        of = self._of
        found = [
            *of.get(("all", None), ()), *of.get(("key", caller.key_id), ()), *of.get(("team", caller.team), ()),
            *of.get(("environment", caller.environment), ()), *of.get(("feature", caller.feature), ()),
        ]  # fmt: skip
        if caller.name != caller.key_id:
            found += of.get(("key", caller.name), ())
        return [self._purse(budget, now_s) for budget in found]

    def _index(self, held: Mapping[str, Budget]) -> None:
        self._seen = held
        self._of = {}
        self._open = {}
        self._carried = {}
        for budget in held.values():
            self._of.setdefault((budget.scope, budget.value), []).append(budget)

    def _purse(self, budget: Budget, now_s: float) -> Purse:
        purse = self._open.get(budget.id)
        if purse is None or not purse.begin_s <= now_s < purse.end_s:
            begin_s, end_s = period_of(budget.period, now_s)
            # Another owner or period is another sum; another limit is not.
            whose = hashlib.blake2b(f"{budget.scope}\0{budget.value}".encode(), digest_size=6).hexdigest()
            key = f"{budget.id}:{whose}:{budget.period}:{int(begin_s)}"
            purse = self._open[budget.id] = Purse(budget, key, begin_s, end_s)
        return purse

    async def learn(self, purses: Sequence[Purse]) -> None:
        """Make known what the counters don't know yet; many calls may ask for it at once, the ledger is asked once."""
        async with self._lock:
            unknown = [purse for purse in purses if await self._counters.money(purse.key) is None]
            if unknown:
                await self.level(unknown)

    async def level(self, purses: list[Purse]) -> None:
        """Tell the counters what the ledger says was spent. Raises Unavailable where it can't be asked."""
        await self._drain()
        spent = await asyncio.gather(*(self._spent_of(purse) for purse in purses))
        await self._counters.level(
            tuple(base.Spent(p.key, microusd, p.end_s) for p, microusd in zip(purses, spent, strict=True))
        )

    async def _spent_of(self, purse: Purse) -> int:
        try:
            return await self._spent(purse.budget, purse.begin_s, purse.end_s)
        except Unavailable as error:
            if purse.begin_s >= self._since_s and purse.budget.created_at_s < purse.begin_s:
                # A period that began before our eyes: nothing was spent in it that was not counted.
                return 0
            raise Unavailable(
                f"What the budget '{purse.budget.name}' has left can't be told: the database can't be reached.",
                code="budgets_unavailable",
                retry_after_s=5.0,
            ) from error

    async def level_all(self) -> None:
        """The same for every budget there is."""
        now_s = self._clock()
        purses = [self._purse(budget, now_s) for budget in self._budgets.all.values()]
        if purses:
            await self.level(purses)

    async def run(self) -> None:
        """Look now and then whether the ledger knows of more than was counted, until cancelled."""
        while True:
            await asyncio.sleep(LEVEL_EVERY_S)
            try:
                await self.level_all()
            except Exception as error:
                # The counters stand as they are; the next look comes soon.
                log.warning("budgets_not_levelled", reason=type(error).__name__)
