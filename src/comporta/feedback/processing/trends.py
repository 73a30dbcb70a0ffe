"""How a score goes from week to week: each week's mean with its interval, and whether it rises or falls."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence

from msgspec import Struct

from comporta.feedback.findings.shapes import Direction, Trend, Week
from comporta.stats.intervals import wilson

_Z = 1.959964
_FEWEST_WEEKS = 3


class WeekSums(Struct, frozen=True):
    """What is known of a week: `n` values, their sum and sum of squares, and whether they are all 0 or 1."""

    at: datetime.date
    n: int
    total: float
    squares: float
    binary: bool


def week_of(sums: WeekSums) -> Week:
    """Mean and interval: Wilson's for shares, else the normal one (a single value has no width to tell, so ±inf)."""
    mean = sums.total / sums.n
    if sums.binary:
        reach = wilson(round(sums.total), sums.n)
        return Week(sums.at, sums.n, mean, reach.low, reach.high)
    if sums.n < 2:
        return Week(sums.at, sums.n, mean, -math.inf, math.inf)
    variance = max(0.0, (sums.squares - sums.n * mean * mean) / (sums.n - 1))
    reach_by = _Z * math.sqrt(variance / sums.n)
    return Week(sums.at, sums.n, mean, mean - reach_by, mean + reach_by)


def trend_of(name: str, sums: Sequence[WeekSums]) -> Trend:
    """The weeks in their order, and the slope of a line through their means, weighted by how sure each is."""
    weeks = tuple(week_of(one) for one in sorted(sums, key=lambda one: one.at) if one.n)
    usable = [one for one in weeks if math.isfinite(one.high - one.low)]
    if len(usable) < _FEWEST_WEEKS:
        return Trend(name, weeks, None, None, None, "unknown")
    slope, reach = _slope(usable)
    direction: Direction = "rising" if slope - reach > 0 else "falling" if slope + reach < 0 else "steady"
    return Trend(name, weeks, slope, slope - reach, slope + reach, direction)


def _slope(weeks: Sequence[Week]) -> tuple[float, float]:
    """Weighted least squares: the slope a week, and half its interval's width.

    The spread about the line counts where it is larger than the weeks' own intervals say: scores change for reasons
    that no sample shows.
    """
    first = weeks[0].at
    x = [(one.at - first).days / 7 for one in weeks]
    weight = [1 / max(((one.high - one.low) / (2 * _Z)) ** 2, 1e-12) for one in weeks]
    total = sum(weight)
    mid_x = sum(w * a for w, a in zip(weight, x, strict=True)) / total
    mid_y = sum(w * one.mean for w, one in zip(weight, weeks, strict=True)) / total
    spread = sum(w * (a - mid_x) ** 2 for w, a in zip(weight, x, strict=True))
    slope = sum(w * (a - mid_x) * (one.mean - mid_y) for w, a, one in zip(weight, x, weeks, strict=True)) / spread
    left = sum(
        w * (one.mean - mid_y - slope * (a - mid_x)) ** 2 for w, a, one in zip(weight, x, weeks, strict=True)
    )  # fmt: skip
    inflated = max(1.0, left / (len(weeks) - 2))
    return slope, _Z * math.sqrt(inflated / spread)
