"""A trace as a whole: its calls with what their stages did, and the spans that others sent of it."""

from __future__ import annotations

import datetime
from typing import Any

from msgspec import Struct
from psycopg.rows import dict_row

from comporta.store.database import Connection, Database
from comporta.telemetry.calls import SHOWN, CallRow, SpanRow, call_row

#: More is not shown: a page with so many spans is slow to read anyway.
MOST_CALLS = 1_000
MOST_SPANS = 20_000
#: With more calls, what their spans hold beside times would be megabytes that nobody looks at.
_MOST_WITH_ATTRIBUTES = 50

CALLS = "select {shown} from call where trace_id = %s order by started_at, id limit %s"
#: Looked up by the key of their call. The bounds keep partitions of other days out of it, which a join alone does not.
SPANS = """
select span.call_id, span.name, span.start_us, span.duration_us, span.depth, span.error, {attributes} as attributes
from unnest(%s::timestamptz[], %s::uuid[]) as one (at, id)
join span on span.started_at = one.at and span.call_id = one.id
where span.started_at >= %s and span.started_at <= %s
order by one.at, span.call_id, span.number limit %s
"""
OTHERS = """
select started_at, span_id, parent_span_id, call_id, name, kind, duration_us, error, application, attributes
from trace_span where trace_id = %s order by started_at, span_id limit %s
"""


class OtherSpan(Struct, frozen=True):
    """A span that did not pass the gate: of a chain, an agent, a tool."""

    started_at: datetime.datetime
    span_id: str
    parent_span_id: str | None
    call_id: str | None
    name: str
    kind: str
    duration_us: int
    error: str | None
    application: str | None
    attributes: dict[str, Any]


class Trace(Struct, frozen=True):
    """Calls in the order of their start; `spans` of each by its id. `cut`: there is more than is shown."""

    id: str
    calls: list[CallRow]
    spans: dict[str, list[SpanRow]]
    others: list[OtherSpan]
    cut: bool = False

    def whole_spans(self, call_id: str) -> list[SpanRow] | None:
        """A call's spans with all that they hold; None where not all of that was read."""
        return self.spans.get(call_id) if len(self.calls) <= _MOST_WITH_ATTRIBUTES and not self.cut else None


async def read_trace(database: Database, trace_id: str) -> Trace:
    """Everything of a trace; without calls and spans where there is none of that id. Raises Unavailable."""
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        query = CALLS.replace("{shown}", SHOWN.as_string(connection))
        rows = await (await cursor.execute(query.encode(), [trace_id, MOST_CALLS + 1])).fetchall()
        calls = [call_row(row) for row in rows[:MOST_CALLS]]
        spans, cut = await _spans(connection, calls)
        await cursor.execute(OTHERS, [trace_id, MOST_SPANS + 1])
        others = [_other(row) for row in await cursor.fetchall()]
    cut = cut or len(rows) > MOST_CALLS or len(others) > MOST_SPANS
    return Trace(trace_id, calls, spans, others[:MOST_SPANS], cut)


async def _spans(connection: Connection, calls: list[CallRow]) -> tuple[dict[str, list[SpanRow]], bool]:
    found: dict[str, list[SpanRow]] = {call.id: [] for call in calls}
    if not calls:
        return found, False
    query = SPANS.format(attributes="span.attributes" if len(calls) <= _MOST_WITH_ATTRIBUTES else "null::jsonb")
    times = [call.started_at for call in calls]
    values = [times, [call.id for call in calls], min(times), max(times), MOST_SPANS + 1]
    rows = await (await connection.execute(query.encode(), values)).fetchall()
    for id, *rest in rows[:MOST_SPANS]:
        found[str(id)].append(SpanRow(*rest))
    return found, len(rows) > MOST_SPANS


def _other(row: dict[str, Any]) -> OtherSpan:
    call_id = row.pop("call_id")
    return OtherSpan(call_id=None if call_id is None else str(call_id), **row)
