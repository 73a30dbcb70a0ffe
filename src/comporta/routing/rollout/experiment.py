"""Which of two sides is better, by one deciding metric: a verdict with an interval, or «not enough data».

Like a rollout's evidence, an experiment's is folded from windows, is JSON as it stands, and may be looked at as often
as one likes. Nothing moves by a verdict; shares stay as they are unless the experiment is adaptive.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, structs

from comporta.errors import BadRequest
from comporta.routing.rollout.evidence import Evidence, counted, fold, given_up, terms
from comporta.routing.rollout.figures import Window
from comporta.routing.rollout.finding import Finding, finding, worse_by
from comporta.routing.rollout.plan import GuardMetric, Rollout, Stage, alpha_mistakes, guard_mistakes
from comporta.stats.bandit import thompson
from comporta.stats.sequential import odds, still_needed

Outcome = Literal["winner", "harm", "no_difference", "not_enough_data"]
Side = Literal["a", "b"]


class Adaptive(Struct, frozen=True):
    """Shares that follow what is known (Thompson sampling), looked at again after `every_s`; none below `floor`.

    Callers then change sides as shares do, in both directions.
    """

    floor: float = 0.1
    every_s: float = 300.0


class Experiment(Struct, frozen=True):
    """The plan of an experiment: which metric decides, which guard, B's share, and when a verdict may be had.

    The metric's `margin` is the difference that is worth having: closer than that, the sides count as alike. `alpha`
    bounds the chance of a wrong winner, and that of harm wrongly found. Raises BadRequest (`experiment_plan`).
    """

    metric: GuardMetric
    guards: tuple[GuardMetric, ...] = (GuardMetric("errors"),)
    share: float = 0.5
    alpha: float = 0.05
    min_calls: int = 100
    min_time_s: float = 0.0
    adaptive: Adaptive | None = None

    def __post_init__(self) -> None:
        wrong = next(_mistakes(self), None)
        if wrong is not None:
            raise BadRequest(wrong, code="experiment_plan", param="plan")

    @property
    def forward(self) -> Rollout:
        """The comparison of B with A on all metrics."""
        return self._comparison(self.all)

    @property
    def backward(self) -> Rollout:
        """The comparison of A with B on the metric that decides."""
        return self._comparison((self.metric,))

    @property
    def all(self) -> tuple[GuardMetric, ...]:
        """The deciding metric and the guards, errors among them."""
        return _with_errors((self.metric, *(guard for guard in self.guards if guard.name != self.metric.name)))

    def _comparison(self, guards: tuple[GuardMetric, ...]) -> Rollout:
        return Rollout((Stage(self.share), Stage(1.0)), _with_errors(guards), self.alpha)


def _with_errors(guards: tuple[GuardMetric, ...]) -> tuple[GuardMetric, ...]:
    """Errors always guard."""
    return guards if any(guard.kind == "errors" for guard in guards) else (*guards, GuardMetric("errors"))


def _mistakes(plan: Experiment) -> Iterator[str]:
    if not 0 < plan.share < 1:
        yield f"B's share of an experiment lies between 0 and 1, not at {plan.share}."
    if plan.adaptive is not None and not 0 < plan.adaptive.floor < 0.5:
        yield f"The floor of adaptive shares lies between 0 and 0.5 (each side has it), not {plan.adaptive.floor}."
    if plan.adaptive is not None and plan.adaptive.every_s <= 0:
        yield "Adaptive shares want a time above 0 after which they are looked at again (`every_s`)."
    yield from alpha_mistakes(plan.alpha)
    yield from guard_mistakes(plan.all)
    if plan.min_calls < 1 or plan.min_time_s < 0:
        yield "An experiment wants at least 1 call of each side, and a time of 0 or more."


class ExperimentEvidence(Struct, frozen=True, omit_defaults=True):
    """All that a verdict is made from: B compared with A, and A with B. JSON as it stands; kept like Evidence.

    `stage` counts the changes of shares (windows carry it): 0 for as long as they are fixed.
    """

    forward: Evidence = Evidence()
    backward: Evidence = Evidence()
    stage: int = 0


class Verdict(Struct, frozen=True):
    """What an experiment has found so far. JSON as it is.

    `deciding` compares B with A on the metric that decides (above 0 B is the worse side), its interval reaching to 0
    until a winner is proven. `odds_a` and `odds_b`: so many to one that A, or B, is the better side; `odds_needed` make
    a winner. `more_calls` is about how many more calls of both sides that takes, if the figures stay as they are.
    `harm`: B wins, or may, but a guard metric is proven to be worse on it.
    """

    outcome: Outcome
    winner: Side | None
    reason: str
    at_s: float
    calls_a: int
    calls_b: int
    deciding: Finding
    odds_a: float
    odds_b: float
    odds_needed: float
    more_calls: int | None
    harmed: tuple[str, ...]
    guards: tuple[Finding, ...]


def fold_experiment(plan: Experiment, known: ExperimentEvidence, window: Window) -> ExperimentEvidence:
    """The evidence with one more window; `window.stage` is the number of changes of shares before it."""
    forward, backward = known.forward, known.backward
    if window.stage < known.stage:
        # Shared out by shares that no longer hold: counted only.
        late = structs.replace(window, stage=0)
        return structs.replace(known, forward=counted(plan.forward, forward, late))
    if window.stage > known.stage:
        forward, backward = given_up(forward), given_up(backward)
    there = Window(0, window.at_s, window.a, window.b)
    back = Window(0, window.at_s, window.b, window.a)
    return ExperimentEvidence(fold(plan.forward, forward, there), fold(plan.backward, backward, back), window.stage)


def verdict(plan: Experiment, known: ExperimentEvidence, since_s: float, now_s: float) -> Verdict:
    """What the experiment has found, `since_s` being when it began (unix seconds)."""
    forward = plan.forward
    deciding, *guards = (finding(forward, guard, known.forward) for guard in forward.guards)
    calls_a, calls_b = known.forward.a.calls, known.forward.b.calls
    b_worse = known.forward.of(plan.metric).harm_evidence(1)
    a_worse = known.backward.of(plan.metric).harm_evidence(1)
    needed = math.log(2 / plan.alpha)
    enough = min(calls_a, calls_b) >= plan.min_calls and now_s - since_s >= plan.min_time_s
    winner = _winner(deciding, b_worse >= needed, a_worse >= needed) if enough else None
    if winner is None:
        deciding = _reaching_zero(deciding)
    harmed = tuple(guard.metric for guard in guards if guard.harmed)
    more = None if winner is not None else _more_calls(plan, known, max(b_worse, a_worse), needed)
    # Proven that neither is worse than the other by the difference worth having.
    alike = enough and deciding.shown and finding(plan.backward, plan.metric, known.backward).shown
    outcome = _outcome(winner, harmed, alike)
    return Verdict(
        outcome,
        winner,
        _reason(plan.metric, deciding, outcome, winner, harmed, more),
        now_s,
        calls_a,
        calls_b,
        deciding,
        odds(b_worse),
        odds(a_worse),
        odds(needed),
        0 if winner is not None else more,
        harmed,
        tuple(guards),
    )


def _winner(deciding: Finding, b_worse: bool, a_worse: bool) -> Side | None:
    """Proven by the bets, and outside the interval that is shown: the two never tell a reader different things."""
    if deciding.low is None or deciding.high is None:
        return None
    if b_worse and deciding.low > 0:
        return "a"
    return "b" if a_worse and deciding.high < 0 else None


def _reaching_zero(one: Finding) -> Finding:
    if one.low is None or one.high is None:
        return one
    return structs.replace(one, low=min(one.low, 0.0), high=max(one.high, 0.0))


def _outcome(winner: Side | None, harmed: tuple[str, ...], alike: bool) -> Outcome:
    if harmed and winner != "a":
        return "harm"
    if winner is not None:
        return "winner"
    return "no_difference" if alike else "not_enough_data"


def _more_calls(plan: Experiment, known: ExperimentEvidence, held: float, needed: float) -> int | None:
    """About how many more calls of both sides, at the plan's share and at as many scores per call as until now."""
    one = known.forward.of(plan.metric)
    if not one.weight or not one.b.n:
        return None
    by = terms(one, plan.metric, plan.forward.harm_from)
    values = still_needed(held, needed, abs(one.lead / one.weight), by.variance, 1 - plan.share)
    if values is None:
        return None
    return math.ceil(values * max(1.0, known.forward.b.calls / one.b.n) / plan.share)


