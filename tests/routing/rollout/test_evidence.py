"""What is known of both sides: folded window by window, kept as JSON, gone on with by whoever takes over."""

from __future__ import annotations

import msgspec
import pytest

from comporta.routing.rollout.evidence import Evidence, begin, fold
from comporta.routing.rollout.figures import Figures, Window
from comporta.routing.rollout.plan import GuardMetric, Rollout, Stage
from comporta.stats.sequential import evidence as evidence_of
from support.drawn import ALL, HALF, SAME, Side, folded, until, windows

PLAN = Rollout(HALF, ALL)
THREE = Rollout((Stage(0.1), Stage(0.5), Stage(1.0)), ALL)


def through_json(evidence: Evidence) -> Evidence:
    return msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)


def test_a_restart_after_any_window_goes_on_exactly_there() -> None:
    without = with_restarts = begin(THREE)
    for stage in range(3):
        for window in windows(THREE, Side(errors=0.05), stage, n=15, per=(20, 3), stage=stage, from_s=15.0 * stage):
            without = fold(THREE, without, window)
            with_restarts = fold(THREE, through_json(with_restarts), window)
    assert with_restarts == without
    assert without.watch is not None


def test_what_is_kept_stays_small() -> None:
    evidence = folded(PLAN, windows(PLAN, SAME, 1, n=150))
    assert len(msgspec.json.encode(evidence)) < 40_000


def test_a_side_without_calls_says_nothing() -> None:
    lonely = folded(PLAN, windows(PLAN, SAME, 1, n=50, per=(20, 0)))
    assert all(lonely.of(guard).weight == 0 for guard in PLAN.guards)
    assert lonely.of(ALL[0]).open.a.n == 1_000


def test_windows_in_which_only_one_side_was_asked_wait_for_the_other() -> None:
    guards = (GuardMetric("errors"),)
    plan = Rollout(HALF, guards)
    evidence = begin(plan)
    for figures in ((Figures(30, 1), Figures()), (Figures(20), Figures()), (Figures(), Figures(2, 1))):
        evidence = fold(plan, evidence, Window(0, 1.0, *figures))
    errors = evidence.of(guards[0])
    assert (errors.a.n, errors.b.n) == (50, 2)
    assert errors.weight == pytest.approx(50 * 2 / 52)


def test_an_open_block_is_given_up_when_shares_change() -> None:
    plan = Rollout((Stage(0.1), Stage(0.5), Stage(1.0)))
    evidence = fold(plan, begin(plan), Window(0, 1.0, Figures(30), Figures()))
    evidence = fold(plan, evidence, Window(1, 2.0, Figures(5), Figures(5)))
    assert evidence.of(plan.guards[0]).a.n == 5
    assert evidence.a.calls == 35


def test_a_window_of_a_stage_that_is_over_is_counted_and_not_compared() -> None:
    plan = Rollout((Stage(0.1), Stage(0.5), Stage(1.0)))
    evidence = fold(plan, begin(plan), Window(1, 2.0, Figures(5), Figures(5)))
    late = fold(plan, evidence, Window(0, 3.0, Figures(50), Figures(50, 50)))
    assert late.metrics == evidence.metrics
    assert late.stages == {1: (5, 5), 0: (50, 50)}
    assert late.b.errors == 50
    assert late.stage == 1


def test_a_bad_hour_of_both_sides_says_nothing_against_b() -> None:
    plan = Rollout(HALF)
    evidence = begin(plan)
    # B has more of the calls in the bad hour: over the whole day it looks worse, within each hour it is not.
    for second, (n_a, n_b, rate) in enumerate([(90, 10, 0.0), (10, 90, 0.3)] * 40):
        figures = (Figures(n_a, round(n_a * rate)), Figures(n_b, round(n_b * rate)))
        evidence = fold(plan, evidence, Window(0, second + 1.0, *figures))
    errors = evidence.of(plan.guards[0])
    assert evidence.b.errors / evidence.b.calls > 5 * evidence.a.errors / evidence.a.calls
    assert errors.lead / errors.weight == pytest.approx(0.0, abs=1e-9)
    assert errors.harm_evidence(1) < 0


def test_a_long_good_time_does_not_hide_harm_that_comes_with_a_larger_share() -> None:
    plan = Rollout((Stage(0.1), Stage(0.5), Stage(1.0)))
    good = folded(plan, windows(plan, SAME, 3, n=600, per=(20, 20)))
    wanted = 3.0
    worse = windows(plan, Side(errors=0.10), 4, n=300, stage=1, from_s=600.0)
    bad, count = until(plan, worse, lambda evidence: evidence.of(plan.guards[0]).beyond(2, wanted), good)
    errors = bad.of(plan.guards[0])
    assert errors.beyond(2, wanted)
    assert count < 20
    # By all calls since the beginning there is still nothing to be seen.
    assert evidence_of(errors.harm) < 0 or errors.far < 0


def test_figures_of_a_before_the_rollout_set_marks_but_are_not_compared() -> None:
    before = folded(PLAN, windows(PLAN, SAME, 1, n=20)).a
    evidence = begin(PLAN, before)
    assert evidence.of(ALL[1]).mark is not None
    assert evidence.of(ALL[2]).mark is not None
    assert evidence.a == Figures()
    assert all(evidence.of(guard).a.n == 0 for guard in ALL)
    assert evidence.watch is None


def test_marks_follow_a_and_wait_for_enough_of_its_calls() -> None:
    few = folded(PLAN, windows(PLAN, SAME, 1, n=4))
    assert few.of(ALL[1]).mark is None
    assert few.of(ALL[1]).weight == 0
    fast = folded(PLAN, windows(PLAN, SAME, 1, n=100))
    slow = folded(PLAN, windows(PLAN, SAME, 2, n=700, a=Side(latency_ms=2_000), from_s=100.0), fast)
    before, after = fast.of(ALL[1]).mark, slow.of(ALL[1]).mark
    assert before is not None
    assert after is not None
    assert after.bucket > before.bucket + 50
