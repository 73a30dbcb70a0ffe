"""Tests that may be looked at after every call: betting on two sides, on one, and an interval that holds at all times.

The idea (Shafer 2021; Waudby-Smith and Ramdas, «Estimating means of bounded random variables by betting», JRSS B 86(1),
2024): somebody who bets, at odds that are fair or worse under a hypothesis, multiplies a capital of 1 by 1/alpha at any
time with a chance of at most alpha (Ville 1939). So a capital of 20 is evidence of 5 % against the hypothesis, whenever
and however often it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from comporta.stats.sums import Sums

#: Which way side B would have to differ for the bets to win.
Toward = Literal["above", "below"]
#: No bet can lose more than this share of its capital on one value.
MOST_AT_STAKE = 0.7


class Null(Struct, frozen=True):
    """The hypothesis that is bet against: B's mean is `scale` times A's plus `shift`, or lies on the harmless side.

    Bets `above` win where B's mean is above that, and B's mean at or below it is the hypothesis; `below` likewise.
    """

    toward: Toward
    shift: float = 0.0
    scale: float = 1.0

    def at(self, mean: float) -> float:
        """Where B's mean lies by the hypothesis, at the most harmful, when A's is `mean`."""
        return self.scale * mean + self.shift


def bet_on_two(
    capitals: Sequence[float], a: Sums, b: Sums, stakes: Sequence[float], centre: float, null: Null
) -> tuple[float, ...]:
    """What one block of values makes of capitals (their natural logarithms), one for each stake.

    `a` and `b` are sums of at least one value in [0, 1] each. `stakes` and `centre` (about A's mean) must come from
    what was seen before the block, and how many values a block has must not hang on what they are.

    Each value of B multiplies a capital by 1 + stake_b (y - centre_b), each of A by 1 - stake_a (y - centre), where
    n_a stake_a = n_b scale stake_b. When the means are as the hypothesis says, whatever they are in this block, the
    mean of those factors' expectations is 1, so by the inequality of means their product expects at most 1. That is
    the block test of Turner, Ly and Grünwald («Generic E-variables for exact sequential k-sample tests that allow for
    optional stopping», J. Stat. Plan. Inference 230, 2024) with linear factors: it holds for all values in [0, 1], and
    for means that change from block to block as long as they do so on both sides.
    """
    n = a.n + b.n
    sign = 1.0 if null.toward == "above" else -1.0
    centre_b = null.at(centre)
    part_b, part_a = a.n / n / null.scale, b.n / n
    most = MOST_AT_STAKE / max(part_b * _worst(centre_b, sign), part_a * _worst(centre, -sign))
    bounded = [min(stake, most) for stake in stakes]
    return tuple(
        capital + growth(b, sign * stake * part_b, centre_b) + growth(a, -sign * stake * part_a, centre)
        for capital, stake in zip(capitals, bounded, strict=True)
    )


def bet_on_one(capitals: Sequence[float], values: Sums, stakes: Sequence[float], null_mean: float) -> tuple[float, ...]:
    """The same for one side against a fixed mean: bets that the mean of `values` lies above `null_mean`."""
    most = MOST_AT_STAKE / _worst(null_mean, 1.0)
    return tuple(
        capital + growth(values, min(stake, most), null_mean) for capital, stake in zip(capitals, stakes, strict=True)
    )


def _worst(centre: float, sign: float) -> float:
    """How far a value in [0, 1] can lie on the losing side of a centre; never quite 0."""
    return max(centre if sign > 0 else 1 - centre, 1e-6)


def growth(values: Sums, stake: float, centre: float) -> float:
    """The sum of log(1 + stake (y - centre)) over values in [0, 1]: exact for zeros and ones, else no less than.

    The bound needs sums only: log(1 + x) >= x + x²/z² (log(1 - z) + z) for all x >= -z, 0 < z < 1 (Fan, Grama, Liu,
    «Exponential inequalities for martingales with applications», Electronic Journal of Probability 20, 2015). Raises
    ValueError where a value could lose everything.
    """
    worst = abs(stake) * _worst(centre, stake)
    if worst >= 1:
        raise ValueError(f"a stake of {stake} can lose everything at a centre of {centre}")
    if values.binary:
        hits, misses = values.total, values.n - values.total
        return hits * math.log1p(stake * (1 - centre)) + misses * math.log1p(-stake * centre)
    first = values.total - values.n * centre
    second = values.squares - 2 * centre * values.total + values.n * centre * centre
    return stake * first - stake * stake * second * _curve(worst)


def _curve(z: float) -> float:
    """-(log(1 - z) + z) / z²: one half for small bets, more for bold ones."""
    # Below, the difference would be lost in rounding; the series is exact to 1e-9 there.
    return 0.5 + z / 3 + z * z / 4 if z < 1e-3 else -(math.log1p(-z) + z) / (z * z)


def evidence(capitals: Sequence[float]) -> float:
    """The natural logarithm of the mean of capitals: a capital spread over many bets is itself a fair one."""
    best = max(capitals)
    return best + math.log(sum(math.exp(capital - best) for capital in capitals) / len(capitals))


def odds(log_evidence: float) -> float:
    """Evidence as a number to show: 20 is 20 to 1 against the hypothesis; no more than 10^12 to 1 is said."""
    return math.exp(min(log_evidence, 12 * math.log(10)))


def interval_at_all_times(estimate: float, deviation: float, n: float, alpha: float, tuned_for: float) -> Interval:
    """Where a mean lies, at all times at once with a chance of about 1 - alpha.

    `deviation` is the standard deviation of one of `n` (effective) values. Narrowest when n is about `tuned_for`.
    Normal mixture (Robbins 1970) in the form of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, «Time-uniform central
    limit theory and asymptotic confidence sequences», Annals of Statistics 52(6), 2024: like every interval
    from the central limit theorem it is approximate while `n` is small. Of nothing: everything.
    """
    if n <= 0:
        return Interval(-math.inf, math.inf)
    # The best rho² for a given n, from the same paper.
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned_for
    grown = n * rho2 + 1
    reach = deviation * math.sqrt(2 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / alpha))
    return Interval(estimate - reach, estimate + reach)


class Interval(Struct, frozen=True):
    """From `low` to `high`, both included."""

    low: float
    high: float

    def within(self, low: float, high: float) -> Interval:
        """Cut off at what is possible."""
        return Interval(max(low, min(high, self.low)), min(high, max(low, self.high)))

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def still_needed(now: float, wanted: float, gap: float, variance: float, weight_per_call: float) -> int | None:
    """About how many more values of B bring log evidence from `now` to `wanted`, if the figures stay as they are.

    The best bet on means that lie `gap` apart grows by gap² / (2 variance) for each unit of weight n_a n_b / n. None
    where there is no gap: then no number of calls would do.
    """
    if now >= wanted:
        return 0
    if gap <= 0 or weight_per_call <= 0:
        return None
    return math.ceil((wanted - now) / (weight_per_call * gap * gap / (2 * max(variance, 1e-9))))
