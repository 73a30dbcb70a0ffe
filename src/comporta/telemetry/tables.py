"""The tables of records: how a batch goes in, in one transaction and with no effect the second time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from comporta.store.database import Connection
from comporta.store.people import HOLD_BACK
from comporta.telemetry.anonymous import EMPTY_LATE
from comporta.telemetry.record import BUCKETS, CallRecord

#: What rollups can be asked by.
DIMENSIONS = (
    "route", "variant", "provider", "model", "key_id", "team", "environment", "feature", "outcome_class", "prompt_id",
    "prompt_version",
)  # fmt: skip
#: A longer name would not fit the key's index.
_MAX_DIMENSION_CHARS = 100
_MAX_INDEXED_CHARS = 256
_ROWS_AT_ONCE = 50


#: What goes into the column `record`: all but the content, which has columns of its own.
_FLAT = tuple(name for name in CallRecord.__struct_fields__ if name not in ("prompt", "reply", "variables"))
_POSITION = {name: i for i, name in enumerate(_FLAT)}


def _text(field: str) -> str:
    return f"record ->> {_POSITION[field]}"


def _typed(field: str, type: str) -> str:
    return f"(record ->> {_POSITION[field]})::{type}"


def _json(field: str) -> str:
    return f"record -> {_POSITION[field]}"


def _indexed(field: str) -> str:
    return f"left(record ->> {_POSITION[field]}, {_MAX_INDEXED_CHARS})"


_USAGE = f"record -> {_POSITION['usage']}"


def _tokens(bucket: str) -> str:
    """Zeros are left out of an encoded usage; without any usage there is no figure at all."""
    return f"case when jsonb_typeof({_USAGE}) = 'object' then coalesce(({_USAGE} ->> '{bucket}')::bigint, 0) end"


#: Columns of `call`, and what of an incoming record fills them.
_COLUMNS: dict[str, str] = {
    "started_at": f"timestamptz 'epoch' + {_typed('started_us', 'bigint')} * interval '1 microsecond'",
    "id": "id",
    "trace_id": _indexed("trace_id"),
    "parent_id": _typed("parent_id", "uuid"),
    **{f: _text(f) for f in ("request_id", "door", "kind", "asked", "route", "variant", "provider", "model")},
    **{f: _text(f) for f in ("credential", "reply_id", "reply_model", "key_name", "team", "environment", "feature")},
    **{f: _text(f) for f in ("cache", "outcome", "outcome_class", "error_type", "error_message", "capture")},
    **{f: _text(f) for f in ("prompt_id", "prompt_version", "prompt_label", "parent_span")},
    "key_id": _indexed("key_id"),
    "user_id": _indexed("user"),
    "session": _indexed("session"),
    **{f: _typed(f, "bigint") for f in ("duration_us", "first_us", "cost_microusd")},
    **{f: _typed(f, "integer") for f in ("retries", "status", "malformed_frames")},
    "stream": _typed("stream", "boolean"),
    "tags": _json("tags"),
    "dropped": _json("dropped"),
    **{f"{b}_tokens": _tokens(b) for b in BUCKETS},
    "estimated": f"coalesce(({_USAGE} ->> 'estimated')::boolean, false)",
    "deploy": f"nullif({_json('deploy')}, 'null')",
    "notes": f"nullif({_json('notes')}, 'null')",
    "prompt": "prompt",
    "reply": "reply",
    "variables": "variables",
}

#: What spans and rollups are made from: not the content, which would be carried along for nothing.
_RETURNED = (
    "started_at", "id", *DIMENSIONS, "stream", "retries", "cache", *(f"{b}_tokens" for b in BUCKETS), "estimated",
    "cost_microusd", "duration_us", "first_us", "tags", "outcome", "notes", "door",
    "user_id",
)  # fmt: skip
_HIT = "cache like 'hit%' or cache in ('exact', 'semantic')"


#: What providers were asked for, of one call; null without usage.
_PAID_TOKENS = " + ".join(f"{b}_tokens" for b in BUCKETS)


def _saved(stage: str) -> str:
    """What a stage noted to have saved: a plain number, whatever else stands in its note."""
    place = f"notes #> '{{{stage},saved_microusd}}'"
    return f"coalesce(sum(({place})::bigint) filter (where jsonb_typeof({place}) = 'number'), 0)"


def _histogram(column: str) -> str:
    entries = f"array_agg((histogram_bucket({column}) << 40) + 1) filter (where {column} is not null)"
    return f"histogram_merge(coalesce({entries}, '{{}}'), '{{}}')"


#: Columns of the rollups, and what of the newly inserted calls they sum up.
_SUMS: dict[str, str] = {
    "calls": "count(*)",
    "streams": "count(*) filter (where stream)",
    "retries": "sum(retries)",
    "cache_hits": f"count(*) filter (where {_HIT})",
    "cache_lookups": "count(*) filter (where cache <> 'bypass')",
    # What the cache gave again was paid for once: its tokens stand apart.
    **{f"{b}_tokens": f"coalesce(sum({b}_tokens) filter (where not ({_HIT})), 0)" for b in BUCKETS},
    "hit_tokens": f"coalesce(sum({_PAID_TOKENS}) filter (where {_HIT}), 0)",
    "estimated_calls": "count(*) filter (where estimated)",
    "cost_microusd": "coalesce(sum(cost_microusd), 0)",
    "unpriced_calls": "count(*) filter (where cost_microusd is null and input_tokens is not null)",
    "unpriced_tokens": f"coalesce(sum({_PAID_TOKENS}) filter (where cost_microusd is null and not ({_HIT})), 0)",
    "duration_us": "sum(duration_us)",
    # Only of answers that a provider wrote is there a speed.
    "generating_us": f"coalesce(sum(duration_us) filter (where output_tokens > 0 and not ({_HIT})), 0)",
    "retried_calls": "count(*) filter (where retries > 0)",
    "cache_saved_microusd": _saved("cache"),
    "tokens_saved_microusd": _saved("tokens"),
    "latency": _histogram("duration_us"),
    "first_token": _histogram("first_us"),
}
_HISTOGRAMS = ("latency", "first_token")


def _dimension(name: str) -> str:
    return f"left(coalesce({name}, ''), {_MAX_DIMENSION_CHARS})"


def _merged(table: str, column: str) -> str:
    if column in _HISTOGRAMS:
        return f"{column} = histogram_merge({table}.{column}, excluded.{column})"
    return f"{column} = {table}.{column} + excluded.{column}"


def rollup(table: str, unit: str) -> str:
    """The statement that sums up the calls of `fresh`, of which it is the rest.

    Rows are upserted in the order of their key: two shippers then wait for each other instead of deadlocking.
    """
    keys = ", ".join(("period", *DIMENSIONS))
    return f"""
        insert into {table} (period, {", ".join((*DIMENSIONS, *_SUMS))})
        select date_trunc('{unit}', started_at, 'UTC'), {", ".join(_dimension(d) for d in DIMENSIONS)},
            {", ".join(_SUMS.values())}
        from fresh
        group by {", ".join(str(i + 1) for i in range(len(DIMENSIONS) + 1))}
        order by {", ".join(str(i + 1) for i in range(len(DIMENSIONS) + 1))}
        on conflict ({keys}) do update set {", ".join(_merged(table, c) for c in _SUMS)}
    """


def _stale(unit: str) -> str:
    """Sums by property (`observability.facets`) that are not of all calls any more.

    One mark is enough while the period runs, since nobody takes it away until minutes after its end; later each batch
    needs its own.
    """
    return f"""
        insert into facet_stale_{unit} (period)
        select distinct date_trunc('{unit}', started_at, 'UTC') from fresh
        where started_at < date_trunc('{unit}', now(), 'UTC') or not exists (
            select from facet_stale_{unit} as s where s.period = date_trunc('{unit}', started_at, 'UTC')
        )
    """


INCOMING = """
    create temporary table if not exists incoming (id uuid, record jsonb, prompt jsonb, reply jsonb, variables jsonb)
    on commit delete rows
