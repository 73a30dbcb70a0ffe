"""What becomes of a rollout: back, on, the end, or waiting, each with the numbers that decided it."""

from __future__ import annotations

import json

import msgspec
import pytest

from comporta.routing.rollout.decide import Decision, Standing, burst, decide
from comporta.routing.rollout.evidence import Evidence, begin, fold
from comporta.routing.rollout.figures import Figures, Window
from comporta.routing.rollout.plan import GuardMetric, Rollout, Stage
from support.drawn import ALL, HALF, HELPFUL, SAME, Side, folded, until, windows

PLAN = Rollout(HALF, ALL)
EARLY = Rollout((Stage(0.1, 50, 30), *HALF), ALL)
ERRORS = Rollout(HALF)


def at(plan: Rollout, evidence: Evidence, stage: int = 0, since_s: float = 0.0, now_s: float = 10_000.0) -> Decision:
    return decide(plan, evidence, Standing(stage, since_s, now_s))


def goes_back(plan: Rollout, evidence: Evidence) -> bool:
    return at(plan, evidence).action == "roll_back"


@pytest.mark.parametrize(
    ("b", "metric", "within"),
    [
        (Side(errors=0.12), "errors", 20),
        (Side(helpful=0.70), "score:helpful", 30),
        (Side(latency_ms=1_000), "latency_p95", 60),
        (Side(slow=0.15), "latency_p95", 80),
        (Side(cost_microusd=1_500), "cost", 60),
    ],
)
def test_harm_brings_b_back_whichever_metric_shows_it(b: Side, metric: str, within: int) -> None:
    evidence, count = until(PLAN, windows(PLAN, b, 11, n=300), lambda evidence: goes_back(PLAN, evidence))
    decision = at(PLAN, evidence)
    assert (decision.action, decision.cause) == ("roll_back", "harm")
    assert [one.metric for one in decision.findings if one.harmed] == [metric]
    assert count <= within
    assert metric in decision.reason
    assert "80 to 1 was asked for" in decision.reason


def test_a_side_that_is_as_good_goes_on_when_it_is_proven_and_not_before() -> None:
    early = folded(PLAN, windows(PLAN, SAME, 12, n=10))
    waiting = at(PLAN, early)
    assert (waiting.action, waiting.cause) == ("wait", "unproven")
    assert waiting.more_calls is None or waiting.more_calls > 500
    late, count = until(
        PLAN, windows(PLAN, SAME, 12, n=1_500), lambda evidence: at(PLAN, evidence).action == "advance", early
    )
    decision = at(PLAN, late)
    assert (decision.action, decision.cause, decision.more_calls) == ("advance", "proven", 0)
    assert all(one.shown and one.no_worse_odds >= 20 for one in decision.findings)
    assert count > 50


def test_how_many_more_calls_it_takes_is_about_right() -> None:
    plan = Rollout(HALF, (GuardMetric("errors"), HELPFUL))
    ratios = []
    for seed in range(7):
        evidence = folded(plan, windows(plan, SAME, seed, n=40))
        told = at(plan, evidence).more_calls
        later = windows(plan, SAME, seed + 100, n=1_000, from_s=40.0)
        _, count = until(plan, later, lambda evidence: at(plan, evidence).action == "advance", evidence)
        assert told is not None
        ratios.append(told / (count * 20))
    assert 0.4 < sorted(ratios)[3] < 2.5


def test_of_a_metric_that_is_worse_than_the_margin_no_number_of_calls_would_show_the_contrary() -> None:
    evidence = fold(ERRORS, begin(ERRORS), Window(0, 1.0, Figures(20_000, 400), Figures(20_000, 640)))
    decision = at(ERRORS, evidence)
    assert decision.more_calls is None
    assert decision.findings[0].no_worse_odds < 1


def test_an_early_stage_asks_for_a_minimum_of_calls_and_time_and_no_sign_of_harm() -> None:
    few = folded(EARLY, windows(EARLY, SAME, 15, n=8, per=(40, 5)))
    assert "40 of at least 50 calls of B" in at(EARLY, few).reason
    enough = folded(EARLY, windows(EARLY, SAME, 15, n=12, per=(40, 5)))
    early = at(EARLY, enough, now_s=12.0)
    assert (early.action, early.cause, early.reason) == (
        "wait",
        "minimum",
        "This stage has had 12 s of at least 30 s.",
    )
    assert (at(EARLY, enough, now_s=31.0).action, at(EARLY, enough, now_s=31.0).cause) == ("advance", "held")


