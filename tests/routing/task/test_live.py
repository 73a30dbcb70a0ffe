"""Live figures: moving means that grow old, calls under way, and the power of two choices."""

from __future__ import annotations

import random

from comporta.providers.catalogue import ModelFacts
from comporta.routing.task.balance import ordered
from comporta.routing.task.live import Live
from comporta.routing.task.rows import Member
from comporta.types import Target

A, B = ("p", "a"), ("p", "b")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_mean_follows_what_answers_take_and_forgets_what_is_old() -> None:
    clock = Clock()
    live = Live(clock, keep_s=60)
    live.took(A, None, 100.0)
    assert live.speed(A).total_ms == 100.0 and live.speed(A).first_ms is None
    for _ in range(40):
        live.took(A, None, 500.0)
    assert 490 < (live.speed(A).total_ms or 0) <= 500 and live.speed(A).p95_total_ms == 500.0
    clock.now_s = 61.0
    assert live.speed(A).total_ms is None, "so that who was slow is tried again"
    live.took(A, 5.0, 50.0)
    assert live.speed(A).total_ms == 50.0 and live.speed(A).of(True) == 5.0


def test_calls_under_way_are_counted_and_never_below_nothing() -> None:
    live = Live()
    live.begin(A)
    live.begin(A)
    assert live.busy(A) == 2
    for _ in range(3):
        live.end(A)
    assert live.busy(A) == 0 and live.speed(B).in_flight == 0


def _firsts(balance: str, took: dict[str, float | None], busy: dict[str, int], count: int = 400) -> dict[str, int]:
    members = [Member(name, Target("r", name, "p", name), ModelFacts()) for name in took]
    rng, found = random.Random(3), dict.fromkeys(took, 0)
    for _ in range(count):
        order = ordered(
            members, lambda one: one, balance, lambda one: took[one.name],  # type: ignore[arg-type]
            lambda one: busy[one.name], lambda one: None, rng,
        )  # fmt: skip
        assert sorted(one.name for one in order) == sorted(took), "nobody is lost"
        found[order[0].name] += 1
    return found


def test_the_slowest_of_three_gets_no_call_and_the_fastest_most() -> None:
    found = _firsts("least_latency", {"a": 100.0, "b": 200.0, "c": 900.0}, {"a": 0, "b": 0, "c": 0})
    assert found["c"] == 0 and found["a"] > found["b"] > 50, "two choices spread what one choice would pile up"


def test_who_was_never_measured_is_tried() -> None:
    assert _firsts("least_latency", {"a": 100.0, "new": None}, {"a": 0, "new": 0})["new"] == 400


def test_the_least_busy_goes_first() -> None:
    assert _firsts("least_busy", {"a": 1.0, "b": 900.0}, {"a": 7, "b": 2})["b"] == 400


def test_weights_alone_draw_by_shares() -> None:
    found = _firsts("weighted", {"a": 1.0, "b": 900.0}, {"a": 0, "b": 0}, 2000)
    assert 900 < found["a"] < 1100
