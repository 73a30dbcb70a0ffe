"""Figures over time, against the time before, and who leads them: what charts, lists and alerts are drawn from.

Everything is read from the sums by the minute and by the hour, never from the calls.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.observability import tops
from comporta.telemetry.observability.names import METRICS, Metric, metric
from comporta.telemetry.observability.reading import Asked, Cells, asked, read
from comporta.telemetry.observability.sums import Sums

#: Figures of now (`budget_utilization`, `open_breakers`), which no sum holds: handed in by whoever knows them.
Now = Mapping[str, float | None]
#: Lines of one chart; the others are left out, and `others` says how many.
MOST_GROUPS = 50
#: What a list can be of: whatever figures are grouped by, and users and sessions, which are kept as lists by the hour.
TOPS = (*COLUMNS, *tops.KINDS)


class Line(Struct, frozen=True):
    """One group (None: all calls). `points` by name, one for each of the series' times; None is «can't be told»."""

    group: str | None
    points: dict[str, list[float | None]]
    #: Of the whole window.
    total: dict[str, float | None]
    calls: int


class Series(Struct, frozen=True):
    """`times` are the beginnings of the steps, UTC; the last one may still be running."""

    since: datetime.datetime
    until: datetime.datetime
    step_s: int
    times: list[datetime.datetime]
    lines: list[Line]
    group_by: str | None = None
    #: Groups that were left out.
    others: int = 0


class Compared(Struct, frozen=True):
    """A figure of a window and of the one as long before it; `change` is the relative difference."""

    value: float | None
    before: float | None
    change: float | None


class Top(Struct, frozen=True):
    """One of the first: `value` is the figure that was asked for."""

    name: str
    value: float | None
    calls: int
    cost_usd: float
    error_rate: float | None


async def series(
    database: Database,
    names: Sequence[str],
    *,
    since: datetime.datetime,
    until: datetime.datetime | None = None,
    step_s: int | None = None,
    filters: Mapping[str, str] | None = None,
    group_by: str | None = None,
    now: datetime.datetime | None = None,
    present: Now | None = None,
    most: int = MOST_GROUPS,
) -> Series:
    """Figures by step; without `step_s` the whole window is one. `group_by` and `filters` are names of COLUMNS.

    Windows are widened to whole minutes (up to a day without steps, or where the step wants it) or hours.
    Groups come with the most calls first, at most `most` of them. Raises BadRequest for what there is not, Unavailable.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    metrics = [metric(name) for name in names]
    question = asked(since, until or now, step_s, filters, group_by)
    cells = await read(database, question, metrics, now)
    totals = _totals(question, cells, now, present or {})
    order = sorted(totals, key=lambda group: (-totals[group].calls, group))
    lines = [_line(group, question, cells, totals[group], metrics, names, now) for group in order[:most]]
    return Series(
        question.since, question.until, question.step_s, question.times, lines, group_by,
        max(0, len(order) - most),
    )  # fmt: skip


async def compare(
    database: Database,
    names: Sequence[str],
    *,
    since: datetime.datetime,
    until: datetime.datetime | None = None,
    filters: Mapping[str, str] | None = None,
    now: datetime.datetime | None = None,
    present: Now | None = None,
) -> dict[str, Compared]:
    """Figures of a window beside those of the window of the same length that ends where it begins."""
    now = now or datetime.datetime.now(datetime.UTC)
    until = until or now
    here = await series(database, names, since=since, until=until, filters=filters, now=now, present=present)
    before = await series(database, names, since=since - (until - since), until=since, filters=filters, now=now)
    mine, earlier = here.lines[0].total, before.lines[0].total
    return {name: _compared(mine[name], earlier[name]) for name in names}


async def top(
    database: Database,
    by: str,
    metric_name: str = "cost",
    *,
    since: datetime.datetime,
    until: datetime.datetime | None = None,
    n: int = 20,
    filters: Mapping[str, str] | None = None,
    now: datetime.datetime | None = None,
) -> list[Top]:
    """The first `n` by a figure: of a dimension, or of users or sessions (`calls`, `cost`, `tokens`, `error_rate`,
    `latency_avg` alone, without filters; see `observability.tops` for how exact these are). Raises BadRequest.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    if by in tops.KINDS:
        if filters:
            raise BadRequest("Lists of users and sessions can't be filtered.", param="filters")
        rows = await tops.read(database, by, metric(metric_name).name, since, until or now, n)
        return [Top(*row) for row in rows]
    if by not in COLUMNS:
        raise BadRequest(f"There is no list by '{by[:50]}'; there are {', '.join(TOPS)}.", param="by")
    wanted = metric(metric_name)
    question = asked(since, until or now, None, filters, by)
    cells = await read(database, question, [wanted], now)
    found = [(group, sums, wanted.of(sums)) for (_, group), sums in cells.items() if group]
    found.sort(key=lambda one: (one[2] is None, -(one[2] or 0.0), one[0]))
    return [_top(group, sums, value) for group, sums, value in found[:n]]


def _totals(question: Asked, cells: Cells, now: datetime.datetime, present: Now) -> dict[str, Sums]:
    """By group; where nothing is grouped there is the one group, with calls or without."""
    seconds = max((min(question.until, now) - question.since).total_seconds(), 1.0)
    totals: dict[str, Sums] = {} if question.group_by else {"": _fresh(seconds, present)}
    for (_, group), sums in sorted(cells.items()):
        total = totals.setdefault(group, _fresh(seconds, present))
        total.add(sums)
        if sums.day_microusd is not None:
            total.day_microusd = sums.day_microusd
    return totals


def _line(
    group: str, question: Asked, cells: Cells, total: Sums, metrics: Sequence[Metric], names: Sequence[str],
    now: datetime.datetime,
) -> Line:  # fmt: skip
    points: dict[str, list[float | None]] = {name: [] for name in names}
    for at in question.times:
        sums = cells.get((at, group)) or _fresh(question.seconds(at, now), {})
        for name, one in zip(names, metrics, strict=True):
            # What is to come is unknown, and what did not happen is nothing.
            points[name].append(one.of(sums) if at <= now else None)
    if len(question.times) == 1 and total.now:
        points = {name: [one.of(total)] for name, one in zip(names, metrics, strict=True)}
    return Line(
        group if question.group_by else None, points,
        {name: one.of(total) for name, one in zip(names, metrics, strict=True)}, total.calls,
    )  # fmt: skip


def _fresh(seconds: float, present: Now) -> Sums:
    return Sums(seconds, now=present)


def _compared(value: float | None, before: float | None) -> Compared:
    change = (value - before) / abs(before) if value is not None and before else None
    return Compared(value, before, change)


def _top(name: str, sums: Sums, value: float | None) -> Top:
    return Top(name, value, sums.calls, sums.sum("cost_microusd") / 1e6, METRICS["error_rate"].of(sums))
