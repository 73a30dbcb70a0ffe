"""What every single upstream request must pass: the limits towards its provider, and money that covers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from comporta.budget.purses import Purses
from comporta.counters.base import Counters, Give, Take
from comporta.errors import BudgetExceeded, UpstreamLimited
from comporta.gateway.admission import (
    Admitted,
    admit,
    admitted,
    corrected,
    money_of,
    refusal_of,
    taking,
    tokens_of,
    used_up,
)
from comporta.gateway.rules import NOTHING, Asked, Targets
from comporta.keys.limits import Limits
from comporta.pipeline import Call, Next
from comporta.routing.retry import OWN_LIMIT
from comporta.types import Event, Target


class Toll:
    """`Next` around the upstream step: `cost_of` says what a request may cost at most, None where nobody knows.

    A limit towards a provider refuses as the provider itself would, so that another key or variant takes over.
    """

    def __init__(
        self,
        next: Next,
        counters: Counters,
        limits: Callable[[], Limits],
        purses: Purses,
        cost_of: Callable[[Call, Target], int | None],
        unpriced: Callable[[], bool],
    ) -> None:
        self._next = next
        self._counters = counters
        self._limits = limits
        self._purses = purses
        self._cost_of = cost_of
        self._unpriced = unpriced
        self._targets = Targets()

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        target, limits, held = call.target, self._limits(), admitted(call)
        if target is None or call.kind == "count":
            return await self._next(call)
        amount = self._amount(call, target) if held is not None and held.purses else 0
        covered = held is None or amount <= held.held_microusd
        if covered and not limits.towards:
            return await self._next(call)
        ready = self._targets.of(target, limits) if limits.towards else NOTHING
        asked = ready.asked(tokens_of(call) if ready.tokens else 0)
        await self._pass(call, held or admit(call, self._counters, ()), asked, amount)
        return await self._next(call)

    def _amount(self, call: Call, target: Target) -> int:
        """What to hold. Raises BudgetExceeded for a model whose price nobody knows."""
        amount = self._cost_of(call, target)
        if amount is None and not self._unpriced():
            raise BudgetExceeded(
                f"'{target.provider}/{target.model}' has no known price, so it can't be asked under a budget: set "
                "`models.….price`, or `spending.unpriced: allow`.",
                code="model_unpriced",
            )
        return amount or 0

    async def _pass(self, call: Call, held: Admitted, asked: Asked, amount: int) -> None:
        """Take what this request needs in place of what the one before it held."""
        amount = max(amount, held.held_microusd)
        purses = held.purses if amount > held.held_microusd else ()
        if held.towards:
            # The request before this one came to nothing.
            self._counters.give(Give("", corrected(held.towards, held.towards_second, 0)))
            held.towards = ()
        drop, held.towards_leases = held.towards_leases, ()
        take = Take(call.id, asked.windows, asked.ready.leases, money_of(purses, amount), drop=drop)
        taken = await self._counters.take(take)
        if taken.refused is not None:
            taken = await taking(self._counters, self._purses, take, asked, purses, taken)
        if taken.refused == "money":
            raise used_up(purses[taken.index])
        if taken.refused is not None:
            message, wait_s = refusal_of(asked, taken)
            raise UpstreamLimited(message, code=OWN_LIMIT, retry_after_s=wait_s)
        held.held_microusd = amount
        held.towards, held.towards_second = asked.tokens, taken.second
        held.towards_leases = asked.ready.lease_keys
