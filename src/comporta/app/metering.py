"""Limits and budgets as a gate has them: counters, what the configuration says, and what calls can cost."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence

from comporta.app.known import Known
from comporta.app.settings import Settings
from comporta.budget.budgets import Budget, Budgets, Scope
from comporta.budget.estimate import output_tokens, worst_microusd
from comporta.budget.purses import Purses
from comporta.budget.settings import BudgetSection
from comporta.config.loading import Loaded
from comporta.counters.base import Counters
from comporta.counters.memory import Memory
from comporta.counters.shared import Shared
from comporta.gateway.admin.spending import spent_from
from comporta.gateway.admission import Admission, sized
from comporta.gateway.toll import Toll
from comporta.keys.keys import Keys
from comporta.keys.limits import Limits
from comporta.pipeline import Call, Next
from comporta.routing.choose import Route
from comporta.store.database import Database
from comporta.types import Price, Target, Usage

PriceOf = Callable[[Target, str, Usage], Price | None]
#: In a call's facts: what it may cost at each target, and the input of which that was said.
_FORESEEN = "foreseen"
_SCOPES: tuple[Scope, ...] = ("key", "team", "environment", "feature")


class Metering:
    """Put together once per process. `drain` ships what the spool holds, so that the ledger knows of it."""

    def __init__(
        self,
        loaded: Loaded[Settings],
        database: Database,
        keys: Keys,
        budgets: Budgets,
        known: Callable[[], Known],
        price_of: PriceOf,
        drain: Callable[[], Awaitable[object]],
    ) -> None:
        self._known = known
        self._price_of = price_of
        self._budgets = budgets
        self._routes: dict[str, tuple[Route, Sequence[Target]]] = {}
        self.counters = counters_of(loaded.value)
        self.purses = Purses(budgets, self.counters, spent_from(database), drain)
        self.admission = Admission(self.counters, lambda: self._limits, keys.row, self.purses, self._foresee)
        self.take(loaded)

    def take(self, loaded: Loaded[Settings]) -> None:
        """What of a new configuration can change while running."""
        settings = loaded.value
        self._routes.clear()
        self._limits = Limits(settings.limits)
        self._unpriced = settings.spending.unpriced == "allow"
        self._budgets.declare([_budget(section, at, loaded) for at, section in enumerate(settings.budgets)])

    def toll(self, next: Next) -> Next:
        """What stands around the upstream step."""
        return Toll(next, self.counters, lambda: self._limits, self.purses, self._cost_of, lambda: self._unpriced)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.counters.run())
            tasks.create_task(self.purses.run())

    async def close(self) -> None:
        await self.counters.close()

    def _cost_of(self, call: Call, target: Target) -> int | None:
        """The most that a call may cost at a target; found once for a call whose input is still the same."""
        known = call.facts.get(_FORESEEN)
        if known is not None and known[0] is call.input:
            for other, cost in known[1]:
                if (
                    (other.params is target.params or other.params == target.params)
                    and other.model == target.model
                    and other.provider == target.provider
                ):
                    most: int | None = cost
                    return most
        return self._most_of(call, target)

    def _most_of(self, call: Call, target: Target) -> int | None:
        provider = self._known().providers.get(target.provider)
        if provider is None:
            return 0
        tokens_in, tokens_out = sized(call), 0
        if call.kind == "chat":
            tokens_out = output_tokens(call.input, target.params, provider.facts(target.model).max_output)
        price = self._price_of(target, call.model, Usage(input=tokens_in, output=tokens_out))
        return None if price is None else worst_microusd(price, tokens_in, tokens_out)

    def _foresee(self, call: Call) -> int | None:
        """The dearest of the variants that may be chosen; one without a price is dealt with when it is chosen."""
        costs = [(target, self._most_of(call, target)) for target in self._targets(call.model)]
        call.facts[_FORESEEN] = (call.input, costs)
        return max([cost for _, cost in costs if cost is not None], default=None)

    def _targets(self, name: str) -> Sequence[Target]:
        known = self._known()
        route = known.route(name)
        if route is not None:
            return self._targets_of(route, name in known.routes)
        provider, slash, model = name.partition("/")
        if slash and known.provider(provider):
            return [Target(name, name, provider, model)]
        return [Target(name, name, offering, name) for offering in known.offering(name)[:1]]

    def _targets_of(self, route: Route, configured: bool) -> Sequence[Target]:
        found = self._routes.get(route.name)
        if found is not None and found[0] is route:
            return found[1]
        targets = [Target(route.name, v.name, v.provider, v.model, v.params) for v in route.variants]
        if configured:
            self._routes[route.name] = (route, targets)
        return targets


def counters_of(settings: Settings) -> Counters:
    """In Redis where there is one; without it there is one worker only."""
    if settings.redis.url is None:
        return Memory()
    workers = int(os.environ.get("COMPORTA_WORKERS", "1"))
    return Shared(settings.redis.url.get_secret_value(), workers=workers, away=settings.counters.redis_away)


def _budget(section: BudgetSection, at: int, loaded: Loaded[Settings]) -> Budget:
    place = loaded.place(("budgets", at))
    scope, value = next(((s, v) for s in _SCOPES if (v := getattr(section, s)) is not None), (None, None))
    where = f"{place.file}:{place.line}"
    # The same in every worker, and after every start.
    id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"comporta:budget:{section.name}"))
    return Budget(id, section.name, scope or "all", value, section.period, section.limit, 0.0, where)
