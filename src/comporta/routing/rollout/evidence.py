"""What is known so far of both sides: windows of figures go in, one after another, and evidence comes out.

`fold` is pure and goes by the order of the windows alone, not by the clock. So it is enough to keep the last `Evidence`
(JSON as it stands) with the place up to which windows are in it, both written in one transaction: who takes over after
a restart goes on exactly there. Figures may be added up within a window in any order, by any worker.
"""

from __future__ import annotations

import math

from msgspec import Struct, structs

from comporta.routing.rollout.figures import Figures, Window
from comporta.routing.rollout.measure import Mark, Measured, Terms, marked, measured, relearned, terms_of
from comporta.routing.rollout.plan import Burst, GuardMetric, Rollout
from comporta.routing.rollout.watch import Watch, watched, watching
from comporta.stats.sequential import Null, bet_on_two
from comporta.stats.sequential import evidence as evidence_of
from comporta.stats.sums import Sums

#: Stakes, as multiples of what would be best against a difference of one margin. Harm may be many margins large.
HARM_STEPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
NO_WORSE_STEPS = (0.25, 0.5, 1.0, 2.0)
#: No more than this is told of evidence; far beyond what any decision asks for.
_MOST_LOG, _MOST_BANKED, _LEAST = 30.0, math.exp(31.0), 1e-300
#: Of how many windows the latest calls are kept apart.
_MOST_RECENT = 64


class Comparison(Struct, frozen=True, omit_defaults=True):
    """One metric on both sides. Values are turned so that they lie in [0, 1] and more is worse (measure.py).

    `harm` and `no_worse` are logarithms of capitals, one for each stake. A block is open until each side has a value;
    `weight` is the sum of n_a n_b / n over closed blocks, `lead` that of weight times the difference of B over A within
    the block (Mantel and Haenszel 1959), `far` how far B lies beyond a part of the margin, `gap` how far it stays below
    all of it; `spread_a` and `spread_b` say how much chance there is in them.

    Harm may come with a larger share (a limit, a cold cache), and a long good time must not hide it. So half of the
    capital against harm is bet from the first call on (`harm`), the other half is set aside in equal parts for each
    stage (`harm_now`; `banked` is what came of those before). What is spread over fair bets is itself a fair bet.
    """

    harm: tuple[float, ...] = (0.0,) * len(HARM_STEPS)
    harm_now: tuple[float, ...] = (0.0,) * len(HARM_STEPS)
    banked: float = 0.0
    stages_over: int = 0
    no_worse: tuple[float, ...] = (0.0,) * len(NO_WORSE_STEPS)
    open: Measured = Measured()
    a: Sums = Sums()
    b: Sums = Sums()
    weight: float = 0.0
    lead: float = 0.0
    far: float = 0.0
    gap: float = 0.0
    far_now: float = 0.0
    spread_a: float = 0.0
    spread_b: float = 0.0
    #: Of latency and cost: what values are held against, and A's latest values, from which that comes.
    mark: Mark | None = None
    reference: dict[int, int] = {}

    def harm_evidence(self, stages: int) -> float:
        """Evidence of harm (a logarithm) in a plan with so many stages below 100 %."""
        untouched = max(0, stages - self.stages_over - 1)
        by_stage = (self.banked + math.exp(min(evidence_of(self.harm_now), _MOST_LOG)) + untouched) / max(1, stages)
        return evidence_of((evidence_of(self.harm), math.log(max(by_stage, _LEAST))))

    def beyond(self, stages: int, wanted: float) -> bool:
        """Whether the evidence of harm is no less than `wanted`, and B is estimated to be worse by enough to matter.

        Both in all, or both in this stage alone: a small worsening that is let be must not be met by a short bad time.
        """
        now = evidence_of(self.harm_now) - math.log(2 * max(1, stages))
        in_all = self.harm_evidence(stages) >= wanted and self.far >= 0
        return self.weight > 0 and (in_all or (now >= wanted and self.far_now >= 0))

    def in_next_stage(self) -> Comparison:
        """With what was set aside for the stage before put back."""
        won = math.exp(min(evidence_of(self.harm_now), _MOST_LOG))
        return structs.replace(
            self,
            harm_now=_FRESH.harm_now,
            far_now=0.0,
            banked=min(self.banked + won, _MOST_BANKED),
            stages_over=self.stages_over + 1,
        )


class Recent(Struct, frozen=True, array_like=True):
    """The calls of one window, for faults that must not hide behind many good calls."""

    at_s: float
    calls_a: int
    errors_a: int
    calls_b: int
    errors_b: int


class Evidence(Struct, frozen=True, omit_defaults=True):
    """All that a decision is made from. `stages` holds A's and B's calls by stage, `a` and `b` all figures so far."""

    at_s: float = 0.0
    stage: int = 0
    stages: dict[int, tuple[int, int]] = {}
    a: Figures = Figures()
    b: Figures = Figures()
    metrics: dict[str, Comparison] = {}
    recent: tuple[Recent, ...] = ()
    #: Side B at 100 % against what A was before: there is no A beside it any more.
    watch: Watch | None = None

    def of(self, guard: GuardMetric) -> Comparison:
        return self.metrics.get(guard.name, _FRESH)


_FRESH = Comparison()
_HARMLESS = Null("above")


def begin(plan: Rollout, before: Figures | None = None) -> Evidence:
    """Evidence before the first call. `before` may hold A's figures of some time before the rollout.

    They set the marks of latency and cost from the first window on, and are what a plan without a stage below 100 % is
    measured by; they are never compared with B's calls otherwise.
    """
    if before is None:
        return Evidence()
    learned = {guard.name: _learned(_FRESH, guard, before) for guard in plan.guards}
    watch = watching(before.calls, before.errors, plan.alpha_each) if plan.stages[0].share >= 1 else None
    return Evidence(metrics=learned, watch=watch)


