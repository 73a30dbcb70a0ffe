"""Virtual keys: made, changed, rotated and revoked in the database, recognised from memory."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import psycopg
from msgspec import UNSET, UnsetType, structs
from psycopg.types.json import Jsonb

from comporta.errors import BadRequest, Conflict, InvalidKey, NotFound, Unavailable
from comporta.keys import rows
from comporta.keys.rows import SECRET, KeyRow, digest_of, new_secret, read_row, shown
from comporta.keys.snapshot import Snapshot
from comporta.pipeline import new_id
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.store.fields import (
    checked_name,
    checked_names,
    checked_number,
    checked_tags,
    future_instant,
    optional_count,
    optional_name,
)
from comporta.types import Caller

TOPIC = "keys"
SNAPSHOT_FOR_S = 600.0
#: Rows taken in before other work gets a turn.
SLICE = 250
#: Now and then everything is read, whatever the change marks say.
FULL_EVERY_S = 600.0
LONGEST_OVERLAP_S = 90 * 86_400.0
#: A key's own limits, and what is no sensible figure any more.
LIMITS = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "concurrent": 10**6}
REFUSAL = "The API key is missing, unknown, expired or revoked. Ask whoever runs this gate for a valid one."
NOT_LOADED = "The virtual keys can't be checked: the database has been away too long. Try again soon."


class Keys:
    """All virtual keys. `authenticate` reads memory only; `load` fills it, at start and on each notice of a change.

    While the database is away the last read serves for `snapshot_for_s`, then nobody gets in: a revocation could
    have been missed.
    """

    topic = TOPIC

    def __init__(
        self,
        database: Database,
        *,
        snapshot_for_s: float = SNAPSHOT_FOR_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._snapshot_for_s = snapshot_for_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._snapshot = Snapshot()
        self._entries = self._snapshot.entries
        self._stale_at_s = 0.0
        self._since_s = 0.0
        self._full_at_s = 0.0

    def authenticate(self, secret: str, now_s: float) -> Caller:
        """Who asks with this secret; InvalidKey where nobody may, Unavailable where that can't be known."""
        if now_s > self._stale_at_s:
            raise Unavailable(NOT_LOADED, code="keys_unavailable", retry_after_s=5.0)
        entry = self._entries.get(digest_of(secret))
        if entry is None:
            raise InvalidKey(REFUSAL)
        if now_s >= entry.until_s:
            raise InvalidKey(REFUSAL, code=entry.code)
        return entry.caller

    def caller(self, key_id: str, now_s: float) -> Caller:
        """Who asks with the key of an id; InvalidKey where it is unknown, revoked or run out."""
        if now_s > self._stale_at_s:
            raise Unavailable(NOT_LOADED, code="keys_unavailable", retry_after_s=5.0)
        row = self._snapshot.rows.get(key_id)
        if row is None:
            raise InvalidKey(REFUSAL)
        if row.revoked_at_s is not None:
            raise InvalidKey(REFUSAL, code="key_revoked")
        if row.expires_at_s is not None and now_s >= row.expires_at_s:
            raise InvalidKey(REFUSAL, code="key_expired")
        return row.caller()

    async def load(self) -> None:
        """Bring the memory up to date: all keys the first time and now and then, else those that changed."""
        async with self._lock:
            begun_s = self._clock()
            async with self._database.connection() as connection:
                count, since_s = await _one(connection, rows.STATE)
                due = not self._since_s or begun_s - self._full_at_s >= FULL_EVERY_S
                if not due:
                    await self._take(connection)
                # A row taken out by hand leaves no mark but the count.
                if due or len(self._snapshot.rows) != count:
                    await self._take_all(connection)
                    self._full_at_s = begun_s
            self._since_s = since_s
            self._stale_at_s = begun_s + self._snapshot_for_s

    def row(self, key_id: str) -> KeyRow | None:
        """The key of an id as of the last load."""
        return self._snapshot.rows.get(key_id)

    async def create(
        self,
        *,
        name: str,
        team: str | None = None,
        environment: str | None = None,
        feature: str | None = None,
        tags: Mapping[str, str] | None = None,
        allow: Sequence[str] = (),
        admin: bool = False,
        expires_at_s: float | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        concurrent: int | None = None,
        guardrails: str | None = None,
        by: str = "",
        secret: str | None = None,
    ) -> tuple[KeyRow, str]:
        """A new key and its secret, which is told this once. A `secret` may be given to bring a known one back."""
        if secret is not None and not SECRET.fullmatch(secret):
            raise BadRequest("secret is not of the form cmp- and 43 characters.", param="secret")
        secret = secret or new_secret()
        wanted = {
            "name": name, "team": team, "environment": environment, "feature": feature, "tags": tags or {},
            "allow": allow, "expires_at_s": expires_at_s, "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute, "concurrent": concurrent, "guardrails": guardrails,
        }  # fmt: skip
        values = self._checked(wanted) | {"id": new_id(), "admin": admin, "by": by, "now_s": self._clock()}
        async with self._change(name) as connection:
            await connection.execute(rows.INSERT, _sql(values) | shown(secret))
            await connection.execute(rows.INSERT_SECRET, {"sha256": digest_of(secret), "id": values["id"]})
            row = await _read_one(connection, values["id"])
        return row, secret

    async def list(self, *, revoked: bool = False) -> builtins.list[KeyRow]:
        """All keys, oldest first; the revoked ones on request."""
        async with self._database.connection() as connection:
            found = await (await connection.execute(rows.SELECT_ALL)).fetchall()
        return [row for row in map(read_row, found) if revoked or row.revoked_at_s is None]

    async def get(self, key_id: str) -> KeyRow:
        async with self._database.connection() as connection:
            return await _read_one(connection, key_id)

    def owner(self, secret: str) -> KeyRow | None:
        """The key of a secret, usable or not, as of the last load."""
        entry = self._entries.get(digest_of(secret))
        return self._snapshot.rows.get(entry.caller.key_id) if entry else None

    async def update(
        self,
        key_id: str,
        *,
        name: str | UnsetType = UNSET,
        team: str | UnsetType | None = UNSET,
        environment: str | UnsetType | None = UNSET,
        feature: str | UnsetType | None = UNSET,
        tags: Mapping[str, str] | UnsetType = UNSET,
        allow: Sequence[str] | UnsetType = UNSET,
        expires_at_s: float | UnsetType | None = UNSET,
        requests_per_minute: int | UnsetType | None = UNSET,
        tokens_per_minute: int | UnsetType | None = UNSET,
        concurrent: int | UnsetType | None = UNSET,
        guardrails: str | UnsetType | None = UNSET,
    ) -> KeyRow:
        """Change what is given and leave the rest. Whether a key is an admin's never changes: make another one."""
        given = {
            "name": name, "team": team, "environment": environment, "feature": feature, "tags": tags,
            "allow": allow, "expires_at_s": expires_at_s, "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute, "concurrent": concurrent, "guardrails": guardrails,
        }  # fmt: skip
        changed = self._checked({field: value for field, value in given.items() if value is not UNSET})
        async with self._change(str(changed.get("name"))) as connection:
            old = await _lock_one(connection, key_id)
            await connection.execute(rows.UPDATE, _sql(structs.asdict(old) | changed))
            return await _read_one(connection, key_id)

    async def revoke(self, key_id: str, *, by: str = "") -> KeyRow:
        """End a key for good, and all of its secrets; a second time changes nothing."""
        async with self._change() as connection:
            await connection.execute(rows.REVOKE, {"id": key_id, "by": by, "now_s": self._clock()})
            return await _read_one(connection, key_id)

    async def rotate(self, key_id: str, *, overlap_s: float = 0.0) -> tuple[KeyRow, str]:
        """A new secret for the same key. The old ones stay good for `overlap_s`, so that users can change over."""
        overlap_s = checked_number(overlap_s, "overlap_s", 0, LONGEST_OVERLAP_S)
        secret = new_secret()
        now_s = self._clock()
        values = {"id": key_id, "now_s": now_s, "until_s": now_s + overlap_s, "sha256": digest_of(secret)}
        async with self._change() as connection:
            await _lock_one(connection, key_id)
            for statement in (rows.RUN_OUT, rows.FORGET, rows.INSERT_SECRET, rows.ROTATE):
                await connection.execute(statement, values | shown(secret))
            return await _read_one(connection, key_id), secret

    @asynccontextmanager
    async def _change(self, name: str = "") -> AsyncIterator[Connection]:
        """A transaction that changes keys: announced with its commit, and seen here at once."""
        try:
            async with self._database.connection() as connection:
                yield connection
                await notify(connection, TOPIC)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == "virtual_key_name":
                message = f"A key named {name} exists already. Choose another name, or revoke that one first."
                raise Conflict(message, param="name") from error
            raise Conflict("A key with that secret exists already.", param="secret") from error
        # The change stands even if the database goes away just now; the next load brings it.
        with suppress(Unavailable):
            await self.load()

    def _checked(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The given fields, each as its column wants it."""
        checks: dict[str, Callable[[Any], Any]] = {
            "name": lambda value: checked_name(value, "name"),
            "tags": checked_tags,
            "allow": lambda value: checked_names(value, "allow"),
            "expires_at_s": lambda value: future_instant(value, "expires_at_s", self._clock()),
            **{
                field: partial(optional_name, param=field) for field in ("team", "environment", "feature", "guardrails")
            },
            **{field: partial(optional_count, param=field, most=most) for field, most in LIMITS.items()},
        }
        return {field: checks[field](value) for field, value in wanted.items()}

    async def _take(self, connection: Connection) -> None:
        """Read the keys that changed since the last time."""
        found = await (await connection.execute(rows.SELECT_CHANGED, {"since_s": self._since_s})).fetchall()
        ids = self._snapshot.put(found)
        secrets = await (await connection.execute(rows.SECRETS_OF, {"ids": ids})).fetchall()
        self._snapshot.put_secrets(ids, secrets)

    async def _take_all(self, connection: Connection) -> None:
        """Read all keys into a new snapshot, a slice at a time: thousands of them must not hold up the calls."""
        snapshot = Snapshot()
        cursor = await connection.execute(rows.SELECT_ALL)
        while part := await cursor.fetchmany(SLICE):
            snapshot.put(part)
            await asyncio.sleep(0)
        cursor = await connection.execute(rows.SECRETS)
        while secrets := await cursor.fetchmany(SLICE):
            snapshot.put_secrets((), secrets)
            await asyncio.sleep(0)
        self._snapshot = snapshot
        self._entries = snapshot.entries


def _sql(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the driver takes them."""
    return {**values, "tags": Jsonb(values["tags"]), "allow": list(values["allow"])}


async def _one(connection: Connection, statement: str) -> Sequence[Any]:
    row = await (await connection.execute(statement)).fetchone()
    assert row is not None, "an aggregate always has a row"
    return row


async def _read_one(connection: Connection, key_id: str) -> KeyRow:
    row = await (await connection.execute(rows.SELECT_ONE, {"id": key_id})).fetchone()
    if row is None:
        raise NotFound(f"There is no key with the id {key_id!r}.", param="id")
    return read_row(row)


async def _lock_one(connection: Connection, key_id: str) -> KeyRow:
    """The key as it is, held against other changes until the transaction ends."""
    await connection.execute(rows.LOCK, {"id": key_id})
    row = await _read_one(connection, key_id)
    if row.revoked_at_s is not None:
        raise Conflict(f"The key {row.name} is revoked; make a new one.", code="key_revoked")
    return row