"""
COPY = "copy incoming (id, record, prompt, reply, variables) from stdin"
#: Calls that take part in a rollout: whoever keeps its figures takes them out of there, each of them once.
_ROLLED = """
        insert into rollout_call (rollout, side, stage, call_id, started_at, duration_us, first_us, cost_microusd,
            cache, outcome, outcome_class, failed)
        select tags ->> 'rollout', coalesce(tags ->> 'rollout_side', ''), coalesce(tags ->> 'rollout_stage', ''), id,
            started_at, duration_us, first_us, cost_microusd, cache, outcome, outcome_class, tags ->> 'rollout_failed'
        from fresh where tags ? 'rollout'
"""
#: What budgets for users and tags are counted from: the rollups know neither. A user stands there by a hash.
_SPENT = f"""
        insert into spent_hour (period, key_id, team, environment, feature, user_sha256, tags_md5, tags, cost_microusd)
        select date_trunc('hour', started_at, 'UTC'),
            {", ".join(_dimension(name) for name in ("key_id", "team", "environment", "feature"))},
            case when user_id is null then ''::bytea else sha256(convert_to(user_id, 'UTF8')) end,
            md5(tags::text)::uuid, tags, sum(cost_microusd)
        from fresh where door <> 'otlp' and cost_microusd > 0 and (user_id is not null or tags <> '{{}}')
        group by 1, 2, 3, 4, 5, 6, 7, 8
        order by 1, 2, 3, 4, 5, 6, 7
        on conflict (period, key_id, team, environment, feature, user_sha256, tags_md5)
            do update set cost_microusd = spent_hour.cost_microusd + excluded.cost_microusd
