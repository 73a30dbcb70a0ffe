"""Both sides of a provider's edge for calls of a native batch: where they stop, and where they go on with an answer.

`Stop` stands where a request would be sent, and stops the call there with the request that its wire wrote. `Arrive`
stands in the same place when the provider's batch has answered: the answer is decoded by the same wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

from msgspec import Struct

from comporta.gateway.attempt import Reached, is_local
from comporta.gateway.batches.parked import Alone, Parked
from comporta.pipeline import Call, Next, replay
from comporta.providers.base import Wire
from comporta.providers.batching import Batching
from comporta.providers.catalogue import batch_cost_microusd, cost_microusd
from comporta.providers.directory import Provider
from comporta.routing.task.steering import NOTE as TASK
from comporta.types import Event, Price, Target, Usage

Reach = Callable[[Call], Reached]
#: The price of a usage at a target, by the name that was asked for.
PriceOf = Callable[[Target, str, Usage], Price | None]
#: What a request to a target may cost at most; None where its price is unknown.
MostOf = Callable[[Call, Target], int | None]

_ARRIVED = "arrived"
_SPAN = "batch"


class Stop:
    """`Next` of the last stage of a call that may be stopped. Raises Parked, or Alone where it must be asked itself."""

    def __init__(
        self, provider_of: Callable[[str], Provider | None], batching_of: Callable[[Provider], Batching | None],
        reach: Reach, most_of: MostOf,
    ) -> None:  # fmt: skip
        self._provider_of = provider_of
        self._batching_of = batching_of
        self._reach = reach
        self._most_of = most_of

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        target = call.target
        assert target is not None, "`choose` comes before the provider's edge"
        if ((call.notes or {}).get(TASK) or {}).get("strategy") == "cascade":
            # Whether a dearer model must be asked is known when the first has answered.
            raise Alone
        provider = self._provider_of(target.provider)
        batching = None if provider is None else self._batching_of(provider)
        percent = 100 if provider is None else provider.batch_percent(target.model)
        most = self._most_of(call, target)
        if batching is None or percent >= 100 or most is None:
            raise Alone
        reached = self._reach(call)
        part = None if is_local(reached.model) else batching.part(reached.query)
        if part is None:
            raise Alone
        request = cast(Wire, reached.model).encode(reached.query, reached.endpoint)
        call.dropped = request.dropped
        raise Parked(request.body, part, target, percent, -(-most * percent // 100))


class Arrived(Struct, frozen=True):
    """What the provider's batch said to a call: a status and a body, as its wire has them."""

    status: int
    body: bytes
    batch: str
    percent: int


class Arrive:
    """A stage of its own (`book`) that puts the answer's tokens and its cost on the call before anything may refuse it,
    and the `Next` of the last stage, which gives the answer out. What it saved stands in the note of the record."""

    def __init__(self, reach: Reach, price_of: PriceOf) -> None:
        self._reach = reach
        self._price_of = price_of

    @staticmethod
    def with_answer(call: Call, arrived: Arrived) -> Call:
        call.facts[_ARRIVED] = arrived
        return call

    async def book(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """Raises what the answer says, decoded by its wire."""
        arrived: Arrived = call.facts[_ARRIVED]
        reached = self._reach(call)
        wire = cast(Wire, reached.model)
        if arrived.status >= 300:
            raise wire.fault(arrived.status, {}, arrived.body)
        event = wire.reply(reached.query, arrived.body)
        call.facts[_ARRIVED] = event
        self._price(call, event, arrived)
        return await next(call)

    def _price(self, call: Call, event: Event, arrived: Arrived) -> None:
        call.usage = event.usage
        target = call.target
        price = None if event.usage is None or target is None else self._price_of(target, call.model, event.usage)
        if price is None or event.usage is None:
            return
        call.cost_microusd = batch_cost_microusd(event.usage, price, arrived.percent)
        whole = cost_microusd(event.usage, price)
        if whole is not None and call.cost_microusd is not None:
            call.note("native", saved_microusd=whole - call.cost_microusd)

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        span = call.open_span(_SPAN)
        event: Event = call.facts[_ARRIVED]
        call.close_span(span)
        return replay([event])
