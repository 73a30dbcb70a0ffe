"""The tables of alerts: how rules stand, what happened, what is silenced, and whose turn it is to look."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.rows import dict_row

from comporta.alerts.judging import Look, Standing
from comporta.alerts.rules import Rule
from comporta.store.database import Connection

#: A round is one worker's, for all: another one that comes meanwhile, or too soon after it, leaves it alone.
TURN = """
update alert_round set at = clock_timestamp()
where at <= clock_timestamp() - make_interval(secs => %(every_s)s)
    and pg_try_advisory_xact_lock(hashtext('comporta.alerts'))
returning 1
"""
STATES = """
select rule, definition, state, extract(epoch from since)::float8 as since_s, pending,
    extract(epoch from pending_since)::float8 as pending_since_s, told,
    extract(epoch from told_at)::float8 as told_at_s, worst
from alert_state
"""
PUT = """
insert into alert_state (rule, definition, state, since, value, calls, reason, looked_at, pending, pending_since, told,
    told_at, worst)
values (%(rule)s, %(definition)s, %(state)s, to_timestamp(%(since_s)s), %(value)s, %(calls)s, %(reason)s,
    to_timestamp(%(now_s)s), %(pending)s, to_timestamp(%(pending_since_s)s), %(told)s, to_timestamp(%(told_at_s)s),
    %(worst)s)
on conflict (rule) do update set definition = excluded.definition, state = excluded.state, since = excluded.since,
    value = excluded.value, calls = excluded.calls, reason = excluded.reason, looked_at = excluded.looked_at,
    pending = excluded.pending, pending_since = excluded.pending_since, told = excluded.told,
    told_at = excluded.told_at, worst = excluded.worst
"""
FORGET = "delete from alert_state where rule = %(rule)s"
EVENT = """
insert into alert_event (rule, at, kind, state_before, state, value, calls, reason, silenced)
values (%(rule)s, to_timestamp(%(now_s)s), %(kind)s, %(before)s, %(state)s, %(value)s, %(calls)s, %(reason)s,
    %(silenced)s)
returning id
"""
NOTICED = "update alert_event set notice_id = %(notice)s where id = %(id)s"
SILENT = "select rule from alert_silence where ends_at > to_timestamp(%(now_s)s)"
SILENCE = """
insert into alert_silence (rule, ends_at, reason, made_by) values (%(rule)s, %(ends_at)s, %(reason)s, %(by)s)
on conflict (rule) do update set ends_at = excluded.ends_at, reason = excluded.reason, made_by = excluded.made_by,
    made_at = now()
returning rule, ends_at, reason, made_by, made_at
"""
UNSILENCE = "delete from alert_silence where rule = %(rule)s and ends_at > now()"
SILENCES = "select rule, ends_at, reason, made_by, made_at from alert_silence where ends_at > now()"
SHOWN = "select rule, state, since, value, calls, reason, looked_at, pending, told, told_at from alert_state"
HISTORY = """
select e.id, e.rule, e.at, e.kind, e.state_before, e.state, e.value, e.calls, e.reason, e.silenced, e.notice_id,
    coalesce((
        select jsonb_agg(jsonb_build_object('channel', channel, 'state', state, 'attempts', attempts, 'told', told)
            order by channel)
        from delivery where notice_id = e.notice_id
    ), '[]') as deliveries
from alert_event as e
where (%(rule)s::text is null or e.rule = %(rule)s) and (%(after)s::bigint is null or e.id < %(after)s)
order by e.id desc limit %(limit)s
"""
PRUNE = """
with old as (delete from alert_event where at < now() - make_interval(secs => %(keep_s)s))
delete from alert_silence where ends_at < now() - interval '1 day'
"""


class Kept(Struct, frozen=True):
    """A rule's standing as it is kept, and of which definition of the rule it is."""

    definition: str
    standing: Standing


class Silence(Struct, frozen=True):
    """Until when people are not told of a rule, and who wanted that."""

    rule: str
    ends_at: datetime.datetime
    reason: str | None
    made_by: str
    made_at: datetime.datetime


class Shown(Struct, frozen=True):
    """A rule's standing as it is shown."""

    rule: str
    state: str
    since: datetime.datetime
    value: float | None
    calls: int | None
    reason: str | None
    looked_at: datetime.datetime
    pending: str | None
    told: str
    told_at: datetime.datetime | None


class Delivery(Struct, frozen=True):
    """How far a notice came on one channel."""

    channel: str
    state: str
    attempts: int
    told: str | None = None


class Event(Struct, frozen=True):
    """A change of a rule's state, or a reminder, and how people were told of it."""

    id: int
    rule: str
    at: datetime.datetime
    kind: str
    state_before: str
    state: str
    value: float | None
    calls: int | None
    reason: str | None
    silenced: bool
    notice_id: str | None
    deliveries: list[Delivery]


async def rows(connection: Connection, query: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    return await (await cursor.execute(query, values or {})).fetchall()


async def kept(connection: Connection) -> dict[str, Kept]:
    """How every rule stands, by its name."""
    found = {}
    for row in await rows(connection, STATES):
        values = {name: row[name] for name in Standing.__struct_fields__}
        found[row["rule"]] = Kept(row["definition"], Standing(**values))
    return found


async def put(connection: Connection, rule: Rule, standing: Standing, look: Look, now_s: float) -> None:
    """Keep how a rule stands after a look."""
    values = {name: getattr(standing, name) for name in Standing.__struct_fields__}
    seen = {"value": look.value, "calls": look.calls, "reason": look.reason, "now_s": now_s}
    await connection.execute(PUT, {"rule": rule.name, "definition": rule.definition, **values, **seen})


async def event(
    connection: Connection, rule: str, kind: str, before: str, state: str, look: Look, now_s: float, silenced: bool
) -> int:
    """Keep what happened; its number."""
    values = {
        "rule": rule, "kind": kind, "before": before, "state": state, "value": look.value, "calls": look.calls,
        "reason": look.reason, "now_s": now_s, "silenced": silenced,
    }  # fmt: skip
    row: Any = await (await connection.execute(EVENT, values)).fetchone()
    return int(row[0])


async def shown(connection: Connection) -> dict[str, Shown]:
    return {row["rule"]: msgspec.convert(row, Shown) for row in await rows(connection, SHOWN)}


async def silences(connection: Connection) -> dict[str, Silence]:
    return {row["rule"]: Silence(**row) for row in await rows(connection, SILENCES)}


async def history(connection: Connection, rule: str | None, after: int | None, limit: int) -> list[Event]:
    """The newest first."""
    found = await rows(connection, HISTORY, {"rule": rule, "after": after, "limit": limit})
    return [msgspec.convert(row, Event) for row in found]
