"""Paired comparisons say better, no worse, worse or not enough data as often as they promise, and no more often."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.stats.paired import (
    Floats,
    bootstrap_interval,
    bounded_interval,
    compare_numbers,
    compare_passes,
    flip_signs,
    t_quantile,
)


def pairs(losses: int, gains: int, both: int, neither: int = 0) -> tuple[list[list[bool]], list[list[bool]]]:
    """Cases that only the baseline passed, only the candidate, both, neither."""
    before = [True] * losses + [False] * gains + [True] * both + [False] * neither
    after = [False] * losses + [True] * gains + [True] * both + [False] * neither
    return [[one] for one in before], [[one] for one in after]


@pytest.mark.parametrize(
    ("losses", "gains", "p"),
    # Binomial with one half, both tails: 2 * sum(C(n, k) for k <= min) / 2**n.
    [(0, 0, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (2, 9, 0.0654296875), (5, 5, 1.0), (12, 3, 0.03515625)],
)
def test_with_one_try_a_case_the_test_is_mcnemars_exact_one(losses: int, gains: int, p: float) -> None:
    assert compare_passes(*pairs(losses, gains, 20)).p == pytest.approx(p)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_flipping_signs_is_what_counting_all_flips_gives(steps: list[int]) -> None:
    observed = abs(sum(steps))
    sums = [
        abs(sum(s * one for s, one in zip(signs, steps, strict=True))) for signs in product((1, -1), repeat=len(steps))
    ]
    expected = sum(one >= observed for one in sums) / len(sums)
    assert flip_signs(np.array(steps) / 5) == pytest.approx(expected)


def test_repeats_of_one_case_are_no_more_cases() -> None:
    once = compare_passes([[True]] * 5, [[False]] * 5)
    often = compare_passes([[True] * 10] * 5, [[False] * 10] * 5)
    assert (once.p, once.low, once.high) == (often.p, often.low, often.high)
    assert once.verdict == "not enough data"


def test_a_rise_of_repeats_in_every_case_counts() -> None:
    found = compare_passes([[True, False, False]] * 30, [[True, True, False]] * 30)
    assert found.verdict == "better" and found.effect == pytest.approx(1 / 3) and found.low > 0


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((0, 20, 20), "better"), ((20, 0, 20), "worse"), ((0, 0, 200), "no worse"), ((0, 0, 20), "not enough data"),
        ((10, 10, 30), "not enough data"), ((1, 1, 300), "no worse"),
    ],
)  # fmt: skip
def test_the_four_verdicts(counts: tuple[int, int, int], verdict: str) -> None:
    assert compare_passes(*pairs(*counts)).verdict == verdict


def test_a_loss_smaller_than_the_margin_is_no_worse_however_sure_it_is() -> None:
    found = compare_passes(*pairs(40, 0, 3960))
    assert found.high < 0 and found.p is not None and found.p < 0.001 and found.verdict == "no worse"


def test_no_difference_at_all_needs_73_cases_to_rule_out_5_points() -> None:
    assert [compare_passes(*pairs(0, 0, n)).verdict for n in (72, 73)] == ["not enough data", "no worse"]
    assert compare_passes(*pairs(0, 0, 12)).more == 61


def test_so_many_more_cases_like_these_decide_it() -> None:
    found = compare_passes(*pairs(1, 4, 25))
    assert found.verdict == "not enough data" and found.more
    times = math.ceil((found.cases + found.more) / found.cases)
    assert compare_passes(*pairs(times, 4 * times, 25 * times)).verdict != "not enough data"


def test_where_nothing_may_be_lost_no_number_of_equal_cases_decides() -> None:
    assert compare_passes(*pairs(3, 3, 94), margin=0).more is None


def tango(losses: int, gains: int, cases: int, z: float = 1.959964) -> tuple[float, float]:
    """Tango's interval by its own formula (Statistics in Medicine 17, 1998), solved by steps."""

    def score(delta: float) -> float:
        a = 2 * cases
        b = -gains - losses + (2 * cases - gains + losses) * delta
        c = -losses * delta * (1 - delta)
        q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        return (gains - losses - cases * delta) / math.sqrt(cases * (2 * q + delta * (1 - delta)))

    deltas = [d for d in np.linspace(-0.9999, 0.9999, 40_001) if abs(score(float(d))) <= z]
    return float(deltas[0]), float(deltas[-1])


