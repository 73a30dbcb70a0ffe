"""Problematic conversations: a small table of them, kept up to date by the job worker, and read by its points."""

from __future__ import annotations

import base64
import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.feedback.marks import mark_of, move
from comporta.feedback.weighing import Because, Scored, Weighed, weigh
from comporta.store.database import Connection, Database
from comporta.store.people import Page, Person, Removed

log = structlog.get_logger("comporta.feedback")

WORK = "problems"
MAX_LIMIT = 200
_BATCH = 200
#: So many calls of a conversation are looked at, the latest.
_CALLS = 500
#: A record comes when its call has ended, and later where the database was away.
_LATE = datetime.timedelta(minutes=15)
_OVERLAP = datetime.timedelta(minutes=2)
_LOCK = "select pg_try_advisory_xact_lock(7301954022)"

#: Conversations that something came in for: scores that speak against an answer, failures, and whatever is listed.
TOUCHED = """
with scored as (
    select session, trace_id, name, kind, source, number, label from score
    where joined_at >= %(since)s
    union all
    select session, trace_id, name, kind, source, number, label from score
    where at >= %(since)s and joined_at is not null
), named as (
    select case when session is null then 'trace' else 'session' end as kind, coalesce(session, trace_id) as id,
        (name in ('thumbs', 'correction', 'follow_up', 'abandoned', 'rating')
            or (source = 'guard' and label = 'block') or (source in ('code', 'judge') and number < 0.5)) as speaks
    from scored
), failed as (
    select case when session is null then 'trace' else 'session' end as kind, coalesce(session, trace_id) as id
    from call where outcome_class <> 'ok' and outcome_class in ('upstream', 'timeout', 'unavailable', 'internal')
        and started_at >= %(failed_since)s and depth_is_own(parent_id)
)
select kind, id from failed
union
select kind, id from named where id is not null
    and (speaks or exists (select from problem where (problem.kind, problem.id) = (named.kind, named.id)))
order by kind, id
""".replace("depth_is_own(parent_id)", "parent_id is null")
CALLS = f"""
select wanted.kind, wanted.id, c.id::text as call_id, c.trace_id, c.started_at, c.outcome_class, c.route, c.prompt_id,
    c.prompt_version, c.team, c.user_id
from unnest(%(kinds)s::text[], %(ids)s::text[]) as wanted (kind, id) cross join lateral (
    (select * from call where wanted.kind = 'session' and session = wanted.id and parent_id is null
     order by started_at desc limit {_CALLS})
    union all
    (select * from call where wanted.kind = 'trace' and trace_id = wanted.id and session is null and parent_id is null
     limit {_CALLS})
) as c
"""
SCORES = """
select call_id::text, name, kind, source, number, label from score
where call_id = any(%s::uuid[]) and joined_at is not null
"""
PUT = """
insert into problem (kind, id, points, first_at, last_at, calls, reasons, route, prompt_id, prompt_version, team,
    user_id, trace_id, call_id)
select kind, id, points, first_at, last_at, calls, reasons, route, prompt_id, prompt_version, team, user_id, trace_id,
    call_id
from jsonb_to_recordset(%s::jsonb) as made (
    kind text, id text, points float8, first_at timestamptz, last_at timestamptz, calls integer, reasons jsonb,
    route text, prompt_id text, prompt_version text, team text, user_id text, trace_id text, call_id uuid
)
on conflict (kind, id) do update set points = excluded.points, first_at = excluded.first_at,
    last_at = excluded.last_at, calls = excluded.calls, reasons = excluded.reasons, route = excluded.route,
    prompt_id = excluded.prompt_id, prompt_version = excluded.prompt_version, team = excluded.team,
    user_id = excluded.user_id, trace_id = excluded.trace_id, call_id = excluded.call_id
"""
DROP = """
delete from problem using unnest(%s::text[], %s::text[]) as well (kind, id)
where (problem.kind, problem.id) = (well.kind, well.id)
"""
OLD = "delete from problem where last_at < now() - make_interval(secs => %s)"

_SHOWN = (
    "kind", "id", "points", "first_at", "last_at", "calls", "reasons", "route", "prompt_id", "prompt_version", "team",
    "user_id", "trace_id", "call_id",
)  # fmt: skip
#: What the list can be narrowed by, and the column behind each.
COLUMNS = {"route": "route", "prompt": "prompt_id", "version": "prompt_version", "team": "team", "user": "user_id"}
LIST = sql.SQL(
    "select {shown} from problem where true {where} order by points desc, last_at desc, kind desc, id desc limit %s"
)


class Problem(Struct, frozen=True):
    """A conversation in which something went wrong. `call_id` is the call in which most did."""

    kind: str
    id: str
    points: float
    reasons: list[Because]
    calls: int
    first_at: datetime.datetime
    last_at: datetime.datetime
    route: str | None
    prompt: str | None
    version: str | None
    team: str | None
    user: str | None
    trace_id: str
    call_id: str


class ProblemPage(Struct, frozen=True):
    """Conversations, the worst first; `next` leads to those after them, None at the end."""

    problems: list[Problem]
    next: str | None


