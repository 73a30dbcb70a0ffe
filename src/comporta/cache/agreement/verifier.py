"""The small model that weighs what was measured of two questions: logistic, of some tens of weights."""

from __future__ import annotations

import math
from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct

from comporta.cache.agreement.measures import NAMES


class Verifier(Struct, frozen=True, forbid_unknown_fields=True):
    """`weights` by the name of a measure, or of two multiplied (`cosine*letters`), on measures less `means` over
    `scales`; all give the log odds that two questions are the same."""

    version: str
    weights: dict[str, float]
    means: dict[str, float]
    scales: dict[str, float]
    bias: float

    def sure(self, figures: tuple[float, ...]) -> float:
        """How sure it is that both are the same question, from 0 to 1; `figures` as `measures.measured` gives them."""
        found = dict(zip(NAMES, figures, strict=True))
        odds = self.bias
        for name, weight in self.weights.items():
            one, _, other = name.partition("*")
            value = found[one] * found[other] if other else found[one]
            odds += weight * (value - self.means[name]) / self.scales[name]
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))


@cache
def shipped() -> Verifier:
    """The weights that come with Comporta, as `tools/train_agreement.py` made them."""
    data = (resources.files("comporta.cache.agreement") / "tables" / "verifier.json").read_bytes()
    return msgspec.json.decode(data, type=Verifier)
