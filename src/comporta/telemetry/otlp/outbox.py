"""What is still to be told elsewhere: calls by a queue that shipping fills, scores by how far they were told."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from comporta.store.database import Connection, Database
from comporta.telemetry.calls import SHOWN, SpanRow, call_row
from comporta.telemetry.otlp.scores_out import Judged
from comporta.telemetry.otlp.spans_out import Exported

#: A backend that is away for long must not fill the disk: beyond so many the oldest go untold.
MAX_WAITING = 200_000
#: A score's transaction may commit a little after another one's that began later.
_SETTLED_S = 5

#: Calls from before the queue was turned on are told as well: the first ones come before the job worker runs.
ON = """
with turned as (insert into otlp_target default values on conflict do nothing returning 1)
insert into otlp_out (started_at, call_id)
select started_at, id from call
where exists (select from turned) and started_at > now() - interval '5 minutes' and door <> 'otlp'
order by started_at
"""
OFF = "with off as (delete from otlp_target) delete from otlp_out"
TAKE = """
delete from otlp_out where number in (
    select number from otlp_out order by number limit %s for update skip locked
) returning started_at, call_id
"""
CALLS = sql.SQL("""
select {shown}, prompt, reply from call
where started_at = any(%(times)s) and id = any(%(ids)s::uuid[]) order by started_at, id
""").format(shown=SHOWN)
SPANS = """
select call_id::text as call_id, name, start_us, duration_us, depth, error, attributes from span
where started_at = any(%(times)s) and call_id = any(%(ids)s::uuid[]) order by started_at, call_id, number
"""
CUT = """
delete from otlp_out where number <= (select number from otlp_out order by number desc offset %s limit 1)
"""
WAITING = "select count(*) from otlp_out"
SINCE = """
insert into otlp_scores (told_at) values (now() - interval '1 second' * %(settled_s)s) on conflict do nothing
"""
LOCK_SCORES = "select told_at from otlp_scores for update skip locked"
SCORES = """
select at, name, kind, number, label, source, reason, trace_id, call_id::text as call_id, reply_id, joined_at
from score where joined_at > %(since)s and joined_at <= now() - interval '1 second' * %(settled_s)s
order by joined_at fetch first %(limit)s rows with ties
"""
TOLD = "update otlp_scores set told_at = %s"


async def turn(database: Database, on: bool) -> None:
    """Have shipping note every new call for export, or not; then what waits is forgotten."""
    async with database.connection() as connection:
        await connection.execute(ON if on else OFF)
        if on:
            await connection.execute(SINCE, {"settled_s": _SETTLED_S})


@asynccontextmanager
async def taken(database: Database, limit: int, spans: bool) -> AsyncIterator[list[Exported]]:
    """The oldest calls that wait. They go from the queue with the block's end, and stay in it where it raises."""
    async with database.connection() as connection:
        rows = await (await connection.execute(TAKE, [limit])).fetchall()
        yield await _calls(connection, rows, spans) if rows else []


async def cut(database: Database) -> int:
    """Forget the oldest beyond MAX_WAITING; how many."""
    async with database.connection() as connection:
        return (await connection.execute(CUT, [MAX_WAITING])).rowcount


async def waiting(database: Database) -> int:
    """How many calls are still to be told."""
    async with database.reading() as connection:
        row = await (await connection.execute(WAITING)).fetchone()
    return int(row[0]) if row else 0


@asynccontextmanager
async def judged(database: Database, limit: int) -> AsyncIterator[list[Judged]]:
    """The next scores; as told with the block's end. None while another process is at it."""
    async with database.connection() as connection:
        row = await (await connection.execute(LOCK_SCORES)).fetchone()
        if row is None:
            yield []
            return
        cursor = connection.cursor(row_factory=dict_row)
        values = {"since": row[0], "settled_s": _SETTLED_S, "limit": limit}
        found = await (await cursor.execute(SCORES, values)).fetchall()
        until = [one.pop("joined_at") for one in found]
        yield [Judged(**one) for one in found]
        if until:
            await connection.execute(TOLD, [until[-1]])


async def _calls(connection: Connection, rows: Sequence[tuple[Any, ...]], spans: bool) -> list[Exported]:
    times: list[datetime.datetime] = [row[0] for row in rows]
    values = {"times": times, "ids": [str(row[1]) for row in rows]}
    cursor = connection.cursor(row_factory=dict_row)
    calls = await (await cursor.execute(CALLS, values)).fetchall()
    inside: dict[str, list[SpanRow]] = {}
    if spans:
        for one in await (await cursor.execute(SPANS, values)).fetchall():
            inside.setdefault(one.pop("call_id"), []).append(SpanRow(**one))
    return [Exported(call_row(row), inside.get(str(row["id"]), ()), row["prompt"], row["reply"]) for row in calls]
