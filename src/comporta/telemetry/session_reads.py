"""Sessions as they are listed and shown: the latest first with what they came to, and one with its calls' content."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.telemetry.calls import SHOWN, CallRow, call_row

MAX_LIMIT = 200
#: So many of the latest calls are looked through for sessions at a time: one of them may have thousands.
_LOOKED_AT = 5_000

#: A session stands where its last call does: one that went on later was listed before.
LATEST = sql.SQL("""
select session, max(started_at) from (
    select session, started_at from call
    where session is not null and started_at < %(before)s and started_at >= %(since)s {user}
    order by started_at desc limit {looked_at}
) as recent
where not exists (select from call as later where later.session = recent.session and later.started_at >= %(before)s)
group by session order by 2 desc limit %(limit)s
""")
SUMS = """
select session, min(started_at), max(started_at), count(*), count(*) filter (where outcome_class <> 'ok'),
    sum(cost_microusd)::bigint, sum(duration_us)::bigint, max(user_id), array_agg(distinct coalesce(route, asked)),
    count(*) filter (where cost_microusd is null and input_tokens is not null)
from call where session = any(%s) group by session
"""
JUDGED = """
select session, count(*), avg(case when name = 'rating' then (number - 1) / 4 else number end)
from score where session = any(%s) and source in ('user', 'human') and number is not null group by session
"""
CALLS = sql.SQL(
    "select {shown}, prompt, reply from call where session = %s and parent_id is null and started_at < %s"
    " order by started_at desc, id desc limit %s"
)


class SessionRow(Struct, frozen=True):
    """A session: from its first call to its last. `mean` of what people said of it is from 0 to 1."""

    session: str
    first_at: datetime.datetime
    last_at: datetime.datetime
    calls: int
    failed: int
    cost_microusd: int | None
    duration_us: int
    user: str | None
    routes: list[str]
    unpriced: int
    judged: int = 0
    mean: float | None = None


class SessionPage(Struct, frozen=True):
    """Sessions, the one that was used last first; `next` leads to older ones, None at the end."""

    sessions: list[SessionRow]
    next: str | None


class Turn(Struct, frozen=True):
    """A call of a session with its content, as far as that is kept."""

    call: CallRow
    prompt: Any
    reply: Any


class TurnPage(Struct, frozen=True):
    """Calls in the order in which they were made; `next` leads to those before them."""

    turns: list[Turn]
    next: str | None


async def list_sessions(
    database: Database, *, user: str | None = None, since: datetime.datetime | None = None, after: str | None = None,
    limit: int = 50,
) -> SessionPage:  # fmt: skip
    """One page. Raises BadRequest for an `after` that is not ours, Unavailable."""
    values = {"before": _moment(after), "since": since or _epoch(), "user": user, "limit": _checked(limit) + 1}
    narrowed = sql.SQL("and user_id = %(user)s" if user is not None else "")
    async with database.reading() as connection:
        query = LATEST.format(user=narrowed, looked_at=sql.Literal(_LOOKED_AT))
        rows = await (await connection.execute(query, values)).fetchall()
        names = [row[0] for row in rows[:limit]]
        known = await _sums(connection, names)
    more = len(rows) > limit
    return SessionPage([known[name] for name in names if name in known], _cursor(rows[limit - 1][1]) if more else None)


async def some_sessions(database: Database, names: Sequence[str]) -> dict[str, SessionRow]:
    """What is known of these. Raises Unavailable."""
    async with database.reading() as connection:
        return await _sums(connection, names)


async def read_turns(database: Database, session: str, *, after: str | None = None, limit: int = 30) -> TurnPage:
    """The last calls of a session, or those before `after`; calls that others made in their course are left out."""
    query = CALLS.format(shown=SHOWN)
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(query, [session, _moment(after), _checked(limit) + 1])).fetchall()
    shown = rows[:limit]
    turns = [Turn(call_row(row), row["prompt"], row["reply"]) for row in reversed(shown)]
    return TurnPage(turns, _cursor(shown[-1]["started_at"]) if len(rows) > limit else None)


async def _sums(connection: Connection, names: Sequence[str]) -> dict[str, SessionRow]:
    rows = await (await connection.execute(SUMS, [list(names)])).fetchall()
    judged: Mapping[str, Any] = {
        row[0]: row[1:] for row in await (await connection.execute(JUDGED, [list(names)])).fetchall()
    }
    return {row[0]: SessionRow(*row, *judged.get(row[0], (0, None))) for row in rows}


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"A page holds 1 to {MAX_LIMIT} rows.", param="limit")
    return limit


def _epoch() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(0, datetime.UTC)


def _cursor(at: datetime.datetime) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(at)).decode()


def _moment(after: str | None) -> datetime.datetime:
    """Where a page begins; a little later than now for the first one, since clocks of several machines differ."""
    if after is None:
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(after), type=datetime.datetime)
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None
