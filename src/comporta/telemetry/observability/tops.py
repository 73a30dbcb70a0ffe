"""Users and sessions with the most calls, cost, tokens or failures: lists by the hour, of bounded length.

Each hour keeps the first KEPT by each of these; a list over more hours adds them up. Who is among the first of no hour
is not found, and a sum lacks hours in which its name was not among the first: at most what the last of the kept had.
Lists are made by the job worker, from the calls of an hour, so that no call pays for them.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from psycopg import sql

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK, Page, Person, Removed
from comporta.telemetry.record import BUCKETS

KINDS = ("user", "session")
#: Names that an hour keeps for each figure.
KEPT = 200
#: A running hour is read again at the earliest after so many times as long as that took.
_REST_TIMES = 20
_AGAIN_S = 55.0
#: Late records may still come in for hours that are over, for so long.
_LATE_HOURS = 3
_LIMIT_S = 120.0

_TOKENS = " + ".join(f"coalesce({b}_tokens, 0)" for b in BUCKETS)
#: Nobody who was erased comes back by a list that was made meanwhile.
_MAKE = f"""
with called as (
    select user_id, session, outcome_class <> 'ok' as failed, {_TOKENS} as tokens, coalesce(cost_microusd, 0) as cost,
        duration_us
    from call
    where started_at >= %(begin)s and started_at < %(begin)s + interval '1 hour'
        and (user_id is not null or session is not null) and capture <> 'erased'
        and not exists (
            select from erasure where user_sha256 = sha256(convert_to(call.user_id, 'UTF8')) and at >= call.started_at
        )
), summed as (
    select 'user' as kind, user_id as name, user_id as person, count(*) as calls,
        count(*) filter (where failed) as failed_calls, sum(tokens)::bigint as tokens, sum(cost)::bigint as cost,
        sum(duration_us)::bigint as duration_us
    from called where user_id is not null group by user_id
    union all
    select 'session', session, max(user_id), count(*), count(*) filter (where failed), sum(tokens)::bigint,
        sum(cost)::bigint, sum(duration_us)::bigint
    from called where session is not null group by session
), ranked as (
    select *, row_number() over (partition by kind order by calls desc, name) as by_calls,
        row_number() over (partition by kind order by cost desc, name) as by_cost,
        row_number() over (partition by kind order by tokens desc, name) as by_tokens,
        row_number() over (partition by kind order by failed_calls desc, name) as by_failed
    from summed
)
insert into top_hour (period, kind, name, person, calls, failed_calls, tokens, cost_microusd, duration_us)
select %(begin)s, kind, name, person, calls, failed_calls, tokens, cost, duration_us
from ranked
where least(by_calls, by_tokens) <= %(kept)s or (by_cost <= %(kept)s and cost > 0)
    or (by_failed <= %(kept)s and failed_calls > 0)
"""
_CLEAR = "delete from top_hour where period = %(begin)s"
_MADE = """
insert into top_made (period, made_at, calls, took_s) values (%(begin)s, now(), %(calls)s, %(took_s)s)
on conflict (period) do update set made_at = excluded.made_at, calls = excluded.calls, took_s = excluded.took_s
"""
_CALLS = "select coalesce(sum(calls), 0)::bigint from rollup_hour where period = %(begin)s"
_WAS = "select extract(epoch from now() - made_at)::float8, calls, took_s from top_made where period = %(begin)s"
_PRUNE = "delete from top_made where period < now() - interval '2 days'"
_LOCK = "select pg_try_advisory_xact_lock(hashtext('comporta.tops'))"

_FIGURES = {
    "calls": "sum(calls)", "cost": "sum(cost_microusd) / 1e6", "tokens": "sum(tokens)",
    "error_rate": "sum(failed_calls)::float8 / sum(calls)", "latency_avg": "sum(duration_us) / 1e6 / sum(calls)",
}  # fmt: skip
_READ = sql.SQL("""
select name, ({figure})::float8, sum(calls)::bigint, (sum(cost_microusd) / 1e6)::float8,
    sum(failed_calls)::float8 / sum(calls)
