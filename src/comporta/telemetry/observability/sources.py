"""What a figure is read from: of each stretch of a window the coarsest sums that hold it exactly, whole days first.

A window of thirty days is read from the sums of its whole days, those of the hours at both ends, and those of the
minutes before and after them. Sums by one property stand for the rollups where a question asks for no more than that;
what is not summed up so yet, or got calls since, is marked stale and read one step finer.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct
from psycopg import sql

from comporta.telemetry.record import BUCKETS
from comporta.telemetry.tables import DIMENSIONS

Unit = Literal["minute", "hour", "day"]
UNIT_S = {"minute": 60, "hour": 3600, "day": 86_400}
_COARSER: dict[Unit, Unit] = {"minute": "hour", "hour": "day"}

#: Properties; an outcome class is told apart in all of them.
FACETS = tuple(name for name in DIMENSIONS if name != "outcome_class")
#: What the sums by property add up, beside the histograms.
ADDED = (
    "calls", "streams", "retries", "cache_hits", "cache_lookups", *(f"{b}_tokens" for b in BUCKETS), "hit_tokens",
    "estimated_calls", "cost_microusd", "unpriced_calls", "unpriced_tokens", "duration_us", "generating_us",
    "retried_calls", "cache_saved_microusd", "tokens_saved_microusd",
)  # fmt: skip
HISTOGRAMS = ("latency", "first_token")


def _listed(*names: str) -> sql.SQL:
    # Written once: thirty names in each of a dozen selects are half a millisecond of every figure. They are our own.
    return sql.SQL(", ".join(f'"{name}"' for name in names))


_COLUMNS = _listed("period", "outcome_class", *ADDED, *HISTOGRAMS)
#: Columns by name: those of one table need not stand in the order of the other's.
_ROLLUP = _listed("period", *DIMENSIONS, *ADDED, *HISTOGRAMS)
_SCORE = _listed("period", "name", "source", "judge", "label", *FACETS, "n", "total", "low")

_ROLLED = sql.SQL("select {columns} from {rollup} where {within}")
_SUMMED = sql.SQL("""
    select {value}, {columns} from {facets} as f
    where facet = {facet} and {within} and not exists (select from {stale} as s where s.period = f.period)
""")
_NOT_SUMMED = sql.SQL("""
    select {own}, {columns} from {rollup}
    where {within} and period in (select period from {stale} where {within})
""")
#: Days that are stale, by their hours: looked up day by day, since there are hardly ever any.
_OF_STALE_DAYS = sql.SQL("""
    select {value}, {columns} from (select distinct period as day from facet_stale_day where {within}) as d
    join facet_hour as f on f.facet = {facet} and f.period >= d.day and f.period < d.day + interval '1 day'
    where not exists (select from facet_stale_hour as s where s.period = f.period)
    union all
    select {own}, {columns} from rollup_hour
    where period in (
        select period from facet_stale_hour
        where {within} and date_trunc('day', period, 'UTC') in (select period from facet_stale_day where {within})
    )
""")


class Stretch(Struct, frozen=True):
    """A part of a window, and how coarse the sums are that it is read from."""

    unit: Unit
    begin: datetime.datetime
    end: datetime.datetime


def stretches(unit: Unit, begin: datetime.datetime, end: datetime.datetime, coarsest: Unit) -> list[Stretch]:
    """A window in whole `unit`s (UTC), as few of the coarsest stretches as there can be, in the order of time."""
    if UNIT_S[unit] >= UNIT_S[coarsest]:
        return [Stretch(unit, begin, end)]
    coarser = _COARSER[unit]
    first, last = _ceiling(begin, UNIT_S[coarser]), _floor(end, UNIT_S[coarser])
    if first >= last:
        return [Stretch(unit, begin, end)]
    parts = [Stretch(unit, begin, first), *stretches(coarser, first, last, coarsest), Stretch(unit, last, end)]
    return [part for part in parts if part.begin < part.end]


def facet_of(columns: Collection[str]) -> str | None:
    """The facet that answers a question about these columns; None where it takes more than one property."""
    asked = set(columns)
    if not asked:
        return ""
    return asked.pop() if len(asked) == 1 and asked <= set(FACETS) else None


def calls_in(parts: Sequence[Stretch], facet: str | None) -> sql.Composable:
    """What stands behind `from` for sums of calls: these stretches, with the columns that a facet knows, or all."""
    return _all_of([select for part in parts for select in _selects(part, facet)])


def scores_in(parts: Sequence[Stretch]) -> sql.Composable:
    """The same for sums of scores, which there are by the minute and by the hour."""
    return _all_of([_rolled("score", _SCORE, part) for part in parts])


def _selects(part: Stretch, facet: str | None) -> list[sql.Composable]:
    if facet is None:
        return [_rolled("rollup", _ROLLUP, part)]
    parts = {
        "value": sql.SQL("value as {}").format(sql.Identifier(facet)) if facet else sql.SQL("value"),
        "own": sql.SQL("{0} as {0}").format(sql.Identifier(facet)) if facet else sql.SQL("''"),
        "columns": _COLUMNS, "facet": sql.Literal(facet), "within": _within(part),
        "facets": sql.Identifier(f"facet_{part.unit}"), "stale": sql.Identifier(f"facet_stale_{part.unit}"),
        "rollup": sql.Identifier(f"rollup_{part.unit}"),
    }  # fmt: skip
    finer = _OF_STALE_DAYS if part.unit == "day" else _NOT_SUMMED
    return [_SUMMED.format(**parts), finer.format(**parts)]


def _rolled(kind: str, columns: sql.Composable, part: Stretch) -> sql.Composable:
    # Of whole rollups there is nothing coarser than hours.
    unit = "hour" if part.unit == "day" else part.unit
    return _ROLLED.format(columns=columns, rollup=sql.Identifier(f"{kind}_{unit}"), within=_within(part))


def _within(part: Stretch) -> sql.SQL:
    begin, end = (at.astimezone(datetime.UTC).isoformat() for at in (part.begin, part.end))
    # As text: a stretch stands in a query a dozen times, and each time would be looked up and quoted anew.
    return sql.SQL(f"period >= '{begin}' and period < '{end}'")


def _all_of(selects: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("({}) as summed").format(sql.SQL(" union all ").join(selects))


def _floor(at: datetime.datetime, unit_s: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(at.timestamp() // unit_s) * unit_s, datetime.UTC)


def _ceiling(at: datetime.datetime, unit_s: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(-int(-at.timestamp() // unit_s) * unit_s, datetime.UTC)
