"""How far answers agree, from their vectors: over all pairs, or over the whole matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Vector = Sequence[float]


class Likeness(Struct, frozen=True):
    """`mean` decides; `each` is how much each answer is like the others, in their order. Cosines, from -1 to 1."""

    mean: float
    each: tuple[float, ...]


def likeness(vectors: Sequence[Vector], over: Literal["pairs", "matrix"]) -> Likeness:
    """Of two vectors or more, each of length one.

    `pairs` is the mean of the n(n-1)/2 cosines. `matrix` is that of all n² with the diagonal of ones, as
    `cosine_similarity(x).mean()` gives it: with three answers .85 there is no more than .775 over the pairs.
    """
    count = len(vectors)
    if count < 2:
        raise ValueError("agreement takes two answers")
    rows = [[_cosine(one, other) for other in vectors] for one in vectors]
    each = tuple((math.fsum(row) - row[at]) / (count - 1) for at, row in enumerate(rows))
    pairs = math.fsum(each) / count
    mean = pairs if over == "pairs" else (pairs * (count - 1) + 1.0) / count
    return Likeness(mean, each)


def middle(vectors: Sequence[Vector]) -> Vector:
    """The direction of several vectors together: what a text in pieces is compared by."""
    sums = [math.fsum(column) for column in zip(*vectors, strict=True)]
    return unit(sums)


def unit(vector: Vector) -> Vector:
    """The same direction, of length one; no direction stays none."""
    length = math.sqrt(math.fsum(one * one for one in vector))
    return vector if not length else [one / length for one in vector]


def _cosine(one: Vector, other: Vector) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))
