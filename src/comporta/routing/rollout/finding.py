"""What the evidence says of one metric, in the metric's own units and with all numbers that decide."""

from __future__ import annotations

import math

from msgspec import Struct

from comporta.routing.rollout.evidence import Comparison, Evidence, terms
from comporta.routing.rollout.figures import Figures
from comporta.routing.rollout.measure import Terms, with_prior
from comporta.routing.rollout.plan import GuardMetric, Kind, Rollout
from comporta.stats.histogram import count, quantile, value
from comporta.stats.sequential import evidence, interval_at_all_times, odds, still_needed

#: Odds of harm from which on a rollout does not go on, though they do not bring it back yet.
SIGN_ODDS = 4.0
#: At how many (effective) values intervals are narrowest, and below how many none is told: it would promise too much.
_TUNED_FOR, _FEWEST = 500.0, 50.0


class Finding(Struct, frozen=True):
    """One metric as it stands. JSON as it is.

    `a` and `b` are the sides' figures over the whole rollout: shares (errors), milliseconds (latency), micro-dollars
    (cost), the score's own units. `difference` is how much worse B is within the windows that both sides shared, with
    an interval that holds at all times; as shares of calls (errors), of calls slower than A's quantile (latency), of
    A's cost, or in the score's units. Below 0 B is the better one.
    """

    metric: str
    kind: Kind
    margin: float
    required: bool
    values_a: int
    values_b: int
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    #: So many to one against «B is no worse than A», and how many bring B back.
    harm_odds: float
    harm_odds_needed: float
    #: So many to one against «B is worse by the margin or more», and how many are asked for before 100 %.
    no_worse_odds: float
    no_worse_odds_needed: float
    #: Proven to be worse, and by enough to matter.
    harmed: bool
    #: Not proven, but no time to go on.
    sign: bool
    #: Proven to be no worse than the margin.
    shown: bool
    #: About how many more calls of B «no worse» takes; None where as it stands no number would do.
    more_calls: int | None
    text: str


def finding(plan: Rollout, guard: GuardMetric, known: Evidence) -> Finding:
    """What the evidence says of one metric."""
    comparison = known.of(guard)
    by = terms(comparison, guard, plan.harm_from)
    stages = sum(stage.share < 1 for stage in plan.stages)
    harm = comparison.harm_evidence(stages)
    no_worse = evidence(comparison.no_worse)
    harm_needed, no_worse_needed = -math.log(plan.alpha_each), -math.log(plan.alpha)
    a, b = _shown(guard, known.a), _shown(guard, known.b)
    low, difference, high = _differences(guard, comparison, plan.alpha)
    shown = no_worse >= no_worse_needed
    more = 0 if shown else _more_calls(plan, known, comparison, by)
    return Finding(
        guard.name,
        guard.kind,
        guard.margin,
        guard.required,
        comparison.a.n + comparison.open.a.n,
        comparison.b.n + comparison.open.b.n,
        a,
        b,
        difference,
        low,
        high,
        odds(harm),
        odds(harm_needed),
        odds(no_worse),
        odds(no_worse_needed),
        comparison.beyond(stages, harm_needed),
        comparison.beyond(stages, math.log(SIGN_ODDS)),
        shown,
        more,
        _text(guard, comparison, a, b, difference),
    )


def _more_calls(plan: Rollout, known: Evidence, comparison: Comparison, by: Terms) -> int | None:
    """In B's calls, at the share of the stage where it is asked for: the last below 100 %."""
    if not comparison.weight or not comparison.b.n:
        return None
    wanted = -math.log(plan.alpha)
    shares = [stage.share for stage in plan.stages if stage.share < 1]
    # A gap seen in few calls is mostly chance, so at first it weighs little against that of a B just like A: as much
    # as the calls that those would take.
    like_a = 2 * wanted * by.variance / by.room**2
    values = still_needed(
        evidence(comparison.no_worse),
        wanted,
        (comparison.gap + like_a * by.room) / (comparison.weight + like_a),
        by.variance,
        1 - max(shares, default=1.0),
    )
    return None if values is None else math.ceil(values * max(1.0, known.b.calls / comparison.b.n))


def _differences(
    guard: GuardMetric, comparison: Comparison, alpha: float
) -> tuple[float | None, float | None, float | None]:
    """From where to where, and the estimate between: how much worse B is."""
    weight = comparison.weight
    if not weight:
        return None, None, None
    a, b = with_prior(guard, comparison.a), with_prior(guard, comparison.b)
    noise = a.variance * comparison.spread_a + b.variance * comparison.spread_b
    estimate = comparison.lead / weight
    interval = interval_at_all_times(estimate, math.sqrt(noise / weight), weight, alpha, _TUNED_FOR).within(-1, 1)
    unit = _unit(guard, comparison)
    if unit is None:
        return None, None, None
    if weight < _FEWEST:
        return None, estimate * unit, None
    return interval.low * unit, estimate * unit, interval.high * unit


def _unit(guard: GuardMetric, comparison: Comparison) -> float | None:
    """What 1 of the values stands for."""
    if guard.kind == "score":
        return guard.width
    if guard.kind == "cost":
        return 1 / comparison.a.mean if comparison.a.mean else None
    return 1.0


def _shown(guard: GuardMetric, figures: Figures) -> float | None:
    """One side's figure in the metric's own units."""
    if guard.kind == "errors":
        return figures.errors / figures.calls if figures.calls else None
    if guard.kind == "score":
        sums = figures.score(guard.name)
        return guard.low + sums.mean * guard.width if sums.n else None
    if guard.kind == "cost":
        return figures.cost_microusd / count(figures.cost) if figures.cost else None
    at = quantile(figures.latency, guard.quantile)
    return None if at is None else value(at)


def _text(guard: GuardMetric, comparison: Comparison, a: float | None, b: float | None, d: float | None) -> str:
    if a is None or b is None or d is None:
        return f"{guard.name}: nothing to compare yet"
    times = f"{worse_by(guard, d)} ({allowed(guard)} is let be)"
    return f"{guard.name}: {said(guard, b)} on B ({comparison.b.n:,} values), {said(guard, a)} on A, {times}"


def said(guard: GuardMetric, figure: float) -> str:
    """A side's figure for people."""
    if guard.kind == "errors":
        return f"{figure:.2%}"
    if guard.kind == "latency":
        return f"{figure / 1000:.3g} s"
    return f"${figure / 1e6:.4g}" if guard.kind == "cost" else f"{figure:.4g}"


def worse_by(guard: GuardMetric, difference: float) -> str:
    """A difference for people."""
    way, size = ("worse" if difference > 0 else "better"), abs(difference)
    if guard.kind == "errors":
        return f"{way} by {size * 100:.2g} pp"
    if guard.kind == "latency":
        return f"{size:.1%} {'more' if difference > 0 else 'fewer'} calls above A's"
    return f"{way} by {size:.1%}" if guard.kind == "cost" else f"{way} by {size:.3g}"


def allowed(guard: GuardMetric) -> str:
    """A margin for people."""
    if guard.kind == "errors":
        return f"{guard.margin * 100:g} pp"
    return f"{guard.margin:.3g}" if guard.kind == "score" else f"{guard.margin * 100:g} % of A's"
