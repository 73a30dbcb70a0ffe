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


class Weighing:
    """A verifier made ready: its sum as terms over places in the list of measures."""

    def __init__(self, verifier: Verifier) -> None:
        at = {name: i for i, name in enumerate(NAMES)}
        self._bias = verifier.bias
        self._single: list[tuple[int, float]] = []
        self._crossed: list[tuple[int, int, float]] = []
        for name, weight in verifier.weights.items():
            one, _, other = name.partition("*")
            factor = weight / verifier.scales[name]
            self._bias -= factor * verifier.means[name]
            if other:
                self._crossed.append((at[one], at[other], factor))
            else:
                self._single.append((at[one], factor))

    def sure(self, figures: tuple[float, ...]) -> float:
        """How sure it is that both are the same question, from 0 to 1; `figures` as `measures.measured` gives them."""
        odds = self._bias
        for i, factor in self._single:
            odds += factor * figures[i]
        for i, j, factor in self._crossed:
            odds += factor * figures[i] * figures[j]
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))


@cache
def shipped() -> Weighing:
    """The weights that come with Comporta, as `tools/train_agreement.py` made them."""
    data = (resources.files("comporta.cache.agreement") / "tables" / "verifier.json").read_bytes()
    return Weighing(msgspec.json.decode(data, type=Verifier))
