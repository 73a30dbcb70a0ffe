"""From plan, evidence and clock to what becomes of a rollout now, with the numbers that decided it.

Pure: it may be asked as often as one likes, since the tests hold at all looks together. In this order: a burst of
errors or proven harm brings B back at once; else the next stage comes after the minimum of calls and time when there is
no sign of harm, and 100 % only when every required metric is proven to be no worse than its margin; else it waits.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from comporta.routing.rollout.evidence import Evidence
from comporta.routing.rollout.finding import Finding, finding
from comporta.routing.rollout.plan import Rollout
from comporta.routing.rollout.watch import Watched, verdict
from comporta.stats.intervals import binomial_tail, wilson

Action = Literal["wait", "advance", "finish", "roll_back"]
#: What decided. `minimum`: calls or time of the stage; `sign`: of harm; `unproven`: no worse than the margin.
Cause = Literal["burst", "harm", "risen", "minimum", "sign", "unproven", "held", "proven"]

#: How unlikely B's latest errors must be at A's rate before they are a hard fault: looked at each second for months,
#: it is still not met by chance.
_UNLIKELY = 1e-7
#: A's rate of errors is taken to be no higher than this, in the sense of a bound with so much confidence.
_CONFIDENCE = 0.999
#: Where nothing is known of A.
_UNKNOWN_RATE = 0.10


class Standing(Struct, frozen=True):
    """Where a rollout stands, and what time it is: unix seconds. `since_s` is when the stage began.

    Time in pause does not count: let `since_s` move on by its length.
    """

    stage: int
    since_s: float
    now_s: float


class Fault(Struct, frozen=True):
    """A burst of errors: so many of B's latest calls failed, while A failed at `rate_a` at most."""

    calls: int
    errors: int
    rate_a: float
    chance: float


class Decision(Struct, frozen=True):
    """What becomes of a rollout now. JSON as it is: written down whole, it says why.

    `advance` goes to stage `stage + 1`. `more_calls` is about how many more of B's calls it takes until all required
    metrics are proven; None where as it stands no number would do. `calls_a` and `calls_b` are those of the stage.
    """

    action: Action
    cause: Cause
    reason: str
    stage: int
    at_s: float
    calls_a: int
    calls_b: int
    more_calls: int | None
    findings: tuple[Finding, ...]
    fault: Fault | None = None
    watched: Watched | None = None


def decide(plan: Rollout, evidence: Evidence, standing: Standing) -> Decision:
    """What becomes of the rollout now."""
    findings = tuple(finding(plan, guard, evidence) for guard in plan.guards)
    fault = burst(plan, evidence)
    watched = None
    if evidence.watch is not None and plan.stages[standing.stage].share >= 1:
        watched = verdict(evidence.watch, _errors_margin(plan))
    action, cause, reason = _harm(findings, fault, watched) or _onward(plan, evidence, standing, findings)
    calls_a, calls_b = evidence.stages.get(standing.stage, (0, 0))
    missing = [one.more_calls for one in findings if one.required]
    more = None if None in missing else max((n for n in missing if n is not None), default=0)
    return Decision(
        action, cause, reason, standing.stage, standing.now_s, calls_a, calls_b, more, findings, fault, watched
    )


Verdict = tuple[Action, Cause, str]


def _errors_margin(plan: Rollout) -> float:
    return next(guard.margin for guard in plan.guards if guard.kind == "errors")


def _harm(findings: tuple[Finding, ...], fault: Fault | None, watched: Watched | None) -> Verdict | None:
    if fault is not None:
        text = (
            f"A burst of errors: {fault.errors} of B's latest {fault.calls} calls failed, A at most {fault.rate_a:.2%}."
        )
        return "roll_back", "burst", text
    harmed = [one for one in findings if one.harmed]
    if harmed:
        said = "; ".join(f"{one.text}; {one.harm_odds:.3g} to 1 that this is no chance" for one in harmed)
        return "roll_back", "harm", f"Harm: {said} ({harmed[0].harm_odds_needed:.3g} to 1 was asked for)."
    if watched is not None and watched.risen:
        return "roll_back", "risen", watched.reason
    return None


def _onward(plan: Rollout, evidence: Evidence, standing: Standing, findings: tuple[Finding, ...]) -> Verdict:
    """The next stage, the end, or what is waited for."""
    missing = _minimum(plan, evidence, standing)
    if missing is not None:
        return "wait", "minimum", missing
    if standing.stage + 1 >= len(plan.stages):
        return "finish", "held", "B has answered all calls for as long as the plan asks."
    signs = [one for one in findings if one.sign]
    if signs:
        said = "; ".join(f"{one.text}; {one.harm_odds:.3g} to 1" for one in signs)
        return (
            "wait",
            "sign",
            f"A sign of harm, not proven: {said} ({signs[0].harm_odds_needed:.3g} to 1 brings B back).",
        )
    if plan.stages[standing.stage + 1].share < 1:
        return "advance", "held", "The stage's minimum of calls and time is over without a sign of harm."
    unproven = [one for one in findings if one.required and not one.shown]
    if unproven:
        return "wait", "unproven", "; ".join(map(_unproven, unproven)) + "."
    return "advance", "proven", "; ".join(map(_proven, findings)) + "."


def _unproven(one: Finding) -> str:
    more = "as it stands no number of calls would do" if one.more_calls is None else f"about {one.more_calls:,} more"
    return (
        f"{one.text}; no worse than the margin: {one.no_worse_odds:.3g} to 1 of {one.no_worse_odds_needed:.3g}, {more}"
    )


def _proven(one: Finding) -> str:
    state = f"{one.no_worse_odds:.3g} to 1 that it is no worse than the margin" if one.shown else "not asked for"
    return f"{one.text}; {state}"


def _minimum(plan: Rollout, evidence: Evidence, standing: Standing) -> str | None:
    """Which minimum of the stage is still missing."""
    stage = plan.stages[standing.stage]
    calls = evidence.stages.get(standing.stage, (0, 0))[1]
    time_s = standing.now_s - standing.since_s
    missing = []
    if calls < stage.min_calls:
        missing.append(f"{calls:,} of at least {stage.min_calls:,} calls of B")
    if time_s < stage.min_time_s:
        missing.append(f"{max(0.0, time_s):,.0f} s of at least {stage.min_time_s:,.0f} s")
    return f"This stage has had {' and '.join(missing)}." if missing else None


def burst(plan: Rollout, evidence: Evidence) -> Fault | None:
    """A hard fault among B's latest calls, however good those before were; None where there is none.

    A's rate is bounded by all its calls so far, and by those of the same seconds: what fails on both sides at once is
    no fault of B. With nobody on A (100 %) that can't be told apart, and B goes back: it is the side to do without.
    """
    usual = wilson(evidence.a.errors, evidence.a.calls, _CONFIDENCE).high if evidence.a.calls else _UNKNOWN_RATE
    calls = errors = calls_a = errors_a = 0
    for one in reversed(evidence.recent):
        calls, errors = calls + one.calls_b, errors + one.errors_b
        calls_a, errors_a = calls_a + one.calls_a, errors_a + one.errors_a
        if calls < plan.burst.calls or errors < plan.burst.share * calls:
            continue
        rate = max(usual, errors_a / calls_a if calls_a else 0.0)
        chance = binomial_tail(errors, calls, rate)
        if chance <= _UNLIKELY:
            return Fault(calls, errors, rate, chance)
    return None
