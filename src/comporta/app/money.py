"""Money that is spent without the gate: whether a budget has room for it, and its place in the ledger."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from comporta.budget.budgets import Budget
from comporta.budget.purses import Purses, purse_of
from comporta.counters.base import Counters
from comporta.errors import Unavailable
from comporta.gateway.asking import ask
from comporta.pipeline import Call, Stage, compose, replay
from comporta.types import Caller, Event, Input, Reply, Usage

#: What such a record says that was asked for.
OUTSIDE = "outside"
_COST = "outside_cost_microusd"


class Money:
    """`around` are the stages that hold for such a record: those of records and limits."""

    def __init__(self, counters: Counters, purses: Purses, around: Sequence[tuple[str, Stage]]) -> None:
        self._counters = counters
        self._purses = purses
        self._ask: Callable[[Call], Awaitable[Reply]]
        pipeline = compose(around, _spent)
        self._ask = lambda call: ask(pipeline, call)

    async def left_microusd(self, budget: Budget) -> int:
        """What may still be spent in the running period, without what calls on their way hold. Raises Unavailable."""
        purse = purse_of(budget, time.time())
        await self._purses.learn([purse])
        found = await self._counters.money(purse.key)
        if found is None:
            raise Unavailable("What the budget has left can't be told.", code="budgets_unavailable")
        return purse.hard_microusd - sum(found)

    async def spend(self, cost_microusd: int, caller: Caller, user: str | None = None) -> str:
        """Record a cost as a call of its own, which every budget of the caller counts; its id."""
        call = Call(
            kind="chat", input=Input(), model=OUTSIDE, caller=caller, user=user, door="python", tags=dict(caller.tags),
            facts={_COST: cost_microusd},
        )  # fmt: skip
        await self._ask(call)
        return call.id


async def _spent(call: Call) -> AsyncIterator[Event]:
    call.cost_microusd = call.facts[_COST]
    return replay([Event(usage=Usage(), whole=True, last=True)])


def caller_under(budget: Budget) -> tuple[Caller, str | None]:
    """A caller, and a user, that all conditions of a budget are true of."""
    said = dict(budget.conditions)
    name, _, value = said.get("tag", "").partition("=")
    return Caller(
        key_id=said.get("key", "python"), name="python", team=said.get("team"), environment=said.get("environment"),
        feature=said.get("feature"), tags={name: value} if name else {}, admin=True,
    ), said.get("user")  # fmt: skip
