"""What records hold of a user: calls and spans in the database, and what waits beside it for the database.

An erased call keeps its figures (who pays, tokens, cost, times, outcome), so that every total stays what it was. The
person and the content go.
"""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.store.people import Page, Person, Removed, stored_name
from comporta.telemetry.anonymous import EMPTY
from comporta.telemetry.calls import SHOWN, SPANS, SpanRow, call_row
from comporta.telemetry.record import CallRecord, decoded
from comporta.telemetry.spooled import Quarantine, Spooled
from comporta.types import JSON

_BATCH = 500
_PIECE_RECORDS = 50
_PIECE_BYTES = 8 << 20

PAGE = sql.SQL("""
select {shown}, prompt, reply, variables from call
where user_id = %(user)s and (started_at, id) > (%(at)s, %(id)s) order by started_at, id limit %(limit)s
""").format(shown=SHOWN)
KNOWN = "select id::text from call where id = any(%(ids)s::uuid[])"

_FIRST = (datetime.datetime(1, 1, 1, tzinfo=datetime.UTC), uuid.UUID(int=0))


class Calls:
    """The tables `call` and `span`."""

    kind = "calls"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        at, id = _FIRST if after is None else _read(after)
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            values = {"user": person.name, "at": at, "id": id, "limit": limit}
            found = await (await cursor.execute(PAGE, values)).fetchall()
            rows = [await self._told(connection, row) for row in found]
        last = msgspec.json.encode((found[-1]["started_at"], found[-1]["id"])).decode() if len(found) == limit else None
        return Page(rows, last)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            cursor = await connection.execute(EMPTY, {"user": person.name, "limit": _BATCH})
        return Removed(cursor.rowcount, "more" if cursor.rowcount == _BATCH else None)

    async def _told(self, connection: Connection, row: dict[str, Any]) -> JSON:
        cursor = connection.cursor(row_factory=dict_row)
        spans = await (await cursor.execute(SPANS, [row["started_at"], row["id"]])).fetchall()
        told = {
            "call": call_row(row), "spans": [SpanRow(**span) for span in spans], "prompt": row["prompt"],
            "reply": row["reply"], "variables": row["variables"],
        }  # fmt: skip
        value: JSON = msgspec.to_builtins(told)
        return value


class Waiting:
    """Records on this machine that are not in the database: in spools of other workers, and put aside as unusable.

    What a spool holds is made anonymous when it is shipped; what was put aside is removed here.
    """

    kind = "waiting"

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        """All at once: a record waits for half a second while the database is there, and without it nobody asks."""
        found = {record.id: record async for record in self._spooled(person)}
        for payload in self._put_aside(person):
            record = _record(payload)
            if record is not None:
                found.setdefault(record.id, record)
        async with self._database.reading() as connection:
            known = await (await connection.execute(KNOWN, {"ids": list(found)})).fetchall()
        for (id,) in known:
            found.pop(id, None)
        return Page([{"record": _readable(record)} for record in found.values()])

    async def erase(self, person: Person, after: str | None) -> Removed:
        gone = await asyncio.to_thread(Quarantine(self._root).drop, lambda payload: _is_of(payload, person))
        waiting = len([record async for record in self._spooled(person)])
        left = (f"{waiting} records in spools are made anonymous when they are shipped.",) if waiting else ()
        return Removed(gone, left=left)

    def _put_aside(self, person: Person) -> Iterator[bytes]:
        for _, _, payload in Quarantine(self._root).entries():
            if _is_of(payload, person):
                yield payload

    async def _spooled(self, person: Person) -> AsyncIterator[CallRecord]:
        for folder in sorted(path for path in self._root.glob("*") if path.is_dir()):
            spooled = Spooled(folder)
            end = spooled.place
            while True:
                try:
                    batch = spooled.read(_PIECE_RECORDS, _PIECE_BYTES, None, end)
                except FileNotFoundError:  # shipped and removed meanwhile
                    break
                if batch.end == end:
                    break
                end = batch.end
                for record in batch.records:
                    if record.user is not None and stored_name(record.user) == person.name:
                        yield record
                await asyncio.sleep(0)


def _is_of(payload: bytes, person: Person) -> bool:
    """Whether a record put aside is a user's; one that can't be read is, where the name stands in it."""
    record = _record(payload)
    if record is not None:
        return record.user is not None and stored_name(record.user) == person.name
    return person.name.encode() in payload


def _record(payload: bytes) -> CallRecord | None:
    try:
        return decoded(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _readable(record: CallRecord) -> JSON:
    """By name: as it is kept, a record is an array."""
    return {name: msgspec.to_builtins(getattr(record, name)) for name in record.__struct_fields__}


def _read(after: str) -> tuple[datetime.datetime, uuid.UUID]:
    try:
        return msgspec.json.decode(after, type=tuple[datetime.datetime, uuid.UUID])
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of the answer before.", param="after") from None
