"""Routing by task as a gate has it: live figures, quality, cascades, and what can be asked about decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from msgspec import structs

from comporta.app.cascades import Cascading
from comporta.app.known import Known
from comporta.app.on_behalf import keep_no_more
from comporta.config.mistakes import did_you_mean
from comporta.config.values import parse_money
from comporta.errors import BadRequest, NotFound
from comporta.gateway.by_task import ByTask
from comporta.pipeline import Call, Next
from comporta.providers.catalogue import Catalogue, cost_microusd
from comporta.routing.choose import Plan, plan_of
from comporta.routing.ensemble.plan import PROVIDER as ENSEMBLE
from comporta.routing.health import Health
from comporta.routing.task.estimate import Estimate, estimated
from comporta.routing.task.guess import guess
from comporta.routing.task.live import Live
from comporta.routing.task.names import TASKS, plain, usual_of
from comporta.routing.task.quality import Qualities
from comporta.routing.task.rows import Member, Way
from comporta.routing.task.selecting import Selected, complexity_named, select
from comporta.routing.task.steering import Course, Steering
from comporta.store.database import Database
from comporta.telemetry.capture import Mode
from comporta.types import JSON, Input, Message, Price, Target, Text, Usage

log = structlog.get_logger("comporta.routing")


class Tasking:
    """Put together once per process; `known` and `pipeline` are asked when they are needed."""

    def __init__(
        self,
        database: Database,
        health: Callable[[], Health],
        known: Callable[[], Known],
        pipeline: Callable[[], Next],
        price_of: Callable[[Target, str, Usage], Price | None],
        catalogue: Catalogue,
        mode_of: Callable[[str], Mode],
    ) -> None:
        self._known = known
        self._health = health
        self._price_of = price_of
        self._as_of = catalogue.date
        self._told: frozenset[str] = frozenset()
        self.quality = Qualities(
            database, lambda: known().settings.model_routing.quality, lambda: self.steering.tables
        )  # fmt: skip
        self.steering = Steering(Live(), self.quality.of, self._rests)
        judge = Cascading(
            lambda: known().tasks.checkers, pipeline, lambda: known().settings.guardrails.judge,
            lambda parent, child: keep_no_more(parent, child, mode_of),
        )  # fmt: skip
        #: What the stage `choose` asks.
        self.by_task = ByTask(self.steering, judge, self._cost)

    def take(self, known: Known) -> None:
        """Put a configuration's tables in force, and tell what is odd in them, once."""
        tables = known.tasks.tables
        for warning in tables.warnings:
            if warning not in self._told:
                log.warning("model_routing", told=warning)
        self._told = frozenset(tables.warnings)
        self.steering.take(tables)

    async def run(self) -> None:
        """Keep the quality of models up to date, until cancelled."""
        await self.quality.run()

    # ---- what can be asked ----

    def explain(self, call: Call) -> JSON:
        """Where a call would go, and why: nothing is asked, and nothing is recorded. Raises ComportaError."""
        known = self._known()
        plan = plan_of(known, call.model, call.caller, call.session or call.user)
        steered, course = self.steering.plan(call, plan)
        said: JSON = {"model": call.model, "route": plan.targets[0].route, "order": _order(steered)}
        if course is None:
            return {**said, "strategy": None, "chosen": plan.targets[0].variant, "why": self._why(plan)}
        return {**said, **course.said, **_policies(course)}

    def _why(self, plan: Plan) -> str:
        """What leads to a model where nothing steers."""
        chosen = plan.targets[0]
        ensemble = self._known().ensembles.get(chosen.model) if chosen.provider == ENSEMBLE else None
        if ensemble is not None:
            asked = ", ".join(member.name for member in ensemble.members)
            return f"an ensemble ({ensemble.strategy}) of {asked}: all of them are asked"
        return "asked by its own name" if len(plan.targets) == 1 else "drawn by weight, kept by session or user"

    def select(
        self, task: str | None = None, complexity: str = "medium", budget: str | float | int | None = None,
        required: Sequence[str] = (), strategy: str | None = None,
    ) -> Selected:  # fmt: skip
        """See `Asks.select_model`."""
        usual = None if task is None else usual_of(task)
        hard = complexity_named(complexity)
        budget_microusd = None if budget is None else _money(budget)
        row = self._way(strategy, task)
        if row is not None:
            return select(row, usual, hard, budget_microusd, required, preferred=task is not None)
        if task is not None and usual is None:
            near = did_you_mean(task, TASKS) or f"; the usual ones are {', '.join(TASKS)}"
            raise BadRequest(f"There is no task '{task[:100]}'{near}.", code="unknown_task", param="task")
        return select(self._members(), usual, hard, budget_microusd, required)

    def estimate(self, given: Input, model: str, task: str | None = None) -> Estimate:
        """See `Asks.estimate_cost`."""
        known = self._known()
        member = self._member(known, model)
        usual = usual_of(task) if task else guess(given).task
        found = estimated(model, member.facts, given, usual, self._as_of)
        usage = Usage(input=found.tokens_in, output=found.tokens_out)
        price = self._price_of(member.target, model, usage)
        if price is None:
            return structs.replace(found, cost_microusd=None, input_microusd=None, output_microusd=None)
        return structs.replace(
            found, cost_microusd=cost_microusd(usage, price),
            input_microusd=cost_microusd(Usage(input=found.tokens_in), price),
            output_microusd=cost_microusd(Usage(output=found.tokens_out), price),
        )  # fmt: skip

    def models(self) -> list[JSON]:
        """The models that routes lead to, with what is known of each now."""
        steering, told = self.steering, []
        for member in self._members():
            speed, facts = steering.speeds.speed(member.place), member.facts
            told.append({
                "model": f"{member.target.provider}/{member.target.model}", "context": facts.context,
                "capabilities": [*facts.capabilities], "price_input_microusd": facts.price and facts.price.input,
                "price_output_microusd": facts.price and facts.price.output, "as_of": self._as_of,
                "first_token_ms": speed.first_ms, "total_ms": speed.total_ms, "p95_ms": speed.p95_total_ms,
                "in_flight": speed.in_flight, "answers": speed.answers, "rests": self._rests(member.target),
            })  # fmt: skip
        return told

    # ---- what it is asked for ----

    def _way(self, strategy: str | None, task: str | None) -> list[Member] | None:
        """The models of a strategy's row for a task, or of all its rows; None where no strategy says anything."""
        ways = {
            name: way for name, way in self.steering.tables.ways.items() if name == f"strategy:{plain(way.strategy)}"
        }
        if strategy is not None:
            way = ways.get(f"strategy:{plain(strategy)}")
            if way is None:
                known = sorted(one.strategy for one in ways.values())
                raise BadRequest(f"There is no strategy '{strategy[:100]}'{did_you_mean(strategy, known)}.",
                                 code="unknown_strategy", param="strategy")  # fmt: skip
            return _models(way, task)
        first = self._known().settings.model_routing.default_strategy
        for way in sorted(ways.values(), key=lambda way: way.strategy != first):
            if task is None or way.named(task) is not None:
                return _models(way, task)
        return None

    def _members(self) -> list[Member]:
        """Every model that a route of the configuration leads to; without any, the usual ones of ready providers."""
        known = self._known()
        found: dict[tuple[str, str], Member] = {}
        for route in known.routes.values():
            for variant in route.variants:
                provider = known.providers.get(variant.provider)
                if provider is None or provider.row.name in ("chain", ENSEMBLE):
                    continue
                name = f"{variant.provider}/{variant.model}"
                target = Target(name, name, variant.provider, variant.model)
                found.setdefault((variant.provider, variant.model), Member(name, target, provider.facts(variant.model)))
        return [*found.values()]

    def _member(self, known: Known, model: str) -> Member:
        """Raises NotFound for a name that leads nowhere."""
        route = known.route(model)
        provider, _, own = model.partition("/")
        if route is not None:
            provider, own = route.variants[0].provider, route.variants[0].model
        elif "/" not in model and len(known.offering(model)) == 1:
            provider, own = known.offering(model)[0], model
        found = known.providers.get(provider)
        if found is None or not own:
            near = did_you_mean(model, [*known.names()])
            raise NotFound(f"There is no model '{model[:100]}'{near}.", code="model_not_found", param="model")
        name = f"{provider}/{own}"
        return Member(model, Target(name, name, provider, own), found.facts(own))

    def _rests(self, target: Target) -> bool:
        """Whether every key of its provider rests for that model."""
        provider = self._known().providers.get(target.provider)
        if provider is None or provider.row.local:
            return False
        names: list[str | None] = [one.name for one in provider.credentials.all()]
        rests_s, health = 0.0, self._health()
        for name in names or [None]:
            rests_s = health.rests_s((target.provider, target.model, name))
            if rests_s <= 0:
                return False
        return True

    def _cost(self, target: Target, asked: str, usage: Usage) -> int | None:
        price = self._price_of(target, asked, usage)
        return None if price is None else cost_microusd(usage, price)


def given_of(prompt: str | Input) -> Input:
    """A prompt as an input."""
    return prompt if isinstance(prompt, Input) else Input(messages=(Message("user", (Text(prompt),)),))


def _models(way: Way, task: str | None) -> list[Member]:
    row = None if task is None else way.named(task)
    rows = [row] if row is not None else ([way.default] if task is not None else [*way.rows])
    return [member for one in rows for member in (*one.primary, *one.fallback)]


def _money(budget: str | float | int) -> int:
    try:
        return parse_money(budget)
    except ValueError as error:
        raise BadRequest(f"budget {error}.", param="budget") from None


def _order(plan: Plan) -> list[JSON]:
    return [{"variant": one.variant, "provider": one.provider, "model": one.model} for one in plan.targets]


def _policies(course: Course) -> dict[str, Any]:
    policies = course.policies
    told = {name: getattr(policies, name) for name in ("on_rate_limit", "on_quality_drop", "on_timeout")}
    return {"policies": {name: value for name, value in told.items() if value is not None},
            "superior": [target.variant for target in course.superior]}  # fmt: skip
