"""Who is signed in: the cookie holds a random secret, all else stays on the server."""

from __future__ import annotations

import hashlib
import secrets

from msgspec import Struct

from comporta.console.accounts import LOOK_UP_LIMIT_S, Role
from comporta.store.database import Database

START = "insert into console_session (digest, user_name) values (%s, %s)"
SEEN = "update console_user set seen_at = now() where name = %s"
#: Its role is the account's of now, so that a change holds at once. `seen_at` is written once a minute at most.
LIVE = """
select user_name, role, case when role = 'viewer' then teams end, now() - session.seen_at > interval '1 minute'
from console_session as session join console_user on name = user_name
where digest = %s and session.seen_at > now() - %s * interval '1 second'
    and session.created_at > now() - %s * interval '1 second'
"""
TOUCH = "update console_session set seen_at = now() where digest = %s"
END = "delete from console_session where digest = %s"
PRUNE = """
delete from console_session where seen_at <= now() - %s * interval '1 second'
    or created_at <= now() - %s * interval '1 second'
"""


class Session(Struct, frozen=True):
    """Somebody signed in, as it stands now."""

    user: str
    role: Role
    #: Tells sessions apart in memory; the secret itself is kept nowhere.
    digest: bytes
    #: Whose calls they see; None where they see all, as admins do.
    teams: tuple[str, ...] | None = None

    @property
    def admin(self) -> bool:
        return self.role == "admin"


class Sessions:
    """Starts, knows and ends them. `idle_s` without use ends one, and `longest_s` in any case."""

    def __init__(self, database: Database, *, idle_s: float, longest_s: float) -> None:
        self._database = database
        self._limits = (idle_s, longest_s)

    async def start(self, user: str) -> str:
        """A new session's secret. Never one that came from outside: so nobody can plant one (fixation)."""
        secret = secrets.token_urlsafe(32)
        async with self._database.reading(LOOK_UP_LIMIT_S) as connection:
            await connection.execute(PRUNE, self._limits)
            await connection.execute(START, [_digest(secret), user])
            await connection.execute(SEEN, [user])
        return secret

    async def live(self, secret: str) -> Session | None:
        """Whose secret it is; None for one that has ended or never was."""
        return await self.alive(_digest(secret))

    async def alive(self, digest: bytes) -> Session | None:
        """The session as it stands now. Raises Unavailable."""
        async with self._database.reading(LOOK_UP_LIMIT_S) as connection:
            row = await (await connection.execute(LIVE, [digest, *self._limits])).fetchone()
            if row is None:
                return None
            if row[3]:
                await connection.execute(TOUCH, [digest])
        return Session(row[0], row[1], digest, None if row[2] is None else tuple(row[2]))

    async def end(self, secret: str) -> None:
        """Sign out."""
        async with self._database.reading(LOOK_UP_LIMIT_S) as connection:
            await connection.execute(END, [_digest(secret)])


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
