"""Calls as they are listed and shown: pages by key, and one call with its spans."""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest, NotFound
from comporta.store.database import Database
from comporta.telemetry.record import BUCKETS
from comporta.types import JSON, Usage

MAX_LIMIT = 500
#: What calls can be filtered by, and the column behind each.
COLUMNS = {
    "route": "route",
    "model": "model",
    "provider": "provider",
    "outcome": "outcome",
    "key": "key_id",
    "team": "team",
    "environment": "environment",
    "feature": "feature",
    "prompt": "prompt_id",
    "prompt_version": "prompt_version",
    "user": "user_id",
    "session": "session",
    "trace": "trace_id",
}
_TOKENS = tuple(f"{b}_tokens" for b in BUCKETS)
_PLAIN = (
    "started_at", "trace_id", "request_id", "duration_us", "first_us", "door", "kind", "stream", "asked", "route",
    "variant", "provider", "model", "credential", "reply_id", "reply_model", "key_id", "key_name", "team",
    "environment", "feature", "tags", "session", "cost_microusd", "cache", "retries", "dropped", "outcome",
    "outcome_class", "status", "error_type", "error_message", "malformed_frames", "capture", "prompt_id",
    "prompt_version", "prompt_label", "deploy", "notes",
    "parent_span",
)  # fmt: skip

SHOWN = sql.SQL(", ").join(map(sql.Identifier, (*_PLAIN, "id", "parent_id", "user_id", "estimated", *_TOKENS)))
LIST = sql.SQL("select {shown} from call where true {where} order by started_at desc, id desc limit %s")
ONE = sql.SQL("select {shown}, prompt, reply, variables from call where id = %s order by started_at desc limit 1")
SPANS = sql.SQL(
    "select name, start_us, duration_us, depth, error, attributes from span"
    " where started_at = %s and call_id = %s order by number"
)


class CallRow(Struct, frozen=True):
    """A call as a list shows it: without content."""

    id: str
    parent_id: str | None
    started_at: datetime.datetime
    trace_id: str
    request_id: str
    duration_us: int
    first_us: int | None
    door: str
    kind: str
    stream: bool
    asked: str
    route: str | None
    variant: str | None
    provider: str | None
    model: str | None
    credential: str | None
    reply_id: str | None
    reply_model: str | None
    key_id: str
    key_name: str
    team: str | None
    environment: str | None
    feature: str | None
    tags: dict[str, str]
    user: str | None
    session: str | None
    usage: Usage | None
    cost_microusd: int | None
    cache: str
    retries: int
    dropped: list[str]
    outcome: str
    outcome_class: str
    status: int
    error_type: str | None
    error_message: str | None
    malformed_frames: int
    capture: str
    prompt_id: str | None
    prompt_version: str | None
    prompt_label: str | None
    deploy: dict[str, str] | None
    #: What stages decided and why, by the stage's name.
    notes: dict[str, JSON] | None
    #: The span of the client's that asked, where it gave a trace context.
    parent_span: str | None


class SpanRow(Struct, frozen=True):
    """What one stage or attempt did; `start_us` counts from the start of the call."""

    name: str
    start_us: int
    duration_us: int
    depth: int
    error: str | None
    attributes: JSON | None


class CallPage(Struct, frozen=True):
    """Calls, the newest first; `next` is what to ask for as `after` to see older ones, None at the end."""

    calls: list[CallRow]
    next: str | None


class OneCall(Struct, frozen=True):
    """A call with its spans, and its content as far as that is kept."""

    call: CallRow
    spans: list[SpanRow]
    prompt: Any
    reply: Any
    variables: Any = None


async def list_calls(
    database: Database,
    *,
    filters: dict[str, str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    after: str | None = None,
    limit: int = 50,
) -> CallPage:
    """One page. `filters` are names of COLUMNS; raises BadRequest for others, and for an `after` that is not ours."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"A page holds 1 to {MAX_LIMIT} calls.", param="limit")
    where, values = _where(filters or {}, since, until, after)
    query = LIST.format(shown=SHOWN, where=sql.SQL("").join(where))
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(query, [*values, limit + 1])).fetchall()
    more = len(rows) > limit
    calls = [call_row(row) for row in rows[:limit]]
    return CallPage(calls, _cursor(calls[-1]) if more else None)


async def one_call(database: Database, id: str, *, spans: Sequence[SpanRow] | None = None) -> OneCall:
    """One call; `spans` are its own where they were read before. Raises NotFound."""
    try:
        call_id = uuid.UUID(id)
    except ValueError:
        raise NotFound("A call's id is a UUID.", param="id") from None
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        row = await (await cursor.execute(ONE.format(shown=SHOWN), [call_id])).fetchone()
        if row is None:
            raise NotFound(f"There is no call {call_id}: it was never made, is not shipped yet, or is past retention.")
        if spans is None:
            found = await connection.execute(SPANS, [row["started_at"], call_id])
            spans = [SpanRow(*span) for span in await found.fetchall()]
    return OneCall(call_row(row), list(spans), row["prompt"], row["reply"], row["variables"])


def _where(
    filters: dict[str, str], since: datetime.datetime | None, until: datetime.datetime | None, after: str | None
) -> tuple[list[sql.Composable], list[Any]]:
    where: list[sql.Composable] = []
    values: list[Any] = []
    for name, value in filters.items():
        if name not in COLUMNS:
            raise BadRequest(
                f"Calls can't be filtered by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
        where.append(sql.SQL(" and {} = %s").format(sql.Identifier(COLUMNS[name])))
        values.append(value)
    for text, at in ((" and started_at >= %s", since), (" and started_at < %s", until)):
        if at is not None:
            where.append(sql.SQL(text))
            values.append(at if at.tzinfo else at.replace(tzinfo=datetime.UTC))
    if after is not None:
        where.append(sql.SQL(" and (started_at, id) < (%s, %s)"))
        values.extend(_after(after))
    return where, values


def _cursor(call: CallRow) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((call.started_at, call.id))).decode()


def _after(text: str) -> tuple[datetime.datetime, uuid.UUID]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[datetime.datetime, uuid.UUID])
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None


def call_row(row: dict[str, Any]) -> CallRow:
    usage = None
    if row["input_tokens"] is not None:
        usage = Usage(**{b: row[f"{b}_tokens"] for b in BUCKETS}, estimated=row["estimated"])
    parent = str(row["parent_id"]) if row["parent_id"] else None
    plain = {name: row[name] for name in _PLAIN}
    return CallRow(id=str(row["id"]), parent_id=parent, user=row["user_id"], usage=usage, **plain)
