"""Which side of an experiment is the better one, or that it can't be told yet."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from comporta.errors import BadRequest
from comporta.routing.rollout.experiment import (
    Adaptive,
    Experiment,
    ExperimentEvidence,
    Verdict,
    fold_experiment,
    shares,
    verdict,
)
from comporta.routing.rollout.figures import Figures, Window
from comporta.routing.rollout.plan import GuardMetric
from support.drawn import HELPFUL, SAME, Side

PLAN = Experiment(HELPFUL, min_calls=50)


def run(
    plan: Experiment, b: Side, seed: int, seconds: int, per: int = 20
) -> tuple[Verdict, ExperimentEvidence, int]:  # fmt: skip
    """Until there is a verdict, at most so long: the verdict, what it is made from, and the seconds it took."""
    rng = random.Random(seed)
    guards = plan.forward.guards
    known, found = ExperimentEvidence(), verdict(plan, ExperimentEvidence(), 0.0, 0.0)
    for second in range(1, seconds + 1):
        window = Window(0, float(second), SAME.calls(rng, per, guards), b.calls(rng, per, guards))
        known = fold_experiment(plan, known, window)
        found = verdict(plan, known, 0.0, float(second))
        if found.outcome != "not_enough_data":
            return found, known, second
    return found, known, seconds


def test_the_better_side_wins() -> None:
    found, _, seconds = run(PLAN, Side(helpful=0.88), 1, 200)
    assert (found.outcome, found.winner) == ("winner", "b")
    assert found.odds_b >= found.odds_needed == pytest.approx(40)
    assert found.deciding.high is not None
    assert found.deciding.high < 0
    assert "B is better" in found.reason
    assert seconds < 100


def test_the_worse_side_loses() -> None:
    found, _, _ = run(PLAN, Side(helpful=0.70), 2, 200)
    assert (found.outcome, found.winner) == ("winner", "a")
    assert found.deciding.low is not None
    assert found.deciding.low > 0


@pytest.mark.parametrize(
    ("metric", "b", "winner"),
    [
        (GuardMetric("errors"), Side(errors=0.0), "b"),
        (GuardMetric("latency"), Side(latency_ms=300), "b"),
        (GuardMetric("latency"), Side(latency_ms=900), "a"),
        (GuardMetric("cost"), Side(cost_microusd=600), "b"),
    ],
)
def test_any_metric_may_decide(metric: GuardMetric, b: Side, winner: str) -> None:
    found, _, _ = run(Experiment(metric, (), min_calls=50), b, 3, 500)
    assert (found.outcome, found.winner) == ("winner", winner)


def test_few_calls_are_not_enough_data_and_it_is_said_how_many_more_it_takes() -> None:
    found, _, _ = run(PLAN, Side(helpful=0.82), 4, 8)
    assert (found.outcome, found.winner) == ("not_enough_data", None)
    assert found.reason.startswith("Not enough data")
    assert found.more_calls is not None
    assert found.more_calls > 0
    # No interval tells of a winner that is not proven.
    low, high = found.deciding.low, found.deciding.high
    assert low is not None
    assert high is not None
    assert low <= 0 <= high


def test_before_any_call_there_is_nothing_to_say() -> None:
    found = verdict(PLAN, ExperimentEvidence(), 0.0, 5.0)
    assert (found.outcome, found.more_calls) == ("not_enough_data", None)
    assert found.reason == "Not enough data: score:helpful: nothing to compare yet."


def test_a_minimum_of_calls_and_time_comes_first() -> None:
    hasty = Experiment(HELPFUL, min_calls=50, min_time_s=1_000)
    assert run(hasty, Side(helpful=0.5), 5, 60)[0].outcome == "not_enough_data"
    assert run(Experiment(HELPFUL, min_calls=100_000), Side(helpful=0.5), 5, 60)[0].outcome == "not_enough_data"


def test_sides_alike_make_no_winner_and_in_the_end_no_difference() -> None:
    plan = Experiment(HELPFUL, min_calls=50)
    ends = [run(plan, SAME, seed, 400)[0] for seed in range(20)]
    assert sum(end.outcome == "winner" for end in ends) <= 1
    assert sum(end.outcome == "no_difference" for end in ends) >= 15


def test_a_winner_that_harms_a_guard_is_none() -> None:
    found, _, _ = run(PLAN, Side(helpful=0.80, errors=0.2), 6, 200)
    assert (found.outcome, found.winner, found.harmed) == ("harm", None, ("errors",))
    assert "errors is proven to be worse" in found.reason


def test_what_is_kept_and_what_is_found_go_through_json() -> None:
    found, known, _ = run(PLAN, Side(helpful=0.88), 1, 20)
    assert msgspec.json.decode(msgspec.json.encode(known), type=ExperimentEvidence) == known
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found
    assert msgspec.json.decode(msgspec.json.encode(PLAN), type=Experiment) == PLAN


def test_shares_stay_as_they_are_unless_the_plan_is_adaptive() -> None:
    _, known, _ = run(PLAN, Side(helpful=0.95), 7, 60)
    assert shares(PLAN, known, random.Random(1)) == 0.5


def test_adaptive_shares_go_to_the_better_side_and_leave_the_other_its_floor() -> None:
    plan = Experiment(HELPFUL, min_calls=50, adaptive=Adaptive(floor=0.05))
    _, better, _ = run(plan, Side(helpful=0.95), 7, 60)
    _, worse, _ = run(plan, Side(helpful=0.6), 7, 60)
    assert shares(plan, better, random.Random(1)) == pytest.approx(0.95, abs=0.01)
    assert shares(plan, worse, random.Random(1)) == pytest.approx(0.05, abs=0.01)
    assert shares(plan, ExperimentEvidence(), random.Random(1)) == 0.5


def test_calls_that_were_shared_out_by_old_shares_are_counted_and_not_compared() -> None:
    known = fold_experiment(PLAN, ExperimentEvidence(), Window(1, 1.0, Figures(10), Figures(10)))
    late = fold_experiment(PLAN, known, Window(0, 2.0, Figures(10), Figures(10, 10)))
    assert late.forward.b.calls == 20
    assert late.forward.metrics == known.forward.metrics
    assert late.stage == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"share": 1.0}, "lies between 0 and 1"),
        ({"adaptive": Adaptive(floor=0.5)}, "floor of adaptive shares"),
        ({"adaptive": Adaptive(every_s=0)}, "every_s"),
        ({"min_calls": 0}, "at least 1 call"),
        ({"alpha": 0.7}, "chance between 0 and 0.5"),
        ({"guards": (GuardMetric("score"),)}, "wants the score's name"),
    ],
)
def test_a_plan_that_does_not_hold_together_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        Experiment(HELPFUL, **wrong)
