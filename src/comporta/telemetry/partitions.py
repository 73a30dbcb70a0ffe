"""The partitions of the records' tables, one a day (UTC): made before they are needed, dropped when they are old.

They are dropped by age, and by size: then the oldest go first. What budgets are counted from, the sums by the hour,
stays in any case for as long as a period runs.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import structlog
from msgspec import Struct
from psycopg import sql

from comporta.store.database import Connection, Database
from comporta.telemetry.record import CallRecord

log = structlog.get_logger("comporta.telemetry")

_DAYS_AHEAD = 3
#: A single day that is too large is brought down to so much of what it may take, so that it takes a while to be again.
_TRIMMED_TO = 0.7
#: Part of a day's calls that is kept in any case.
_LEAST_KEPT = 0.05
_PARENTS = ("call", "span", "trace_span")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

ENSURE_PARTITIONS = "select ensure_record_partitions(%s, %s)"
DROP_PARTITIONS = "select drop_record_partitions(%s)"
#: Sums of calls and of scores alike.
DROP_MINUTES = tuple(
    [
        f"delete from {table} where period < %s"
        for table in ("rollup_minute", "score_minute", "facet_minute", "facet_stale_minute")
    ]
)
DROP_HOURS = tuple(
    [
        f"delete from {table} where period < %s"
        for table in ("rollup_hour", "score_hour", "facet_hour", "facet_stale_hour", "top_hour")
    ]
    # The day in which the hours end stays whole until all of them are gone.
    + [f"delete from {table} where period < %s - interval '1 day'" for table in ("facet_day", "facet_stale_day")]
)
#: On the disk, with indexes and what is stored out of line.
SIZES = """
select to_date(substring(c.relname from '_(\\d{8})$'), 'YYYYMMDD'), sum(pg_total_relation_size(c.oid))::bigint
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent in ('call'::regclass, 'span'::regclass, 'trace_span'::regclass)
group by 1 order by 1
"""
LOCK = "select pg_advisory_xact_lock(hashtext('comporta.record_partitions'))"
CUT = "select percentile_disc(%s) within group (order by started_at) from {old}"
#: Written anew rather than deleted from: deleted rows give nothing back to the disk.
REWRITE = (
    "create table {new} (like {parent} including all)",
    "insert into {new} select * from {old} where started_at >= {cut}",
    "drop table {old}",
    "alter table {new} rename to {old}",
    "alter table {parent} attach partition {old} for values from ({begin}) to ({end})",
)


def day_of(record: CallRecord) -> datetime.date:
    """Raises OverflowError for a start that no calendar knows."""
    return (_EPOCH + datetime.timedelta(microseconds=record.started_us)).date()


async def ensure_days(database: Database, days: Iterable[datetime.date]) -> None:
    """Make the partitions for these days."""
    async with database.connection() as connection:
        for day in sorted(days):
            await connection.execute(ENSURE_PARTITIONS, [day, day])


async def ensure_partitions(database: Database) -> None:
    """Make the partitions of today and the next days, so that no batch has to wait for one."""
    today = datetime.datetime.now(datetime.UTC).date()
    async with database.connection() as connection:
        await connection.execute(ENSURE_PARTITIONS, [today, today + datetime.timedelta(days=_DAYS_AHEAD)])


async def retain(database: Database, days: float, *, minute_days: float = 60, hour_days: float = 400) -> int:
    """Drop the calls and spans older than `days` and rollups older than theirs; how many partitions went."""
    now = datetime.datetime.now(datetime.UTC)
    dropped = await _drop_before(database, (now - _days(days)).date())
    async with database.connection() as connection:
        for statement in DROP_MINUTES:
            await connection.execute(statement, [now - _days(minute_days)])
        for statement in DROP_HOURS:
            await connection.execute(statement, [min(now - _days(hour_days), _running_since(now))])
    return dropped


def _running_since(now: datetime.datetime) -> datetime.datetime:
    """The earliest beginning of a period that a budget can be in: of this month, or of this week."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return min(midnight.replace(day=1), midnight - datetime.timedelta(days=midnight.weekday()))


class Kept(Struct, frozen=True):
    """What calls and spans take on the disk, and what had to go for that."""

    size_bytes: int
    dropped: tuple[datetime.date, ...] = ()
    #: The day whose earlier calls went, where a single one is more than may be taken.
    shortened: datetime.date | None = None


async def sizes(database: Database) -> list[tuple[datetime.date, int]]:
    """Bytes on the disk by day, the oldest first."""
    async with database.connection() as connection:
        return [(day, int(size)) for day, size in await (await connection.execute(SIZES)).fetchall()]


async def keep_within(database: Database, max_bytes: int, now: datetime.datetime | None = None) -> Kept:
    """Drop the oldest days until calls and spans take no more than that; of the last day its earliest calls."""
    today = (now or datetime.datetime.now(datetime.UTC)).date()
    found = await sizes(database)
    total = sum(size for _, size in found)
    before, dropped = total, []
    for day, size in found:
        if total <= max_bytes or day >= today:
            break
        await _drop_before(database, day + _days(1))
        dropped.append(day)
        total -= size
    size_today = dict(found).get(today, 0)
    shortened = None
    if total > max_bytes and size_today:
        others = total - size_today
        share = max((max_bytes * _TRIMMED_TO - others) / size_today, _LEAST_KEPT)
        await _shorten(database, today, share)
        shortened, total = today, sum(size for _, size in await sizes(database))
    if dropped or shortened:
        log.warning(
            "records_over_their_size", max_bytes=max_bytes, bytes_before=before, bytes=total,
            dropped=[day.isoformat() for day in dropped], shortened=shortened.isoformat() if shortened else None,
            hint="records.max_size sets the bound; records.keep and records.content say how much is kept at all.",
        )  # fmt: skip
    return Kept(total, tuple(dropped), shortened)


async def _drop_before(database: Database, day: datetime.date) -> int:
    async with database.connection() as connection:
        # A long query on the records must not make all new ones queue behind this.
        await connection.execute("set local lock_timeout = '5s'")
        row = await (await connection.execute(DROP_PARTITIONS, [day])).fetchone()
    return int(row[0]) if row else 0


async def _shorten(database: Database, day: datetime.date, share: float) -> None:
    """Keep the latest `share` of a day's calls, and their spans. New ones wait in the spool meanwhile."""
    async with database.connection() as connection:
        await connection.execute("set local lock_timeout = '5s'")
        await connection.execute(LOCK)
        old = {parent: sql.Identifier(f"{parent}_{day:%Y%m%d}") for parent in _PARENTS}
        for name in old.values():
            await connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(name))
        row = await (await connection.execute(sql.SQL(CUT).format(old=old["call"]), [1 - share])).fetchone()
        if row is not None and row[0] is not None:
            for parent in _PARENTS:
                await _rewrite(connection, parent, old[parent], day, row[0])


async def _rewrite(
    connection: Connection, parent: str, old: sql.Identifier, day: datetime.date, cut: datetime.datetime
) -> None:
    parts = {
        "parent": sql.Identifier(parent), "old": old, "new": sql.Identifier(f"{parent}_shortened"),
        "cut": sql.Literal(cut), "begin": _midnight(day), "end": _midnight(day + _days(1)),
    }  # fmt: skip
    for statement in REWRITE:
        await connection.execute(sql.SQL(statement).format(**parts))


def _midnight(day: datetime.date) -> sql.Literal:
    return sql.Literal(f"{day:%Y-%m-%d} 00:00:00+00")


def _days(count: float) -> datetime.timedelta:
    return datetime.timedelta(days=count)
