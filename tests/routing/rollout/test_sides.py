"""Who stays on which side."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.routing.rollout.sides import on_b, place

shares = st.floats(0, 1)


@given(st.text(max_size=20), st.text(max_size=20), shares, shares)
def test_a_growing_share_never_moves_a_caller_back(salt: str, key: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert not on_b(salt, key, small) or on_b(salt, key, large)


@given(st.text(max_size=20), st.text(max_size=20), shares)
def test_a_caller_stays_where_it_is_while_the_share_does(salt: str, key: str, share: float) -> None:
    assert len({on_b(salt, key, share) for _ in range(3)}) == 1


@given(st.text(max_size=20), st.one_of(st.none(), st.text(max_size=20)))
def test_nobody_is_on_a_side_of_0_percent_and_everybody_on_one_of_100(salt: str, key: str | None) -> None:
    assert not on_b(salt, key, 0.0, draw=lambda: 0.0)
    assert on_b(salt, key, 1.0, draw=lambda: 0.9999999)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_of_callers_on_b_converges_to_what_is_asked_for(share: float) -> None:
    seen = sum(on_b("one", f"session-{n}", share) for n in range(20_000)) / 20_000
    assert seen == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)


def test_two_rollouts_know_nothing_of_each_other() -> None:
    both = sum(on_b("one", f"s{n}", 0.5) and on_b("other", f"s{n}", 0.5) for n in range(10_000))
    assert both == pytest.approx(2_500, abs=200)


def test_a_call_of_nobody_is_drawn_each_time() -> None:
    draw = random.Random(1).random
    drawn = [on_b("one", None, 0.5, draw) for _ in range(1_000)]
    assert sum(drawn) == pytest.approx(500, abs=70)


@given(st.text(), st.text())
def test_a_place_lies_below_1(salt: str, key: str) -> None:
    assert 0 <= place(salt, key) < 1
