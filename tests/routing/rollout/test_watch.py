"""Errors since, against errors before."""

from __future__ import annotations

import random

import msgspec
import pytest

from comporta.routing.rollout.watch import Watch, verdict, watched, watching


def since(watch: Watch, errors: float, calls: int, seed: int) -> int | None:
    """After how many of so many calls a rise was proven; None where it never was."""
    rng = random.Random(seed)
    for n in range(0, calls, 20):
        watch = watched(watch, 20, sum(rng.random() < errors for _ in range(20)))
        if verdict(watch).risen:
            return n + 20
    return None


def test_a_rise_of_errors_is_found_out() -> None:
    found = [since(watching(5_000, 100), 0.10, 1_000, seed) for seed in range(40)]
    assert all(calls is not None for calls in found)
    assert sorted(calls or 0 for calls in found)[20] <= 160


def test_errors_as_before_are_hardly_ever_taken_for_a_rise() -> None:
    wrong = 0
    for seed in range(100):
        rng = random.Random(seed)
        before = sum(rng.random() < 0.02 for _ in range(500))
        wrong += since(watching(500, before), 0.02, 2_000, 1_000 + seed) is not None
    assert wrong <= 5


def test_a_proven_rise_below_the_margin_is_let_be() -> None:
    watch = watched(watching(200_000, 4_000), 200_000, 5_000)
    found = verdict(watch, margin=0.01)
    assert found.odds > 1e6
    assert not found.risen
    assert verdict(watch, margin=0.004).risen
    assert "2.50% of 200,000 calls now, 2.00% of 200,000 before" in found.reason


def test_without_calls_from_before_nothing_is_proven() -> None:
    found = verdict(watched(watching(0, 0), 100, 100))
    assert not found.risen
    assert (found.before, found.now) == (0.0, 1.0)
    assert found.reason == "There are no calls from before to compare with."


def test_without_calls_since_nothing_has_risen() -> None:
    assert not verdict(watched(watching(100, 1), 0, 0)).risen


def test_calls_may_come_in_any_pieces_and_the_watch_through_json() -> None:
    whole = watched(watching(1_000, 20), 300, 30)
    pieces = watching(1_000, 20)
    for calls, errors in ((100, 3), (0, 0), (150, 25), (50, 2)):
        pieces = msgspec.json.decode(msgspec.json.encode(watched(pieces, calls, errors)), type=Watch)
    assert (pieces.calls, pieces.errors) == (300, 30)
    assert pieces.capitals == pytest.approx(whole.capitals)
