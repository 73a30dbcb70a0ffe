"""Breakers open, rest, probe and close."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comporta.routing.health import BreakerLimits, Health

HERE = ("openai", "gpt-4o-mini", "default")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_wire_18_five_failures_in_a_row_open_it_and_one_probe_goes_when_it_has_rested() -> None:
    clock = Clock()
    health = Health(clock)
    for _ in range(5):
        assert health.admits(HERE)
        health.failed(HERE)
    assert not health.admits(HERE)
    clock.now_s += 15
    assert health.admits(HERE)
    assert not health.admits(HERE), "a second probe went out beside the first"
    health.succeeded(HERE)
    assert health.admits(HERE) and health.admits(HERE)


def test_a_failed_probe_lets_it_rest_longer_up_to_the_bound() -> None:
    clock = Clock()
    health = Health(clock)
    for _ in range(5):
        health.failed(HERE)
    rests = []
    for _ in range(4):
        rests.append(health.rests_s(HERE))
        clock.now_s += rests[-1]
        assert health.admits(HERE)
        health.failed(HERE)
    assert rests == [15, 30, 60, 60]


def test_half_of_twenty_opens_it_though_never_five_in_a_row() -> None:
    health = Health(Clock())
    for _ in range(10):
        health.succeeded(HERE)
        health.failed(HERE)
    assert not health.admits(HERE)


def test_a_probe_whose_client_left_makes_room_for_another() -> None:
    clock = Clock()
    health = Health(clock)
    for _ in range(5):
        health.failed(HERE)
    clock.now_s += 15
    assert health.admits(HERE)
    health.released(HERE)
    assert health.admits(HERE)


def test_what_the_upstream_asks_for_is_waited_for_up_to_the_bound() -> None:
    health = Health(Clock())
    for _ in range(5):
        health.failed(HERE, wait_s=40)
    assert health.rests_s(HERE) == 40


def test_another_secret_under_a_refused_keys_name_is_tried_at_once() -> None:
    clock = Clock()
    health = Health(clock)
    health.refuse_key("openai", "default", "old")
    assert health.key_rests("openai", "default", "old")
    assert not health.key_rests("openai", "default", "new")
    clock.now_s += 301
    assert not health.key_rests("openai", "default", "old")


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=200))
def test_in_any_history_at_most_one_probe_is_out_and_it_always_comes_back(steps: list[tuple[bool, float]]) -> None:
    clock = Clock()
    health = Health(clock, BreakerLimits(failures=3, of=4))
    for good, pause_s in steps:
        clock.now_s += pause_s
        if health.admits(HERE):
            if health.open:
                assert not health.admits(HERE)
            if good:
                health.succeeded(HERE)
            else:
                health.failed(HERE)
    clock.now_s += 61
    assert health.admits(HERE)
