"""The table of reviews: how they go in with no effect the second time, are found, change hands, and go when old."""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK, Page, Person, Removed
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.small_shipping import INTERVAL_S, SmallShipper
from comporta.types import JSON

_BATCH = 500
#: What reviews can be filtered by, and the column behind each.
COLUMNS = {
    "state": "state", "kind": "kind", "route": "route", "by": "by", "verdict": "verdict", "trace": "trace_id",
    "call": "call_id", "user": "user_id",
}  # fmt: skip
#: All that nobody has decided yet, as a value of the filter `state`.
WAITING = "waiting"

#: Of somebody who was erased meanwhile nothing is kept.
INSERT = """
insert into review (id, at, kind, reason, trace_id, call_id, route, payload, user_id)
select id, to_timestamp(at_s), kind, reason, trace_id, call_id, route, coalesce(payload, '{}'), "user"
from jsonb_to_recordset(%(rows)s::jsonb) as said (
    id text, at_s float8, kind text, reason text, trace_id text, call_id uuid, route text, payload jsonb, "user" text
)
where not exists (
    select from erasure
    where user_sha256 = sha256(convert_to(said."user", 'UTF8')) and erasure.at >= to_timestamp(said.at_s)
)
on conflict (id) do nothing
"""
_SHOWN = """id, at, kind, reason, trace_id, call_id::text, route, payload, user_id as "user", state, by, claimed_at,
    decided_at, verdict, choice, correction, note"""
LIST = f"select {_SHOWN} from review where true {{where}} order by at {{way}}, id {{way}} limit {{limit}}"
GET = f"select {_SHOWN} from review where id = %(id)s"
LOCKED = f"{GET} for update"
COUNTS = "select kind, state, count(*) from review group by kind, state order by kind, state"
CLAIM = f"""
update review set state = 'claimed', by = %(by)s, claimed_at = now() where id = %(id)s returning {_SHOWN}
"""
RELEASE = f"""
update review set state = 'open', by = null, claimed_at = null where id = %(id)s returning {_SHOWN}
"""
DECIDE = f"""
update review set state = 'done', by = %(by)s, decided_at = now(), verdict = %(verdict)s, choice = %(choice)s,
    correction = %(correction)s, note = %(note)s
where id = %(id)s returning {_SHOWN}
"""
PRUNE = "delete from review where ctid in (select ctid from review where at < %(before)s limit %(limit)s)"
PAGE = f"select {_SHOWN} from review where user_id = %(user)s and id > %(after)s order by id limit %(limit)s"
ERASE = """
delete from review where id in (select id from review where user_id = %(user)s limit %(limit)s)
"""


class ReviewRecord(Struct, frozen=True, omit_defaults=True):
    """A review as it is spooled."""

    id: str
    kind: str
    reason: str
    at_s: float
    trace_id: str | None = None
    call_id: str | None = None
    route: str | None = None
    payload: JSON = {}
    user: str | None = None


class ReviewRow(Struct, frozen=True):
    """A review as it stands: `open`, `claimed` by somebody, or `done` with a verdict."""

    id: str
    at: datetime.datetime
    kind: str
    reason: str
    trace_id: str | None
    call_id: str | None
    route: str | None
    payload: JSON
    user: str | None
    state: str
    by: str | None
    claimed_at: datetime.datetime | None
    decided_at: datetime.datetime | None
    verdict: str | None
    choice: str | None
    correction: str | None
    note: str | None


class ReviewShipper(SmallShipper[ReviewRecord]):
    """Ships this process's reviews, and those of processes that died."""

    def __init__(self, database: Database, spool: ScoreSpool, *, interval_s: float = INTERVAL_S) -> None:
        super().__init__(database, spool, ReviewRecord, "reviews", interval_s=interval_s)

    async def _put(self, connection: Connection, records: Sequence[ReviewRecord]) -> None:
        await connection.execute(HOLD_BACK)
        await connection.execute(INSERT, {"rows": msgspec.json.encode(records).decode()})