def test_a_sign_of_harm_holds_an_early_stage_back() -> None:
    plan = Rollout((Stage(0.1, 50, 0), *HALF))
    evidence = begin(plan)
    for second in range(30):
        failed = second in (3, 9, 15, 21, 25)
        evidence = fold(plan, evidence, Window(0, second * 10.0, Figures(50, 1), Figures(2, failed)))
    decision = at(plan, evidence)
    assert (decision.action, decision.cause) == ("wait", "sign")
    finding = decision.findings[0]
    assert finding.sign
    assert not finding.harmed
    assert 4 <= finding.harm_odds < 20


def test_a_worsening_that_is_proven_but_too_small_to_matter_is_let_be() -> None:
    evidence = begin(ERRORS)
    for second in range(100):
        evidence = fold(ERRORS, evidence, Window(0, second + 1.0, Figures(5_000, 100), Figures(5_000, 115)))
    decision = at(ERRORS, evidence)
    assert decision.findings[0].harm_odds > 1e6
    assert not decision.findings[0].harmed
    assert decision.action == "advance"


def test_a_metric_that_is_not_required_is_not_waited_for_but_brings_b_back() -> None:
    score = GuardMetric("score", score="helpful", required=False)
    plan = Rollout(HALF, (GuardMetric("errors"), score))
    evidence = begin(plan)
    for second in range(100):
        evidence = fold(plan, evidence, Window(0, second + 1.0, Figures(1_000, 20), Figures(1_000, 20)))
    assert at(plan, evidence).action == "advance"
    harmed, _ = until(plan, windows(plan, Side(helpful=0.6), 1, from_s=100.0), lambda e: goes_back(plan, e), evidence)
    assert at(plan, harmed).action == "roll_back"


def test_a_required_metric_without_values_is_waited_for() -> None:
    plan = Rollout(HALF, (GuardMetric("errors"), HELPFUL))
    evidence = begin(plan)
    for second in range(100):
        evidence = fold(plan, evidence, Window(0, second + 1.0, Figures(1_000, 20), Figures(1_000, 20)))
    decision = at(plan, evidence)
    assert (decision.action, decision.more_calls) == ("wait", None)
    assert "score:helpful: nothing to compare yet" in decision.reason


def test_sides_that_cost_nothing_are_no_worse_and_one_that_begins_to_cost_is_found_out() -> None:
    plan = Rollout(HALF, (GuardMetric("errors"), GuardMetric("cost")))
    free = Side(cost_microusd=0)
    evidence, _ = until(plan, windows(plan, free, 1, n=600, a=free), lambda e: at(plan, e).action == "advance")
    assert at(plan, evidence).action == "advance"
    dear, count = until(plan, windows(plan, SAME, 1, n=100, a=free), lambda e: goes_back(plan, e))
    assert at(plan, dear).cause == "harm"
    assert count < 20


def test_latencies_that_hardly_differ_can_be_proven_no_worse() -> None:
    plan = Rollout(HALF, (GuardMetric("errors"), GuardMetric("latency")))
    evidence = begin(plan)
    figures = Figures(50, 1, {300: 49})
    for second in range(200):
        evidence = fold(plan, evidence, Window(0, second + 1.0, figures, figures))
    latency = at(plan, evidence).findings[1]
    assert latency.shown
    assert not latency.harmed


# ---- hard faults ----------------------------------------------------------------------------------------------------


def fresh(seconds: int = 200) -> Evidence:
    evidence = begin(ERRORS)
    for second in range(seconds):
        evidence = fold(ERRORS, evidence, Window(0, second + 1.0, Figures(100, 2), Figures(100, 2)))
    return evidence


def test_a_burst_of_errors_brings_b_back_within_a_second_however_good_it_was_before() -> None:
    after = fold(ERRORS, fresh(), Window(0, 201.0, Figures(20, 0), Figures(20, 12)))
    decision = at(ERRORS, after)
    assert (decision.action, decision.cause) == ("roll_back", "burst")
    assert decision.fault is not None
    assert (decision.fault.calls, decision.fault.errors) == (20, 12)
    assert "12 of B's latest 20 calls failed" in decision.reason


def test_the_first_20_calls_half_failing_bring_b_back_at_once() -> None:
    plan = Rollout((Stage(0.01), Stage(0.5), Stage(1.0)))
    evidence, calls = begin(plan), 0
    for second in range(20):
        evidence = fold(plan, evidence, Window(0, second + 1.0, Figures(99, 2), Figures(1, second % 2)))
        calls += 1
        if at(plan, evidence, now_s=second + 1.0).action == "roll_back":
            break
    assert at(plan, evidence, now_s=calls).action == "roll_back"
    assert calls <= 12


