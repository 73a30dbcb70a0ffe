"""What is usual at an hour of the week: median and spread of the same hour, and its neighbours, in the weeks before.

The spread is the median absolute deviation times 1.4826, which is a normal distribution's standard deviation
(Rousseeuw and Croux 1993); a few wild weeks move neither. It is never taken for less than a twentieth of the median:
a figure that never moved may move a little.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence

from comporta.alerts.judging import Baseline
from comporta.alerts.rules import Rule
from comporta.store.database import Database
from comporta.telemetry.series import series

WEEKS = 8
LEAST_WEEKS = 2
_LEAST_VALUES = 4
_HOUR = datetime.timedelta(hours=1)
_WEEK = datetime.timedelta(weeks=1)
_TO_DEVIATION = 1.4826
_LEAST_SPREAD = 0.05
_TINY = 1e-9
_FIRST = "select min(period) from rollup_hour"


async def usual(database: Database, rule: Rule, now: datetime.datetime) -> Baseline | str:
    """What is usual now for a rule; a sentence where there are not two weeks to say so from. Raises Unavailable."""
    middle = (now - datetime.timedelta(seconds=rule.window_s / 2)).replace(minute=0, second=0, microsecond=0)
    first = await _first(database)
    values: list[float] = []
    weeks = 0
    for back in range(1, WEEKS + 1):
        begin = middle - back * _WEEK - _HOUR
        if first is None or begin < first:
            break
        found = await _values(database, rule, begin)
        values += found
        weeks += bool(found)
    if weeks < LEAST_WEEKS or len(values) < _LEAST_VALUES:
        return f"needs figures of this hour from {LEAST_WEEKS} weeks at least; there are {weeks}"
    return baseline_of(values, weeks)


def baseline_of(values: Sequence[float], weeks: int) -> Baseline:
    """Median and spread of values."""
    median = statistics.median(values)
    spread = _TO_DEVIATION * statistics.median([abs(value - median) for value in values])
    return Baseline(median, max(spread, _LEAST_SPREAD * abs(median), _TINY), weeks)


async def _values(database: Database, rule: Rule, begin: datetime.datetime) -> list[float]:
    """The figure of three hours, one each."""
    found = await series(
        database, [rule.metric], since=begin, until=begin + 3 * _HOUR, step_s=3600, filters=rule.filter,
        now=begin + 3 * _HOUR,
    )  # fmt: skip
    return [value for value in found.lines[0].points[rule.metric] if value is not None]


async def _first(database: Database) -> datetime.datetime | None:
    async with database.reading() as connection:
        row = await (await connection.execute(_FIRST)).fetchone()
    return row[0] if row is not None else None


def by_the_hour(rule: Rule, value: float | None) -> float | None:
    """A window's value as an hour's, where it grows with the length of the window."""
    return value if value is None or not rule.figure.adds_up else value * 3600 / rule.window_s
