"""Semantic entries in PostgreSQL: written in batches, read by number, and searched by pgvector while no index is read.

Vectors are float32 bytes; where the server has pgvector, a column of its own holds them once more.
"""

from __future__ import annotations

import array
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK

INCOMING = """
create temporary table if not exists semantic_incoming (
    at integer, key bytea, scope bytea, tenant text, route text, key_id text, embedder text, question text,
    language text, vector bytea, numbers real[], tags text[], seeded boolean, user_sha256 bytea, begun_s float8,
    stored_s float8, ttl_s float8, body bytea
) on commit delete rows
"""
_TYPES = (
    "int4", "bytea", "bytea", "text", "text", "text", "text", "text", "text", "bytea", "float4[]", "text[]", "bool",
    "bytea", "float8", "float8", "float8", "bytea",
)  # fmt: skip
COPY = "copy semantic_incoming from stdin (format binary)"
_COLUMNS = "scope, tenant, route, key_id, embedder, question, language, vector, tags, seeded, user_sha256, body"
PUT = """
insert into semantic_entry (key, {columns}, stored_at, expires_at, writer{more})
select key, {columns}, to_timestamp(stored_s), to_timestamp(stored_s + ttl_s), %(writer)s{numbers}
from semantic_incoming as entry
where not exists (
    select from erasure where erasure.user_sha256 = entry.user_sha256 and erasure.at >= to_timestamp(entry.begun_s)
)
order by at
on conflict (key) do update set
    route = excluded.route, key_id = excluded.key_id, tags = excluded.tags, user_sha256 = excluded.user_sha256,
    stored_at = excluded.stored_at, expires_at = excluded.expires_at, writer = excluded.writer, body = excluded.body
    where excluded.seeded or not semantic_entry.seeded
returning key, id
"""
_INDEXED = "id, scope, extract(epoch from expires_at)::float8, vector, extract(epoch from stored_at)::float8"
ALL = f"""
select {_INDEXED} from semantic_entry where embedder = %(embedder)s and expires_at > now()
order by id desc limit %(limit)s
"""
NEW = f"""
select {_INDEXED} from semantic_entry
where embedder = %(embedder)s and writer <> %(writer)s and id > %(after)s or
    embedder = %(embedder)s and writer <> %(writer)s and stored_at >= to_timestamp(%(since_s)s)
order by id
"""
NOW = "select extract(epoch from clock_timestamp())::float8"
GET = """
select id, scope, route, question, language, vector, tags, seeded, user_sha256,
       extract(epoch from stored_at)::float8, extract(epoch from expires_at)::float8, body
from semantic_entry where id = any(%(ids)s)
"""
#: A b-tree on the scope and an exact sort where it is small, the graph where it is not: the planner knows.
NEAREST = """
select id, 1 - (likeness::vector({size}) <=> %(vector)s::real[]::vector({size}))
from semantic_entry where scope = any(%(scopes)s) and embedder = %(embedder)s and expires_at > now()
order by likeness::vector({size}) <=> %(vector)s::real[]::vector({size}) limit %(limit)s
"""
HAS_LIKENESS = """
select count(*) from information_schema.columns where table_name = 'semantic_entry' and column_name = 'likeness'
"""
_FETCH_ROWS = 1_000


class Row(Struct, frozen=True, gc=False):
    """An entry on its way to the database; `begun_s` is when its call began."""

    key: bytes
    scope: bytes
    tenant: str
    route: str
    key_id: str | None
    embedder: str
    question: str
    language: str
    vector: bytes
    tags: tuple[str, ...]
    seeded: bool
    owner: bytes | None
    begun_s: float
    stored_s: float
    ttl_s: float
    body: bytes


class Kept(Struct, frozen=True, gc=False):
    """An entry as it was read."""

    id: int
    scope: bytes
    route: str
    question: str
    language: str
    vector: bytes
    tags: tuple[str, ...]
    seeded: bool
    owner: bytes | None
    stored_s: float
    expires_s: float
    body: bytes


class Indexed(Struct, frozen=True, gc=False):
    """What the index needs of an entry."""

    id: int
    scope: bytes
    expires_s: float
    vector: bytes
    stored_s: float


