"""The partitions of the records' tables, one a day (UTC): made before they are needed, dropped when they are old."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from comporta.store.database import Database
from comporta.telemetry.record import CallRecord

_DAYS_AHEAD = 3
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

ENSURE_PARTITIONS = "select ensure_record_partitions(%s, %s)"
DROP_PARTITIONS = "select drop_record_partitions(%s)"
DROP_MINUTES = "delete from rollup_minute where period < %s"
DROP_HOURS = "delete from rollup_hour where period < %s"


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
    async with database.connection() as connection:
        # A long query on the records must not make all new ones queue behind this.
        await connection.execute("set local lock_timeout = '5s'")
        row = await (await connection.execute(DROP_PARTITIONS, [(now - _days(days)).date()])).fetchone()
    async with database.connection() as connection:
        await connection.execute(DROP_MINUTES, [now - _days(minute_days)])
        await connection.execute(DROP_HOURS, [now - _days(hour_days)])
    return int(row[0]) if row else 0


def _days(count: float) -> datetime.timedelta:
    return datetime.timedelta(days=count)
