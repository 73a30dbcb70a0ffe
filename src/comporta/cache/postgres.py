"""Cache entries in PostgreSQL, with a filter in memory that saves asking for what was never stored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from comporta.cache.entry import Row
from comporta.cache.filter import Filter
from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK

GET = "select key, body from cache_entry where key = any(%(keys)s)"
INCOMING = """
create temporary table if not exists cache_incoming (
    key bytea, tenant text, route text, user_sha256 bytea, begun_s float8, ttl_s float8, body bytea
) on commit delete rows
"""
#: Copied in and put in place from there: as arrays in one statement, the same rows took ten times the client's CPU.
COPY = "copy cache_incoming from stdin (format binary)"
_TYPES = ("bytea", "text", "text", "bytea", "float8", "float8", "bytea")
PUT = """
insert into cache_entry (key, tenant, route, user_sha256, stored_at, expires_at, writer, body)
select key, tenant, route, user_sha256, now(), now() + make_interval(secs => ttl_s), %(writer)s, body
from cache_incoming as entry
where not exists (
    select from erasure where erasure.user_sha256 = entry.user_sha256 and erasure.at >= to_timestamp(entry.begun_s)
)
on conflict (key) do update set tenant = excluded.tenant, route = excluded.route, user_sha256 = excluded.user_sha256,
    stored_at = excluded.stored_at, expires_at = excluded.expires_at, writer = excluded.writer, body = excluded.body
"""
COUNT = "select count(*) from cache_entry"
ALL = "select substring(key from 1 for 16) from cache_entry"
NEW = """
select substring(key from 1 for 16), extract(epoch from stored_at)::float8 from cache_entry
where stored_at >= to_timestamp(%(since_s)s) and writer <> %(writer)s
"""
EXPIRED = "delete from cache_entry where expires_at <= now()"
SURPLUS = """
delete from cache_entry where key in (
    select key from (
        select key, sum(octet_length(body) + 200) over (order by stored_at desc, key) as total from cache_entry
    ) as counted where total > %(bytes)s
)
"""
HELD = """
select key, body from cache_entry where user_sha256 = %(owner)s and key > %(after)s order by key limit %(limit)s
"""
ERASE = "delete from cache_entry where user_sha256 = %(owner)s"

#: Entries of other writers may become visible a little after the time they bear.
_OVERLAP_S = 3.0
#: The filter can't forget: it is made anew after so many refreshes, to leave out what has expired.
_FORGET_AFTER = 1800
_FETCH_ROWS = 1000


class PostgresStore:
    """The table `cache_entry`. Until the filter is filled, every key is worth a question."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = random.getrandbits(62)
        self._known: Filter | None = None
        self._filling: Filter | None = None
        self._since_s = 0.0
        self._refreshes = 0

    def may_hold(self, key: bytes) -> bool:
        return self._known is None or key in self._known

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        async with self._database.connection() as connection, connection.cursor(binary=True) as cursor:
            await cursor.execute(GET, {"keys": list(keys)})
            return dict(await cursor.fetchall())

    async def put(self, rows: Sequence[Row]) -> None:
        async with self._database.connection() as connection:
            # Two statements at once can't be prepared.
            await connection.execute(f"{INCOMING}; {HOLD_BACK}", prepare=False)
            async with connection.cursor() as cursor:
                async with cursor.copy(COPY) as copy:
                    copy.set_types(_TYPES)
                    for row in {row.key: row for row in rows}.values():
                        await copy.write_row(
                            (row.key, _text(row.tenant), _text(row.route), row.owner, row.begun_s, row.ttl_s, row.body)
                        )
                await cursor.execute(PUT, {"writer": self._writer})
        for known in (self._known, self._filling):
            if known is not None:
                for row in rows:
                    known.add(row.key)

    async def held(self, owner: bytes, after: str | None, limit: int) -> tuple[list[bytes], str | None]:
        values = {"owner": owner, "after": bytes.fromhex(after or ""), "limit": limit}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(HELD, values)).fetchall()
        return [body for _, body in rows], rows[-1][0].hex() if len(rows) == limit else None

    async def erase(self, owner: bytes, after: str | None) -> tuple[int, str | None]:
        async with self._database.connection() as connection:
            return (await connection.execute(ERASE, {"owner": owner})).rowcount, None

    async def refresh(self) -> None:
        """Learn the keys that other writers stored since the last time, or all of them where that is due."""
        self._refreshes += 1
        known = self._known
        if known is None or known.count > known.room or self._refreshes > _FORGET_AFTER:
            await self._fill()
            return
        async with self._database.connection() as connection:
            values = {"since_s": self._since_s - _OVERLAP_S, "writer": self._writer}
            for key, stored_s in await (await connection.execute(NEW, values)).fetchall():
                if key not in known:
                    known.add(key)
                self._since_s = max(self._since_s, stored_s)

    async def close(self) -> None:
        return

    async def _fill(self) -> None:
        async with self._database.connection() as connection:
            counted: Any = await (await connection.execute("select extract(epoch from now())::float8")).fetchone()
            total: Any = await (await connection.execute(COUNT)).fetchone()
            self._filling = filling = Filter(total[0] * 2)
            try:
                async for key in _all_keys(connection):
                    filling.add(key)
            finally:
                self._filling = None
        self._known, self._since_s, self._refreshes = filling, counted[0], 0


async def _all_keys(connection: Connection) -> AsyncIterator[bytes]:
    """A piece of every key, in portions, so that many of them neither fill the memory nor hold up the calls."""
    async with connection.cursor("cache_keys", binary=True) as cursor:
        await cursor.execute(ALL)
        while rows := await cursor.fetchmany(_FETCH_ROWS):
            for (key,) in rows:
                yield key
            await asyncio.sleep(0)


def _text(text: str) -> str:
    """Text that PostgreSQL can hold: one odd name must not lose the whole batch."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


async def prune(database: Database, max_bytes: int) -> int:
    """Delete what has expired, and of the rest the oldest beyond `max_bytes`. Returns how many entries went."""
    async with database.connection() as connection:
        expired = (await connection.execute(EXPIRED)).rowcount
        return expired + (await connection.execute(SURPLUS, {"bytes": max_bytes})).rowcount
