"""What is held of one user, room by room: exported, erased, and the record that an erasure happened.

A room says what it holds as a `Holding`; `app` gathers them in one list. A call that is under way when its user is
erased, and a record that waits in a spool, reach the database later: what writes such rows calls `hold_back` first and
looks into the table `erasure`, so that none of them slips through.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import psycopg
import structlog
from msgspec import Struct

from comporta.errors import BadRequest, Unavailable
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.types import JSON

log = structlog.get_logger("comporta.people")

TOPIC = "erasure"
#: Users stand in indexes: longer names are cut, by the doors as well.
MAX_USER_CHARS = 256
#: Any constant that nothing else in the database uses.
_LOCK_KEY = 6_033_414_052_019
HOLD_BACK = f"select pg_advisory_xact_lock_shared({_LOCK_KEY})"
_ALONE = f"select pg_advisory_xact_lock({_LOCK_KEY})"
#: How long a batch of records on its way may make an erasure wait.
_LOCK_LIMIT = "set local lock_timeout = '15s'"
#: One request does so much, and says how to go on: nobody holds a connection open for a heavy user's millions of calls.
_WORK_S = 8.0
_PAGE_ROWS = 50
_MOST_LISTED = 500

GO_ON = """
update erasure set at = clock_timestamp() where id = (
    select id from erasure where user_sha256 = %(digest)s and ended_at is null order by id desc limit 1
) returning id
"""
BEGIN = "insert into erasure (user_sha256, asked_by) values (%(digest)s, %(by)s) returning id"
COUNT = """
update erasure set removed = removed || jsonb_build_object(%(kind)s::text,
    coalesce((removed ->> %(kind)s::text)::bigint, 0) + %(count)s)
where id = %(id)s
"""
END = "update erasure set ended_at = clock_timestamp() where id = %(id)s returning removed"
SINCE = """
select user_sha256, extract(epoch from at)::float8 from erasure
where at > clock_timestamp() - make_interval(secs => %(seconds)s)
"""
LIST = """
select encode(user_sha256, 'hex'), began_at, ended_at, asked_by, removed from erasure order by id desc limit %(limit)s
"""


class Person(Struct, frozen=True):
    """A user as clients name them, and the hash that stands for the name."""

    name: str
    digest: bytes


class Page(Struct, frozen=True):
    """Some of what is held; `next` is what to go on after, None at the end."""

    rows: list[JSON]
    next: str | None = None


class Removed(Struct, frozen=True):
    """How many were removed; `left` says in words what only somebody else can remove."""

    count: int
    next: str | None = None
    left: tuple[str, ...] = ()


class Holding(Protocol):
    """What one room holds of a user."""

    @property
    def kind(self) -> str:
        """Its name in exports and counts."""

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        """What is held, in an order that does not change."""

    async def erase(self, person: Person, after: str | None) -> Removed:
        """Remove some or all of it; what is needed for the bill stays, without the person. Again does no harm."""


class Exported(Struct, frozen=True):
    """Rows, each with its `kind`; `next` is to be given as `after` for more, None at the end."""

    rows: list[JSON]
    next: str | None


class Erased(Struct, frozen=True):
    """What this request removed, by kind; `next` is to be given as `after` to go on, None when all is done."""

    user_sha256: str
    removed: dict[str, int]
    left: list[str]
    next: str | None


class Erasure(Struct, frozen=True):
    """That an erasure happened: who asked for it, when, and how much went."""

    user_sha256: str
    began_at: datetime
    ended_at: datetime | None
    asked_by: str
    removed: dict[str, int]


def person_of(user: str) -> Person:
    """Raises BadRequest for a name that is none."""
    name = stored_name(user)
    if not name.strip():
        raise BadRequest("Name the user, as clients do in `user`.", param="user")
    return Person(name, hashlib.sha256(name.encode()).digest())


def digest_of(user: str) -> bytes:
    """What stands for a user: SHA-256 of the name as it is stored."""
    return hashlib.sha256(stored_name(user).encode()).digest()


def stored_name(user: str) -> str:
    """A user's name as PostgreSQL can hold it."""
    return user.replace("\0", "").encode("utf-8", "replace").decode()[:MAX_USER_CHARS]


async def hold_back(connection: Connection) -> None:
    """Make erasures wait for this transaction, and this one for an erasure that begins: one sees the other."""
    await connection.execute(HOLD_BACK)


