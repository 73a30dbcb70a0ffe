"""What is counted of each side: figures that add up, so that any worker may count and any may add.

A worker tallies its ended calls (`Tally`) and hands out `Figures`; those of all workers for the same second or so make
one `Window`, both sides beside each other. Windows are what decisions are made from (evidence.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from comporta.routing.rollout.plan import GuardMetric
from comporta.stats.histogram import added, bucket
from comporta.stats.sums import Sums

_NOTHING = Sums()


class Figures(Struct, frozen=True, omit_defaults=True):
    """One side's calls of some time. JSON as it stands; `plus` of any pieces in any order gives the whole.

    `calls` are those that say something of the side: what the client did wrong (its 4xx, its leaving) is not counted.
    `latency` (milliseconds, of calls that answered) and `cost` (micro-dollars, of calls whose cost is known) are
    histograms (stats/histogram.py), `cost_microusd` is the exact sum; `scores` holds sums by metric name, rescaled to
    [0, 1].
    """

    calls: int = 0
    errors: int = 0
    latency: dict[int, int] = {}
    cost: dict[int, int] = {}
    cost_microusd: int = 0
    scores: dict[str, Sums] = {}

    def plus(self, other: Figures) -> Figures:
        if self == _EMPTY:
            return other
        if other == _EMPTY:
            return self
        return Figures(
            self.calls + other.calls,
            self.errors + other.errors,
            added(self.latency, other.latency),
            added(self.cost, other.cost),
            self.cost_microusd + other.cost_microusd,
            {name: self.score(name).plus(other.score(name)) for name in {**self.scores, **other.scores}},
        )

    def score(self, name: str) -> Sums:
        return self.scores.get(name, _NOTHING)


_EMPTY = Figures()


class Window(Struct, frozen=True):
    """What ended on both sides in the same time, while one stage's share held.

    `stage` is the stage under which the calls were shared out, `at_s` the end of the window in unix seconds. Sides are
    compared within windows only: what changes over the day for everybody changes both sides of a window alike.
    """

    stage: int
    at_s: float
    a: Figures = _EMPTY
    b: Figures = _EMPTY


class Tally:
    """One side's figures while they are being counted. Not shared between threads."""

    def __init__(self, guards: Iterable[GuardMetric] = ()) -> None:
        self._scored = [guard for guard in guards if guard.kind == "score"]
        self._clear()

    def call(self, *, failed: bool, latency_ms: float | None = None, cost_microusd: int | None = None) -> None:
        """One ended call. Leave out calls that say nothing of the side. A failed call's latency is not looked at."""
        self._calls += 1
        self._errors += failed
        if latency_ms is not None and not failed:
            where = bucket(latency_ms)
            self._latency[where] = self._latency.get(where, 0) + 1
        if cost_microusd is not None:
            where = bucket(cost_microusd)
            self._cost[where] = self._cost.get(where, 0) + 1
            self._cost_microusd += cost_microusd

    def score(self, name: str, value: float | bool | str) -> None:
        """One score of a call; names that no guard asks for, and texts where a number is asked for, are passed over."""
        for guard in self._scored:
            if guard.score == name and (y := unit_value(guard, value)) is not None:
                sums = self._scores.setdefault(guard.name, [0, 0.0, 0.0])
                sums[0] += 1
                sums[1] += y
                sums[2] += y * y

    def take(self) -> Figures:
        """What was counted since the last time."""
        scores = {name: Sums(int(n), total, squares) for name, (n, total, squares) in self._scores.items()}
        taken = Figures(self._calls, self._errors, self._latency, self._cost, self._cost_microusd, scores)
        self._clear()
        return taken

    def _clear(self) -> None:
        self._calls = self._errors = self._cost_microusd = 0
        self._latency: dict[int, int] = {}
        self._cost: dict[int, int] = {}
        self._scores: dict[str, list[float]] = {}


def unit_value(guard: GuardMetric, value: float | bool | str) -> float | None:
    """A score's value in [0, 1], `low` at 0 and `high` at 1; None where it is not of the metric's kind."""
    if guard.label is not None:
        return float(value == guard.label) if isinstance(value, str) else None
    if isinstance(value, str) or value != value:
        return None
    return min(1.0, max(0.0, (float(value) - guard.low) / guard.width))
