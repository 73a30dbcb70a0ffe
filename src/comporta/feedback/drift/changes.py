"""What a test says of two windows: which measure changed, how much, since where, and which items show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Unit = Literal["told_apart", "share", "ratio", "points"]

#: A change is told where none of so many shuffles shows as large a one: a chance of 1 in 4001 in each look without one.
SHUFFLES = 4_000
_BATCH, _FIRST = 200, 25


class Change(Struct, frozen=True):
    """One measure's change from the first window to the second; `size` lies from `low` to `high` (95 %).

    Units: `told_apart` is how often an item of now is rightly told from one of before (0.5 is never better than
    chance), `share` a difference of shares, `ratio` after ÷ before - 1, `points` a difference in the measure's own
    unit. `starts` is the place in the second window from where it shows, `shown` are places of items that show it best.
    """

    measure: str
    unit: Unit
    before: float | None
    after: float | None
    size: float
    low: float
    high: float
    starts: int
    shown: tuple[int, ...]
    facts: dict[str, float] = {}


#: Compares two windows (items × dimensions); the seed makes its shuffles repeatable. No changes where there are none.
Test = Callable[[Floats, Floats, int], list[Change]]


def shuffled(n_before: int, n_after: int, seed: int) -> Callable[[int], Floats]:
    """Batches of shuffled windows: columns of weights 1/n_before and -1/n_after, as a mean difference needs them."""
    random = np.random.default_rng(seed)
    weights = np.concatenate([np.full(n_before, 1 / n_before), np.full(n_after, -1 / n_after)])

    def batch(size: int) -> Floats:
        return random.permuted(np.tile(weights, (size, 1)), axis=1).T

    return batch


def batches() -> list[int]:
    """Their sizes: a small one first, which most windows that are alike end with."""
    return [_FIRST, _BATCH - _FIRST, *[_BATCH] * (SHUFFLES // _BATCH - 1)]


def starts_at(signs: Floats) -> int:
    """From where on values (positive: like now, negative: like before) speak for now: the best suffix."""
    sums = np.cumsum(signs[::-1])[::-1]
    return int(np.argmax(sums))