def _reason(
    metric: GuardMetric,
    deciding: Finding,
    outcome: Outcome,
    winner: Side | None,
    harmed: tuple[str, ...],
    more: int | None,
) -> str:
    if outcome == "harm":
        return f"B does harm: {', '.join(harmed)} is proven to be worse. {deciding.text}."
    if deciding.difference is None or deciding.low is None or deciding.high is None:
        return f"Not enough data: {deciding.text}."
    between = f"between {worse_by(metric, deciding.low)} and {worse_by(metric, deciding.high)}"
    if winner is not None:
        return f"{winner.upper()} is better. {deciding.text}; B is {between}."
    if outcome == "no_difference":
        return f"No difference worth having. {deciding.text}; B is {between}."
    calls = "as it stands no number of calls would tell" if more is None else f"about {more:,} more calls would tell"
    return f"Not enough data: {deciding.text}; B is {between}; {calls}."


def shares(plan: Experiment, known: ExperimentEvidence, rng: random.Random) -> float:
    """B's share from here on. Fixed unless the plan is adaptive and both sides have had their minimum of calls."""
    one = known.forward.of(plan.metric)
    few = min(known.forward.a.calls, known.forward.b.calls) < plan.min_calls
    if plan.adaptive is None or few or not one.weight:
        return plan.share
    return thompson((one.a, one.b), plan.adaptive.floor, rng, better="lower")[1]