"""
#: Everything that follows from a batch follows from the calls that were not there before.
INSERT = f"""
    with fresh as (
        insert into call ({", ".join(_COLUMNS)})
        select {", ".join(_COLUMNS.values())} from incoming order by 1, 2
        on conflict do nothing
        returning {", ".join(_RETURNED)}
    ), spans as (
        insert into span (started_at, call_id, number, name, start_us, duration_us, depth, error, attributes)
        select fresh.started_at, fresh.id, s.number, s.span ->> 0, (s.span ->> 1)::bigint, (s.span ->> 2)::bigint,
            (s.span ->> 3)::integer, s.span ->> 4, nullif(s.span -> 5, 'null')
        from fresh
        join incoming on incoming.id = fresh.id,
        jsonb_array_elements(incoming.record -> {_POSITION["spans"]}) with ordinality as s (span, number)
        on conflict do nothing
    ), rolled as ({_ROLLED}
    ), spent as ({_SPENT}
    ), told as (
        insert into otlp_out (started_at, call_id)
        select started_at, id from fresh where exists (select from otlp_target) and door <> 'otlp'
    ), minutes as ({rollup("rollup_minute", "minute")}
    ), hours as ({rollup("rollup_hour", "hour")}
    ), stale_minutes as ({_stale("minute")}
    ), stale_hours as ({_stale("hour")}
    )
    select count(*), exists(select from erasure where at >= (select min(started_at) from fresh)) from fresh
"""

#: PostgreSQL's text can't hold the character NUL; an escaped backslash before `u0000` is no NUL.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_encode = msgspec.json.Encoder().encode
#: As a number it is looked for by memchr.
_BACKSLASH = ord("\\")
_flat = attrgetter(*_FLAT)


async def insert(connection: Connection, records: Sequence[CallRecord]) -> int:
    """Put records in, their spans and rollups with them; how many were not there before."""
    # Two statements at once can't be prepared.
    await connection.execute(f"{INCOMING}; {HOLD_BACK}", prepare=False)
    async with connection.cursor() as cursor:
        async with cursor.copy(COPY) as copy:
            for start in range(0, len(records), _ROWS_AT_ONCE):
                await copy.write(b"".join([_copy_row(r) for r in records[start : start + _ROWS_AT_ONCE]]))
                # Sending alone does not let others in, and calls are answered in this process.
                await asyncio.sleep(0)
        await cursor.execute(INSERT)
        row: Any = await cursor.fetchone()
    if row[1]:
        await connection.execute(EMPTY_LATE)
    return int(row[0])


def _copy_row(record: CallRecord) -> bytes:
    flat = _encode(_flat(record))
    return b"%b\t%b\t%b\t%b\t%b\n" % (
        _escaped(record.id), _field(flat), _content(record.prompt), _content(record.reply), _content(record.variables),
    )  # fmt: skip


def _escaped(text: str) -> bytes:
    """Any text as a field of COPY's text format, so that none can end a row or the whole copy."""
    text = text.replace("\\", "\\\\")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").encode()


def _content(text: str | None) -> bytes:
    return rb"\N" if text is None else _field(text.encode())


def _field(json: bytes) -> bytes:
    """JSON as a field of COPY's text format. It has no raw line break or tab in it: backslashes are all to escape."""
    if _BACKSLASH not in json:
        return json
    if rb"\u0000" in json:
        json = _NUL.sub(rb"\1", json)
    return json.replace(b"\\", b"\\\\")
