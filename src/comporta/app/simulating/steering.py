"""Which model each recorded call would have gone to under another policy, and what that would have cost."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from comporta.app.known import Known
from comporta.app.simulating.policy import Policy
from comporta.app.simulating.recorded import Recorded
from comporta.cache.semantic.asked import THRESHOLD_FACT
from comporta.errors import ComportaError
from comporta.pipeline import Call
from comporta.providers.catalogue import cost_microusd
from comporta.routing.choose import plan_of
from comporta.routing.task.deciding import Quality
from comporta.routing.task.live import Live
from comporta.routing.task.names import plain
from comporta.routing.task.rows import STRATEGY, Member, Row, place_of
from comporta.routing.task.steering import Steering
from comporta.text.token_families import family_of
from comporta.text.tokens import Counter
from comporta.types import Caller, Input, Price, Target, Text, ToolCall, Usage

QualityOf = Callable[[Row, Member], Quality | None]
PriceOf = Callable[[Target, str, Usage], Price | None]
_SEED = 7_071
#: Who asks is not held against the names that a key may use: the policy is the operator's.
_OPERATOR = Caller("", admin=True)
#: A longer text is counted by its beginning, for how two tokenizers differ on it.
_COUNTED = 4_000


class Steered(Struct, frozen=True):
    """Where a call would have gone, and what it would have cost there; None where the price is unknown.

    `quality` is what is known of the model's answers: a mean of scores, None where there are none.
    """

    target: Target
    usage: Usage | None
    cost_microusd: int | None
    quality: Quality | None = None
    #: How alike a question must be there for a semantic hit, where the strategy's row says so.
    similarity: float | None = None


class Routing:
    """Today's decisions on calls of the past. Live figures are those that the records give at that moment."""

    def __init__(self, policy: Policy, known: Known, quality: QualityOf, price_of: PriceOf, counter: Counter) -> None:
        self._policy = policy
        self._known = known
        self._quality = quality
        self._price_of = price_of
        self._counter = counter
        self._now_s = 0.0
        self._live = Live(lambda: self._now_s, known.settings.model_routing.figures_for)
        self._steering = Steering(self._live, self._seen, lambda target: False, random.Random(_SEED))
        self._steering.take(known.tasks.tables)
        self._judged: dict[tuple[str, str], Quality] = {}
        #: Calls that no model of the policy could have answered, and those of cascades, which only answers decide.
        self.unfit = 0
        self.cascades = 0

    def _seen(self, row: Row, member: Member) -> Quality | None:
        found = self._quality(row, member)
        if found is not None:
            self._judged[member.place] = found
        return found

    def of(self, recorded: Recorded, call: Call) -> Steered | None:
        """None for a call that stays where it went."""
        self._now_s = recorded.at_s
        name = self._name(recorded)
        if name is None or recorded.target is None:
            return None
        try:
            plan = plan_of(self._known, name, _OPERATOR, call.session or call.user or call.id)
            plan, course = self._steering.plan(call, plan)
        except ComportaError:
            self.unfit += 1
            return None
        if course is not None and course.cascade is not None:
            self.cascades += 1
            return None
        there = self._there(recorded, call.input, plan.targets[0])
        return None if there is None else structs.replace(there, similarity=call.facts.get(THRESHOLD_FACT))

    @property
    def judged(self) -> list[str]:
        """What is known of the models that were weighed: `openai/gpt-4.1-mini thumbs .93 of 214`."""
        return [
            f"{provider}/{model} {one.score} {one.mean:.2f} of {one.n}"
            for (provider, model), one in sorted(self._judged.items())
        ]

    def learn(self, recorded: Recorded) -> None:
        """Take what a call took as a figure of its model; nobody knows what another one would have taken."""
        if recorded.target is not None and recorded.whole and not recorded.hit:
            first_ms = None if recorded.first_s is None or not recorded.stream else 1_000 * recorded.first_s
            self._live.took(place_of(recorded.target), first_ms, 1_000 * recorded.took_s)

    def _name(self, recorded: Recorded) -> str | None:
        """The name that the call would be asked by under the policy; None where the policy doesn't concern it."""
        if recorded.kind != "chat" or recorded.inner or recorded.target is None:
            return None
        route, policy = recorded.target.route, self._policy
        if route in policy.steered:
            return route
        tables = self._known.tasks.tables
        if policy.strategy is not None:
            return f"{STRATEGY}{plain(policy.strategy)}"
        return route if route in tables.ways or route in tables.pools else None

    def _there(self, recorded: Recorded, asked: Input, target: Target) -> Steered | None:
        old = recorded.target
        if old is None or not target.provider or place_of(old) == place_of(target):
            return None
        usage = None if recorded.usage is None else self._usage(recorded.usage, recorded, asked, old, target)
        price = None if usage is None else self._price_of(target, recorded.model, usage)
        cost = None if usage is None or price is None else cost_microusd(usage, price)
        return Steered(target, usage, cost, self._judged.get(place_of(target)))

    def _usage(self, usage: Usage, recorded: Recorded, asked: Input, old: Target, new: Target) -> Usage:
        """What another model would have counted: its tokenizer differs, and its provider's cache held nothing."""
        if old.provider != new.provider:
            usage = structs.replace(
                usage, input=usage.input + usage.cached + usage.cache_write, cached=0, cache_write=0
            )
        if family_of(old.model) == family_of(new.model):
            return usage
        text = "".join(map(str, _texts(asked)))[:_COUNTED] + "".join(one.text for one in recorded.choices)[:_COUNTED]
        before = self._counter.count(text, old.model).tokens
        if not before:
            return usage
        factor = self._counter.count(text, new.model).tokens / before
        return scaled(usage, factor)


def scaled(usage: Usage, factor: float) -> Usage:
    """Every bucket of tokens so many times as large."""
    sizes = structs.asdict(usage)
    return Usage(**{name: size if name == "estimated" else round(size * factor) for name, size in sizes.items()})


def _texts(asked: Input) -> list[str]:
    found = []
    for message in asked.messages:
        for part in message.parts:
            if isinstance(part, Text):
                found.append(part.text)
            elif isinstance(part, ToolCall):
                found.append(part.arguments)
    return found


def params_of(known: Known) -> Callable[[Target], Target]:
    """Puts the parameters of today's variant of that name into a recorded target: records don't keep them."""
    held: Mapping[tuple[str, str], Target] = {
        (route.name, one.name): Target(route.name, one.name, one.provider, one.model, one.params)
        for route in known.routes.values()
        for one in route.variants
    }

    def put(target: Target) -> Target:
        found = held.get((target.route, target.variant))
        if found is None or (found.provider, found.model) != (target.provider, target.model):
            return target
        return found

    return put
