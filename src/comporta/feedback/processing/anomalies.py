"""A prompt version that is worse than the one before it, told as soon as it is sure, however often one looks."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator

from msgspec import Struct

from comporta.stats.sequential import Interval, interval_at_all_times

#: The chance that one of all looks at a pair of versions that are alike tells a difference.
ALPHA = 0.002
_FEWEST = 30
_TUNED_FOR = 200
#: In standard deviations: less is no news.
_LEAST = 0.2


class VersionSums(Struct, frozen=True):
    """A score's sums for one version of a prompt on a route; `began` is its first call."""

    route: str
    prompt: str
    version: str
    name: str
    n: int
    total: float
    squares: float
    binary: bool
    began: datetime.datetime
    #: Of such a score less is better.
    ill: bool = False

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def deviation(self) -> float:
        return math.sqrt(max(self.squares / self.n - self.mean**2, 1e-6))

    def interval(self) -> Interval:
        """Where the mean lies, at all times at once."""
        return interval_at_all_times(self.mean, self.deviation, self.n, ALPHA / 2, _TUNED_FOR)


class Anomaly(Struct, frozen=True):
    """`now` is worse than `before` by `size` (of an ill score positive, else negative), from `low` to `high`."""

    before: VersionSums
    now: VersionSums
    size: float
    low: float
    high: float


def worse(sums: Iterable[VersionSums]) -> Iterator[Anomaly]:
    """The latest version of each prompt, route and score where it is surely worse than the one that began before it."""
    by_place: dict[tuple[str, str, str], list[VersionSums]] = {}
    for one in sums:
        if one.n >= _FEWEST:
            by_place.setdefault((one.route, one.prompt, one.name), []).append(one)
    for versions in by_place.values():
        if len(versions) > 1:
            before, now = sorted(versions, key=lambda one: one.began)[-2:]
            found = _compared(before, now)
            if found is not None:
                yield found


def _compared(before: VersionSums, now: VersionSums) -> Anomaly | None:
    was, is_ = before.interval(), now.interval()
    size = now.mean - before.mean
    sure = is_.low > was.high if now.ill else is_.high < was.low
    if not sure or abs(size) < _LEAST * before.deviation:
        return None
    return Anomaly(before, now, size, is_.low - was.high, is_.high - was.low)
