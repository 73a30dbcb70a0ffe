"""Limits and budgets as a gate has them: counters, what the configuration says, and what calls can cost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from comporta.app.budgeting import Budgeting
from comporta.app.known import Known
from comporta.app.settings import Settings
from comporta.budget.budgets import Budgets
from comporta.budget.estimate import output_tokens, worst_microusd, worst_rates
from comporta.budget.ledger import spent_by_users, spent_from
from comporta.budget.purses import Purses
from comporta.config.loading import Loaded
from comporta.counters.base import Counters
from comporta.counters.memory import Memory
from comporta.counters.shared import Shared
from comporta.gateway.admission import Admission, sized
from comporta.gateway.ensemble.judged import VERDICT_TOKENS
from comporta.gateway.thrift import Economy
from comporta.gateway.toll import Toll
from comporta.keys.keys import Keys
from comporta.keys.limits import Limits
from comporta.keys.settings import LimitSection
from comporta.notify.notifier import Notifier
from comporta.pipeline import Call, Next
from comporta.providers.catalogue import ModelFacts
from comporta.routing.choose import Route
from comporta.routing.ensemble.plan import PROVIDER as ENSEMBLE
from comporta.routing.registered import RegisteredModel
from comporta.store.database import Database
from comporta.types import JSON, Price, Target, Usage

PriceOf = Callable[[Target, str, Usage], Price | None]
#: Prices are remembered of so many models.
_REMEMBERED = 4096
_UNPRICED = (None, None)
#: What a judge reads is bounded in bytes, as all that goes in is; what members write is known in tokens.
_BYTES_PER_TOKEN = 4
#: What a judge is told beside the conversation and the answers.
_RULES_BYTES = 4_000
Behind = Callable[[], "Sequence[tuple[Tariff | Together, JSON]]"]


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
        notifier: Callable[[], Notifier],
    ) -> None:
        self._known = known
        self._price_of = price_of
        self._seen: Known | None = None
        self._registered: Mapping[str, RegisteredModel] | None = None
        self._tariffs: dict[tuple[str, str, str], Tariff | Together] = {}
        #: Of the routes that the configuration has: of every variant what it costs, and its parameters.
        self._routes: dict[str, Sequence[tuple[Tariff | Together, JSON]]] = {}
        self.counters = counters_of(loaded.value)
        self.purses = Purses(
            budgets, self.counters, spent_from(database), spent_by_users(database), drain
        )  # fmt: skip
        self.budgeting = Budgeting(database, budgets, self.counters, notifier)
        self.admission = Admission(
            self.counters, lambda: self._limits, keys.row, self.purses, self.foresee, self._route_of,
            self.budgeting.levels.settled, self.budgeting.thrift,
        )  # fmt: skip
        #: Which model answers under a budget that leads to cheaper ones.
        self.economy = Economy(known, self._cost_of, self._facts_of)
        self.take(loaded)

    def take(self, loaded: Loaded[Settings]) -> None:
        """What of a new configuration can change while running."""
        settings = loaded.value
        self._limits = Limits([self._by_its_name(section) for section in settings.limits])
        self._unpriced = settings.spending.unpriced == "allow"
        self.budgeting.take(loaded)

    def _route_of(self, asked: str) -> str:
        return self._known().name_of(asked)

    def _by_its_name(self, section: LimitSection) -> LimitSection:
        """A route's limit holds under every name that leads there."""
        if section.per != "route" or section.name is None:
            return section
        return section.model_copy(update={"name": self._route_of(section.name)})

    def toll(self, next: Next) -> Next:
        """What stands around the upstream step."""
        return Toll(next, self.counters, lambda: self._limits, self.purses, self._cost_of, lambda: self._unpriced)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.counters.run())
            tasks.create_task(self.purses.run())
            tasks.create_task(self.budgeting.levels.run())

    async def close(self) -> None:
        await self.counters.close()

    def most_of(self, call: Call, target: Target) -> int | None:
        """The most that a call may cost at a target; None where its price is unknown."""
        return self._cost_of(call, target)

    def _cost_of(self, call: Call, target: Target) -> int | None:
        """The most that a call may cost at a target."""
        self._refresh()
        return self._tariff(target, call.model).most_microusd(call, target.params)

    def _facts_of(self, target: Target) -> ModelFacts | None:
        provider = self._known().providers.get(target.provider)
        return None if provider is None else provider.facts(target.model)

    def foresee(self, call: Call) -> int | None:
        """The dearest of the variants that may be chosen; one without a price is dealt with when it is chosen."""
        self._refresh()
        most: int | None = None
        for tariff, params in self._named(call.model):
            cost = tariff.most_microusd(call, params)
            if cost is not None and (most is None or cost > most):
                most = cost
        return most

    def _refresh(self) -> None:
        """Forget what was worked out from another configuration or other registered models."""
        known = self._known()
        registered = known.registered
        if known is not self._seen or registered is not self._registered:
            self._seen, self._registered = known, registered
            self._tariffs.clear()
            self._routes.clear()

    def _tariff(self, target: Target, asked: str) -> Tariff | Together:
        place = (target.provider, target.model, asked)
        tariff = self._tariffs.get(place)
        if tariff is None:
            if len(self._tariffs) >= _REMEMBERED:
                # Behind `provider/model` stands whatever a client writes.
                self._tariffs.clear()
            if target.provider == ENSEMBLE:
                return self._together(target.model)
            provider = self._known().providers.get(target.provider)
            facts = None if provider is None else provider.facts(target.model)
            tariff = self._tariffs[place] = Tariff(facts, lambda usage: self._price_of(target, asked, usage))
        return tariff

    def _together(self, name: str) -> Together:
        """What the members and the judge of an ensemble cost; worked out when somebody asks."""
        ensemble = self._known().ensembles.get(name)
        if ensemble is None:
            return Together((), None)
        judge = None if ensemble.judge is None else partial(self._named, ensemble.judge)
        members = tuple((partial(self._named, member.model), member.params) for member in ensemble.members)
        return Together(members, judge)

    def _named(self, name: str) -> Sequence[tuple[Tariff | Together, JSON]]:
        return self._routes.get(name) or self._tariffs_of(name)

    def _tariffs_of(self, name: str) -> Sequence[tuple[Tariff | Together, JSON]]:
        """Of every target that a name may lead to; remembered for the routes of the configuration."""
        known = self._known()
        route = known.route(name)
        found = [(self._tariff(target, name), target.params) for target in self._targets(name, route)]
        if name in known.routes:
            self._routes[name] = found
        return found

    def _targets(self, name: str, route: Route | None) -> Sequence[Target]:
        known = self._known()
        if route is not None:
            return [Target(route.name, v.name, v.provider, v.model, v.params) for v in route.variants]
        provider, slash, model = name.partition("/")
        if slash and known.provider(provider):
            return [Target(name, name, provider, model)]
        return [Target(name, name, offering, name) for offering in known.offering(name)[:1]]