class SemanticStore:
    """The table `semantic_entry`. Every method raises whatever goes wrong."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = random.getrandbits(62)
        self._likeness: bool | None = None

    async def put(self, rows: Sequence[Row]) -> Mapping[bytes, int]:
        """Keep entries, in place of older ones with the same key; their numbers by key. Seeded ones stay."""
        last = {row.key: row for row in rows}
        async with self._database.connection() as connection:
            # Two statements at once can't be prepared.
            await connection.execute(f"{INCOMING}; {HOLD_BACK}", prepare=False)
            likeness = await self._has_likeness(connection)
            async with connection.cursor() as cursor:
                async with cursor.copy(COPY) as copy:
                    copy.set_types(_TYPES)
                    for at, row in enumerate(last.values()):
                        await copy.write_row(_copied(at, row, likeness))
                more, numbers = (", likeness", ", numbers::vector") if likeness else ("", "")
                put = PUT.format(columns=_COLUMNS, more=more, numbers=numbers)
                await cursor.execute(put.encode(), {"writer": self._writer})
                return {bytes(key): id for key, id in await cursor.fetchall()}

    async def get(self, ids: Sequence[int]) -> list[Kept]:
        """Those of the entries that are there."""
        async with self._database.connection() as connection, connection.cursor(binary=True) as cursor:
            await cursor.execute(GET, {"ids": list(ids)})
            return [_kept(row) for row in await cursor.fetchall()]

    async def nearest(
        self, scopes: Sequence[bytes], embedder: str, numbers: Sequence[float], limit: int
    ) -> list[tuple[int, float]]:
        """Numbers and similarities of the most alike; nothing where the server has no pgvector."""
        async with self._database.connection() as connection:
            if not await self._has_likeness(connection):
                return []
            await connection.execute("set local hnsw.iterative_scan = strict_order")
            statement = NEAREST.format(size=len(numbers)).encode()
            values = {"scopes": list(scopes), "embedder": embedder, "vector": list(numbers), "limit": limit}
            return [(id, alike) for id, alike in await (await connection.execute(statement, values)).fetchall()]

    async def everything(self, embedder: str, limit: int) -> AsyncIterator[list[Indexed]]:
        """The newest entries of an embedder, in portions, so that many of them do not hold up the calls."""
        async with self._database.connection() as connection, connection.cursor("semantic_all", binary=True) as cursor:
            await cursor.execute(ALL, {"embedder": embedder, "limit": limit})
            while rows := await cursor.fetchmany(_FETCH_ROWS):
                yield [_indexed(row) for row in rows]

    async def news(self, embedder: str, after: int, since_s: float) -> list[Indexed]:
        """What other writers stored since then, or under a higher number."""
        values = {"embedder": embedder, "writer": self._writer, "after": after, "since_s": since_s}
        async with self._database.connection() as connection, connection.cursor(binary=True) as cursor:
            await cursor.execute(NEW, values)
            return [_indexed(row) for row in await cursor.fetchall()]

    async def now_s(self) -> float:
        """The database's time, in epoch seconds."""
        async with self._database.connection() as connection:
            row: Any = await (await connection.execute(NOW)).fetchone()
            return float(row[0])

    async def _has_likeness(self, connection: Connection) -> bool:
        if self._likeness is None:
            row: Any = await (await connection.execute(HAS_LIKENESS)).fetchone()
            self._likeness = bool(row[0])
        return self._likeness


def _copied(at: int, row: Row, likeness: bool) -> tuple[Any, ...]:
    numbers = array.array("f", row.vector).tolist() if likeness else None
    return (
        at, row.key, row.scope, _text(row.tenant), _text(row.route), row.key_id, _text(row.embedder),
        _text(row.question), row.language, row.vector, numbers, list(row.tags), row.seeded, row.owner, row.begun_s,
        row.stored_s, row.ttl_s, row.body,
    )  # fmt: skip


def _kept(row: Sequence[Any]) -> Kept:
    id, scope, route, question, language, vector, tags, seeded, owner, stored_s, expires_s, body = row
    return Kept(
        id, bytes(scope), route, question, language, bytes(vector), tuple(tags), seeded,
        None if owner is None else bytes(owner), stored_s, expires_s, bytes(body),
    )  # fmt: skip


def _indexed(row: Sequence[Any]) -> Indexed:
    id, scope, expires_s, vector, stored_s = row
    return Indexed(id, bytes(scope), expires_s, bytes(vector), stored_s)


def _text(text: str) -> str:
    """Text that PostgreSQL can hold: one odd name must not lose the whole batch."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