async def erased_since(database: Database, seconds: float) -> dict[bytes, float]:
    """Who was erased in the last `seconds`, and when (epoch seconds)."""
    async with database.connection() as connection:
        rows = await (await connection.execute(SINCE, {"seconds": seconds})).fetchall()
    return {bytes(digest): at_s for digest, at_s in rows}


class People:
    """Exports and erases by going through the holdings, in their order; each request does a part.

    `settle` is awaited before either begins: it brings into the database what this process has not written yet.
    """

    def __init__(
        self, database: Database, holdings: Sequence[Holding], settle: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self._database = database
        self._settle = settle
        self._holdings = {holding.kind: holding for holding in holdings}

    async def export(self, user: str, after: str | None = None) -> Exported:
        """A page of what is held of a user. Raises BadRequest for an `after` that is not ours, Unavailable."""
        person = person_of(user)
        kind, inner = self._read(after)
        if after is None and self._settle is not None:
            await self._settle()
        for holding in self._from(kind):
            page = await holding.page(person, inner, _PAGE_ROWS)
            rows = [{"kind": holding.kind, **row} for row in page.rows]
            if page.next is not None:
                return Exported(rows, f"{holding.kind}:{page.next}")
            following = self._behind(holding.kind)
            if rows or following is None:
                return Exported(rows, None if following is None else f"{following}:")
            inner = None
        return Exported([], None)

    async def erase(self, user: str, by: str, after: str | None = None) -> Erased:
        """Remove a part of what is held of a user. Raises BadRequest for an `after` that is not ours, Unavailable.

        Every part that is done stays done, whatever comes between; asking anew without `after` is always right.
        """
        person = person_of(user)
        kind, inner = self._read(after)
        if after is None and self._settle is not None:
            # What it brings in is then counted; what comes later is made anonymous when it comes.
            await self._settle()
        id = await self._begin(person, by)
        removed: dict[str, int] = {}
        left: list[str] = []
        until_s = asyncio.get_running_loop().time() + _WORK_S
        for holding in self._from(kind):
            while True:
                part = await holding.erase(person, inner)
                removed[holding.kind] = removed.get(holding.kind, 0) + part.count
                left += part.left
                await self._count(id, holding.kind, part.count)
                inner = part.next
                if inner is None:
                    break
                if asyncio.get_running_loop().time() > until_s:
                    return Erased(person.digest.hex(), removed, left, f"{holding.kind}:{inner}")
        await self._end(id, person, by)
        return Erased(person.digest.hex(), removed, left, None)

    async def erasures(self) -> list[Erasure]:
        """The latest erasures, the newest first."""
        async with self._database.reading() as connection:
            rows = await (await connection.execute(LIST, {"limit": _MOST_LISTED})).fetchall()
        return [Erasure(*row) for row in rows]

    async def _begin(self, person: Person, by: str) -> int:
        """From here on nothing of before is written with the user's name, by any process."""
        values = {"digest": person.digest, "by": by}
        try:
            async with self._database.connection() as connection:
                await connection.execute(_LOCK_LIMIT)
                await connection.execute(_ALONE)
                row: Any = await (await connection.execute(GO_ON, values)).fetchone()
                if row is None:
                    row = await (await connection.execute(BEGIN, values)).fetchone()
                await notify(connection, TOPIC)
        except psycopg.errors.LockNotAvailable:
            raise Unavailable(
                "Records are being written for longer than an erasure waits: ask again.", retry_after_s=5
            ) from None
        return int(row[0])

    async def _count(self, id: int, kind: str, count: int) -> None:
        if count:
            async with self._database.connection() as connection:
                await connection.execute(COUNT, {"id": id, "kind": kind, "count": count})

    async def _end(self, id: int, person: Person, by: str) -> None:
        async with self._database.connection() as connection:
            row: Any = await (await connection.execute(END, {"id": id})).fetchone()
        log.info("user_erased", user_sha256=person.digest.hex(), by=by, removed=row[0])

    def _from(self, kind: str | None) -> list[Holding]:
        names = list(self._holdings)
        return [self._holdings[name] for name in names[names.index(kind) if kind else 0 :]]

    def _behind(self, kind: str) -> str | None:
        names = list(self._holdings)
        at = names.index(kind) + 1
        return names[at] if at < len(names) else None

    def _read(self, after: str | None) -> tuple[str | None, str | None]:
        if after is None:
            return None, None
        kind, colon, inner = after.partition(":")
        if not colon or kind not in self._holdings:
            raise BadRequest("`after` must be the `next` of the answer before.", param="after")
        return kind, inner or None
