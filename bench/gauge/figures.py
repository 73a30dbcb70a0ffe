"""The arithmetic of the bench: medians over rounds, ratios round by round, percentiles, the slope of memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median

#: So much may the last third of a memory curve lie above its middle third.
MOST_GROWTH = 0.03


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values don't exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def spread(values: Sequence[float]) -> float:
    """Half the distance between the least and the greatest value, as a share of the median; 0 for a median of 0."""
    middle = median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


Rounds = Mapping[str, Sequence[float]]


def ratio(rounds: Rounds, one: str, other: str) -> float | None:
    """How many times `other` `one` is: the median of the rounds' own ratios; None where no round has both.

    A round in which the other one stood still is left out: that was the machine's doing.
    """
    pairs = [(a, b) for a, b in zip(rounds.get(one, ()), rounds.get(other, ()), strict=False) if b]
    return median(a / b for a, b in pairs) if pairs else None


def added(rounds: Rounds, base: str) -> dict[str, float]:
    """What each adds over `base`: the median of the differences within each round."""
    bases = rounds.get(base, ())
    found = {}
    for name, values in rounds.items():
        differences = [a - b for a, b in zip(values, bases, strict=False)]
        if differences:
            found[name] = median(differences)
    return found


def medians(rounds: Rounds) -> dict[str, float]:
    return {name: median(values) for name, values in rounds.items() if values}


def growth(curve: Sequence[float]) -> float:
    """How much the last third of a curve lies above its middle third, as a share; below 0 where it fell."""
    third = len(curve) // 3
    if not third:
        raise ValueError("too few points for a slope")
    middle = fmean(curve[-2 * third : -third])
    return fmean(curve[-third:]) / middle - 1.0


def is_growing(curve: Sequence[float]) -> bool:
    return growth(curve) > MOST_GROWTH
