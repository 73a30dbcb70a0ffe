"""Sums by step and group, read from the rollups alone: of calls, of their histograms, and of scores."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from psycopg import sql

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.observability.names import Metric, named_scores
from comporta.telemetry.observability.sources import UNIT_S, Unit, calls_in, facet_of, scores_in, stretches
from comporta.telemetry.observability.sums import SUMMED, Sums, Tally, take
from comporta.telemetry.summary import MINUTES_UP_TO, floor

Table = Literal["minute", "hour"]
#: Steps of one answer: more than a chart has pixels for.
MOST_STEPS = 2_000
_HOUR_S = 3600
_COARSE: tuple[Unit, ...] = ("day", "hour")
_YEARS = (2000, 2100)

#: `at` is the step's beginning. The origin is the window's own beginning: steps need not divide a day.
_AT = "date_bin(make_interval(secs => %(step_s)s), period, %(since)s)"
_CALLS = sql.SQL(
    "select {at}, {group}, outcome_class, {sums} from {table}"
    " where period >= %(since)s and period < %(until)s {where} group by 1, 2, 3"
)
_BUCKETS = sql.SQL(
    "select {at}, {group}, entry >> 40, sum(entry & ((1::bigint << 40) - 1))::bigint"
    " from {table}, unnest({histogram}) as entry"
    " where period >= %(since)s and period < %(until)s {where} group by 1, 2, 3"
)
_SCORES = sql.SQL(
    "select {at}, {group}, name, source, judge, label, sum(n)::bigint, sum(total), sum(low)::bigint from {table}"
    " where period >= %(since)s and period < %(until)s and (source = 'guard' or name = any(%(scores)s)) {where}"
    " group by 1, 2, 3, 4, 5, 6"
)
_DAYS = sql.SQL(
    "select {hour}, {group}, sum(cost_microusd)::bigint from {table}"
    " where period >= %(since)s and period < %(until)s {where} group by 1, 2"
)

Cells = dict[tuple[datetime.datetime, str], Sums]


class Asked(Struct, frozen=True):
    """A question: which calls, from when to when (UTC, whole minutes or hours), in what steps and groups."""

    since: datetime.datetime
    until: datetime.datetime
    step_s: int
    table: Table
    filters: Mapping[str, str] = {}
    group_by: str | None = None

    @property
    def times(self) -> list[datetime.datetime]:
        """The beginnings of the steps."""
        count = -(-int((self.until - self.since).total_seconds()) // self.step_s)
        return [self.since + datetime.timedelta(seconds=n * self.step_s) for n in range(count)]

    @property
    def coarsest(self) -> Unit:
        """The coarsest sums of which none lies in two steps."""
        if self.since + datetime.timedelta(seconds=self.step_s) >= self.until:
            return "day"
        fitting = (
            unit
            for unit in _COARSE
            if self.step_s % UNIT_S[unit] == 0 and floor(self.since, UNIT_S[unit]) == self.since
        )
        return next(fitting, "minute")

    def seconds(self, at: datetime.datetime, now: datetime.datetime) -> float:
        """How much of the step that begins then has passed."""
        end = min(at + datetime.timedelta(seconds=self.step_s), self.until, now)
        return max((end - at).total_seconds(), 1.0)


def asked(
    since: datetime.datetime,
    until: datetime.datetime,
    step_s: int | None,
    filters: Mapping[str, str] | None = None,
    group_by: str | None = None,
) -> Asked:
    """The question in whole minutes or hours. Raises BadRequest for what can't be asked."""
    for name in (*(filters or {}), *([group_by] if group_by else [])):
        if name not in COLUMNS:
            raise BadRequest(
                f"Figures can't be asked by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
    if since.year < _YEARS[0] or until.year > _YEARS[1]:
        raise BadRequest(f"A window lies between the years {_YEARS[0]} and {_YEARS[1]}.", param="since")
    if until <= since:
        raise BadRequest("The window must end after it begins.", param="until")
    fine = _wants_minutes(since, until, step_s)
    unit_s = 60 if fine else _HOUR_S
    begin, end = floor(since, unit_s), _ceiling(until, unit_s)
    length_s = int((end - begin).total_seconds())
    step = length_s if step_s is None else max(unit_s, -(-step_s // unit_s) * unit_s)
    if length_s / step > MOST_STEPS:
        raise BadRequest(f"That would be more than {MOST_STEPS} steps: take longer ones.", param="step")
    return Asked(begin, end, step, "minute" if fine else "hour", dict(filters or {}), group_by)


def _wants_minutes(since: datetime.datetime, until: datetime.datetime, step_s: int | None) -> bool:
    return until - since <= MINUTES_UP_TO if step_s is None else step_s % _HOUR_S != 0


async def read(database: Database, question: Asked, metrics: Sequence[Metric], now: datetime.datetime) -> Cells:
    """Sums by step and group; a step without calls has none. Raises Unavailable."""
    needs = {need for metric in metrics for need in metric.needs}
    cells: Cells = {}
    async with database.reading() as connection:
        reader = _Reader(connection, question, cells, now)
        await reader.calls()
        for histogram in ("latency", "first_token"):
            if histogram in needs:
                await reader.histogram(histogram)
        if "scores" in needs:
            await reader.scores(named_scores(tuple(metric.name for metric in metrics)))
        if "day" in needs:
            await reader.days()
    return cells


class _Reader:
    def __init__(self, connection: Connection, question: Asked, cells: Cells, now: datetime.datetime) -> None:
        self._connection = connection
        self._asked = question
        self._cells = cells
        self._now = now

    async def calls(self) -> None:
        sums = sql.SQL(", ").join(sql.SQL("sum({})::bigint").format(sql.Identifier(c)) for c in SUMMED)
        for at, group, outcome, *values in await self._rows(_CALLS, self._calls(), sums=sums):
            take(self._cell(at, group), outcome, dict(zip(SUMMED, values, strict=True)))

    async def histogram(self, column: str) -> None:
        for at, group, bucket, calls in await self._rows(_BUCKETS, self._calls(), histogram=sql.Identifier(column)):
            sums = self._cell(at, group)
            (sums.latency if column == "latency" else sums.first_token)[bucket] = calls

    async def scores(self, names: Sequence[str]) -> None:
        question = self._asked
        table = scores_in(stretches(question.table, question.since, question.until, question.coarsest))
        for at, group, *key, n, total, low in await self._rows(_SCORES, table, {"scores": list(names)}):
            name, source, judge, label = key
            self._cell(at, group).scores[name, source, judge, label] = Tally(n, total, low)

    async def days(self) -> None:
        """Money since the midnight before each step's end, for every step and group that there is."""
        unit: Table = "minute" if self._asked.step_s % _HOUR_S else "hour"
        midnight = _midnight(self._asked.since)
        hour = sql.SQL("date_trunc({}, period, 'UTC')").format(sql.Literal(unit))
        rows = await self._rows(_DAYS, self._calls(midnight, unit), {"since": midnight}, hour=hour)
        spent: dict[str, list[tuple[datetime.datetime, int]]] = {}
        for at, group, cost in rows:
            spent.setdefault(group, []).append((at, cost))
        for at in self._asked.times:
            end = min(at + datetime.timedelta(seconds=self._asked.step_s), self._asked.until, self._now)
            begin = _midnight(end - datetime.timedelta(microseconds=1))
            for group, costs in spent.items() if at <= self._now else ():
                self._cell(at, group).day_microusd = sum(cost for when, cost in costs if begin <= when < end)

    async def _rows(
        self, query: sql.SQL, table: sql.Composable, values: Mapping[str, Any] | None = None, **parts: sql.Composable
    ) -> Iterable[tuple[Any, ...]]:
        question = self._asked
        where = [
            sql.SQL(" and {} = {}").format(sql.Identifier(COLUMNS[name]), sql.Placeholder(f"only_{name}"))
            for name in question.filters
        ]
        composed = query.format(
            at=sql.SQL(_AT), group=sql.Identifier(COLUMNS[question.group_by]) if question.group_by else sql.SQL("''"),
            table=table, where=sql.SQL("").join(where), **parts,
        )  # fmt: skip
        given = {f"only_{name}": value for name, value in question.filters.items()}
        times = {"since": question.since, "until": question.until, "step_s": question.step_s}
        cursor = await self._connection.execute(composed, {**times, **given, **(values or {})})
        return await cursor.fetchall()

    def _calls(self, since: datetime.datetime | None = None, coarsest: Unit | None = None) -> sql.Composable:
        question = self._asked
        columns = [COLUMNS[name] for name in (*question.filters, *([question.group_by] if question.group_by else []))]
        parts = stretches(question.table, since or question.since, question.until, coarsest or question.coarsest)
        return calls_in(parts, facet_of(columns))

    def _cell(self, at: datetime.datetime, group: str) -> Sums:
        cell = self._cells.get((at, group))
        if cell is None:
            cell = self._cells[at, group] = _empty(self._asked.seconds(at, self._now))
        return cell


def _empty(seconds: float) -> Sums:
    return Sums(seconds)


def _midnight(at: datetime.datetime) -> datetime.datetime:
    return at.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _ceiling(at: datetime.datetime, unit_s: int) -> datetime.datetime:
    seconds = -int(-at.timestamp() // unit_s) * unit_s
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
