"""What calls cost: by the price a model was registered with, else as configured, else as the catalogue says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from comporta.app.known import Known
from comporta.pipeline import Call
from comporta.providers.catalogue import cost_microusd
from comporta.routing.registered import RegisteredModel
from comporta.types import Price, Target, Usage


class Pricing:
    """Today's prices; None is unknown, never free."""

    def __init__(self, known: Callable[[], Known], registered: Callable[[], Mapping[str, RegisteredModel]]) -> None:
        self._known = known
        self._registered = registered

    def cost(self, call: Call) -> int | None:
        """Micro-dollars of a call that has a target and a usage."""
        target, usage = call.target, call.usage
        if target is None or usage is None:
            return None
        price = self.price(target, call.model, usage)
        return None if price is None else cost_microusd(usage, price)

    def price(self, target: Target, asked: str, usage: Usage) -> Price | None:
        """What holds for a call of this size to a model that was asked for by that name."""
        registered = self._registered().get(asked)
        if registered is not None and registered.price is not None:
            return registered.price
        provider = self._known().providers.get(target.provider)
        return None if provider is None else provider.facts(target.model).price_for(usage)
