"""Shares that follow what is known."""

from __future__ import annotations

import random

import pytest

from comporta.stats.bandit import chances_of_best, thompson
from comporta.stats.sums import Sums, share


def test_arms_nobody_knows_anything_of_share_alike() -> None:
    shares = thompson((Sums(), Sums(), Sums()), 0.05, random.Random(1))
    assert all(one == pytest.approx(1 / 3, abs=0.05) for one in shares)
    assert sum(shares) == pytest.approx(1.0)


def test_the_better_arm_gets_nearly_all_and_the_other_its_floor() -> None:
    assert thompson((share(500, 250), share(500, 400)), 0.1, random.Random(1)) == pytest.approx((0.1, 0.9), abs=0.001)
    lower = thompson((share(500, 250), share(500, 400)), 0.1, random.Random(1), better="lower")
    assert lower == pytest.approx((0.9, 0.1), abs=0.001)


def test_the_chance_of_being_best_is_that_of_the_distributions() -> None:
    # Beta(2, 1) above Beta(1, 2): 5/6.
    chances = chances_of_best((share(1, 1), share(1, 0)), random.Random(3), draws=20_000)
    assert chances[0] == pytest.approx(5 / 6, abs=0.01)


def test_means_of_other_values_are_weighed_by_their_spread() -> None:
    narrow = (Sums(200, 120.0, 72.5), Sums(200, 124.0, 77.4))
    wide = (Sums(200, 120.0, 110.0), Sums(200, 124.0, 114.0))
    rng = random.Random(4)
    assert chances_of_best(narrow, rng)[1] > 0.99
    assert 0.6 < chances_of_best(wide, rng)[1] < 0.95


def test_the_same_seed_gives_the_same_shares() -> None:
    arms = (share(50, 20), share(50, 25))
    assert thompson(arms, 0.1, random.Random(9)) == thompson(arms, 0.1, random.Random(9))


def test_floors_that_leave_nothing_to_share_out_are_refused() -> None:
    for floor in (0.5, -0.1):
        with pytest.raises(ValueError, match="leaves nothing"):
            thompson((Sums(), Sums()), floor, random.Random(1))
