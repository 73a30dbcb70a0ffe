"""Intervals and bounds for a share that is looked at once: Wilson's, Chernoff's, and the exact binomial's."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from comporta.stats.sequential import Interval


def wilson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Where a share lies (Wilson 1927, as recommended by Brown, Cai, DasGupta, Statistical Science 16(2), 2001)."""
    if n == 0:
        return Interval(0.0, 1.0)
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    middle = (hits + z2 / 2) / (n + z2)
    reach = math.sqrt(z2) / (n + z2) * math.sqrt(hits * (n - hits) / n + z2 / 4)
    low = 0.0 if hits == 0 else middle - reach
    return Interval(low, 1.0 if hits == n else middle + reach)


def chernoff_upper(hits: int, n: int, alpha: float) -> float:
    """A share above which the true one lies with a chance of at most `alpha`, however few values there are.

    The largest q with n KL(hits/n, q) <= log(1/alpha) (Chernoff 1952), found by halving.
    """
    if n == 0:
        return 1.0
    seen, low, high = hits / n, hits / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if n * divergence(seen, middle) <= -math.log(alpha) else (low, middle)
    return high


def divergence(p: float, q: float) -> float:
    """The Kullback-Leibler divergence between shares p and q, in nats."""
    return _part(p, q) + _part(1 - p, 1 - q)


def _part(p: float, q: float) -> float:
    if p <= 0:
        return 0.0
    return math.inf if q <= 0 else p * math.log(p / q)


def binomial_tail(hits: int, n: int, p: float) -> float:
    """The chance of `hits` or more among `n` at a share of `p`; exact."""
    if hits <= 0:
        return 1.0
    if p <= 0 or hits > n:
        return 0.0
    if p >= 1:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(hits, n + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Where a share lies, never narrower than it says however few values there are (Clopper, Pearson 1934).

    Each end alone is a bound at (1 + confidence) / 2; found by halving on the exact binomial.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    alpha = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _crossing(lambda q: 1.0 - _at_most(hits - 1, n, q) > alpha)
    high = 1.0 if hits == n else _crossing(lambda q: _at_most(hits, n, q) <= alpha)
    return Interval(low, high)


def _crossing(over: Callable[[float], bool]) -> float:
    """The share from which on `over` is true."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if over(middle) else (middle, high)
    return high


def _at_most(hits: int, n: int, p: float) -> float:
    """The chance of at most so many of `n`; the shorter tail is added up."""
    if hits > n // 2:
        return 1.0 - binomial_tail(hits + 1, n, p)
    if p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(hits + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))
