"""What a rollout intends, and what can't be intended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from comporta.errors import BadRequest
from comporta.routing.rollout.plan import Burst, GuardMetric, Rollout, Stage


def test_a_plan_is_1_10_50_and_100_percent_guarded_by_errors_unless_said_otherwise() -> None:
    plan = Rollout()
    assert [stage.share for stage in plan.stages] == [0.01, 0.1, 0.5, 1.0]
    assert [(guard.name, guard.margin) for guard in plan.guards] == [("errors", 0.01)]


def test_metrics_have_names_and_margins_of_their_own() -> None:
    guards = (
        GuardMetric("latency"),
        GuardMetric("latency", quantile=0.99),
        GuardMetric("cost"),
        GuardMetric("score", score="rating", low=1, high=5),
        GuardMetric("score", score="tone", label="rude", better="lower", margin=0.02),
    )
    assert [guard.name for guard in guards] == ["latency_p95", "latency_p99", "cost", "score:rating", "score:tone=rude"]
    assert [guard.margin for guard in guards] == [0.2, 0.2, 0.1, 0.2, 0.02]


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    plan = Rollout(guards=(GuardMetric("errors"), GuardMetric("score", score="rating", low=1.0, high=5.0)))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Rollout) == plan


def test_several_metrics_share_the_chance_of_a_false_alarm() -> None:
    assert Rollout(guards=(GuardMetric("errors"), GuardMetric("cost")), alpha=0.04).alpha_each == 0.02


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stages": ()}, "last stage of a rollout is 100 %"),
        ({"stages": (Stage(0.1), Stage(0.5))}, "last stage of a rollout is 100 %"),
        ({"stages": (Stage(0.5), Stage(0.1), Stage(1.0))}, "each above the one before"),
        ({"stages": (Stage(0.0), Stage(1.0))}, "above 0 and at most at 1"),
        ({"stages": (Stage(0.5, min_calls=-1), Stage(1.0))}, "can't lie below 0"),
        ({"alpha": 0.0}, "chance between 0 and 0.5"),
        ({"harm_from": 1.5}, "share of the margin"),
        ({"burst": Burst(calls=0)}, "A burst wants"),
        ({"guards": (GuardMetric("cost"),)}, "Errors always guard"),
        ({"guards": (GuardMetric("errors"), GuardMetric("errors", margin=0.2))}, "stands twice in the list: errors"),
        ({"guards": (GuardMetric("errors"), GuardMetric("score"))}, "wants the score's name"),
        ({"guards": (GuardMetric("errors", score="x"),)}, "the other kinds have none"),
        ({"guards": (GuardMetric("errors", margin=1.0),)}, "margin lies above 0 and below 1"),
        ({"guards": (GuardMetric("errors"), GuardMetric("cost", margin=-0.1))}, "margin lies above 0."),
        ({"guards": (GuardMetric("errors"), GuardMetric("score", score="x", low=2, high=1))}, "`high` lies above"),
        ({"guards": (GuardMetric("errors"), GuardMetric("latency", quantile=1.0))}, "0.95 is p95"),
    ],
)
def test_a_plan_that_does_not_hold_together_is_refused_with_the_reason(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words.replace("(", r"\(").replace(".", r"\.")) as refused:
        Rollout(**wrong)
    assert refused.value.code == "rollout_plan"
