"""Whether figures of now (lengths, shares, costs, scores) differ from those of before: all of them in one test.

The largest standardised difference of means among all columns is held against what shuffling the windows makes of it
(Westfall, Young 1993): so many columns raise no more false alarms than one.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from msgspec import Struct

from comporta.feedback.drift.changes import Change, Floats, Test, Unit, batches, shuffled, starts_at
from comporta.stats.intervals import wilson

_SHOWN = 5
_Z = 1.959964


class Column(Struct, frozen=True):
    """A figure. A `share` is 0 or 1; a `ratio` is kept as log(1 + value); `points` are as they are.

    Changes smaller than `least` are told to nobody: of shares and ratios as said in `Change`, of points in standard
    deviations.
    """

    name: str
    unit: Literal["share", "ratio", "points"]
    least: float


def comparing(columns: tuple[Column, ...]) -> Test:
    """The test of windows with these columns."""

    def compare(before: Floats, after: Floats, seed: int = 0) -> list[Change]:
        if len(before) < 2 or len(after) < 2:
            return []
        found = _differing(before, after, seed)
        changes = (_change(columns[at], before[:, at], after[:, at]) for at in found)
        return [one for one in changes if one is not None]

    return compare


def _differing(before: Floats, after: Floats, seed: int) -> list[int]:
    """The columns whose difference no shuffle of any column reaches."""
    both = np.concatenate([before, after])
    spread = both.std(axis=0)
    varying = spread > 1e-12
    scaled = np.where(varying, (both - both.mean(axis=0)) / np.where(varying, spread, 1.0), 0.0)
    seen = np.abs(scaled[: len(before)].mean(axis=0) - scaled[len(before) :].mean(axis=0))
    batch = shuffled(len(before), len(after), seed)
    most = 0.0
    for size in batches():
        most = max(most, float(np.abs(batch(size).T @ scaled).max()))
        if most >= seen.max():
            return []
    return [int(at) for at in np.flatnonzero(seen > most)]


def _change(column: Column, before: Floats, after: Floats) -> Change | None:
    size, low, high, mean_before, mean_after = _sizes(column.unit, before, after)
    threshold = column.least * (float(before.std()) or 1.0) if column.unit == "points" else column.least
    # A quarter less is as much as a third more.
    measured = max(size, -size / (1 + size)) if column.unit == "ratio" else abs(size)
    if measured < threshold:
        return None
    sign = 1.0 if after.mean() > before.mean() else -1.0
    middle = (before.mean() + after.mean()) / 2
    shown = tuple(int(at) for at in np.argsort(-sign * after, kind="stable")[:_SHOWN])
    unit: Unit = column.unit
    return Change(
        column.name, unit, mean_before, mean_after, size, low, high, starts_at(sign * (after - middle)), shown
    )


def _sizes(unit: Unit, before: Floats, after: Floats) -> tuple[float, float, float, float, float]:
    """Size, its interval's ends, and the figures of both sides."""
    a, b = float(before.mean()), float(after.mean())
    if unit == "share":
        one, two = wilson(round(before.sum()), len(before)), wilson(round(after.sum()), len(after))
        # Newcombe's hybrid of both intervals (Statistics in Medicine 17, 1998).
        low = (b - a) - math.hypot(b - two.low, one.high - a)
        high = (b - a) + math.hypot(two.high - b, a - one.low)
        return b - a, low, high, a, b
    reach = _Z * math.sqrt(float(before.var(ddof=1)) / len(before) + float(after.var(ddof=1)) / len(after))
    if unit == "ratio":
        low, high = math.expm1(b - a - reach), math.expm1(b - a + reach)
        return math.expm1(b - a), low, high, math.expm1(a), math.expm1(b)
    return b - a, b - a - reach, b - a + reach, a, b
