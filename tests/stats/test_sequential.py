"""Bets that may be looked at after every value: fair, counted out exactly where it can be done, else simulated."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.stats.sequential import (
    Null,
    bet_on_one,
    bet_on_two,
    evidence,
    growth,
    interval_at_all_times,
    odds,
    still_needed,
)
from comporta.stats.sums import Sums, share

units = st.floats(0, 1)


def sums_of(values: list[float]) -> Sums:
    return Sums(len(values), math.fsum(values), math.fsum(y * y for y in values))


def expected(n: int, mean: float, worth: Callable[[Sums], float]) -> float:
    """What something is worth on average over `n` zeros and ones of that mean."""
    chances = [math.comb(n, hits) * mean**hits * (1 - mean) ** (n - hits) for hits in range(n + 1)]
    return math.fsum(chance * worth(share(n, hits)) for hits, chance in enumerate(chances))


# ---- one block ------------------------------------------------------------------------------------------------------


@given(st.lists(units, min_size=1, max_size=30), st.floats(0.01, 0.99), st.floats(-0.9, 0.9))
def test_the_growth_from_sums_never_promises_more_than_the_values_gave(
    values: list[float], centre: float, part: float
) -> None:
    stake = part / (centre if part > 0 else 1 - centre)
    exact = math.fsum(math.log1p(stake * (y - centre)) for y in values)
    assert growth(sums_of(values), stake, centre) <= exact + 1e-6


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.01, 0.99), st.floats(-0.9, 0.9))
def test_the_growth_of_zeros_and_ones_is_exact(hits: int, misses: int, centre: float, part: float) -> None:
    stake = part / (centre if part > 0 else 1 - centre)
    exact = hits * math.log1p(stake * (1 - centre)) + misses * math.log1p(-stake * centre)
    assert growth(share(hits + misses, hits), stake, centre) == pytest.approx(exact, abs=1e-9)


def test_a_stake_that_could_lose_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="lose everything"):
        growth(share(3, 1), 10.0, 0.2)


@settings(max_examples=150)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    units,
    st.floats(0.001, 0.999),
    st.floats(0.01, 100),
    st.floats(0, 0.2),
    st.sampled_from(["above", "below"]),
)
def test_no_block_wins_on_average_when_the_hypothesis_holds(
    n_a: int, n_b: int, mean: float, centre: float, stake: float, shift: float, toward: str
) -> None:
    # Counted out over all outcomes: whatever mean both sides have in this block, and however wrong the centre is.
    null = Null("above" if toward == "above" else "below", shift)
    mean_b = min(1.0, null.at(mean))
    if toward == "below" and null.at(mean) > 1:
        return

    def capital(b: Sums) -> float:
        return expected(n_a, mean, lambda a: math.exp(bet_on_two((0.0,), a, b, (stake,), centre, null)[0]))

    assert expected(n_b, mean_b, capital) <= 1 + 1e-9
    harmless = mean_b * 0.5 if toward == "above" else mean_b + (1 - mean_b) * 0.5
    assert expected(n_b, harmless, capital) <= 1 + 1e-9


@given(st.integers(1, 6), st.integers(1, 6), units, st.floats(0.01, 20), st.floats(1, 1.5))
def test_the_same_holds_for_a_margin_that_is_a_share(
    n_a: int, n_b: int, mean: float, stake: float, scale: float
) -> None:
    null = Null("below", scale=scale)
    if null.at(mean) > 1:
        return

    def capital(b: Sums) -> float:
        return expected(n_a, mean, lambda a: math.exp(bet_on_two((0.0,), a, b, (stake,), 0.3, null)[0]))

    assert expected(n_b, null.at(mean), capital) <= 1 + 1e-9


@given(st.integers(1, 30), st.floats(0.01, 0.99), st.floats(0.01, 50))
def test_nor_does_a_bet_on_one_side_against_a_fixed_mean(n: int, mean: float, stake: float) -> None:
    def capital(values: Sums) -> float:
        return math.exp(bet_on_one((0.0,), values, (stake,), mean)[0])

    assert expected(n, mean, capital) <= 1 + 1e-9
    assert expected(n, mean * 0.9, capital) <= 1 + 1e-9
    if mean < 0.9:
        assert expected(n, 1.0, capital) > 1


# ---- many looks -----------------------------------------------------------------------------------------------------

STAKES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def ever_reaches(
    rng: random.Random, looks: int, of_a: Callable[[int], float], lead: float, wanted: float
) -> int | None:
    """The look at which the capital reaches `wanted`; None where it never does. B's rate is A's of then plus `lead`."""
    capitals = (0.0,) * len(STAKES)
    hits, n = 1, 20
    for look in range(looks):
        n_b = rng.choice((1, 2, 10))
        rate = of_a(look)
        a = share(20, sum(rng.random() < rate for _ in range(20)))
        b = share(n_b, sum(rng.random() < rate + lead for _ in range(n_b)))
        capitals = bet_on_two(capitals, a, b, STAKES, hits / n, Null("above"))
        hits, n = hits + int(a.total + b.total), n + a.n + b.n
        if evidence(capitals) >= math.log(wanted):
            return look
    return None


def test_sides_alike_are_told_apart_no_oftener_than_alpha_however_often_one_looks_and_whatever_the_day_brings() -> None:
    rng = random.Random(5)

    def bad_hours(look: int) -> float:
        return 0.02 if look % 100 < 70 else 0.25

    wrong = sum(ever_reaches(rng, 200, bad_hours, 0.0, 20) is not None for _ in range(80))
    assert wrong <= 0.05 * 80


def test_a_side_that_is_worse_is_found_out() -> None:
    rng = random.Random(6)
    found = [ever_reaches(rng, 300, lambda _: 0.02, 0.10, 20) for _ in range(50)]
    assert all(look is not None for look in found)


def test_an_interval_holds_at_all_times_at_once() -> None:
    rng = random.Random(7)
    missed = 0
    for _ in range(150):
        total = squares = 0.0
        for n in range(1, 400):
            y = rng.betavariate(2.4, 0.6)
            total, squares = total + y, squares + y * y
            values = Sums(n, total, squares)
            interval = interval_at_all_times(values.mean, math.sqrt(values.variance), n, 0.05, 500)
            if n >= 100 and 0.8 not in interval:
                missed += 1
                break
    assert missed <= 0.05 * 150


def test_an_interval_narrows_as_values_come_and_is_everything_without_any() -> None:
    few, many = (interval_at_all_times(0.5, 0.2, n, 0.05, 500) for n in (50, 5000))
    assert many.high - many.low < few.high - few.low < 0.3
    assert interval_at_all_times(0.5, 0.2, 0, 0.05, 500).low == -math.inf


def test_how_many_more_values_it_takes_is_about_right() -> None:
    rng = random.Random(8)
    needed = still_needed(0.0, math.log(20), 0.10, 0.07, 20 / 21)
    assert needed is not None
    found = []
    for _ in range(60):
        capitals: tuple[float, ...] = (0.0,)
        values = 0
        while capitals[0] < math.log(20):
            a = share(20, sum(rng.random() < 0.02 for _ in range(20)))
            b = share(1, rng.random() < 0.12)
            capitals, values = bet_on_two(capitals, a, b, (1.5,), 0.03, Null("above")), values + 1
        found.append(values)
    assert needed / 2 < sorted(found)[30] < needed * 2


def test_no_number_of_values_shows_what_is_not_there() -> None:
    assert still_needed(0.0, 3.0, 0.0, 0.1, 0.5) is None
    assert still_needed(0.0, 3.0, 0.1, 0.1, 0.0) is None
    assert still_needed(3.5, 3.0, -0.1, 0.1, 0.5) == 0


def test_evidence_is_that_of_the_mean_capital() -> None:
    assert evidence((math.log(3), math.log(5))) == pytest.approx(math.log(4))
    assert evidence((-2000.0, -3000.0)) == pytest.approx(-2000 - math.log(2))
    assert odds(5000.0) == pytest.approx(1e12)


@given(st.lists(st.lists(units, max_size=5), max_size=5))
def test_sums_add_up_in_any_order(pieces: list[list[float]]) -> None:
    whole = sums_of(list(itertools.chain(*pieces)))
    for order in (pieces, pieces[::-1]):
        both = Sums()
        for piece in order:
            both = both.plus(sums_of(piece))
        assert (both.n, both.total, both.squares) == pytest.approx((whole.n, whole.total, whole.squares))


@given(st.lists(units, min_size=1, max_size=9))
def test_sums_can_be_turned_round_without_the_values(values: list[float]) -> None:
    turned = sums_of(values).flipped()
    assert turned.squares == pytest.approx(sums_of([1 - y for y in values]).squares, abs=1e-9)