def test_what_fails_on_both_sides_at_once_is_no_fault_of_b() -> None:
    after = fold(ERRORS, fresh(), Window(0, 201.0, Figures(20, 19), Figures(20, 19)))
    assert burst(ERRORS, after) is None
    assert at(ERRORS, after).action != "roll_back"


def test_a_few_errors_in_a_row_are_no_burst() -> None:
    assert burst(ERRORS, fold(ERRORS, fresh(), Window(0, 201.0, Figures(5), Figures(4, 4)))) is None
    assert burst(ERRORS, fold(ERRORS, fresh(), Window(0, 201.0, Figures(50), Figures(40, 8)))) is None


def test_an_old_burst_is_over() -> None:
    evidence = fold(ERRORS, fresh(), Window(0, 201.0, Figures(20), Figures(20, 12)))
    for second in range(202, 202 + 62):
        evidence = fold(ERRORS, evidence, Window(0, float(second), Figures(10), Figures(10)))
    assert burst(ERRORS, evidence) is None


def test_a_canary_of_few_calls_collects_its_burst_over_several_windows() -> None:
    plan = Rollout((Stage(0.01), Stage(0.5), Stage(1.0)))
    evidence = begin(plan)
    for second in range(3_000):
        evidence = fold(plan, evidence, Window(0, second * 0.1, Figures(10), Figures(1)))
    for second in range(3_000, 3_010):
        evidence = fold(plan, evidence, Window(0, second * 0.1, Figures(10), Figures(1, 1)))
    assert burst(plan, evidence) is not None


# ---- at 100 % -------------------------------------------------------------------------------------------------------


def test_at_100_percent_the_rollout_ends_after_its_minimum() -> None:
    evidence = fold(ERRORS, fresh(), Window(1, 201.0, Figures(), Figures(150, 3)))
    assert at(ERRORS, evidence, stage=1, since_s=200.0, now_s=205.0).cause == "minimum"
    assert at(ERRORS, evidence, stage=1, since_s=200.0, now_s=211.0).action == "finish"


def test_at_100_percent_b_is_measured_by_what_a_was() -> None:
    evidence = fresh()
    for second in range(201, 231):
        evidence = fold(ERRORS, evidence, Window(1, float(second), Figures(), Figures(100, 5)))
    decision = at(ERRORS, evidence, stage=1, since_s=200.0, now_s=231.0)
    assert (decision.action, decision.cause) == ("roll_back", "risen")
    assert decision.watched is not None
    assert (decision.watched.before, decision.watched.now) == (0.02, 0.05)


def test_a_switch_without_a_canary_is_measured_by_a_before_it() -> None:
    plan = Rollout((Stage(1.0, 50, 10),))
    evidence = begin(plan, Figures(2_000, 40))
    good = fold(plan, evidence, Window(0, 1.0, Figures(), Figures(100, 2)))
    assert at(plan, good).action == "finish"
    bad = evidence
    for second in range(20):
        bad = fold(plan, bad, Window(0, second + 1.0, Figures(), Figures(50, 8)))
    assert at(plan, bad).cause == "risen"
    burnt = fold(plan, begin(plan), Window(0, 1.0, Figures(), Figures(20, 20)))
    assert at(plan, burnt).cause == "burst"


# ---- what is written ------------------------------------------------------------------------------------------------


def test_a_decision_is_json_with_all_the_numbers() -> None:
    decision = at(PLAN, folded(PLAN, windows(PLAN, Side(errors=0.06), 3, n=60)))
    written = msgspec.json.encode(decision)
    assert msgspec.json.decode(written, type=Decision) == decision
    first = json.loads(written)["findings"][0]
    assert first["metric"] == "errors"
    assert first["low"] < first["difference"] < first["high"]
    assert first["difference"] == pytest.approx(first["b"] - first["a"], abs=1e-6)
    assert {"harm_odds", "harm_odds_needed", "no_worse_odds", "no_worse_odds_needed", "margin"} <= set(first)


def test_evidence_of_nothing_decides_nothing() -> None:
    decision = at(PLAN, begin(PLAN), now_s=1.0)
    assert (decision.action, decision.cause, decision.calls_b) == ("wait", "minimum", 0)
    assert all(one.difference is None and one.low is None for one in decision.findings)
