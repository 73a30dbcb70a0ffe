"""Scripted sides for tests: calls drawn from what a side is like, window by window."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from msgspec import Struct

from comporta.routing.rollout.evidence import Evidence, begin, fold
from comporta.routing.rollout.figures import Figures, Tally, Window
from comporta.routing.rollout.plan import GuardMetric, Rollout, Stage

HELPFUL = GuardMetric("score", score="helpful")
ALL = (GuardMetric("errors"), GuardMetric("latency"), GuardMetric("cost"), HELPFUL)
HALF = (Stage(0.5, min_calls=100, min_time_s=10), Stage(1.0, min_calls=100, min_time_s=10))


class Side(Struct, frozen=True):
    """What a side is like."""

    errors: float = 0.02
    helpful: float = 0.8
    latency_ms: float = 500.0
    cost_microusd: float = 1_000.0
    slow: float = 0.0

    def calls(self, rng: random.Random, n: int, guards: tuple[GuardMetric, ...]) -> Figures:
        tally = Tally(guards)
        for _ in range(n):
            latency_ms = self.latency_ms * rng.lognormvariate(0, 0.5) * (10 if rng.random() < self.slow else 1)
            cost = int(self.cost_microusd * rng.lognormvariate(0, 0.6))
            tally.call(failed=rng.random() < self.errors, latency_ms=latency_ms, cost_microusd=cost)
            tally.score("helpful", rng.betavariate(3 * self.helpful, 3 * (1 - self.helpful)))
        return tally.take()


SAME = Side()


def windows(
    plan: Rollout, b: Side, seed: int, *, n: int = 400, per: tuple[int, int] = (20, 20), stage: int = 0, a: Side = SAME,
    from_s: float = 0.0,
) -> Iterator[Window]:  # fmt: skip
    """So many windows of a second each."""
    rng = random.Random(seed)
    for second in range(n):
        figures = (a.calls(rng, per[0], plan.guards), b.calls(rng, per[1], plan.guards))
        yield Window(stage, from_s + second + 1.0, *figures)


def folded(plan: Rollout, some: Iterator[Window], evidence: Evidence | None = None) -> Evidence:
    known = begin(plan) if evidence is None else evidence
    for window in some:
        known = fold(plan, known, window)
    return known


def until(
    plan: Rollout, some: Iterator[Window], stop: Callable[[Evidence], bool], evidence: Evidence | None = None
) -> tuple[Evidence, int]:
    """The evidence at which to stop, and how many windows it took."""
    known, count = begin(plan) if evidence is None else evidence, 0
    for window in some:
        known, count = fold(plan, known, window), count + 1
        if stop(known):
            break
    return known, count
