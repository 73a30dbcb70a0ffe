"""The tables of findings and of what they are looked for in: what a round reads, and what it leaves behind."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from comporta.feedback.drift.changes import Floats
from comporta.feedback.drift.windows import Item
from comporta.feedback.findings.shapes import Action, Kind
from comporta.store.database import Connection
from comporta.store.people import hold_back
from comporta.types import JSON

#: Between the parts of a stream's name: no route and no score has it in its own.
MARK = "\x1f"
#: So many streams are followed; of more, those that were fed last.
MOST_STREAMS = 300

ALONE = "select pg_try_advisory_xact_lock(hashtext('comporta.findings'))"
CURSOR = "select at from drift_cursor where name = %(name)s"
MOVE = """
insert into drift_cursor (name, at) values (%(name)s, %(at)s) on conflict (name) do update set at = excluded.at
"""
STREAM = "select * from drift_stream where name = %(name)s for update"
ITEMS = """
select number, reference, call_id::text, at, user_id, vector from drift_item where stream = %(name)s order by number
"""
SPACES = "select name, space from drift_stream where kind in ('inputs', 'concepts', 'skew')"
PUT_STREAM = """
insert into drift_stream (name, kind, route, prompt_id, prompt_version, space, seen, taken, tested, began_at)
values (%(name)s, %(kind)s, %(route)s, %(prompt)s, %(version)s, %(space)s, %(seen)s, %(taken)s, %(tested)s, %(began)s)
on conflict (name) do update set space = excluded.space, seen = excluded.seen, taken = excluded.taken,
    tested = excluded.tested, began_at = excluded.began_at, looked_at = now()
"""
GONE = "delete from drift_item where stream = %(name)s and not (number = any(%(numbers)s))"
MADE_REFERENCE = """
update drift_item set reference = true where stream = %(name)s and number = any(%(numbers)s) and not reference
"""
#: Nothing of somebody who was erased meanwhile is kept.
PUT_ITEM = """
insert into drift_item (stream, number, reference, call_id, at, user_id, vector)
select %(name)s, %(number)s, %(reference)s, %(call)s::uuid, %(at)s, %(user)s, %(vector)s
where not exists (
    select from erasure where user_sha256 = sha256(convert_to(%(user)s::text, 'UTF8')) and erasure.at >= %(at)s
)
on conflict do nothing
"""
FEWER = f"""
delete from drift_stream where name in (select name from drift_stream order by looked_at desc offset {MOST_STREAMS})
"""
PUT = """
insert into finding (id, kind, measure, title, route, prompt_id, prompt_version, since, before, after, size, low, high,
    n_before, n_after, facts)
values (%(id)s, %(kind)s, %(measure)s, %(title)s, %(route)s, %(prompt_id)s, %(prompt_version)s, %(since)s, %(before)s,
    %(after)s, %(size)s, %(low)s, %(high)s, %(n_before)s, %(n_after)s, %(facts)s)
on conflict (id) do nothing returning id
"""
PUT_EXAMPLE = """
insert into finding_example (finding_id, place, call_id, called_at, user_id)
select %(id)s, %(place)s, id, started_at, user_id from call
where id = %(call)s::uuid and started_at >= %(from)s and started_at <= %(to)s
limit 1
on conflict do nothing
"""
PUT_ACT = "insert into finding_act (finding_id, action) values (%(id)s, %(action)s) on conflict do nothing"
PRUNE = "delete from finding where found_at < now() - make_interval(secs => %(keep_s)s)"
PRUNE_STREAMS = "delete from drift_stream where looked_at < now() - interval '60 days'"


class Stream(Struct, frozen=True):
    """What a stream is of. `space` says what its vectors mean: with another one it begins anew."""

    name: str
    kind: str
    route: str
    space: str
    prompt: str = ""
    version: str = ""


class Held(Struct, frozen=True):
    """A stream as it was left."""

    reference: list[Item] = []
    current: list[Item] = []
    seen: int = 0
    taken: int = 0
    tested: int = 0
    began_at: datetime.datetime | None = None


class New(Struct, frozen=True):
    """A finding to be. `id` names the event; `examples` are ids of calls that began about `since` or later."""

    id: str
    kind: Kind
    measure: str
    title: str
    route: str | None
    prompt_id: str | None
    prompt_version: str | None
    since: datetime.datetime
    size: float
    before: float | None = None
    after: float | None = None
    low: float | None = None
    high: float | None = None
    n_before: int = 0
    n_after: int = 0
    facts: JSON = {}
    examples: tuple[str, ...] = ()


def id_of(kind: Kind, *parts: object) -> str:
    """The same for the same event."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
    return f"{kind}-{digest[:16]}"


