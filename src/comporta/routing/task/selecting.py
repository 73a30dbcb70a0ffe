"""Choosing a model without a call: for a task, a hardness and a budget, among models whose facts are known."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.routing.task.estimate import SIZES, WRITTEN, cost_of
from comporta.routing.task.names import COMPLEXITIES, Complexity
from comporta.routing.task.needs import lacks, our_word
from comporta.routing.task.rows import Member


class Offer(Struct, frozen=True):
    """One model for the task: what a call will about cost, and why it is left out where it is."""

    model: str
    cost_microusd: int | None
    capabilities: tuple[str, ...] = ()
    context: int | None = None
    left_out: str | None = None


class Selected(Struct, frozen=True):
    """The model to take, and all that were looked at, the cheapest first. `tokens_*` are the call's assumed size."""

    model: str
    why: str
    cost_microusd: int | None
    tokens_in: int
    tokens_out: int
    task: str | None
    complexity: Complexity
    offers: tuple[Offer, ...]


def complexity_named(name: str) -> Complexity:
    """Raises BadRequest for what is none."""
    word = {"simple": "low", "easy": "low", "moderate": "medium", "normal": "medium", "complex": "high", "hard": "high"}
    found = word.get(name.strip().lower(), name.strip().lower())
    for one in COMPLEXITIES:
        if one == found:
            return one
    raise BadRequest(f"complexity must be one of {', '.join(COMPLEXITIES)}.", param="complexity")


def sized(task: str | None, complexity: Complexity) -> tuple[int, int]:
    """Tokens in and out of a usual call."""
    read, written = SIZES[complexity]
    return read, WRITTEN.get(task or "", written)


def select(
    members: Sequence[Member], task: str | None, complexity: Complexity, budget_microusd: int | None,
    required: Sequence[str] = (), *, preferred: bool = False,
) -> Selected:  # fmt: skip
    """The model for calls of a task.

    `preferred` says that the members stand in the order in which a strategy would ask them: the first that fits is
    taken. Else price stands for ability, which nobody has measured here: for easy calls the cheapest that fits, for
    hard ones the dearest within the budget, for others the one in the middle. Raises BadRequest where none fits.
    """
    read, written = sized(task, complexity)
    wanted = frozenset(map(our_word, required))
    looked = [(one, _offer(one, read, written, wanted, budget_microusd)) for one in _once(members)]
    fit = [(one, offer) for one, offer in looked if offer.left_out is None]
    if not fit:
        told = "; ".join(f"{offer.model}: {offer.left_out}" for _, offer in looked[:10])
        raise BadRequest(f"No model fits. {told or 'No model is configured.'}", code="no_capable_model", param="budget")
    chosen, why = (fit[0], "first of the strategy's that fits") if preferred else _by_price(fit, complexity)
    offers = sorted(
        (offer for _, offer in looked), key=lambda offer: (offer.cost_microusd is None, offer.cost_microusd)
    )
    return Selected(chosen[0].name, why, chosen[1].cost_microusd, read, written, task, complexity, tuple(offers))


def _once(members: Sequence[Member]) -> list[Member]:
    found: dict[tuple[str, str], Member] = {}
    for member in members:
        found.setdefault(member.place, member)
    return [*found.values()]


def _offer(one: Member, read: int, written: int, wanted: frozenset[str], budget: int | None) -> Offer:
    facts = one.facts
    cost = cost_of(facts, read, written)
    missing = lacks(facts, wanted)
    left = None
    if missing:
        left = f"lacks {', '.join(missing)}"
    elif facts.context is not None and facts.context < read:
        left = f"takes {facts.context:,} tokens"
    elif budget is not None and cost is None:
        left = "no price is known"
    elif budget is not None and cost is not None and cost > budget:
        left = f"about ${cost / 1e6:.6f}, over ${budget / 1e6:.6f}"
    return Offer(one.name, cost, facts.capabilities, facts.context, left)


def _by_price(fit: list[tuple[Member, Offer]], complexity: Complexity) -> tuple[tuple[Member, Offer], str]:
    priced = sorted((one for one in fit if one[1].cost_microusd is not None), key=lambda one: one[1].cost_microusd or 0)
    if not priced:
        return fit[0], "the first that fits; no prices are known"
    if complexity == "low":
        return priced[0], "the cheapest that fits"
    if complexity == "high":
        return priced[-1], "the dearest within the budget: price stands for ability"
    return priced[len(priced) // 2], "of middling price: price stands for ability"
