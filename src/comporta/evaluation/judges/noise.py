"""How much a judge differs from itself: what its repeats say about whether it can decide anything.

Agreement is the share of pairs of repeats of one answer that come to the same verdict, averaged over answers. Since a
judge that passes nearly everything agrees with itself by chance, Krippendorff's alpha for two values stands beside it:
one minus the disagreement within answers over the disagreement that chance alone would give (Krippendorff, «Content
Analysis», nominal data). 1 is a judge that never wavers, 0 one that draws lots.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

from comporta.evaluation.base import Outcome

#: Below this agreement no verdict of the judge can be told from its next one.
LEAST_AGREEMENT = 0.8
#: From here on chance is no objection: a judge that differs in one pair of twenty decides few cases by luck.
EASY_AGREEMENT = 0.95
LEAST_ALPHA = 0.4
#: The widest spread of a judge's marks (0 to 1) within one answer, as a standard deviation.
MOST_SPREAD = 0.2
#: Fewer repeated answers than that say nothing about a judge.
LEAST_ANSWERS = 5


class Noise(Struct, frozen=True, omit_defaults=True):
    """A judge's disagreement with itself. `known` is False where there were too few repeats to say anything."""

    name: str
    answers: int
    repeats: float
    known: bool
    agreement: float = 1.0
    alpha: float = 1.0
    spread: float = 0.0
    too_noisy: bool = False
    said: str = ""


def noise(outcomes: Iterable[Outcome], name: str = "") -> Noise:
    """The noise of one judge, from what came of its assertion on many answers; others than repeated ones are left out.

    `too_noisy` is what a gate refuses.
    """
    told = [one for one in outcomes if len(one.passes) > 1]
    name = name or (told[0].name if told else "")
    if len(told) < LEAST_ANSWERS:
        return Noise(name, len(told), _mean_repeats(told), known=False, said=_unknown(name, len(told)))
    agreement = statistics.fmean(_agreement(one.passes) for one in told)
    alpha = _alpha([one.passes for one in told])
    spread = math.sqrt(statistics.fmean(statistics.variance(one.values) for one in told))
    wavering = agreement < LEAST_AGREEMENT or (agreement < EASY_AGREEMENT and alpha < LEAST_ALPHA)
    noisy = wavering or spread > MOST_SPREAD
    return Noise(
        name, len(told), _mean_repeats(told), True, round(agreement, 4), round(alpha, 4), round(spread, 4), noisy,
        _sentence(name, agreement, alpha, spread, noisy),
    )  # fmt: skip


def _mean_repeats(told: Sequence[Outcome]) -> float:
    return round(statistics.fmean(len(one.passes) for one in told), 2) if told else 0.0


def _agreement(passes: Sequence[bool]) -> float:
    count, yes = len(passes), sum(passes)
    return (yes * (yes - 1) + (count - yes) * (count - yes - 1)) / (count * (count - 1))


def _alpha(units: Sequence[Sequence[bool]]) -> float:
    """Krippendorff's alpha for two values, each unit with two repeats or more; 1 where nothing ever differs."""
    total = sum(map(len, units))
    yes = sum(map(sum, units))
    # Pairs within a unit, each weighted by one over the unit's others: the coincidences of the definition.
    observed = sum(2 * sum(one) * (len(one) - sum(one)) / (len(one) - 1) for one in units)
    expected = 2 * yes * (total - yes) / (total - 1)
    return 1.0 if expected == 0 else 1 - observed / expected


def _unknown(name: str, answers: int) -> str:
    advice = "write more cases" if answers else "give it `repeats: 3`"
    return (
        f"how steady the judge {name or 'is'} cannot be told: {answers} answers were judged more than once, and "
        f"{LEAST_ANSWERS} are needed; {advice}"
    )


def _sentence(name: str, agreement: float, alpha: float, spread: float, noisy: bool) -> str:
    figures = f"its repeats agree in {agreement:.0%} of pairs (alpha {alpha:.2f}), and its marks spread by {spread:.2f}"
    if not noisy:
        return f"the judge {name} is steady: {figures}"
    return (
        f"the judge {name} is too noisy to tell: {figures}; sharpen its rubric, ask a stronger model, or use criteria"
    )