async def rows(
    connection: Connection, query: str | sql.Composed, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    asked = query.encode() if isinstance(query, str) else query
    return await (await cursor.execute(asked, values or {})).fetchall()


async def held(connection: Connection, stream: Stream) -> Held:
    """How a stream was left; nothing of one in another space."""
    found = await rows(connection, STREAM, {"name": stream.name})
    if not found or found[0]["space"] != stream.space:
        return Held(seen=found[0]["seen"] if found else 0)
    items = await rows(connection, ITEMS, {"name": stream.name})
    parts: dict[bool, list[Item]] = {True: [], False: []}
    for row in items:
        vector = np.frombuffer(row["vector"], "<f4").astype(np.float64)
        parts[row["reference"]].append(Item(row["number"], row["at"], vector, row["call_id"], row["user_id"]))
    one = found[0]
    return Held(parts[True], parts[False], one["seen"], one["taken"], one["tested"], one["began_at"])


async def keep(connection: Connection, stream: Stream, was: Held, now: Held) -> None:
    """Write what changed of a stream."""
    values = {
        "name": stream.name, "kind": stream.kind, "route": stream.route, "prompt": stream.prompt,
        "version": stream.version, "space": stream.space, "seen": now.seen, "taken": now.taken, "tested": now.tested,
        "began": now.began_at or datetime.datetime.now(datetime.UTC),
    }  # fmt: skip
    await hold_back(connection)
    await connection.execute(PUT_STREAM, values)
    reference, current = ({one.number for one in side} for side in (now.reference, now.current))
    await connection.execute(GONE, {"name": stream.name, "numbers": sorted(reference | current)})
    await connection.execute(MADE_REFERENCE, {"name": stream.name, "numbers": sorted(reference)})
    there = {one.number for one in (*was.reference, *was.current)}
    new = [one for one in (*now.reference, *now.current) if one.number not in there]
    async with connection.cursor() as cursor:
        await cursor.executemany(PUT_ITEM, [_item(stream.name, one, one.number in reference) for one in new])


def _item(stream: str, one: Item, reference: bool) -> dict[str, Any]:
    return {
        "name": stream, "number": one.number, "reference": reference, "call": one.call_id, "at": one.at,
        "user": one.user, "vector": packed(one.vector),
    }  # fmt: skip


def packed(vector: Floats) -> bytes:
    return vector.astype("<f4").tobytes()


async def put(connection: Connection, new: New, actions: Sequence[Action]) -> bool:
    """Keep a finding with what is to be done about it; False where it was there."""
    values = {name: getattr(new, name) for name in New.__struct_fields__ if name != "examples"}
    done = await (await connection.execute(PUT, values | {"facts": Jsonb(new.facts)})).fetchone()
    if done is None:
        return False
    window = {"from": new.since - datetime.timedelta(days=60), "to": new.since + datetime.timedelta(days=60)}
    for place, call in enumerate(dict.fromkeys(new.examples)):
        await connection.execute(PUT_EXAMPLE, {"id": new.id, "place": place, "call": call, **window})
    for action in dict.fromkeys(actions):
        await connection.execute(PUT_ACT, {"id": new.id, "action": action})
    return True


async def moved(connection: Connection, name: str, first: datetime.datetime) -> datetime.datetime:
    """How far something was looked at; `first` where it never was."""
    found = await rows(connection, CURSOR, {"name": name})
    return found[0]["at"] if found else first


async def move(connection: Connection, name: str, at: datetime.datetime) -> None:
    await connection.execute(MOVE, {"name": name, "at": at})
