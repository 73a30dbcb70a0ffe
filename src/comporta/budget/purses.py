"""Which budgets a call falls under, as money to be counted, and what the ledger says was spent of them before."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, Sequence

import structlog
from msgspec import Struct, structs

from comporta.budget.acts import hard_microusd
from comporta.budget.budgets import Budget, Budgets, Spent, SpentByUsers
from comporta.budget.periods import period_of
from comporta.counters import base
from comporta.counters.base import Counters
from comporta.errors import Unavailable
from comporta.store.people import digest_of, stored_name
from comporta.types import Caller

log = structlog.get_logger("comporta.budget")

#: Callers are remembered up to so many: keys come and go.
_REMEMBERED = 16_384
ALL = ("all", None)
#: The ledger is asked so often whether it knows of more: what a worker that died had spent, for one.
LEVEL_EVERY_S = 30.0
#: So many sums are asked for at a time: the pool of connections is small, and calls need it too.
_AT_ONCE = 50
#: Users that one question to the ledger is about.
_USERS_AT_ONCE = 1_000


class Purse(Struct, frozen=True, gc=False):
    """One budget in one period, and what it is counted by."""

    budget: Budget
    key: str
    begin_s: float
    end_s: float
    #: What may be spent at all: less or more than the budget's limit where its steps say so.
    hard_microusd: int = 0
    #: Whether somebody is told, or calls meet something, as it fills.
    watched: bool = False
    #: Whether calls may meet something before nothing is left.
    soft: bool = False
    #: What stands for the user where each has a budget of its own.
    user_sha256: str = ""


class _Carried(Struct, frozen=True, gc=False):
    """The purses of one caller while none of their periods ends."""

    caller: Caller
    purses: list[Purse]
    begin_s: float
    end_s: float


def purse_of(budget: Budget, now_s: float) -> Purse:
    """A budget in the period that holds `now_s`."""
    begin_s, end_s = period_of(budget.period, now_s)
    # Another owner or period is another sum; another limit is not.
    key = f"{budget.id}:{whose_of(budget)}:{budget.period}:{int(begin_s)}"
    hard = hard_microusd(budget.limit_microusd, budget.acts)
    return Purse(budget, key, begin_s, end_s, hard, bool(budget.acts.steps), budget.acts.softly)


def whose_of(budget: Budget) -> str:
    """What stands for a budget's owner in the names of counters: no names of people, and short."""
    also = "".join(f"\0{scope}\0{value}" for scope, value in sorted(budget.also.items()))
    return hashlib.blake2b(f"{budget.scope}\0{budget.value}{also}".encode(), digest_size=6).hexdigest()


def _slices(purses: Sequence[Purse], size: int) -> Iterator[Sequence[Purse]]:
    for at in range(0, len(purses), size):
        yield purses[at : at + size]


def _facts(caller: Caller) -> list[tuple[str, str]]:
    """All that a budget may ask of a caller."""
    found = [
        ("key", caller.key_id), ("team", caller.team), ("environment", caller.environment),
        ("feature", caller.feature), *(("tag", f"{name}={value}") for name, value in caller.tags.items()),
    ]  # fmt: skip
    if caller.name != caller.key_id:
        found.append(("key", caller.name))
    return [(scope, value) for scope, value in found if value is not None]


def _all_true(budget: Budget, facts: Container[tuple[str, str]]) -> bool:
    return all(condition in facts for condition in budget.conditions)