class Together:
    """What calls to an ensemble may cost at most: every member, and a judge that reads what all of them wrote."""

    __slots__ = ("_judge", "_members")

    def __init__(self, members: Sequence[tuple[Behind, JSON]], judge: Behind | None) -> None:
        self._members = members
        self._judge = judge

    def most_microusd(self, call: Call, params: JSON) -> int:
        """A model without a price counts for nothing here: it is refused when it is asked itself."""
        total = 0
        for behind, own in self._members:
            given = {**own, **params}
            costs = [tariff.most_microusd(call, {**at, **given}) for tariff, at in behind()]
            total += max([cost for cost in costs if cost is not None], default=0)
        return total + self._judged(call, params)

    def _judged(self, call: Call, params: JSON) -> int:
        if self._judge is None:
            return 0
        written = sum(output_tokens(call.input, {**own, **params}, None) for _, own in self._members)
        tokens_in = sized(call) + written * _BYTES_PER_TOKEN + _RULES_BYTES
        tokens_out = max(output_tokens(call.input, params, None), VERDICT_TOKENS)
        costs = [tariff.microusd(tokens_in, tokens_out) for tariff, _ in self._judge()]
        return max([cost for cost in costs if cost is not None], default=0)

    def microusd(self, tokens_in: int, tokens_out: int) -> int:
        """The same for so many tokens of each."""
        behind = [one for one, _ in self._members] + ([self._judge] if self._judge is not None else [])
        costs = [[tariff.microusd(tokens_in, tokens_out) for tariff, _ in one()] for one in behind]
        return sum(max([cost for cost in some if cost is not None], default=0) for some in costs)


class Tariff:
    """What calls to one model may cost at most."""

    __slots__ = ("_facts", "_price_of", "_rates")

    def __init__(self, facts: ModelFacts | None, price_of: Callable[[Usage], Price | None]) -> None:
        self._facts = facts
        self._price_of = price_of
        #: None where long calls have another price, which can't be told before.
        self._rates = None if facts is None or facts.long_above is not None else self._rates_of(Usage())

    def most_microusd(self, call: Call, params: JSON) -> int | None:
        """None where a price is missing."""
        facts = self._facts
        if facts is None:
            return 0
        tokens_out = output_tokens(call.input, params, facts.max_output) if call.kind == "chat" else 0
        return self.microusd(sized(call), tokens_out)

    def microusd(self, tokens_in: int, tokens_out: int) -> int | None:
        """The same for so many tokens of each, counted as an upper bound."""
        if self._facts is None:
            return 0
        rates = self._rates or self._rates_of(Usage(input=tokens_in, output=tokens_out))
        return None if rates is _UNPRICED else worst_microusd(rates, tokens_in, tokens_out)

    def _rates_of(self, usage: Usage) -> tuple[int | None, int | None]:
        price = self._price_of(usage)
        return _UNPRICED if price is None else worst_rates(price)


def counters_of(settings: Settings) -> Counters:
    """In Redis where there is one; without it there is one worker only."""
    if settings.redis.url is None:
        return Memory()
    workers = int(os.environ.get("COMPORTA_WORKERS", "1"))
    return Shared(settings.redis.url.get_secret_value(), workers=workers, away=settings.counters.redis_away)
