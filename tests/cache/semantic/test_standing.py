"""The budget of false hits: what can be promised, and where the threshold goes."""

from __future__ import annotations

import random

import pytest

from comporta.cache.semantic.standing import HIGHEST, Evidence, moved, needed, standing
from comporta.stats.intervals import clopper_pearson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Clopper and Pearson's limits as tables of the exact binomial give them, 95 % two-sided.
    [
        (0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0),
        (3, 1000, 0.0006, 0.0087),
    ],
)  # fmt: skip
def test_the_interval_is_clopper_and_pearsons(hits: int, n: int, low: float, high: float) -> None:
    found = clopper_pearson(hits, n)
    assert found.low == pytest.approx(low, abs=1e-4) and found.high == pytest.approx(high, abs=1e-4)


def test_nothing_is_promised_before_enough_was_checked() -> None:
    early = standing(Evidence(), 0.01)
    assert (early.promise, early.bound, early.missing) == ("unknown", 1.0, 299)
    assert standing(Evidence(checked=298), 0.01).missing == 1
    assert standing(Evidence(checked=299), 0.01).promise == "yes"
    assert standing(Evidence(checked=299, wrong=1), 0.01).promise == "unknown"
    assert needed(1, 0.01) == 473 and standing(Evidence(checked=473, wrong=1), 0.01).promise == "yes"


def test_a_budget_that_is_broken_is_said_to_be() -> None:
    assert standing(Evidence(checked=50, wrong=5), 0.01).promise == "no"
    told = standing(Evidence(checked=400, wrong=0, reported=9, hits=300), 0.01)
    assert told.promise == "no", "so many were reported that the sample must have been lucky"
    assert standing(Evidence(checked=400, wrong=0, reported=1, hits=300), 0.01).promise == "yes"


def test_a_promise_is_broken_no_oftener_than_its_confidence_says() -> None:
    """Routes whose hits are wrong just beyond the budget: at most about one in twenty may get the promise."""
    drawn = random.Random(3)
    kept = [standing(Evidence(checked=600, wrong=wrong), 0.01).promise == "yes" for wrong in range(8)]
    promised = sum(kept[min(7, sum(drawn.random() < 0.0105 for _ in range(600)))] for _ in range(1_000))
    assert kept[0] and not kept[7] and promised / 1_000 < 0.07


def test_the_threshold_goes_up_at_once_and_down_slowly() -> None:
    up = moved(0.92, 0.92, Evidence(checked=3, wrong=1), 0.01, wrong=True)
    assert up == pytest.approx(0.94)
    assert moved(up, 0.92, Evidence(checked=50), 0.01, wrong=False) == up
    down = moved(up, 0.92, Evidence(checked=150), 0.01, wrong=False)
    assert down == pytest.approx(0.935)
    assert moved(0.922, 0.92, Evidence(checked=150), 0.01, wrong=False) == 0.92
    assert moved(0.92, 0.92, Evidence(checked=1000), 0.01, wrong=False) == 0.92


def test_a_wrong_hit_within_the_budget_moves_nothing() -> None:
    assert moved(0.92, 0.92, Evidence(checked=200, wrong=1), 0.01, wrong=True) == 0.92


def test_reports_move_it_too_and_it_ends_below_one() -> None:
    assert moved(0.92, 0.92, Evidence(reported=2, hits=20), 0.01, wrong=True) == pytest.approx(0.94)
    assert moved(0.99, 0.92, Evidence(checked=2, wrong=2), 0.01, wrong=True) == HIGHEST
