"""Histograms with buckets that grow by a factor: they add up in any order, and give quantiles within 1 %.

After Masson, Rim, Lee, «DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees», PVLDB
12(12), 2019. A histogram is a plain mapping from bucket to count, so it is JSON as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from comporta.stats.sums import Sums, share

Histogram = Mapping[int, int]

#: No value is told further from the truth than by this share of it.
ACCURACY = 0.01
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GROWTH = math.log(_GROWTH)
#: The bucket of zero, and of what is below.
ZERO = -100_000


def bucket(value: float) -> int:
    """The bucket of a value: it holds all from growth^(bucket - 1), exclusive, to growth^bucket."""
    return math.ceil(math.log(value) / _LOG_GROWTH - 1e-9) if value > 0 else ZERO


def value(bucket: int) -> float:
    """What stands for all of a bucket."""
    return 0.0 if bucket == ZERO else 2 * _GROWTH**bucket / (_GROWTH + 1)


def added(one: Histogram, other: Histogram) -> dict[int, int]:
    """Both histograms in one."""
    both = dict(one)
    for where, count in other.items():
        both[where] = both.get(where, 0) + count
    return both


def halved(histogram: Histogram) -> dict[int, int]:
    """Half of every count, rounded down: how an old histogram gives way to new values."""
    return {where: count // 2 for where, count in histogram.items() if count > 1}


def count(histogram: Histogram) -> int:
    return sum(histogram.values())


def quantile(histogram: Histogram, q: float) -> int | None:
    """The bucket in which quantile `q` lies; None of an empty histogram."""
    rank = q * (count(histogram) - 1)
    seen = 0
    for where in sorted(histogram):
        seen += histogram[where]
        if seen > rank:
            return where
    return None


def moved(bucket: int, factor: float) -> int:
    """The bucket whose values are so many times those of another."""
    return bucket if bucket == ZERO else bucket + round(math.log(factor) / _LOG_GROWTH)


def above(histogram: Histogram, bucket: int) -> Sums:
    """Which values lie above a bucket: 1 for those that do, 0 for the others."""
    hits = sum(count for where, count in histogram.items() if where > bucket)
    return share(count(histogram), hits)


def capped(histogram: Histogram, cap: float) -> Sums:
    """The values as shares of `cap` (above 0), none above 1: few huge ones then can't decide alone (winsorising)."""
    n, total, squares = 0, 0.0, 0.0
    for where, often in histogram.items():
        y = min(1.0, value(where) / cap)
        n, total, squares = n + often, total + often * y, squares + often * y * y
    return Sums(n, total, squares)


def mean(histogram: Histogram) -> float:
    """The mean; 0 of an empty histogram."""
    n = count(histogram)
    return sum(value(where) * often for where, often in histogram.items()) / n if n else 0.0
