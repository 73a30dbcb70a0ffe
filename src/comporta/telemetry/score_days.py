"""Sums of scores by day, so that figures of millions of scores are read from a few rows.

The job worker makes them once a day (UTC) is over. A day that is not summed up yet, or whose scores changed since, is
marked stale by the table's own triggers and read from its scores, as are the ends of a window that lie within a day:
figures are the same in any case, and only slower where no job worker runs.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Collection
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg import sql

from comporta.store.database import Connection, Database

log = structlog.get_logger("comporta.telemetry")

_At = datetime.datetime | None

#: What the rows of the fewer kind tell apart, and what those of the other kind do beside.
_COARSE = ("name", "kind", "source", "route", "prompt_id", "prompt_version", "team")
_FINE = (*_COARSE, "variant", "provider", "model", "key_id", "environment", "feature")
_GRAINS = {"prompt": _COARSE, "all": _FINE}
#: Properties that scores are summed up by.
SUMMED = frozenset(_FINE)
#: A verdict's word, of guards alone; as long as figures tell texts apart at all.
_LABEL = "case when kind = 'text' and source = 'guard' and length(label) <= 100 then label end"
#: In UTC, as the index has it.
_DAY = "(at at time zone 'UTC')::date"
_STALE = """
select distinct day from score_stale_day where day < (now() at time zone 'UTC')::date order by day desc
"""
_LOCK = "select pg_try_advisory_xact_lock(hashtext('comporta.score_days'))"
#: A mark that somebody's change still hangs on stays, and with it the day is stale; nobody is waited for.
_TAKE = """
delete from score_stale_day where ctid = any(array(
    select ctid from score_stale_day where day = %(day)s for update skip locked
))
"""
_CLEAR = "delete from score_day where day = %(day)s"
_FILLS = tuple(
    f"""
    insert into score_day (grain, day, label, {", ".join(columns)}, n, total, squares, least, most, latest, began)
    select '{grain}', %(day)s, {_LABEL}, {", ".join(columns)}, count(*), sum(number), sum(number * number),
        min(number), max(number), max(at), min(coalesce(called_at, at))
    from score where joined_at is not null and {_DAY} = %(day)s
    group by {_LABEL}, {", ".join(columns)}
    """
    for grain, columns in _GRAINS.items()
)
_SUMMED = sql.SQL("""
    select {columns}, label, n, total, squares, least, most, latest, began from score_day
    where grain = {grain} {days} and day not in (select day from score_stale_day)
""")
_EACH = f"""
    select {{columns}}, {_LABEL}, 1, number, number * number, number, number, at, coalesce(called_at, at) from score
    where joined_at is not null
"""
#: Apart from the ends: each is then found by the index that has it.
_OF_STALE = sql.SQL(f"{_EACH} and {_DAY} = any(array(select distinct day from score_stale_day where true {{days}}))")
_OF_END = sql.SQL(f"{_EACH} {{within}}")


def sums(columns: Collection[str], since: _At = None, until: _At = None) -> sql.Composed:
    """What stands behind `from` for sums of scores judged from `since` on and before `until`.

    Its rows have these `columns`, which are of SUMMED, `label` (of guards' verdicts), `n`, `total`, `squares`, `least`,
    `most`, `latest` and `began`: when the first of the calls was.
    """
    grain = "prompt" if set(columns) <= set(_COARSE) else "all"
    first, end = _midnight(since, 1), _midnight(until)
    days = _bounds(sql.SQL("day"), (">=", first and first.date()), ("<", end and end.date()))
    parts = {"columns": listed(columns), "grain": sql.Literal(grain), "days": days}
    selects = [_SUMMED.format(**parts), _OF_STALE.format(**parts)]
    selects += [_OF_END.format(within=within(*one), **parts) for one in _ends(since, first, end, until)]
    return sql.SQL("({}) as summed").format(sql.SQL(" union all ").join(selects))


def _ends(since: _At, first: _At, end: _At, until: _At) -> list[tuple[_At, _At]]:
    """What of a window lies in no whole day; `first` and `end` are where those begin and end."""
    if since and until and first and end and first > end:
        return [(since, until)]
    return [(a, b) for a, b in ((since, first), (end, until)) if a and b and a < b]


def _midnight(at: _At, more_days: int = 0) -> _At:
    """The one before (UTC), else, with a day more, the one after; what is midnight stays."""
    if at is None:
        return None
    midnight = at.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight == at or midnight.date() == datetime.date.max:
        return midnight
    return midnight + datetime.timedelta(days=more_days)


def within(since: _At, until: _At) -> sql.Composed:
    """The same window for scores one by one, to stand behind another condition."""
    return _bounds(sql.SQL("at"), (">=", since), ("<", until))


def listed(columns: Collection[str]) -> sql.Composed:
    """These columns, between commas."""
    return sql.SQL(", ").join(map(sql.Identifier, sorted(columns)))


def _bounds(column: sql.SQL, *bounds: tuple[LiteralString, datetime.date | None]) -> sql.Composed:
    found = [(sql.SQL(way), sql.Literal(bound)) for way, bound in bounds if bound is not None]
    return sql.Composed([sql.SQL(" and {} {} {}").format(column, way, bound) for way, bound in found])


async def refresh(database: Database) -> int:
    """Sum up the days that are stale and over, the latest first; how many. One worker at a time does it."""
    async with database.connection() as connection:
        days = [day for (day,) in await (await connection.execute(_STALE)).fetchall()]
    made = 0
    for day in days:
        try:
            async with database.connection() as connection:
                made += await _made(connection, {"day": day})
        except psycopg.DataError as error:
            # Values that no sum holds (1e300 squared) keep their day stale, and no other.
            log.warning("scores_not_summed_up", day=day.isoformat(), reason=type(error).__name__)
        # A backlog is no reason to keep a database busy.
        await asyncio.sleep(0.05)
    return made


async def _made(connection: Connection, values: dict[str, Any]) -> bool:
    """The marks go first: what is committed after that has its own, whether the sums know of it or not."""
    locked = await (await connection.execute(_LOCK)).fetchone()
    if locked is None or not locked[0]:
        return False
    # Before the marks, as whoever changes scores has it: else both could wait for each other's.
    await connection.execute("lock table score in access share mode")
    if not (await connection.execute(_TAKE, values)).rowcount:
        return False
    await connection.execute(_CLEAR, values)
    for fill in _FILLS:
        await connection.execute(fill.encode(), values)
    return True
