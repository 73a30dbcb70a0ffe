"""Histograms that add up, and tell quantiles within their promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.stats import histogram
from comporta.stats.histogram import ACCURACY, ZERO, added, bucket, halved, moved, quantile, value
from comporta.stats.sums import share

positive = st.floats(1e-3, 1e9)


def of(values: list[float]) -> dict[int, int]:
    made: dict[int, int] = {}
    for one in values:
        made = added(made, {bucket(one): 1})
    return made


@given(positive)
def test_what_stands_for_a_value_is_within_1_percent_of_it(one: float) -> None:
    assert value(bucket(one)) == pytest.approx(one, rel=ACCURACY * 1.001)


@given(st.lists(positive, min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_1_percent_of_one_of_the_values_it_lies_between(values: list[float], q: float) -> None:
    at = quantile(of(values), q)
    assert at is not None
    below = sorted(values)[int(q * (len(values) - 1))]
    above = sorted(values)[min(len(values) - 1, int(q * (len(values) - 1)) + 1)]
    assert below * 0.98 <= value(at) <= above * 1.02


@given(st.lists(positive, max_size=20), st.lists(positive, max_size=20))
def test_histograms_add_up_in_any_order(one: list[float], other: list[float]) -> None:
    assert added(of(one), of(other)) == added(of(other), of(one)) == of(one + other)


def test_zero_has_a_bucket_of_its_own_below_all_others() -> None:
    assert bucket(0) == bucket(-1) == ZERO
    assert value(ZERO) == 0.0
    assert moved(ZERO, 2.0) == ZERO
    assert quantile({ZERO: 3, bucket(5.0): 1}, 0.5) == ZERO
    assert quantile({}, 0.5) is None


def test_a_bucket_moves_by_a_factor() -> None:
    assert value(moved(bucket(100.0), 1.2)) == pytest.approx(120.0, rel=0.025)


def test_values_above_a_bucket_are_counted() -> None:
    assert histogram.above(of([1.0, 2.0, 3.0, 4.0]), bucket(2.0)) == share(4, 2)


def test_a_capped_value_counts_as_the_cap() -> None:
    sums = histogram.capped(of([10.0, 1000.0]), 100.0)
    assert sums.total == pytest.approx(1.1, rel=0.02)
    assert sums.squares == pytest.approx(1.01, rel=0.02)


def test_old_counts_give_way_by_halves() -> None:
    assert halved({1: 5, 2: 1}) == {1: 2}


def test_the_mean_is_within_1_percent() -> None:
    assert histogram.mean(of([10.0, 20.0, 60.0])) == pytest.approx(30.0, rel=ACCURACY)
    assert histogram.mean({}) == 0.0