class Purses:
    """Budgets by whom they concern. `spent` and `spent_by_users` sum the ledger, `drain` brings in what lies in the
    spool."""

    def __init__(
        self,
        budgets: Budgets,
        counters: Counters,
        spent: Spent,
        spent_by_users: SpentByUsers,
        drain: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._budgets = budgets
        self._counters = counters
        self._spent = spent
        self._spent_by_users = spent_by_users
        self._drain = drain
        self._clock = clock
        self._since_s = clock()
        self._lock = asyncio.Lock()
        self._seen: Mapping[str, Budget] | None = None
        self._of: dict[tuple[str, str | None], list[Budget]] = {}
        #: Those of one user, and those that each user has.
        self._of_users: list[Budget] = []
        self._open: dict[str, Purse] = {}
        self._carried: dict[int, _Carried] = {}
        self._users: dict[tuple[str, str], Purse] = {}

    def of(self, caller: Caller, user: str | None = None) -> list[Purse]:
        """The purses of a caller's budgets now, and of its user's; all of them must have room."""
        held = self._budgets.all
        if held is not self._seen:
            self._index(held)
        if not self._of and not self._of_users:
            return []
        now_s = self._clock()
        purses = self._of_caller(caller, now_s)
        return purses if user is None or not self._of_users else [*purses, *self._of_user(caller, user, now_s)]

    def _of_caller(self, caller: Caller, now_s: float) -> list[Purse]:
        # By the value itself: a key's calls may differ in their tags, and each kind of them has a value of its own.
        carried = self._carried.get(id(caller))
        if carried is not None and carried.caller is caller and carried.begin_s <= now_s < carried.end_s:
            return carried.purses
        purses = self._purses_of(caller, now_s)
        begin_s, end_s = max((p.begin_s for p in purses), default=0.0), min((p.end_s for p in purses), default=math.inf)
        if len(self._carried) >= _REMEMBERED:
            del self._carried[next(iter(self._carried))]
        self._carried[id(caller)] = _Carried(caller, purses, begin_s, end_s)
        return purses

    def _purses_of(self, caller: Caller, now_s: float) -> list[Purse]:
        facts = _facts(caller)
        found = [budget for fact in (ALL, *facts) for budget in self._of.get(fact, ())]
        return [self._purse(budget, now_s) for budget in found if not budget.also or _all_true(budget, facts)]

    def _of_user(self, caller: Caller, user: str, now_s: float) -> list[Purse]:
        user = stored_name(user)
        facts = {*_facts(caller), ("user", user)}
        return [
            self._purse(budget, now_s) if budget.per is None else self._purse_of_user(budget, user, now_s)
            for budget in self._of_users
            if _all_true(budget, facts)
        ]

    def _purse_of_user(self, budget: Budget, user: str, now_s: float) -> Purse:
        place = (budget.id, user)
        purse = self._users.get(place)
        if purse is None or not purse.begin_s <= now_s < purse.end_s:
            if len(self._users) >= _REMEMBERED:
                del self._users[next(iter(self._users))]
            made = purse_of(budget.of_user(user), now_s)
            purse = self._users[place] = structs.replace(made, user_sha256=digest_of(user).hex())
        return purse

    def _index(self, held: Mapping[str, Budget]) -> None:
        self._seen = held
        self._of = {}
        self._of_users = []
        self._open = {}
        self._carried = {}
        self._users = {}
        for budget in held.values():
            if budget.per is not None or "user" in (budget.scope, *budget.also):
                self._of_users.append(budget)
            else:
                self._of.setdefault((budget.scope, budget.value), []).append(budget)

    def _purse(self, budget: Budget, now_s: float) -> Purse:
        purse = self._open.get(budget.id)
        if purse is None or not purse.begin_s <= now_s < purse.end_s:
            purse = self._open[budget.id] = purse_of(budget, now_s)
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
        for some in _slices(purses, _AT_ONCE):
            await self._tell(some, await asyncio.gather(*(self._spent_of(purse) for purse in some)))

    async def _tell(self, purses: Sequence[Purse], spent: Sequence[int]) -> None:
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
        budgets = self._budgets.all
        purses = [self._purse(budget, now_s) for budget in budgets.values() if budget.per is None]
        if purses or self._users:
            await self.level(purses)
        of_users: dict[tuple[str, float, float], list[Purse]] = {}
        for purse in self._users.values():
            if now_s < purse.end_s and purse.budget.id in budgets:
                of_users.setdefault((purse.budget.id, purse.begin_s, purse.end_s), []).append(purse)
        for (budget_id, begin_s, end_s), theirs in of_users.items():
            for some in _slices(theirs, _USERS_AT_ONCE):
                users = [purse.user_sha256 for purse in some]
                spent = await self._spent_by_users(budgets[budget_id], begin_s, end_s, users)
                await self._tell(some, [spent.get(user, 0) for user in users])

    async def run(self) -> None:
        """Look now and then whether the ledger knows of more than was counted, until cancelled."""
        while True:
            await asyncio.sleep(LEVEL_EVERY_S)
            try:
                await self.level_all()
            except Exception as error:
                # The counters stand as they are; the next look comes soon.
                log.warning("budgets_not_levelled", reason=type(error).__name__)
