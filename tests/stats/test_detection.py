"""Figures of detection against cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.stats.detection import detection


def of(scores: list[float], truth: list[int], threshold: float = 0.5, draws: int = 200):  # type: ignore[no-untyped-def]
    values = np.array(scores)
    return detection(values, values >= threshold, np.array(truth, dtype=bool), draws=draws)


def test_figures_are_those_that_one_counts() -> None:
    told = of([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
    assert (told.n, told.positives) == (6, 3)
    assert told.accuracy == pytest.approx(4 / 6, abs=1e-4)
    assert told.precision == pytest.approx(2 / 3, abs=1e-4)
    assert told.recall == pytest.approx(2 / 3, abs=1e-4)
    # Of nine pairs eight are in the right order: 0.3 stands below 0.7.
    assert told.auc == pytest.approx(8 / 9, abs=1e-4)
    assert told.recall_at_1pct_fpr == pytest.approx(2 / 3, abs=1e-4)


def test_scores_that_say_nothing_come_to_one_half_and_find_nobody() -> None:
    told = of([0.0] * 10, [1, 0] * 5)
    assert (told.auc, told.recall_at_1pct_fpr, told.recall, told.precision) == (0.5, 0.0, 0.0, None)


def test_what_can_not_be_told_is_none() -> None:
    told = of([0.9, 0.1], [1, 1])
    assert told.auc is None and told.recall_at_1pct_fpr is None and told.recall == 0.5
    assert told.intervals["auc"] is None


def test_an_interval_holds_the_figure_and_shrinks_with_more_examples() -> None:
    random = np.random.default_rng(7)
    widths = []
    for n in (60, 2_000):
        truth = random.random(n) < 0.5
        scores = np.clip(truth * 0.3 + random.random(n) * 0.7, 0, 1)
        told = detection(scores, scores >= 0.5, truth, draws=400)
        low, high = told.intervals["auc"] or (1.0, 0.0)
        assert told.auc is not None and low <= told.auc <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    good = [score for score, label in rows if label]
    bad = [score for score, label in rows if not label]
    told = of([score for score, _ in rows], [int(label) for _, label in rows], draws=2)
    if not good or not bad:
        assert told.auc is None
        return
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad]
    assert told.auc == pytest.approx(sum(pairs) / len(pairs), abs=1e-4)
