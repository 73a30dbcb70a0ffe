"""Two versions on the same cases: which is better, how sure that is, and how many more cases would tell.

A case is the unit, however often it was repeated: its repeats are averaged first, so ten repeats of one case are no ten
cases. All differences are candidate minus baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Verdict = Literal["better", "no worse", "worse", "not enough data"]
Floats = NDArray[np.float64]

#: A bootstrap of fewer cases promises more than it keeps.
FEWEST_FOR_NUMBERS = 10
#: More cases than anybody writes: beyond it the effect sits on the margin, and no number would tell.
MOST_CASES = 100_000
DRAWS = 10_000
#: Shares of up to ten repeats are whole on this grid.
_GRID = 2520
_MOST_STEPS = 50_000
#: Halvings of a range of 2: to the billionth.
_STEPS = 32
_FINE = 1e-9


class Paired(Struct, frozen=True):
    """What a comparison came to. `effect`, `low`, `high` and `margin` are in the measure's own unit (1 = all pass).

    `effect` is candidate minus baseline; `low` and `high` bound it with `level` (0.95: in 95 of 100 comparisons such a
    range holds the true difference). `p` is of the exact test, None for numbers. `more` is how many more cases would
    decide it if they turn out like these: 0 where it is decided, None where more than MOST_CASES would be needed.
    """

    verdict: Verdict
    cases: int
    baseline: float
    candidate: float
    effect: float
    low: float
    high: float
    level: float
    margin: float
    p: float | None
    #: Cases in which the candidate did better, and worse.
    gains: int
    losses: int
    more: int | None


def compare_passes(
    baseline: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    *,
    margin: float = 0.05,
    alpha: float = 0.05,
) -> Paired:
    """Pass or fail (true or 1, false or 0): for each case the outcomes of its repeats, in the same order of cases.

    The test is McNemar's exact one; with repeats it flips the signs of the cases' differences, which is the same test
    where each case ran once. The interval is `bounded_interval`. Raises ValueError where cases differ or one is empty.
    """
    before, after = _means(baseline), _means(candidate)
    differences = _paired(before, after)
    p = flip_signs(differences)
    low, high = bounded_interval(differences, alpha)
    discordant = float(np.mean(differences != 0)) if differences.size else 0.0

    def decided_with(cases: int) -> Verdict:
        lower, upper = bounded_interval(differences, alpha, cases)
        # With fewer cases that differ, the exact test can't reach alpha whatever way they went.
        enough = math.ldexp(2.0, -min(round(discordant * cases), 1000)) <= alpha
        return _decide(lower, upper, margin, sure=enough)

    verdict = _decide(low, high, margin, sure=p <= alpha)
    return _result(before, after, (low, high), margin, alpha, verdict, p, decided_with)


def compare_numbers(
    baseline: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    *,
    margin: float,
    alpha: float = 0.05,
    lower_is_better: bool = False,
    seed: int = 0,
    draws: int = DRAWS,
) -> Paired:
    """A measured quantity: for each case its values on both versions. The same seed gives the same interval.

    The interval is a bootstrap over cases. With `lower_is_better` (cost, latency) the verdict turns round, the effect
    doesn't. Fewer than FEWEST_FOR_NUMBERS cases decide nothing. Raises ValueError as `compare_passes` does.
    """
    before, after = _means(baseline), _means(candidate)
    differences = _paired(before, after)
    if not differences.size:
        return _result(before, after, (-math.inf, math.inf), margin, alpha, "not enough data", None, lambda n: "worse")
    low, high = bootstrap_interval(differences, alpha, seed=seed, draws=draws)

    def decided(lower: float, upper: float) -> Verdict:
        return _decide(*((-upper, -lower) if lower_is_better else (lower, upper)), margin)

    def decided_with(cases: int) -> Verdict:
        shrunk = math.sqrt(differences.size / cases)
        mean = float(np.mean(differences))
        return decided(mean - (mean - low) * shrunk, mean + (high - mean) * shrunk)

    verdict = decided(low, high) if differences.size >= FEWEST_FOR_NUMBERS else "not enough data"
    return _result(before, after, (low, high), margin, alpha, verdict, None, decided_with, FEWEST_FOR_NUMBERS)


def flip_signs(differences: Floats) -> float:
    """The exact two-sided p that differences as large come from chance alone: had each case's two versions been swapped
    by a coin, how often would the sum be at least as far from zero. With differences of -1, 0 and 1 this is McNemar's
    exact test (Fisher's randomisation test; Fay & Lumbard, 2021).
    """
    signed = _steps(differences)
    if not signed.size:
        return 1.0
    steps, observed = np.abs(signed), abs(int(signed.sum()))
    total = int(steps.sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for step in steps:
        # A case adds its step to the sum of those that came out positive, or doesn't.
        moved = np.zeros_like(chances)
        moved[step:] = chances[: total + 1 - step]
        chances = (chances + moved) / 2
    sums = 2 * np.arange(total + 1) - total
    return float(min(1.0, chances[np.abs(sums) >= observed].sum()))


def _steps(differences: Floats) -> NDArray[np.int64]:
    """The differences that are not 0, as whole numbers: exact, or rounded finely where that would be too many."""
    signed: NDArray[np.int64] = np.rint(differences * _GRID).astype(np.int64)
    signed = signed[signed != 0]
    if not signed.size:
        return signed
    signed = signed // int(np.gcd.reduce(np.abs(signed)))
    total = int(np.abs(signed).sum())
    coarse = signed if total <= _MOST_STEPS else np.rint(signed * (_MOST_STEPS / total)).astype(np.int64)
    kept: NDArray[np.int64] = coarse[coarse != 0]
    return kept


def bounded_interval(differences: Floats, alpha: float, cases: int | None = None) -> tuple[float, float]:
    """The range of mean differences between -1 and 1 that the cases don't speak against; `cases` stands in for their
    number (the same outcomes, more of them).

    Tango's score interval (1998), with the cases' differences in place of pairs where cases are repeated: each possible
    mean is held against the spread that is the likeliest if that mean were true, to which a difference that no case
    showed may belong. Hence it keeps its width where no case differs: it takes 73 of those to rule out a loss of 5
    points.
    """
    count = differences.size if cases is None else cases
    if not differences.size:
        return -1.0, 1.0
    # Thirds that were computed differently are still the same thirds.
    values, counts = np.unique(np.round(differences, 12), return_counts=True)
    shares = (counts / differences.size).tolist()
    mean = math.fsum(share * value for share, value in zip(shares, values.tolist(), strict=True))
    limit = NormalDist().inv_cdf(1 - alpha / 2) ** 2

    def edge(turn: float) -> float:
        turned = [(turn * value, share) for value, share in zip(values.tolist(), shares, strict=True)]

        def speaks_against(value: float) -> bool:
            return count * (turn * mean - value) ** 2 > limit * _spread(turned, value)

        return turn * _edge(turn * mean, -1.0, speaks_against)

    return edge(1.0), edge(-1.0)


def _spread(values: Sequence[tuple[float, float]], mean: float) -> float:
    """The variance of the likeliest distribution on [-1, 1] that has this mean, which is below that of the values (each
    with its share): Owen's empirical likelihood (1988), which may put weight on -1 although no value is there.
    """
    if mean <= -1:
        return 0.0
    apart = [(value - mean, share) for value, share in values]
    low, high = 0.0, 1 / (1 + mean)
    if min(values)[0] > -1 and _slope(apart, high) >= 0:
        low = high
    for _ in range(_STEPS):
        if high - low <= _FINE * high:
            break
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(apart, middle) > 0 else (low, middle)
    weights = [share / (1 + low * distance) for distance, share in apart]
    unseen = max(0.0, 1 - sum(weights))
    square = sum(weight * value * value for weight, (value, _) in zip(weights, values, strict=True))
    return max(0.0, square + unseen - mean * mean)


def _slope(apart: Sequence[tuple[float, float]], tilt: float) -> float:
    """Where it is 0, weights tilted so far have the mean that is wanted. A plain loop: it is asked a thousand times."""
    total = 0.0
    for distance, share in apart:
        total += share * distance / (1 + tilt * distance)
    return total


def bootstrap_interval(differences: Floats, alpha: float, *, seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """Percentiles of the mean over cases drawn with replacement, widened as few cases need it (Hesterberg, 2015)."""
    count = differences.size
    if count < 2:
        return -math.inf, math.inf
    random = np.random.default_rng(seed)
    means = np.array([np.mean(differences[random.integers(0, count, count)]) for _ in range(draws)])
    widened = math.sqrt(count / (count - 1)) * t_quantile(1 - alpha / 2, count - 1)
    tail = NormalDist().cdf(-widened)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def t_quantile(share: float, degrees: int) -> float:
    """Student's t by its expansion around the normal (Abramowitz & Stegun 26.7.5): within 0.001 from 9 degrees on, and
    too small with fewer than 3.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(degrees) ** (power + 1) for power, term in enumerate(terms))


