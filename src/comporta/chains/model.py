"""Chains as models of this process: what stands where a provider would, bound to the call that asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing

from comporta.chains.running import FACT, Run
from comporta.chains.steps import Tools
from comporta.chains.values import PREFIX, Chain
from comporta.config.mistakes import did_you_mean
from comporta.errors import BadRequest, NotFound
from comporta.pipeline import MAX_DEPTH, Call
from comporta.providers.base import Endpoint, Query
from comporta.types import Event

#: The provider that chains are asked at.
PROVIDER = "chain"


class ChainModel:
    """The models of the provider `chain`; bound to a call before they answer, since steps are calls on its behalf."""

    name = PROVIDER

    def __init__(self, chains: Callable[[], Mapping[str, Chain]], tools: Tools) -> None:
        self._chains = chains
        self._tools = tools

    def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        raise AssertionError("a chain is asked through `of`, which knows the call")

    def of(self, call: Call, total_s: float) -> Bound:
        """The same for one call, which has so many seconds."""
        return Bound(self._chains(), self._tools, call, total_s)


class Bound:
    """A chain for one call."""

    name = PROVIDER

    def __init__(self, chains: Mapping[str, Chain], tools: Tools, call: Call, total_s: float) -> None:
        self._chains = chains
        self._tools = tools
        self._call = call
        self._total_s = total_s
        # Below the span of the request, which is opened next.
        self._depth = call.span_depth + 1

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncGenerator[Event]:
        """The answer as events. Raises NotFound, BadRequest, and what its steps raise."""
        chain = self._chains.get(query.model)
        if chain is None:
            text = f"There is no chain '{query.model[:100]}'{did_you_mean(query.model, self._chains)}."
            raise NotFound(text, code="model_not_found", param="model")
        if self._call.depth >= MAX_DEPTH:
            text = f"The chain '{chain.name}' is asked {MAX_DEPTH + 1} calls deep; at most {MAX_DEPTH} are allowed."
            raise BadRequest(text, code="chain_too_deep", param="model")
        run = Run(chain, self._call, query, self._tools, self._total_s, self._depth)
        _counts_nothing_itself(self._call, run)
        async with aclosing(run.events()) as events:
            async for event in events:
                yield event


def _counts_nothing_itself(call: Call, run: Run) -> None:
    """Its steps are calls with tokens and cost of their own: budgets, limits and sums must not count them twice.

    What the caller hears, and what stands on the call when all is over, is the sum.
    """
    call.facts[FACT] = run

    def is_answer(call: Call) -> bool:
        # A variant may have taken over from a chain that failed; its usage is its own.
        return call.facts.get(FACT) is run and call.target is not None and call.target.provider == PROVIDER

    def own(call: Call) -> None:
        if is_answer(call):
            call.usage, call.cost_microusd = None, 0

    def whole(call: Call) -> None:
        if is_answer(call):
            call.usage, call.cost_microusd = run.usage, run.cost_microusd

    call.at_end(own)
    call.at_last(whole)


def name_of(model: str) -> str | None:
    """The chain that a model's name means; None where it means none."""
    return model.removeprefix(PREFIX) if model.startswith(PREFIX) else None
