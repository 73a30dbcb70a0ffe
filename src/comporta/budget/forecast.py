"""When a budget will be used up at this pace, and what the period will come to: from what was spent hour by hour.

With two weeks of history each weekday has a mean of its own (of the last four weeks), since offices sleep at weekends;
with less, the mean of all of it. The spread of days around that mean gives the interval: 80 of 100 periods should end
within it, as long as the coming days are like those before. Nothing here knows of a launch next week.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

HOUR_S = 3600.0
DAY_S = 86_400.0
#: So far back the ledger is looked at.
HISTORY_DAYS = 28
_WEEKDAYS_FROM_DAYS = 14
_LEAST_HOURS = 3
#: 80 % of a normal distribution lie within so many standard deviations.
_Z = 1.2816

Basis = Literal["weekdays", "days", "hours"]


class Forecast(Struct, frozen=True):
    """Money in micro-dollars; `low` and `high` bound the end of the period, 80 times of 100.

    `used_up_at_s` is None where the limit lasts to the period's end; `earliest_s` and `latest_s` are the same at the
    high and at the low bound.
    """

    basis: Basis
    history_days: float
    expected_microusd: int
    low_microusd: int
    high_microusd: int
    used_up_at_s: float | None
    earliest_s: float | None
    latest_s: float | None


class TooLittle(Struct, frozen=True):
    """Why nothing can be said yet."""

    reason: str


def forecast(
    hours: Sequence[tuple[float, int]], limit_microusd: int, begin_s: float, end_s: float, now_s: float
) -> Forecast | TooLittle:
    """`hours` are the micro-dollars spent in the hours that begin at those times, without those in which none was.

    They reach back up to `HISTORY_DAYS` before now, over the period's begin.
    """
    spent = sum(cost for at_s, cost in hours if begin_s <= at_s < end_s)
    if not hours:
        return TooLittle("nothing was spent in the last four weeks")
    since_s = max(min(at_s for at_s, _ in hours), now_s - HISTORY_DAYS * DAY_S)
    length_s = now_s - since_s
    if length_s < _LEAST_HOURS * HOUR_S:
        return TooLittle(f"the first spending is less than {_LEAST_HOURS} hours old")
    pace = _pace(hours, since_s, now_s)
    path = _Path(pace, spent, now_s, end_s)
    return Forecast(
        pace.basis, length_s / DAY_S, round(path.at(end_s)), round(max(path.at(end_s, -_Z), spent)),
        round(path.at(end_s, _Z)), path.reaches(limit_microusd, 0.0), path.reaches(limit_microusd, _Z),
        path.reaches(limit_microusd, -_Z),
    )  # fmt: skip


class _Pace(Struct, frozen=True):
    """Mean micro-dollars an hour by weekday (Monday first), and the standard deviation of one day's sum."""

    basis: Basis
    by_weekday: tuple[float, ...]
    day_sd: float


def _pace(hours: Sequence[tuple[float, int]], since_s: float, now_s: float) -> _Pace:
    days = _days(hours, since_s, now_s)
    if len(days) >= _WEEKDAYS_FROM_DAYS:
        return _by_weekday(days)
    total = sum(cost for at_s, cost in hours if at_s >= since_s - HOUR_S)
    mean = total / ((now_s - since_s) / HOUR_S)
    if len(days) >= 3:
        return _Pace("days", (mean,) * 7, _sd([cost for _, cost in days]))
    return _Pace("hours", (mean,) * 7, _day_sd_from_hours(hours, since_s, now_s))


def _days(hours: Sequence[tuple[float, int]], since_s: float, now_s: float) -> list[tuple[int, int]]:
    """Whole days (number since 1970) with what was spent in each."""
    first, last = math.ceil(since_s / DAY_S), int(now_s // DAY_S)
    # The day on which the first money was spent counts from its first hour on: it is no whole day.
    sums = dict.fromkeys(range(first, last), 0)
    for at_s, cost in hours:
        day = int(at_s // DAY_S)
        if day in sums:
            sums[day] += cost
    return sorted(sums.items())


def _by_weekday(days: Sequence[tuple[int, int]]) -> _Pace:
    groups: list[list[int]] = [[] for _ in range(7)]
    for day, cost in days:
        groups[_weekday(day * DAY_S)].append(cost)
    means = [sum(group) / len(group) for group in groups]
    # What is left once the weekday is known, with one degree of freedom gone for each weekday.
    squares = sum((cost - mean) ** 2 for group, mean in zip(groups, means, strict=True) for cost in group)
    return _Pace("weekdays", tuple(mean / 24 for mean in means), math.sqrt(squares / max(len(days) - 7, 1)))


def _day_sd_from_hours(hours: Sequence[tuple[float, int]], since_s: float, now_s: float) -> float:
    """Of a day, from single hours, as though they knew nothing of each other: too narrow rather than nothing."""
    count = max(round((now_s - since_s) / HOUR_S), 2)
    known = [cost for _, cost in hours][-count:]
    return _sd([*known, *([0] * (count - len(known)))]) * math.sqrt(24)


def _sd(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))


def _weekday(at_s: float) -> int:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).weekday()


class _Path:
    """Spending from now to the period's end, hour by hour."""

    def __init__(self, pace: _Pace, spent: int, now_s: float, end_s: float) -> None:
        self._pace = pace
        self._now_s = now_s
        self._steps: list[tuple[float, float]] = [(now_s, float(spent))]
        at_s, total = now_s, float(spent)
        while at_s < end_s:
            until_s = min((at_s // HOUR_S + 1) * HOUR_S, end_s)
            total += pace.by_weekday[_weekday(at_s)] * (until_s - at_s) / HOUR_S
            self._steps.append((until_s, total))
            at_s = until_s

    def at(self, at_s: float, deviations: float = 0.0) -> float:
        """Expected by then, so many standard deviations off."""
        total = next(total for step_s, total in reversed(self._steps) if step_s <= at_s)
        return total + deviations * self._pace.day_sd * math.sqrt(max(at_s - self._now_s, 0.0) / DAY_S)

    def reaches(self, limit: int, deviations: float) -> float | None:
        """When it comes to so much; None where it does not within the period."""
        before_s, before = self._steps[0]
        for step_s, _ in self._steps:
            total = self.at(step_s, deviations)
            if total >= limit:
                share = 1.0 if total <= before else max(limit - before, 0.0) / (total - before)
                return before_s + (step_s - before_s) * share
            before_s, before = step_s, total
        return None