def fold(plan: Rollout, evidence: Evidence, window: Window) -> Evidence:
    """The evidence with one more window. Windows of a stage that is over are counted but no longer compared."""
    if window.stage < evidence.stage:
        return counted(plan, evidence, window)
    if window.stage > evidence.stage:
        evidence = _next_stage(plan, evidence, window.stage)
    metrics = {guard.name: _compared(evidence.of(guard), guard, plan.harm_from, window) for guard in plan.guards}
    evidence = structs.replace(counted(plan, evidence, window), metrics=metrics)
    if evidence.watch is None or plan.stages[window.stage].share < 1:
        return evidence
    return structs.replace(evidence, watch=watched(evidence.watch, window.b.calls, window.b.errors))


def _next_stage(plan: Rollout, evidence: Evidence, stage: int) -> Evidence:
    evidence = structs.replace(given_up(evidence), stage=stage)
    if plan.stages[stage].share < 1:
        metrics = {name: one.in_next_stage() for name, one in evidence.metrics.items()}
        return structs.replace(evidence, metrics=metrics)
    if not evidence.a.calls:
        return evidence
    return structs.replace(evidence, watch=watching(evidence.a.calls, evidence.a.errors, plan.alpha_each))


def given_up(evidence: Evidence) -> Evidence:
    """Without its open blocks: when shares change, the sides would not be alike over the length of one."""
    metrics = {name: structs.replace(one, open=Measured()) for name, one in evidence.metrics.items()}
    return structs.replace(evidence, metrics=metrics)


def counted(plan: Rollout, evidence: Evidence, window: Window) -> Evidence:
    """With a window's calls in its counts, and nothing compared."""
    calls_a, calls_b = evidence.stages.get(window.stage, (0, 0))
    return structs.replace(
        evidence,
        at_s=max(evidence.at_s, window.at_s),
        stages={**evidence.stages, window.stage: (calls_a + window.a.calls, calls_b + window.b.calls)},
        a=evidence.a.plus(window.a),
        b=evidence.b.plus(window.b),
        recent=_latest(evidence.recent, window, plan.burst),
    )


def _compared(before: Comparison, guard: GuardMetric, harm_from: float, window: Window) -> Comparison:
    """A metric with one more window: bet on, once both sides have a value."""
    block = before.open.plus(measured(guard, harm_from, before.mark, window))
    if block.a.n and block.b.n:
        before = _closed(before, block, terms(before, guard, harm_from))
    elif block != before.open:
        before = structs.replace(before, open=block)
    return _learned(before, guard, window.a)


def terms(comparison: Comparison, guard: GuardMetric, harm_from: float) -> Terms:
    """What the next block is bet on by, from what was seen before it."""
    return terms_of(guard, harm_from, comparison.mark, comparison.reference, comparison.a, comparison.b)


def _closed(before: Comparison, block: Measured, by: Terms) -> Comparison:
    a, b = block.a, block.b
    weight = a.n * b.n / (a.n + b.n)
    harm = [step * by.rise / by.variance for step in HARM_STEPS]
    no_worse = [step * by.room / by.variance for step in NO_WORSE_STEPS]
    far = weight * (block.far_b.mean - by.far.at(block.ok_a.mean))
    return structs.replace(
        before,
        harm=bet_on_two(before.harm, a, b, harm, by.centre, _HARMLESS),
        harm_now=bet_on_two(before.harm_now, a, b, harm, by.centre, _HARMLESS),
        no_worse=bet_on_two(before.no_worse, block.ok_a, block.ok_b, no_worse, by.centre, by.margin),
        open=Measured(),
        a=before.a.plus(a),
        b=before.b.plus(b),
        weight=before.weight + weight,
        lead=before.lead + weight * (b.mean - a.mean),
        far=before.far + far,
        far_now=before.far_now + far,
        gap=before.gap + weight * (by.margin.at(block.ok_a.mean) - block.ok_b.mean),
        spread_a=before.spread_a + weight * weight / a.n,
        spread_b=before.spread_b + weight * weight / b.n,
    )


def _learned(before: Comparison, guard: GuardMetric, a: Figures) -> Comparison:
    """A's latest values go into the reference; the mark follows it when no block is open that was begun with it."""
    reference = relearned(guard, before.reference, a)
    if reference is before.reference:
        return before
    mark = before.mark if before.open != Measured() else marked(guard, reference)
    return structs.replace(before, reference=reference, mark=mark)


def _latest(recent: tuple[Recent, ...], window: Window, burst: Burst) -> tuple[Recent, ...]:
    """The latest windows. Some of B's calls must lie in each, or a quiet side would push its own faults out."""
    now = Recent(window.at_s, window.a.calls, window.a.errors, window.b.calls, window.b.errors)
    kept = [one for one in recent if one.at_s > window.at_s - burst.window_s]
    if kept and not kept[-1].calls_b:
        kept[-1] = _merged(kept[-1], now)
    else:
        kept.append(now)
    return tuple(kept[-_MOST_RECENT:])


def _merged(one: Recent, other: Recent) -> Recent:
    return Recent(
        max(one.at_s, other.at_s),
        one.calls_a + other.calls_a,
        one.errors_a + other.errors_a,
        one.calls_b + other.calls_b,
        one.errors_b + other.errors_b,
    )
