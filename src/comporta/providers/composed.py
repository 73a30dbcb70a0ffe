"""Models that are made of other calls (chains, ensembles): what stands where a provider would, bound to one call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from comporta.config.mistakes import did_you_mean
from comporta.errors import BadRequest, NotFound
from comporta.pipeline import MAX_DEPTH, Call
from comporta.providers.base import Endpoint, Query
from comporta.types import Event, Usage

Plan = TypeVar("Plan")


class Run(Protocol):
    """One call of such a model under way."""

    @property
    def total(self) -> tuple[Usage | None, int | None]:
        """Tokens and micro-dollars of all calls that it made; None where they are not known."""

    def events(self) -> AsyncGenerator[Event]:
        """The answer; raises whatever became of it."""


#: Begins to answer a query for a call, within so many seconds; the last is the depth of its spans.
Begin = Callable[[Plan, Call, Query, float, int], Run]


class ComposedModel(Generic[Plan]):
    """The models of the provider `name`, which is also the word for one of them and the fact that holds a call's run.

    Bound to a call before they answer, since what they are made of are calls on its behalf.
    """

    def __init__(self, name: str, plans: Callable[[], Mapping[str, Plan]], begin: Begin[Plan], too_deep: str) -> None:
        """`too_deep` is the code of the error where they ask each other too many times."""
        self.name = name
        self.plans = plans
        self.begin = begin
        self.too_deep = too_deep

    def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        raise AssertionError(f"the provider {self.name} is asked through `of`, which knows the call")

    def of(self, call: Call, total_s: float) -> Bound[Plan]:
        """The same for one call, which has so many seconds."""
        return Bound(self, call, total_s)


class Bound(Generic[Plan]):
    """One call's, with the plans that there are now."""

    def __init__(self, model: ComposedModel[Plan], call: Call, total_s: float) -> None:
        self.name = model.name
        self._model = model
        self._plans = model.plans()
        self._call = call
        self._total_s = total_s
        # Below the span of the request, which is opened next.
        self._depth = call.span_depth + 1

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncGenerator[Event]:
        """The answer as events. Raises NotFound, BadRequest, and what its run raises."""
        plan = self._plans.get(query.model)
        if plan is None:
            text = f"There is no {self.name} '{query.model[:100]}'{did_you_mean(query.model, self._plans)}."
            raise NotFound(text, code="model_not_found", param="model")
        if self._call.depth >= MAX_DEPTH:
            text = (
                f"The {self.name} '{query.model}' is asked {MAX_DEPTH + 1} calls deep; at most {MAX_DEPTH} are allowed."
            )
            raise BadRequest(text, code=self._model.too_deep, param="model")
        run = self._model.begin(plan, self._call, query, self._total_s, self._depth)
        counts_nothing_itself(self._call, self.name, run)
        async with aclosing(run.events()) as events:
            async for event in events:
                yield event


def counts_nothing_itself(call: Call, provider: str, run: Run) -> None:
    """Its parts are calls with tokens and cost of their own: budgets, limits and sums must not count them twice.

    What the caller hears, and what stands on the call when all is over, is the sum.
    """
    call.facts[provider] = run

    def is_answer(call: Call) -> bool:
        # A variant may have taken over from one that failed; its usage is its own.
        return call.facts.get(provider) is run and call.target is not None and call.target.provider == provider

    def own(call: Call) -> None:
        if is_answer(call):
            call.usage, call.cost_microusd = None, 0

    def whole(call: Call) -> None:
        if is_answer(call):
            call.usage, call.cost_microusd = run.total

    call.at_end(own)
    call.at_last(whole)