@pytest.mark.parametrize(("losses", "gains", "cases"), [(4, 9, 40), (0, 6, 25), (1, 0, 60), (12, 3, 44)])
def test_the_interval_is_tangos_where_each_case_ran_once(losses: int, gains: int, cases: int) -> None:
    found = compare_passes(*pairs(losses, gains, cases - losses - gains))
    assert (found.low, found.high) == pytest.approx(tango(losses, gains, cases), abs=2e-4)


def drawn(random: np.random.Generator, cases: int, losses: float, gains: float) -> Floats:
    counts = random.multinomial(cases, [losses, gains, 1 - losses - gains])
    return np.repeat([-1.0, 1.0, 0.0], counts)


@pytest.mark.parametrize(("cases", "losses", "gains"), [(73, 0.05, 0.0), (40, 0.2, 0.15), (100, 0.075, 0.025)])
def test_a_loss_of_the_margin_passes_for_no_worse_in_few_of_a_hundred(cases: int, losses: float, gains: float) -> None:
    """The promise is 2.5 of 100; 4 leaves room for the draw."""
    random = np.random.default_rng(20)
    wrong = sum(bounded_interval(drawn(random, cases, losses, gains), 0.05)[0] > gains - losses for _ in range(600))
    assert wrong / 600 <= 0.04


def test_the_same_prompt_is_called_worse_or_better_in_few_of_a_hundred() -> None:
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        quality = random.beta(4, 1.5, 40)
        before, after = (random.random((40, 3)) < quality[:, None] for _ in range(2))
        # Without this no verdict is better or worse.
        wrong += flip_signs(after.mean(axis=1) - before.mean(axis=1)) <= 0.05
    assert wrong / 400 <= 0.06


def test_numbers_of_a_better_candidate_are_better_and_lower_costs_too() -> None:
    random = np.random.default_rng(5)
    before = [list(random.normal(0.6, 0.1, 2)) for _ in range(25)]
    after = [[one + 0.1 for one in case] for case in before]
    found = compare_numbers(before, after, margin=0.05)
    assert found.verdict == "better" and found.effect == pytest.approx(0.1) and found.p is None
    assert compare_numbers(before, after, margin=0.05, lower_is_better=True).verdict == "worse"
    assert compare_numbers(after, before, margin=0.05, lower_is_better=True).verdict == "better"


def test_a_bootstrap_holds_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    held = 0
    for at in range(200):
        low, high = bootstrap_interval(random.exponential(1.0, 15) - 1.0, 0.05, seed=at, draws=400)
        held += low <= 0 <= high
    assert held / 200 >= 0.88


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(0, 1, 30)
    assert bootstrap_interval(values, 0.05, seed=4) == bootstrap_interval(values, 0.05, seed=4)


def test_few_numbers_decide_nothing_and_say_how_many_would() -> None:
    found = compare_numbers([[0.1]] * 4, [[0.9]] * 4, margin=0.05)
    assert (found.verdict, found.more) == ("not enough data", 6)


def test_no_cases_at_all_are_not_enough_data() -> None:
    assert compare_passes([], []).verdict == compare_numbers([], [], margin=0.1).verdict == "not enough data"


def test_cases_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        compare_passes([[True]], [])
    with pytest.raises(ValueError, match="at least one"):
        compare_passes([[]], [[]])


@pytest.mark.parametrize(("degrees", "quantile"), [(9, 2.262157), (19, 2.093024), (99, 1.984217)])
def test_students_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=1e-4)


TRIES = st.lists(st.booleans(), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(TRIES, TRIES), min_size=1, max_size=12))
def test_swapping_the_versions_mirrors_the_numbers(cases: list[tuple[list[bool], list[bool]]]) -> None:
    before, after = [one for one, _ in cases], [one for _, one in cases]
    forth, back = compare_passes(before, after), compare_passes(after, before)
    assert forth.effect == pytest.approx(-back.effect) and forth.p == pytest.approx(back.p)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
    assert -1 <= forth.low <= forth.effect + 1e-12 and forth.effect - 1e-12 <= forth.high <= 1
