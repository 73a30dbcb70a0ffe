"""How well something is found: figures over labelled examples, with bootstrap intervals.

Scores are confidences from 0 to 1; an example is called found where a threshold says so. Intervals are percentile
bootstraps (Efron 1979) over examples, drawn within each label so that a draw never lacks one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pair = tuple[float, float]

DRAWS = 1_000
LEVEL = 0.95
#: So few false alarms among benign examples are what recall is told at.
FPR = 0.01
_FIGURES = ("accuracy", "precision", "recall", "f1", "macro_f1", "recall_at_1pct_fpr", "auc")


class Detection(Struct, frozen=True):
    """Figures from 0 to 1; None where they can't be told (no positive, no negative example, nothing found)."""

    n: int
    positives: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    macro_f1: float | None
    #: The share of positives above the score that 1 % of the negatives exceed.
    recall_at_1pct_fpr: float | None
    auc: float | None
    #: 95 % intervals of those figures.
    intervals: dict[str, Pair | None]


def detection(scores: Floats, found: Bools, truth: Bools, *, draws: int = DRAWS, seed: int = 0) -> Detection:
    """Figures of `scores` and decisions `found` against `truth`, one each per example."""
    ranks = _Ranks(scores, truth)
    told = _figures(ranks, found, truth, np.ones(len(truth)))
    drawn = [_figures(ranks, found, truth, weights) for weights in _draws(truth, draws, seed)]
    intervals = {name: _interval([one[name] for one in drawn]) for name in _FIGURES if told[name] is not None}
    return Detection(
        n=len(truth), positives=int(truth.sum()), intervals={name: intervals.get(name) for name in _FIGURES},
        **{name: None if told[name] is None else round(float(told[name] or 0.0), 4) for name in _FIGURES},
    )  # fmt: skip


def _draws(truth: Bools, draws: int, seed: int) -> Iterator[Floats]:
    """How often each example is drawn, draw by draw."""
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(truth == label) for label in (True, False)]
    for _ in range(draws):
        weights = np.zeros(len(truth))
        for where in places:
            if len(where):
                weights[where] = np.bincount(random.integers(0, len(where), len(where)), minlength=len(where))
        yield weights


class _Ranks:
    """The order of the scores, which no draw changes."""

    def __init__(self, scores: Floats, truth: Bools) -> None:
        values, place = np.unique(scores, return_inverse=True)
        self._values = values[::-1]
        self._truth = truth
        self._yes, self._no = place[truth], place[~truth]

    def figures(self, weights: Floats) -> tuple[float | None, float | None]:
        """The area under the ROC curve (Mann-Whitney: ties count half), and recall where 1 % of negatives are found."""
        size = len(self._values)
        good = np.bincount(self._yes, weights[self._truth], size)[::-1].cumsum()
        bad = np.bincount(self._no, weights[~self._truth], size)[::-1].cumsum()
        if not size or not good[-1] or not bad[-1]:
            return None, None
        true_rate, false_rate = good / good[-1], bad / bad[-1]
        auc = float(np.trapezoid(np.append(0.0, true_rate), np.append(0.0, false_rate)))
        # A score of nothing separates nobody: what was not noticed at all can't be found by moving a threshold.
        reach = np.flatnonzero((false_rate <= FPR) & (self._values > 0))
        return auc, float(true_rate[reach[-1]]) if len(reach) else 0.0


def _figures(ranks: _Ranks, found: Bools, truth: Bools, weights: Floats) -> dict[str, float | None]:
    hit, false = weights[found & truth].sum(), weights[found & ~truth].sum()
    missed, right = weights[~found & truth].sum(), weights[~found & ~truth].sum()
    f1, other = _over(2 * hit, 2 * hit + false + missed), _over(2 * right, 2 * right + false + missed)
    auc, at = ranks.figures(weights)
    return {
        "accuracy": _over(hit + right, weights.sum()),
        "precision": _over(hit, hit + false),
        "recall": _over(hit, hit + missed),
        "f1": f1,
        "macro_f1": None if f1 is None or other is None else (f1 + other) / 2,
        "recall_at_1pct_fpr": at,
        "auc": auc,
    }


def _over(part: float, whole: float) -> float | None:
    return None if not whole else float(part / whole)


def _interval(values: list[float | None]) -> Pair | None:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