def _edge(inside: float, outside: float, beyond: Callable[[float], bool]) -> float:
    """Where, on the way from a mean that holds to one that doesn't, it stops to hold."""
    if inside == outside:
        return outside
    near, far = inside, outside
    for _ in range(_STEPS):
        middle = (near + far) / 2
        near, far = (near, middle) if beyond(middle) else (middle, far)
    return near


def _decide(low: float, high: float, margin: float, *, sure: bool = True) -> Verdict:
    """The verdict of an interval; `sure` is what an exact test adds to it."""
    if low > 0 and sure:
        return "better"
    if low > -margin:
        return "no worse"
    return "worse" if high < 0 and sure else "not enough data"


def _means(values: Sequence[Sequence[float]]) -> Floats:
    if any(len(one) == 0 for one in values):
        raise ValueError("each case needs at least one outcome")
    return np.array([float(np.mean(np.asarray(one, dtype=np.float64))) for one in values], dtype=np.float64)


def _paired(before: Floats, after: Floats) -> Floats:
    if before.size != after.size:
        raise ValueError(f"{before.size} cases on the baseline and {after.size} on the candidate are no pairs")
    return after - before


def _result(
    before: Floats,
    after: Floats,
    bounds: tuple[float, float],
    margin: float,
    alpha: float,
    verdict: Verdict,
    p: float | None,
    decided_with: Callable[[int], Verdict],
    fewest: int = 1,
) -> Paired:
    differences = after - before
    return Paired(
        verdict=verdict,
        cases=differences.size,
        baseline=float(np.mean(before)) if before.size else 0.0,
        candidate=float(np.mean(after)) if after.size else 0.0,
        effect=float(np.mean(differences)) if differences.size else 0.0,
        low=bounds[0],
        high=bounds[1],
        level=1 - alpha,
        margin=margin,
        p=p,
        gains=int(np.sum(differences > 0)),
        losses=int(np.sum(differences < 0)),
        more=0 if verdict != "not enough data" else _more(differences.size, decided_with, fewest),
    )


def _more(cases: int, decided_with: Callable[[int], Verdict], fewest: int) -> int | None:
    """How many more cases would decide it, if the new ones turn out like these."""
    high = max(cases + 1, fewest)
    while decided_with(high) == "not enough data":
        if high >= MOST_CASES:
            return None
        high = min(high * 2, MOST_CASES)
    low = max(cases, fewest - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided_with(middle) != "not enough data" else (middle, high)
    return high - cases
