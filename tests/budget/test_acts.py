"""What budgets say that they do: thresholds and actions as people write them, and where calls are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.budget.acts import UNLIMITED_MICROUSD, VERBS, Acts, Step, acts_of, amount_at, hard_microusd
from comporta.errors import BadRequest

SHAPE = {"at_75": "notify_team", "at_90": "notify_finance", "at_100": "block_requests"}


def test_thresholds_and_actions_become_steps_and_a_threshold_without_a_channel_tells_the_usual_ones() -> None:
    acts = acts_of([50, 75, 90, 100], SHAPE)
    assert acts.steps == (
        Step(50), Step(75, tell=("notify_team",)), Step(90, tell=("notify_finance",)), Step(100, "block_requests"),
    )  # fmt: skip
    assert acts.thresholds == [50, 75, 90, 100]
    assert acts_of(acts.thresholds, acts.written) == acts


@pytest.mark.parametrize(
    ("actions", "percent"),
    [
        ({}, 100),
        ({"at_90": "notify_finance"}, 100),
        ({"at_100": "notify_finance"}, 100),
        ({"at_90": "switch_to_cheaper_model"}, 100),
        ({"at_100": "switch_to_cheaper_model"}, None),
        ({"at_100": ["throttle", "team"]}, None),
        ({"at_100": "allow_requests"}, None),
        ({"at_95": "block_requests"}, 95),
        ({"at_100": "switch_to_cheaper_model", "at_120": "block_requests"}, 120),
    ],
)
def test_calls_are_refused_at_the_limit_unless_the_budget_says_otherwise(
    actions: dict[str, str | list[str]], percent: int | None
) -> None:
    acts = acts_of([], actions)
    assert acts.hard_percent == percent
    expected = UNLIMITED_MICROUSD if percent is None else 1000 * percent // 100
    assert hard_microusd(1000, acts) == expected


def test_the_last_step_that_was_passed_holds_for_calls() -> None:
    acts = acts_of([50], {"at_80": "switch_to_cheaper_model", "at_90": "notify_team", "at_100": "throttle"})
    met = {percent: step.does if (step := acts.now(percent)) else None for percent in (0, 79.9, 80, 95, 100, 300)}
    assert met == {0: None, 79.9: None, 80: "switch_to_cheaper_model", 95: "switch_to_cheaper_model",
                   100: "throttle", 300: "throttle"}  # fmt: skip


@pytest.mark.parametrize(
    ("thresholds", "actions", "param"),
    [
        ([0], {}, "alert_thresholds"),
        ([1001], {}, "alert_thresholds"),
        ([True], {}, "alert_thresholds"),
        (["50"], {}, "alert_thresholds"),
        ([*range(1, 30)], {}, "alert_thresholds"),
        ([], {"90": "team"}, "actions"),
        ([], {"at_0": "team"}, "actions"),
        ([], {"at_90": ""}, "actions"),
        ([], {"at_90": ["throttle", "block_requests"]}, "actions"),
    ],
)
def test_what_makes_no_sense_is_refused(thresholds: list[object], actions: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        acts_of(thresholds, actions)
    assert caught.value.param == param


@given(st.integers(1, 10**15), st.integers(1, 1000))
def test_an_amount_is_the_least_that_reaches_its_percent(limit: int, percent: int) -> None:
    amount = amount_at(limit, percent)
    assert amount * 100 >= limit * percent > (amount - 1) * 100


def test_a_budget_without_steps_blocks_at_its_limit_and_changes_nothing_before() -> None:
    assert (Acts().hard_percent, Acts().softly, Acts().now(99.0)) == (100, False, None)
    assert set(VERBS) == {"block_requests", "switch_to_cheaper_model", "throttle", "allow_requests"}
