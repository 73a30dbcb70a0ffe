"""Who may open the console: names, roles and passwords, in the database."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import psycopg
from msgspec import Struct

from comporta.console.passwords import LONGEST, SHORTEST, Passwords
from comporta.errors import BadRequest, Conflict, NotFound
from comporta.store.database import Connection, Database
from comporta.telemetry import audit

Role = Literal["admin", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)
#: Sums keep no more of a team's name.
MOST_TEAM = 100
#: Of a look-up by a key, which every page begins with: what takes longer is no slow statement, but a silent server.
LOOK_UP_LIMIT_S = 4.0
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,99}")

LIST = "select name, role, password is not null, subject, created_at, created_by, seen_at, teams from console_user"
ONE = "select password from console_user where name = %s"
ADD = "insert into console_user (name, role, password, subject, created_by, teams) values (%s, %s, %s, %s, %s, %s)"
ROLE = "update console_user set role = %s where name = %s returning name"
TEAMS = "update console_user set teams = %s where name = %s returning name"
PASSWORD = "update console_user set password = %s where name = %s returning name"  # noqa: S105 (a statement)
#: Of somebody whom an identity provider vouches for: role and teams are the provider's, at every sign-in.
VOUCHED = """
insert into console_user (name, role, subject, created_by, teams)
values (%(name)s, %(role)s, %(subject)s, %(by)s, %(teams)s)
on conflict (subject) do update set role = excluded.role, teams = excluded.teams returning name
"""
#: A page that was opened with other teams must not go on showing theirs.
END_OTHERS = """
delete from console_session where user_name = (
    select name from console_user where subject = %(subject)s and teams is distinct from %(teams)s::text[]
)
"""
END_SESSIONS = "delete from console_session where user_name = %s"
END_BOUND = """
delete from console_session using console_user where user_name = name and name = %s and teams is not null
"""
REMOVE = "delete from console_user where name = %s returning name"
#: The lock makes two removals wait for each other: neither may find the other's admin to be left.
LOCK = "lock table console_user in share row exclusive mode"
ADMINS = "select count(*) from console_user where role = 'admin' and name <> %s"
COUNT = "select count(*) from console_user"


class Account(Struct, frozen=True):
    """Somebody who may sign in; `subject` where an identity provider vouches for them.

    `teams` are those whose calls they see as a viewer; None where they see all.
    """

    name: str
    role: Role
    has_password: bool
    subject: str | None
    created_at: datetime.datetime
    created_by: str
    seen_at: datetime.datetime | None
    teams: list[str] | None = None


class Accounts:
    """All of them. Each act stands in the audit log with who did it."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def list(self) -> list[Account]:
        """By name."""
        async with self._database.reading() as connection:
            return await _accounts(connection, " order by name", [])

    async def get(self, name: str) -> Account:
        """Raises NotFound."""
        async with self._database.reading() as connection:
            found = await _accounts(connection, " where name = %s", [name])
        if not found:
            raise _unknown(name)
        return found[0]

    async def none(self) -> bool:
        """Whether nobody was made yet."""
        async with self._database.reading() as connection:
            row = await (await connection.execute(COUNT)).fetchone()
        return row is None or row[0] == 0

    async def add(
        self, name: str, role: Role, *, password: str | None, by: str, subject: str | None = None,
        teams: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Raises BadRequest for a name, role, password or team that won't do, Conflict where the name is taken."""
        _check_name(name)
        _check_role(role)
        bound = _checked_teams(teams)
        kept = await self._hashed(password) if password is not None else None
        try:
            async with self._database.reading() as connection:
                await connection.execute(ADD, [name, role, kept, subject, by, bound])
                told = {"role": role, **({} if bound is None else {"teams": bound})}
                await audit.add(connection, [audit.Act("console.user.add", name, told)], by=by)
        except psycopg.errors.UniqueViolation:
            raise Conflict(f"There is a console user '{name}' already.", param="name") from None

    async def check(self, name: str, password: str) -> Account | None:
        """Whose name and password these are; None for a wrong one of either, after the same time."""
        async with self._database.reading(LOOK_UP_LIMIT_S) as connection:
            row = await (await connection.execute(ONE, [name])).fetchone()
        if not await self._passwords.fits(password, row[0] if row is not None else None):
            return None
        async with self._database.reading(LOOK_UP_LIMIT_S) as connection:
            found = await _accounts(connection, " where name = %s", [name])
        return found[0] if found else None

    async def vouched(
        self, name: str, role: Role, *, subject: str, by: str, teams: Sequence[str] | None = None
    ) -> str:  # fmt: skip
        """The account of somebody whom an identity provider vouches for, made where there is none; its name.

        Sessions that began with other teams end. Raises Conflict where somebody else has the name: an address at the
        provider opens no account of ours.
        """
        values = {"name": name[:100], "role": role, "subject": subject, "by": by, "teams": _checked_teams(teams)}
        try:
            async with self._database.reading() as connection:
                await connection.execute(END_OTHERS, values)
                row = await (await connection.execute(VOUCHED, values)).fetchone()
        except psycopg.errors.UniqueViolation:
            raise Conflict(f"There is another console user '{name[:100]}' already.", param="name") from None
        assert row is not None, "it was put in or was there"
        return str(row[0])

    async def set_password(self, name: str, password: str, *, by: str) -> None:
        """Also ends all of that person's sessions. Raises NotFound, BadRequest."""
        kept = await self._hashed(password)
        async with self._database.reading() as connection:
            await _changed(connection, PASSWORD, [kept, name], name)
            await connection.execute(END_SESSIONS, [name])
            await audit.add(connection, [audit.Act("console.user.password", name)], by=by)

    async def set_teams(self, name: str, teams: Sequence[str] | None, *, by: str) -> None:
        """Whose calls they see, None for all; also ends their sessions. Raises NotFound, BadRequest."""
        bound = _checked_teams(teams)
        async with self._database.reading() as connection:
            await _changed(connection, TEAMS, [bound, name], name)
            await connection.execute(END_SESSIONS, [name])
            await audit.add(connection, [audit.Act("console.user.teams", name, {"teams": bound})], by=by)

    async def set_role(self, name: str, role: Role, *, by: str) -> None:
        """Holds from the person's next act on. Raises NotFound, and Conflict for the last admin.

        Who is bound to teams and an admin no more starts anew: a page left open would still show all.
        """
        _check_role(role)
        async with self._database.reading() as connection:
            if role != "admin":
                await _keep_an_admin(connection, name)
            await _changed(connection, ROLE, [role, name], name)
            await connection.execute(END_BOUND, [name])
            await audit.add(connection, [audit.Act("console.user.role", name, {"role": role})], by=by)

    async def remove(self, name: str, *, by: str) -> None:
        """Their sessions end with them. Raises NotFound, and Conflict for the last admin."""
        async with self._database.reading() as connection:
            await _keep_an_admin(connection, name)
            await _changed(connection, REMOVE, [name], name)
            await audit.add(connection, [audit.Act("console.user.remove", name)], by=by)

    async def _hashed(self, password: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            raise BadRequest(f"A password has {SHORTEST} to {LONGEST} characters.", param="password")
        return await self._passwords.hash(password)


async def _accounts(connection: Connection, where: str, values: Sequence[Any]) -> list[Account]:
    rows = await (await connection.execute((LIST + where).encode(), values)).fetchall()
    return [Account(*row) for row in rows]


async def _changed(connection: Connection, statement: str, values: Sequence[Any], name: str) -> None:
    if await (await connection.execute(statement.encode(), values)).fetchone() is None:
        raise _unknown(name)


async def _keep_an_admin(connection: Connection, name: str) -> None:
    await connection.execute(LOCK)
    row = await (await connection.execute(ADMINS, [name])).fetchone()
    known = await _accounts(connection, " where name = %s", [name])
    if row is not None and row[0] == 0 and known and known[0].role == "admin":
        raise Conflict(f"'{name}' is the last admin; make another one first.", param="name")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            "A console user's name is up to 100 letters, digits and . _ @ + -, a letter or digit first.", param="name"
        )


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise BadRequest(f"A role is one of {', '.join(ROLES)}.", param="role")


def _checked_teams(teams: Sequence[str] | None) -> list[str] | None:
    if teams is None:
        return None
    found = sorted({one.strip() for one in teams})
    if not found or not all(0 < len(one) <= MOST_TEAM and one.isprintable() for one in found):
        raise BadRequest(f"Teams are at least one name of 1 to {MOST_TEAM} characters.", param="teams")
    return found


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no console user '{name[:100]}'.", param="name")
