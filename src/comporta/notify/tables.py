"""The tables of notices and deliveries: how an event goes in once, is claimed by one worker, and ends."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from comporta.notify.notice import Notice, Severity
from comporta.store.database import Connection, Database
from comporta.types import JSON

PUT = """
insert into notice (id, kind, severity, title, text, link, facts, at)
values (%(id)s, %(kind)s, %(severity)s, %(title)s, %(text)s, %(link)s, %(facts)s, to_timestamp(%(at_s)s))
on conflict (id) do nothing
"""
PUT_DELIVERIES = """
insert into delivery (notice_id, channel, next_at)
select %(id)s, channel, clock_timestamp() + make_interval(secs => %(lease_s)s)
from unnest(%(channels)s::text[]) as channel
"""
#: Whoever claims a delivery is alone with it until its lease is over: then its worker is taken for dead.
CLAIM = """
with due as (
    select notice_id, channel from delivery where state = 'waiting' and next_at <= clock_timestamp()
    order by next_at limit %(limit)s for update skip locked
), claimed as (
    update delivery
    set attempts = attempts + 1, first_at = coalesce(first_at, clock_timestamp()),
        next_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
    from due where (delivery.notice_id, delivery.channel) = (due.notice_id, due.channel)
    returning delivery.notice_id, delivery.channel, delivery.attempts, delivery.first_at
)
select claimed.channel, claimed.attempts, extract(epoch from clock_timestamp() - claimed.first_at)::float8 as tried_s,
    notice.id, notice.kind, notice.severity, notice.title, notice.text, notice.link, notice.facts,
    extract(epoch from notice.at)::float8 as at_s
from claimed join notice on notice.id = claimed.notice_id
"""
#: Of a claim that is still ours: whoever was too slow has lost it to another.
END = """
update delivery
set state = %(state)s, told = %(told)s, ended_at = clock_timestamp(), attempts = greatest(attempts, 1)
where notice_id = %(id)s and channel = %(channel)s and state = 'waiting' and attempts = %(attempts)s
"""
AGAIN = """
update delivery set told = %(told)s, next_at = clock_timestamp() + make_interval(secs => %(pause_s)s)
where notice_id = %(id)s and channel = %(channel)s and state = 'waiting' and attempts = %(attempts)s
"""
NEXT_DUE = "select extract(epoch from min(next_at) - clock_timestamp())::float8 from delivery where state = 'waiting'"
RETRY = """
update delivery set state = 'waiting', attempts = 0, first_at = null, ended_at = null, next_at = clock_timestamp()
where notice_id = %(id)s and state = 'failed' and (%(channel)s::text is null or channel = %(channel)s)
"""
EXISTS = "select from notice where id = %(id)s"
LIST = """
select notice.*, coalesce((
    select jsonb_agg(jsonb_build_object(
        'channel', channel, 'state', state, 'attempts', attempts, 'told', told, 'next_at',
        case when state = 'waiting' then next_at end, 'ended_at', ended_at) order by channel)
    from delivery where notice_id = notice.id
), '[]') as deliveries
from notice
where (%(kind)s::text is null or kind = %(kind)s) and (%(id)s::text is null or id = %(id)s)
    and (%(state)s::text is null or exists (
        select from delivery where notice_id = notice.id and state = %(state)s))
    and (taken_at, id) < (%(before)s, %(before_id)s)
order by taken_at desc, id desc limit %(limit)s
"""
PRUNE = "delete from notice where taken_at < now() - make_interval(secs => %(keep_s)s)"


class Claimed(Struct, frozen=True):
    """A delivery that this worker alone makes now: its how manieth attempt it is, and since when it was tried."""

    notice: Notice
    channel: str
    attempts: int
    tried_s: float


class DeliveryRow(Struct, frozen=True):
    """How far a notice came on one channel: `waiting` (for its first or next attempt), `delivered` or `failed`."""

    channel: str
    state: str
    attempts: int
    #: How it was taken, or why the last attempt failed.
    told: str | None = None
    next_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None


class NoticeRow(Struct, frozen=True):
    """A notice with its deliveries."""

    id: str
    kind: str
    severity: Severity
    title: str
    text: str
    link: str | None
    facts: JSON
    at: datetime.datetime
    taken_at: datetime.datetime
    deliveries: list[DeliveryRow]


async def put(connection: Connection, notice: Notice, channels: Sequence[str], lease_s: float = 0.0) -> bool:
    """Keep a notice and what it is to be delivered by; False where one of its id is there already.

    With a lease the deliveries are this process's own to make for so long.
    """
    values = {
        "id": notice.id, "kind": notice.kind, "severity": notice.severity, "title": notice.title,
        "text": notice.text, "link": notice.link, "facts": Jsonb(notice.facts), "at_s": notice.at_s,
    }  # fmt: skip
    if (await connection.execute(PUT, values)).rowcount == 0:
        return False
    await connection.execute(PUT_DELIVERIES, {"id": notice.id, "channels": list(channels), "lease_s": lease_s})
    return True


async def claim(connection: Connection, limit: int, lease_s: float) -> list[Claimed]:
    """Deliveries that are due, for this worker alone."""
    cursor = connection.cursor(row_factory=dict_row)
    rows = await (await cursor.execute(CLAIM, {"limit": limit, "lease_s": lease_s})).fetchall()
    return [Claimed(_notice(row), row["channel"], row["attempts"], row["tried_s"]) for row in rows]


async def list_rows(connection: Connection, values: dict[str, Any]) -> list[NoticeRow]:
    cursor = connection.cursor(row_factory=dict_row)
    rows = await (await cursor.execute(LIST, values)).fetchall()
    return [msgspec.convert(row, NoticeRow) for row in rows]


async def prune(database: Database, keep_s: float) -> None:
    """Drop the notices that are older."""
    async with database.connection() as connection:
        await connection.execute(PRUNE, {"keep_s": keep_s})


def _notice(row: dict[str, Any]) -> Notice:
    return Notice(**{name: row[name] for name in Notice.__struct_fields__})
