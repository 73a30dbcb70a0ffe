"""The table of others' spans: how they go in, once, and which stand for a call that the gate recorded itself."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg.rows import dict_row

from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK, Page, Person, Removed
from comporta.telemetry import partitions
from comporta.telemetry.otlp.normal import DOOR, Foreign
from comporta.telemetry.shipping import insert_batch
from comporta.types import Caller

_BATCH = 500
_DAY_US = 86_400_000_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
#: A chain of spans between an application's call and the gate's is a few long.
_LONGEST_WAY = 64

GATE_CALLS = """
select id::text, trace_id, parent_span, reply_id from call where trace_id = any(%s) and door <> %s
"""
ABOVE = "select trace_id, span_id, parent_span_id from trace_span where trace_id = any(%s)"
INSERT = """
insert into trace_span (started_at, trace_id, span_id, parent_span_id, call_id, name, kind, duration_us, error,
    application, scope, team, key_id, user_id, session, attributes)
values (%(started_at)s, %(trace_id)s, %(span_id)s, %(parent)s, %(call_id)s, %(name)s, %(kind)s, %(duration_us)s,
    %(error)s, %(application)s, %(scope)s, %(team)s, %(key_id)s, %(user)s, %(session)s, %(attributes)s)
on conflict do nothing
"""
#: Who was erased after it had begun.
LATE = """
update trace_span as s set user_id = null, session = null, attributes = '{}'
from erasure as e
where e.user_sha256 = sha256(convert_to(s.user_id, 'UTF8')) and e.at >= s.started_at and s.trace_id = any(%s)
"""
PAGE = """
select started_at, trace_id, span_id, name, kind, session, attributes from trace_span
where user_id = %(user)s and (started_at, trace_id, span_id) > (%(at)s, %(trace)s, %(span)s)
order by started_at, trace_id, span_id limit %(limit)s
"""
ERASE = """
with theirs as (
    select started_at, trace_id, span_id from trace_span where user_id = %(user)s limit %(limit)s
)
update trace_span as s set user_id = null, session = null, attributes = '{}' from theirs as t
where (s.started_at, s.trace_id, s.span_id) = (t.started_at, t.trace_id, t.span_id)
"""


async def store(database: Database, spans: Sequence[Foreign], caller: Caller) -> int:
    """Put spans in, and those that are calls to models among calls. How many of them are the gate's own calls."""
    if not spans:
        return 0
    days = {(_EPOCH + datetime.timedelta(microseconds=span.started_us)).date() for span in spans}
    await partitions.ensure_days(database, days)
    twins = await twins_of(database, spans)
    records = [s.record for s in spans if s.record is not None and (s.trace_id, s.span_id) not in twins]
    for start in range(0, len(records), _BATCH):
        await insert_batch(database, records[start : start + _BATCH])
    async with database.connection() as connection:
        await connection.execute(HOLD_BACK)
        async with connection.cursor() as cursor:
            await cursor.executemany(INSERT, [_row(span, twins, caller) for span in spans])
        await connection.execute(LATE, [sorted({span.trace_id for span in spans})])
    return len(twins)


async def twins_of(database: Database, spans: Iterable[Foreign]) -> dict[tuple[str, str], str]:
    """Spans that stand for a call which passed the gate, and that call's id: it must not count twice.

    Either the call's own context leads up to the span, perhaps by way of an HTTP client's, or both had one answer's id.
    """
    called = [span for span in spans if span.record is not None]
    if not called:
        return {}
    traces = sorted({span.trace_id for span in called})
    async with database.connection() as connection:
        gates = await (await connection.execute(GATE_CALLS, [traces, DOOR])).fetchall()
        above = await _above(connection, traces) if gates else {}
    above |= {(span.trace_id, span.span_id): span.parent_span_id for span in spans}
    known = {(span.trace_id, span.span_id): span for span in called}
    by_reply = {
        (s.trace_id, s.record.reply_id): (s.trace_id, s.span_id) for s in called if s.record and s.record.reply_id
    }
    twins: dict[tuple[str, str], str] = {}
    for call_id, trace, parent, reply in gates:
        found = _led_up(trace, parent, above, known) or by_reply.get((trace, reply))
        if found is not None:
            twins.setdefault(found, call_id)
    return twins


async def _above(connection: Connection, traces: Sequence[str]) -> dict[tuple[str, str], str | None]:
    rows = await (await connection.execute(ABOVE, [traces])).fetchall()
    return {(trace, span): parent for trace, span, parent in rows}


def _led_up(
    trace: str, span: str | None, above: dict[tuple[str, str], str | None], known: dict[tuple[str, str], Foreign]
) -> tuple[str, str] | None:
    for _ in range(_LONGEST_WAY):
        if span is None:
            return None
        if (trace, span) in known:
            return trace, span
        span = above.get((trace, span))
    return None


def _row(span: Foreign, twins: dict[tuple[str, str], str], caller: Caller) -> dict[str, Any]:
    own = None if span.record is None else span.record.id
    return {
        "started_at": _EPOCH + datetime.timedelta(microseconds=span.started_us),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent": span.parent_span_id,
        "call_id": twins.get((span.trace_id, span.span_id), own),
        "name": span.name,
        "kind": span.kind,
        "duration_us": span.duration_us,
        "error": span.error,
        "application": span.application,
        "scope": span.scope,
        "team": caller.team,
        "key_id": caller.key_id,
        "user": span.user,
        "session": span.session,
        "attributes": msgspec.json.encode(span.attributes).decode(),
    }


class TraceSpans:
    """What the table holds of a user: exported, and made nobody's."""

    kind = "trace_spans"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        at, trace, span = (_EPOCH, "", "") if after is None else _read(after)
        values = {"user": person.name, "at": at, "trace": trace, "span": span, "limit": limit}
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            found = await (await cursor.execute(PAGE, values)).fetchall()
        last = None
        if len(found) == limit:
            end = found[-1]
            last = msgspec.json.encode((end["started_at"], end["trace_id"], end["span_id"])).decode()
        return Page([msgspec.to_builtins(row) for row in found], last)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            cursor = await connection.execute(ERASE, {"user": person.name, "limit": _BATCH})
        return Removed(cursor.rowcount, "more" if cursor.rowcount == _BATCH else None)


def _read(after: str) -> tuple[datetime.datetime, str, str]:
    return msgspec.json.decode(after, type=tuple[datetime.datetime, str, str])
