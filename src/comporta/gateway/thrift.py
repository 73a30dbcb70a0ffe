"""What calls meet under a budget that is nearly, or wholly, used up: fewer of them pass, or a cheaper model answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from comporta.budget.acts import DEFAULT_PER_MINUTE, Step, Throttle
from comporta.budget.levels import Levels
from comporta.budget.purses import Purse
from comporta.counters.base import Counters, Take, Window
from comporta.errors import NotFound, RateLimited
from comporta.gateway.admission import HEADERS, sized
from comporta.pipeline import Call
from comporta.providers.catalogue import ModelFacts
from comporta.routing.choose import Known, Plan, plan_of
from comporta.types import Audio, Caller, File, Image, Target

HEADER = "x-comporta-budget"
#: Where `choose` finds that a cheaper model is to answer.
CHEAPER = "cheaper"
#: A call that was not drawn is told to come again after so long.
_AGAIN_S = 5.0
#: The operator chose where a budget leads, whatever the key may name.
_OPERATOR = Caller("", admin=True)
_CODE = "budget_throttled"


class Cheaper(Struct, frozen=True):
    """Which budget leads to a cheaper model, from which percent on, and to which one where it names one."""

    budget: str
    at: int
    model: str | None = None


class Thrift:
    """Asked by the stage `spend` of calls under budgets whose steps change what calls meet."""

    def __init__(self, levels: Levels, counters: Counters, draw: Callable[[], float] = random.random) -> None:
        self._levels = levels
        self._counters = counters
        self._draw = draw

    async def __call__(self, call: Call, purses: Sequence[Purse]) -> None:
        """Raises RateLimited under `throttle`; leaves word for `choose` under `switch_to_cheaper_model`."""
        for purse in purses:
            if purse.soft:
                step = await self._levels.step(purse)
                if step is not None:
                    await self._meet(call, purse, step)

    async def _meet(self, call: Call, purse: Purse, step: Step) -> None:
        if step.does == "throttle":
            # A call's own steps pass with it: half of a chain would be paid for and of no use.
            if call.depth == 0:
                await self._throttle(call, purse, step)
        elif step.does == "switch_to_cheaper_model" and call.kind == "chat" and CHEAPER not in call.facts:
            # Never embeddings: another model's vectors mean something else.
            call.facts[CHEAPER] = Cheaper(purse.budget.name, step.at, purse.budget.acts.cheaper_model)

    async def _throttle(self, call: Call, purse: Purse, step: Step) -> None:
        how = purse.budget.acts.throttle or Throttle()
        call.note("budget", budget=purse.budget.name, at=step.at, action="throttle")
        if how.share is not None:
            if self._draw() >= how.share:
                raise _throttled(purse, step, f"{how.share:.0%} of the calls pass", _AGAIN_S)
            return
        limit = how.requests_per_minute or DEFAULT_PER_MINUTE
        taken = await self._counters.take(Take(call.id, (Window(f"budget:{purse.key}", limit),)))
        if taken.refused is not None:
            raise _throttled(purse, step, f"{limit} calls a minute pass", taken.wait_s or _AGAIN_S)


def _throttled(purse: Purse, step: Step, what: str, wait_s: float) -> RateLimited:
    budget = purse.budget
    return RateLimited(
        f"{step.at} % of the budget '{budget.name}' of this {budget.period} (UTC) are spent: {what} until it ends.",
        code=_CODE, retry_after_s=wait_s,
    )  # fmt: skip


class Economy:
    """What `choose` makes of a plan under a budget that switches.

    `cost_of` says what a call may cost at a target at most, None where nobody knows; `facts_of` what its model can.
    """

    def __init__(
        self,
        known: Callable[[], Known],
        cost_of: Callable[[Call, Target], int | None],
        facts_of: Callable[[Target], ModelFacts | None],
    ) -> None:
        self._known = known
        self._cost_of = cost_of
        self._facts_of = facts_of

    def __call__(self, call: Call, plan: Plan) -> Plan:
        """The plan with the cheaper model first, or as it was where there is none."""
        wanted: Cheaper = call.facts[CHEAPER]
        found = self._cheapest(call, plan) if wanted.model is None else self._named(call, wanted.model)
        first = plan.targets[0]
        if found is None or _same(found.targets[0], first):
            call.note(
                "budget", budget=wanted.budget, at=wanted.at, action="switch_to_cheaper_model", switched=False,
                reason="the model it names is not there" if found is None and wanted.model else "nothing cheaper fits",
            )  # fmt: skip
            return plan
        to = found.targets[0]
        call.note(
            "budget", budget=wanted.budget, at=wanted.at, action="switch_to_cheaper_model", switched=True,
            instead_of=f"{first.provider}/{first.model}", model=f"{to.provider}/{to.model}",
        )  # fmt: skip
        told = (HEADER, _ascii(f"switched; at={wanted.at}; budget={wanted.budget}; model={to.provider}/{to.model}"))
        call.facts[HEADERS] = [*call.facts.get(HEADERS, ()), told]
        return found

    def _named(self, call: Call, model: str) -> Plan | None:
        try:
            found = plan_of(self._known(), model, _OPERATOR, call.session or call.user)
        except NotFound:
            return None
        fitting = tuple(target for target in found.targets if self._fits(call, target))
        return structs.replace(found, targets=fitting) if fitting else None

    def _cheapest(self, call: Call, plan: Plan) -> Plan | None:
        """The targets that cost no more than the first, the cheapest first; the others are left out."""
        costs = [(self._cost_of(call, target), target) for target in plan.targets]
        first = costs[0][0]
        known = [
            (cost, at, target) for at, (cost, target) in enumerate(costs)
            if cost is not None and target.provider and (at == 0 or self._fits(call, target))
        ]  # fmt: skip
        found = [target for cost, _, target in sorted(known, key=lambda one: one[:2]) if first is None or cost <= first]
        return structs.replace(plan, targets=tuple(found)) if found else None

    def _fits(self, call: Call, target: Target) -> bool:
        """Whether a model can do what the call asks, as far as that is known."""
        facts = self._facts_of(target)
        if facts is None:
            return True
        if facts.context is not None and sized(call) // 4 > facts.context:
            return False
        return not facts.capabilities or needs(call) <= {*facts.capabilities}


def needs(call: Call) -> set[str]:
    """The capabilities, in the catalogue's words, without which a call can't be answered."""
    asked = call.input
    found = set()
    if asked.tools:
        found.add("tools")
    if asked.response_format is not None and asked.response_format.kind == "json_schema":
        found.add("json_schema")
    for message in asked.messages:
        for part in message.parts:
            if isinstance(part, Image):
                found.add("vision")
            elif isinstance(part, Audio):
                found.add("audio")
            elif isinstance(part, File):
                found.add("pdf")
    if "audio" in asked.modalities:
        found.add("audio_out")
    return found


def _same(one: Target, other: Target) -> bool:
    return (one.provider, one.model) == (other.provider, other.model)


def _ascii(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:300])
