"""What is counted of each side."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.routing.rollout.figures import Figures, Tally, unit_value
from comporta.routing.rollout.plan import GuardMetric
from comporta.stats.histogram import quantile, value

RATING = GuardMetric("score", score="rating", low=1, high=5)
RUDE = GuardMetric("score", score="tone", label="rude", better="lower")
calls = st.lists(
    st.tuples(st.booleans(), st.floats(1, 1e5), st.one_of(st.none(), st.integers(0, 10**6)), st.integers(1, 5)),
    max_size=20,
)


def tallied(some: list[tuple[bool, float, int | None, int]]) -> Figures:
    tally = Tally((RATING, RUDE))
    for failed, latency_ms, cost, rating in some:
        tally.call(failed=failed, latency_ms=latency_ms, cost_microusd=cost)
        tally.score("rating", rating)
        tally.score("tone", "rude" if rating == 1 else "kind")
    return tally.take()


@given(calls, calls)
def test_figures_of_pieces_add_up_to_those_of_the_whole(
    one: list[tuple[bool, float, int | None, int]], other: list[tuple[bool, float, int | None, int]]
) -> None:
    whole, both = tallied(one + other), tallied(one).plus(tallied(other))
    assert (both.calls, both.errors, both.latency, both.cost) == (whole.calls, whole.errors, whole.latency, whole.cost)
    assert both.cost_microusd == whole.cost_microusd
    assert both.score("score:rating").total == pytest.approx(whole.score("score:rating").total)
    assert both == tallied(other).plus(tallied(one))


@given(calls)
def test_figures_come_back_from_json_as_they_were(some: list[tuple[bool, float, int | None, int]]) -> None:
    figures = tallied(some)
    assert msgspec.json.decode(msgspec.json.encode(figures), type=Figures) == figures


def test_what_was_handed_out_is_not_counted_again() -> None:
    tally = Tally()
    tally.call(failed=True, cost_microusd=5)
    assert tally.take().errors == 1
    assert tally.take() == Figures()


def test_a_failed_calls_latency_is_not_looked_at() -> None:
    rng = random.Random(1)
    figures = tallied([(n % 2 == 0, 1.0 if n % 2 == 0 else 1000 + rng.random(), None, 3) for n in range(50)])
    at = quantile(figures.latency, 0.5)
    assert at is not None
    assert value(at) == pytest.approx(1000, rel=0.02)
    assert figures.cost == {}


def test_scores_are_counted_in_units_of_their_range() -> None:
    assert tallied([(False, 1.0, None, 4)]).score("score:rating").mean == 0.75
    assert tallied([(False, 1.0, None, 1), (False, 1.0, None, 2)]).score("score:tone=rude").mean == 0.5


@pytest.mark.parametrize(
    ("guard", "given", "unit"),
    [
        (RATING, 7, 1.0),
        (RATING, -3, 0.0),
        (RATING, "4", None),
        (RATING, float("nan"), None),
        (GuardMetric("score", score="helpful"), True, 1.0),
        (RUDE, True, None),
        (RUDE, "kind", 0.0),
    ],
)
def test_a_value_beyond_the_range_counts_as_its_bound_and_one_of_another_kind_not_at_all(
    guard: GuardMetric, given: float | bool | str, unit: float | None
) -> None:
    assert unit_value(guard, given) == unit


def test_scores_that_no_metric_asks_for_are_passed_over() -> None:
    tally = Tally((RATING,))
    tally.score("other", 3)
    assert tally.take().scores == {}
