"""Intervals and bounds of shares, against figures that were computed elsewhere and against exact chances."""

from __future__ import annotations

import math

import pytest

from comporta.stats.intervals import binomial_tail, chernoff_upper, divergence, wilson


def test_wilsons_interval_is_the_published_one() -> None:
    # 15 of 148 (Newcombe, Statistics in Medicine 17, 1998, table I).
    interval = wilson(15, 148)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.0624, 0.1605)


def test_wilsons_interval_stays_within_0_and_1_and_is_everything_of_nothing() -> None:
    assert wilson(0, 20).low == 0.0
    assert round(wilson(0, 20).high, 4) == 0.1611
    assert wilson(20, 20).high == 1.0
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "p"), [(20, 0.1), (200, 0.02), (1000, 0.02), (50, 0.9)])
def test_a_share_lies_above_its_upper_bound_no_oftener_than_alpha(n: int, p: float) -> None:
    chances = [math.comb(n, hits) * p**hits * (1 - p) ** (n - hits) for hits in range(n + 1)]
    missed = math.fsum(chance for hits, chance in enumerate(chances) if chernoff_upper(hits, n, 0.05) < p)
    assert missed <= 0.05


def test_an_upper_bound_comes_closer_with_more_values_and_is_1_without_any() -> None:
    assert 0.02 < chernoff_upper(200, 10_000, 0.05) < chernoff_upper(20, 1_000, 0.05) < 0.05
    assert chernoff_upper(0, 0, 0.05) == 1.0
    assert chernoff_upper(5, 5, 0.05) == pytest.approx(1.0)


def test_the_tail_of_the_binomial_is_exact() -> None:
    exact = sum(math.comb(20, k) * 0.05**k * 0.95 ** (20 - k) for k in range(10, 21))
    assert binomial_tail(10, 20, 0.05) == pytest.approx(exact)
    assert binomial_tail(0, 20, 0.05) == 1.0
    assert binomial_tail(21, 20, 0.05) == 0.0
    assert binomial_tail(3, 20, 0.0) == 0.0
    assert binomial_tail(3, 20, 1.0) == 1.0


def test_shares_that_exclude_each_other_are_infinitely_far_apart() -> None:
    assert divergence(0.5, 0.0) == math.inf
    assert divergence(0.0, 0.5) == pytest.approx(math.log(2))
    assert divergence(0.3, 0.3) == 0.0
