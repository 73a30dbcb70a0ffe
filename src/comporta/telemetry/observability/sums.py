"""Sums of a stretch of time and a group of calls: what every figure is computed from, and how two of them add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from comporta.telemetry.histogram import quantile_us
from comporta.telemetry.record import BUCKETS, OK

#: Columns of the rollups of calls that are summed up.
SUMMED = (
    "calls", "retries", "retried_calls", "cache_hits", "cache_lookups", "estimated_calls", "cost_microusd",
    "unpriced_calls", "unpriced_tokens", "cache_saved_microusd", "tokens_saved_microusd", "duration_us",
    "generating_us", "hit_tokens", *(f"{b}_tokens" for b in BUCKETS),
)  # fmt: skip
_TOKENS = tuple(f"{b}_tokens" for b in BUCKETS)
#: Outcomes that say nothing of whether the gate and its providers work: the caller's own doing.
CALLERS = ("refused", "rejected", "client_closed")
#: Outcomes that take away from availability.
FAILED = ("upstream", "timeout", "unavailable", "internal")


class Tally(Struct):
    """How many scores there were, what they add up to (true is 1), and how many lay below a half."""

    n: int = 0
    total: float = 0.0
    low: int = 0


#: Name, source, and of guards' verdicts the kind of guard and what became of it.
ScoreKey = tuple[str, str, str, str]


class Sums(Struct):
    """`seconds` is how long the stretch was, as far as it has passed. Histograms are calls by bucket."""

    seconds: float
    #: By outcome class: the columns of SUMMED.
    by_class: dict[str, dict[str, int]] = {}
    latency: dict[int, int] = {}
    first_token: dict[int, int] = {}
    scores: dict[ScoreKey, Tally] = {}
    #: Spent since midnight (UTC) of the day in which the stretch ends; None where nobody asked for it.
    day_microusd: int | None = None
    #: Figures of now that no rollup holds (`budget_utilization`, `open_breakers`).
    now: Mapping[str, float | None] = {}

    @property
    def calls(self) -> int:
        return self.sum("calls")

    @property
    def ok(self) -> int:
        return self.outcome(OK)

    @property
    def tokens(self) -> int:
        """Tokens that providers were asked for."""
        return sum(self.sum(name) for name in _TOKENS)

    @property
    def failed(self) -> int:
        return sum(self.outcome(name) for name in FAILED)

    @property
    def due(self) -> int:
        """Calls that the gate and its providers owed an answer."""
        return self.calls - sum(self.outcome(name) for name in CALLERS)

    def sum(self, column: str, outcome: str | None = None) -> int:
        classes = self.by_class.values() if outcome is None else [self.by_class.get(outcome, {})]
        return sum(one.get(column, 0) for one in classes)

    def outcome(self, name: str) -> int:
        return self.by_class.get(name, {}).get("calls", 0)

    def quantile_s(self, q: float, *, first: bool = False) -> float | None:
        """Seconds that the share `q` of the calls took at most, to the end or to the first content."""
        found = quantile_us(self.first_token if first else self.latency, q)
        return None if found is None else found / 1e6

    def scored(self, *names: str, source: str | None = None) -> Tally:
        """Scores of these names, told by anybody but guards (or by one source)."""
        found = (
            tally for (name, by, _, _), tally in self.scores.items()
            if name in names and (by != "guard" if source is None else by == source)
        )  # fmt: skip
        return _added(found)

    def verdicts(self, *kinds: str, outcome: str | None = None) -> int:
        """What guards found, by the kind of guard (all of them without any) and by what became of it."""
        return sum(
            tally.n for (_, by, kind, label), tally in self.scores.items()
            if by == "guard" and (not kinds or kind in kinds) and outcome in (None, label)
        )  # fmt: skip

    def add(self, other: Sums) -> None:
        """Take in another stretch or group; the seconds are this one's own."""
        for outcome, columns in other.by_class.items():
            mine = self.by_class.setdefault(outcome, {})
            for name, value in columns.items():
                mine[name] = mine.get(name, 0) + value
        _merge(self.latency, other.latency)
        _merge(self.first_token, other.first_token)
        for key, tally in other.scores.items():
            self.scores[key] = _added([self.scores.get(key, Tally()), tally])


def take(sums: Sums, outcome: str, row: Mapping[str, Any]) -> None:
    """Put a row of a rollup in."""
    mine = sums.by_class.setdefault(outcome, {})
    for name in SUMMED:
        mine[name] = mine.get(name, 0) + int(row[name])


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _merge(mine: dict[int, int], other: Mapping[int, int]) -> None:
    for bucket, calls in other.items():
        mine[bucket] = mine.get(bucket, 0) + calls


def _added(tallies: Iterable[Tally]) -> Tally:
    found = Tally()
    for one in tallies:
        found.n, found.total, found.low = found.n + one.n, found.total + one.total, found.low + one.low
    return found