async def keep(database: Database, keep_s: float) -> int:
    """Weigh anew what something came in for since the last time; how many conversations that were.

    Several at once leave it to the first. Raises Unavailable.
    """
    async with database.connection() as connection:
        row = await (await connection.execute(_LOCK)).fetchone()
        if row is None or not row[0]:
            return 0
        since, now = await mark_of(connection, WORK)
        values = {"since": since - _OVERLAP, "failed_since": since - _LATE}
        touched = await (await connection.execute(TOUCHED, values)).fetchall()
        for at in range(0, len(touched), _BATCH):
            await _weigh(connection, touched[at : at + _BATCH])
        await connection.execute(OLD, [keep_s])
        await move(connection, WORK, now)
    return len(touched)


async def _weigh(connection: Connection, conversations: Sequence[Sequence[str]]) -> None:
    cursor = connection.cursor(row_factory=dict_row)
    wanted = {"kinds": [one[0] for one in conversations], "ids": [one[1] for one in conversations]}
    found = await (await cursor.execute(CALLS, wanted)).fetchall()
    calls: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        calls[row["kind"], row["id"]].append(row)
    scores: dict[str, list[Scored]] = defaultdict(list)
    for said in await (await connection.execute(SCORES, [[row["call_id"] for row in found]])).fetchall():
        scores[said[0]].append(Scored(*said))
    made, well = [], []
    for place in ((one[0], one[1]) for one in conversations):
        rows = calls.get(place, [])
        weighed = weigh(
            {row["call_id"]: row["outcome_class"] for row in rows},
            (score for row in rows for score in scores.get(row["call_id"], ())),
        )
        (made.append(_row(place, rows, weighed)) if weighed.points > 0 else well.append(place))
    if made:
        await connection.execute(PUT, [msgspec.json.encode(made).decode()])
    if well:
        await connection.execute(DROP, [[one[0] for one in well], [one[1] for one in well]])


def _row(place: tuple[str, str], rows: Sequence[Mapping[str, Any]], weighed: Weighed) -> dict[str, Any]:
    worst = next(row for row in rows if row["call_id"] == weighed.call_id)
    times = [row["started_at"] for row in rows]
    told = ("route", "prompt_id", "prompt_version", "team", "user_id", "trace_id", "call_id")
    return {
        "kind": place[0], "id": place[1], "points": weighed.points, "first_at": min(times), "last_at": max(times),
        "calls": len(rows), "reasons": weighed.reasons, **{name: worst[name] for name in told},
    }  # fmt: skip


async def list_problems(
    database: Database,
    *,
    filters: Mapping[str, str] | None = None,
    since: datetime.datetime | None = None,
    after: str | None = None,
    limit: int = 50,
) -> ProblemPage:
    """One page; `filters` are names of COLUMNS, `since` is of the last call. Raises BadRequest, Unavailable."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"A page holds 1 to {MAX_LIMIT} conversations.", param="limit")
    where, values = _where(filters or {}, since, after)
    query = LIST.format(shown=sql.SQL(", ").join(map(sql.Identifier, _SHOWN)), where=where)
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(query, [*values, limit + 1])).fetchall()
    more = len(rows) > limit
    return ProblemPage([_problem(row) for row in rows[:limit]], _cursor(rows[limit - 1]) if more else None)


def _where(
    filters: Mapping[str, str], since: datetime.datetime | None, after: str | None
) -> tuple[sql.Composed, list[Any]]:
    where, values = sql.Composed([]), list[Any]()
    for name, value in filters.items():
        if name not in COLUMNS:
            raise BadRequest(f"Conversations can't be narrowed by '{name[:50]}'.", param=name[:50])
        where += sql.SQL(" and {} = %s").format(sql.Identifier(COLUMNS[name]))
        values.append(value)
    if since is not None:
        where += sql.SQL(" and last_at >= %s")
        values.append(since if since.tzinfo else since.replace(tzinfo=datetime.UTC))
    if after is not None:
        where += sql.SQL(" and (points, last_at, kind, id) < (%s, %s, %s, %s)")
        values += _after(after)
    return where, values


def _problem(row: Mapping[str, Any]) -> Problem:
    return Problem(
        row["kind"], row["id"], row["points"], msgspec.convert(row["reasons"], list[Because]), row["calls"],
        row["first_at"], row["last_at"], row["route"], row["prompt_id"], row["prompt_version"], row["team"],
        row["user_id"], row["trace_id"], str(row["call_id"]),
    )  # fmt: skip


def _cursor(row: Mapping[str, Any]) -> str:
    place = (row["points"], row["last_at"], row["kind"], row["id"])
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _after(text: str) -> list[Any]:
    try:
        return list(msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[float, datetime.datetime, str, str]))
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None


class ProblemsOf:
    """The table `problem`, as far as it names a user. It is erased after the calls, from which it is made."""

    kind = "problems"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        found = await list_problems(
            self._database, filters={"user": person.name}, after=after, limit=min(limit, MAX_LIMIT)
        )
        return Page([{"problem": msgspec.to_builtins(one)} for one in found.problems], found.next)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            gone = await connection.execute("delete from problem where user_id = %s", [person.name])
        return Removed(gone.rowcount)
