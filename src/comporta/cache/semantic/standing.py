"""How a route stands with its false-hit budget: what its checks prove, and where its threshold goes. Pure functions.

Checks are a random sample of hits, so the share of wrong ones among them speaks of all hits; its bounds are Clopper's
and Pearson's, which hold for samples of any size. What people report is no sample: it says that at least so many hits
were wrong, and never that the others were right.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from comporta.stats.intervals import binomial_tail, clopper_pearson

Promise = Literal["yes", "no", "unknown"]

#: The bound holds with this confidence.
CONFIDENCE = 0.95
#: The threshold goes up once what was seen would come by chance less often than this, were the budget kept.
_SUSPICION = 0.2
#: It goes down again once the budget is kept with this confidence, less than a promise wants.
_RELIEF = 0.7
STEP_UP, STEP_DOWN = 0.02, 0.005
#: Questions that are more alike differ in blanks and commas: beyond it there is nothing left to raise.
HIGHEST = 0.995


class Evidence(Struct, frozen=True):
    """What is known of hits at a threshold: the sample with its wrong ones, and wrong ones that were reported."""

    checked: int = 0
    wrong: int = 0
    #: Among so many hits; both since the threshold was changed.
    reported: int = 0
    hits: int = 0


class Standing(Struct, frozen=True):
    """What can be said: with 95 % confidence at most `bound` of the hits are wrong.

    `missing` is how many more checks a promise needs if all of them are right; None where more can't help.
    """

    promise: Promise
    bound: float
    missing: int | None
    told: str


def standing(evidence: Evidence, budget: float) -> Standing:
    """Whether the budget can be promised."""
    bounds = clopper_pearson(evidence.wrong, evidence.checked, 2 * CONFIDENCE - 1)
    bound = bounds.high
    if bounds.low > budget or too_many(evidence, budget):
        return Standing("no", bound, None, f"more than {budget:.1%} of the hits are wrong")
    if bound <= budget:
        return Standing("yes", bound, 0, f"at most {bound:.2%} of the hits are wrong, with 95 % confidence")
    missing = needed(evidence.wrong, budget) - evidence.checked
    return Standing("unknown", bound, missing, f"{missing} more checks are needed, all of them right, to promise")


def needed(wrong: int, budget: float) -> int:
    """How many checks with so many wrong ones prove that the budget is kept."""
    low, high = 1, math.ceil((wrong + 3) * 4 / budget)
    while low < high:
        middle = (low + high) // 2
        kept = clopper_pearson(min(wrong, middle), middle, 2 * CONFIDENCE - 1).high <= budget
        low, high = (low, middle) if kept else (middle + 1, high)
    return low


def too_many(evidence: Evidence, budget: float) -> bool:
    """Whether people reported more wrong hits than the budget allows among all of them."""
    return evidence.reported > 0 and binomial_tail(evidence.reported, max(evidence.hits, 1), budget) <= 0.05


def moved(threshold: float, least: float, evidence: Evidence, budget: float, *, wrong: bool) -> float:
    """Where the threshold goes after a check, which `evidence` counts: up fast, down slowly, never below `least`."""
    if wrong:
        seen = binomial_tail(evidence.wrong, evidence.checked, budget) if evidence.wrong else 1.0
        told = binomial_tail(evidence.reported, max(evidence.hits, 1), budget) if evidence.reported else 1.0
        if min(seen, told) <= _SUSPICION:
            return max(least, min(HIGHEST, threshold + STEP_UP))
        return threshold
    if threshold > least and clopper_pearson(evidence.wrong, evidence.checked, 2 * _RELIEF - 1).high <= budget:
        return max(least, threshold - STEP_DOWN)
    return threshold
