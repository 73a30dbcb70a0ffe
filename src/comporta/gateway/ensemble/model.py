"""Ensembles as models of this process: what stands where a provider would, bound to the call that asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing

from comporta.errors import BadRequest, NotFound
from comporta.gateway.ensemble.asking import Tools
from comporta.gateway.ensemble.running import Run
from comporta.pipeline import MAX_DEPTH, Call
from comporta.providers.base import Endpoint, Query
from comporta.routing.ensemble.plan import PROVIDER, Ensemble
from comporta.types import Event

#: Where a call's run is found in its facts.
FACT = "ensemble"


class EnsembleModel:
    """The models of the provider `ensemble`; bound to a call before they answer: members are calls on its behalf."""

    name = PROVIDER

    def __init__(self, ensembles: Callable[[], Mapping[str, Ensemble]], tools: Tools) -> None:
        self._ensembles = ensembles
        self._tools = tools

    def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        raise AssertionError("an ensemble is asked through `of`, which knows the call")

    def of(self, call: Call, total_s: float) -> Bound:
        """The same for one call, which has so many seconds."""
        return Bound(self._ensembles(), self._tools, call, total_s)


class Bound:
    """An ensemble for one call."""

    name = PROVIDER

    def __init__(self, ensembles: Mapping[str, Ensemble], tools: Tools, call: Call, total_s: float) -> None:
        self._ensembles = ensembles
        self._tools = tools
        self._call = call
        self._total_s = total_s
        # Below the span of the request, which is opened next.
        self._depth = call.span_depth + 1

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncGenerator[Event]:
        """The answer as events. Raises NotFound, BadRequest, and what comes of the members."""
        ensemble = self._ensembles.get(query.model)
        if ensemble is None:
            raise NotFound(f"There is no ensemble '{query.model[:100]}'.", code="model_not_found", param="model")
        if self._call.depth >= MAX_DEPTH:
            text = (
                f"The ensemble '{ensemble.name}' is asked {MAX_DEPTH + 1} calls deep; at most {MAX_DEPTH} are allowed."
            )
            raise BadRequest(text, code="ensemble_too_deep", param="model")
        run = Run(ensemble, self._call, query, self._tools, self._total_s, self._depth)
        _counts_nothing_itself(self._call, run)
        async with aclosing(run.events()) as events:
            async for event in events:
                yield event


def _counts_nothing_itself(call: Call, run: Run) -> None:
    """Its members are calls with tokens and cost of their own: budgets, limits and sums must not count them twice.

    What the caller hears, and what stands on the call when all is over, is the sum.
    """
    call.facts[FACT] = run

    def is_answer(call: Call) -> bool:
        # A variant may have taken over from an ensemble that failed; its usage is its own.
        return call.facts.get(FACT) is run and call.target is not None and call.target.provider == PROVIDER

    def own(call: Call) -> None:
        if is_answer(call):
            call.usage, call.cost_microusd = None, 0

    def whole(call: Call) -> None:
        if is_answer(call):
            call.usage, call.cost_microusd = run.total

    call.at_end(own)
    call.at_last(whole)