from top_hour where kind = %(kind)s and period >= date_trunc('hour', %(since)s, 'UTC') and period < %(until)s
group by name order by 2 desc, name limit %(n)s
""")


async def read(
    database: Database, kind: str, figure: str, since: datetime.datetime, until: datetime.datetime, n: int
) -> list[tuple[Any, ...]]:
    """Name, figure, calls, dollars, share of failures; the first by the figure. Raises BadRequest for other figures."""
    if figure not in _FIGURES:
        raise BadRequest(f"Lists of users and sessions are by {', '.join(_FIGURES)}.", param="metric")
    query = _READ.format(figure=sql.SQL(_FIGURES[figure]))
    async with database.reading() as connection:
        cursor = await connection.execute(query, {"kind": kind, "since": since, "until": until, "n": n})
        return await cursor.fetchall()


async def make(database: Database, now: datetime.datetime | None = None) -> int:
    """Make the lists of the running hour and of those before that changed; how many were made.

    One worker at a time does it: another one's look ends at once.
    """
    hour = (now or datetime.datetime.now(datetime.UTC)).replace(minute=0, second=0, microsecond=0)
    made = 0
    for back in range(_LATE_HOURS + 1):
        made += await _hour(database, hour - datetime.timedelta(hours=back), running=back == 0)
    async with database.connection() as connection:
        await connection.execute(_PRUNE)
    return made


async def _hour(database: Database, begin: datetime.datetime, *, running: bool) -> bool:
    async with database.connection() as connection:
        locked = await (await connection.execute(_LOCK)).fetchone()
        calls = await _changed(connection, begin, running=running)
        if calls is None or locked is None or not locked[0]:
            return False
        begun_s = time.monotonic()
        await connection.execute(f"set local statement_timeout = '{_LIMIT_S:.0f}s'")
        # An erasure sees what is written here, or is seen here.
        await connection.execute(HOLD_BACK)
        await connection.execute(_CLEAR, {"begin": begin})
        await connection.execute(_MAKE, {"begin": begin, "kept": KEPT})
        values = {"begin": begin, "calls": calls, "took_s": time.monotonic() - begun_s}
        await connection.execute(_MADE, values)
        return True


async def _changed(connection: Connection, begin: datetime.datetime, *, running: bool) -> int | None:
    """The hour's calls, where there are others than its list was made of; None where it may stay as it is."""
    row: Any = await (await connection.execute(_CALLS, {"begin": begin})).fetchone()
    calls = int(row[0])
    was: Any = await (await connection.execute(_WAS, {"begin": begin})).fetchone()
    if was is None:
        return calls or None
    age_s, made_of, took_s = was
    # A long hour is not read over and over while it runs.
    too_soon = running and age_s < max(_AGAIN_S, took_s * _REST_TIMES)
    return None if too_soon or calls == made_of else calls


_PAGE = """
select period, kind, name, calls, failed_calls, tokens, cost_microusd from top_hour where person = %(user)s
order by period, kind, name limit %(limit)s offset %(offset)s
"""
_ERASE = "delete from top_hour where person = %(user)s"


class ListedIn:
    """What the lists hold of a user: rows of users, and those of the user's sessions."""

    kind = "tops"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        offset = int(after) if after is not None and after.isdecimal() else 0
        async with self._database.reading() as connection:
            cursor = await connection.execute(_PAGE, {"user": person.name, "limit": limit, "offset": offset})
            rows = await cursor.fetchall()
        names = ("hour", "list", "name", "calls", "failed_calls", "tokens", "cost_microusd")
        told = [{**dict(zip(names, row, strict=True)), "hour": row[0].isoformat()} for row in rows]
        return Page(told, str(offset + limit) if len(rows) == limit else None)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            cursor = await connection.execute(_ERASE, {"user": person.name})
        return Removed(cursor.rowcount)
