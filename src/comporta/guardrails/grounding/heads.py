"""The small models that weigh what was measured: logistic ones whose signs are given, of some hundred bytes each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

#: Which figures there are: of the claim alone, of it with its meaning, or of it with a question.
Name = Literal["claim", "claim_meaning", "answer"]


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """`weights` by the name of a figure, on figures less `means` over `scales`; all give the log odds of NO support."""

    weights: dict[str, float]
    means: dict[str, float]
    scales: dict[str, float]
    bias: float

    def doubt(self, figures: Mapping[str, float]) -> float:
        """How sure it is that the passages do not support the claim, from 0 to 1."""
        odds = self.bias + sum(
            weight * (figures[name] - self.means[name]) / self.scales[name] for name, weight in self.weights.items()
        )
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))


class Heads(Struct, frozen=True, forbid_unknown_fields=True):
    """All of them, as trained by `tools/train_groundedness.py`."""

    version: str
    heads: dict[Name, Head]

    def doubt(self, figures: Mapping[str, float]) -> float:
        """By the head that fits the figures that are there."""
        name: Name = "answer" if "misfit" in figures else "claim_meaning" if "alike" in figures else "claim"
        return self.heads[name].doubt(figures)


@cache
def shipped() -> Heads:
    """The weights that come with Comporta."""
    data = files("comporta.guardrails").joinpath("weights", "groundedness.json").read_bytes()
    return msgspec.json.decode(data, type=Heads)