async def rows(
    connection: Connection, filters: Mapping[str, str], *, since: datetime.datetime | None,
    until: datetime.datetime | None, oldest_first: bool, after: str | None, limit: int,
) -> list[ReviewRow]:  # fmt: skip
    """Raises BadRequest for a filter that there is none of, and for an `after` that is not ours."""
    where, values = _where(filters)
    for text, at in ((" and at >= %s", since), (" and at < %s", until)):
        if at is not None:
            where += sql.SQL(text)
            values.append(at)
    if after is not None:
        where += sql.SQL(" and (at, id) > (%s, %s)" if oldest_first else " and (at, id) < (%s, %s)")
        values += _after(after)
    query = sql.SQL(LIST).format(
        where=where, way=sql.SQL("asc" if oldest_first else "desc"), limit=sql.Literal(limit)
    )  # fmt: skip
    cursor = connection.cursor(row_factory=dict_row)
    return [ReviewRow(**one) for one in await (await cursor.execute(query, values)).fetchall()]


async def row(connection: Connection, id: str) -> ReviewRow | None:
    return await _one(connection, GET, {"id": id})


async def locked(connection: Connection, id: str) -> ReviewRow | None:
    """The same, for this transaction alone."""
    return await _one(connection, LOCKED, {"id": id})


async def claim(connection: Connection, id: str, by: str) -> ReviewRow:
    return _there(await _one(connection, CLAIM, {"id": id, "by": by}))


async def release(connection: Connection, id: str) -> ReviewRow:
    return _there(await _one(connection, RELEASE, {"id": id}))


async def decide(connection: Connection, id: str, by: str, decision: Mapping[str, str | None]) -> ReviewRow:
    return _there(await _one(connection, DECIDE, {"id": id, "by": by, **decision}))


async def counts(connection: Connection) -> list[Any]:
    """Kind, state and number of each."""
    return await (await connection.execute(COUNTS)).fetchall()


async def prune(database: Database, keep_days: float) -> int:
    """Drop the reviews that are older; how many went."""
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=keep_days)
    gone = 0
    while True:
        async with database.connection() as connection:
            count = (await connection.execute(PRUNE, {"before": before, "limit": _BATCH})).rowcount
        gone += count
        if count < _BATCH:
            return gone


def cursor(row: ReviewRow) -> str:
    """What to ask for what comes after a row."""
    return base64.urlsafe_b64encode(msgspec.json.encode((row.at, row.id))).decode()


class ReviewsOf:
    """What the queue holds of a user. It goes whole: the scores of what was decided keep their figures."""

    kind = "reviews"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        values = {"user": person.name, "after": after or "", "limit": limit}
        async with self._database.reading() as connection:
            found = await (await connection.cursor(row_factory=dict_row).execute(PAGE, values)).fetchall()
        told = [{"review": msgspec.to_builtins(ReviewRow(**one))} for one in found]
        return Page(told, str(found[-1]["id"]) if len(found) == limit else None)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            gone = await connection.execute(ERASE, {"user": person.name, "limit": _BATCH})
        return Removed(gone.rowcount, "more" if gone.rowcount == _BATCH else None)


async def _one(connection: Connection, query: str, values: Mapping[str, Any]) -> ReviewRow | None:
    cursor = connection.cursor(row_factory=dict_row)
    found = await (await cursor.execute(query.encode(), values)).fetchone()
    return None if found is None else ReviewRow(**found)


def _there(row: ReviewRow | None) -> ReviewRow:
    assert row is not None, "it was locked before"
    return row


def _where(filters: Mapping[str, str]) -> tuple[sql.Composed, list[Any]]:
    where, values = sql.Composed([]), list[Any]()
    for name, value in filters.items():
        if name not in COLUMNS:
            raise BadRequest(
                f"Reviews can't be filtered by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
        if name == "state" and value == WAITING:
            where += sql.SQL(" and state <> 'done'")
            continue
        # What is no id names no call, instead of failing.
        loose = name == "call" and not _is_uuid(value)
        where += sql.SQL(" and {}::text = %s" if loose else " and {} = %s").format(sql.Identifier(COLUMNS[name]))
        values.append(value)
    return where, values


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _after(text: str) -> list[Any]:
    try:
        return list(msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[datetime.datetime, str]))
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None
