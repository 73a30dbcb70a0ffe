"""Numbered SQL files, each applied once and in order, however many replicas start at the same time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import resources

import psycopg
from msgspec import Struct

from comporta.errors import ConfigError, Unavailable
from comporta.store.database import WHAT_TO_DO, Connection, connect, is_away, place_of

OLDEST_SERVER = 14
FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
#: Any constant that nothing else in the database uses.
LOCK_KEY = 6_033_414_052_018
#: How long one start waits for another one's migrations.
LOCK_LIMIT_MS = 300_000

CREATE_TABLE = """
create table if not exists comporta_migration (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
)
"""
APPLIED = "select number, name, checksum from comporta_migration"
RECORD = "insert into comporta_migration (number, name, checksum) values (%s, %s, %s)"


class Migration(Struct, frozen=True):
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Of the text without its line ends' style, which a checkout may change."""
        return hashlib.sha256("\n".join(self.sql.splitlines()).encode()).hexdigest()

    @property
    def file(self) -> str:
        return f"{self.number:04}_{self.name}.sql"


def shipped() -> tuple[Migration, ...]:
    """The migrations in this package, by number."""
    found: dict[int, Migration] = {}
    for file in resources.files("comporta.store").joinpath("migrations").iterdir():
        match = FILE_NAME.fullmatch(file.name)
        if match is None:
            if file.name.endswith(".sql"):
                raise ConfigError(f"The migration {file.name} is not named NNNN_lower_case.sql.")
            continue
        number = int(match[1])
        if number in found:
            raise ConfigError(f"Two migrations have the number {number:04}: {found[number].file} and {file.name}.")
        found[number] = Migration(number, match[2], file.read_text("utf-8"))
    return tuple(found[number] for number in sorted(found))


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Bring the database up to date; the files applied now. Safe to call from many places at once."""
    wanted = shipped() if migrations is None else tuple(migrations)
    try:
        connection = await connect(dsn)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"No connection to PostgreSQL ({place_of(dsn)}) to set up its tables. {WHAT_TO_DO}"
        ) from error
    async with connection:
        _demand_version(connection)
        try:
            return await _apply_all(connection, wanted)
        except psycopg.Error as error:
            raise _explained(error, dsn) from error


async def _apply_all(connection: Connection, wanted: Sequence[Migration]) -> list[str]:
    done = []
    await _check_history(connection, wanted)
    for migration in wanted:
        if await _apply(connection, migration):
            done.append(migration.file)
    return done


async def _check_history(connection: Connection, wanted: Sequence[Migration]) -> None:
    async with connection.transaction():
        await _lock(connection)
        await connection.execute(CREATE_TABLE)
        rows = await (await connection.execute(APPLIED)).fetchall()
    files = {migration.number: migration for migration in wanted}
    for number, name, checksum in rows:
        _compare(files.get(number), f"{number:04}_{name}.sql", checksum)


def _compare(migration: Migration | None, applied: str, checksum: str) -> None:
    if migration is None:
        raise ConfigError(
            f"The database was set up by a newer Comporta (migration {applied} is unknown here)."
            " Update this one, or restore the backup made before the update.",
            code="database_too_new",
        )
    if (migration.file, migration.checksum) != (applied, checksum):
        raise ConfigError(
            f"The migration {applied} was applied to this database with another text than {migration.file} has now."
            " Applied migrations never change: restore the file, and put the change in a new one.",
            code="migration_changed",
        )


async def _apply(connection: Connection, migration: Migration) -> bool:
    """One migration in one transaction, under a lock that ends with it; whether it was still to do."""
    async with connection.transaction():
        await _lock(connection)
        cursor = await connection.execute(f"{APPLIED} where number = %s", [migration.number])
        if await cursor.fetchone() is not None:
            return False
        try:
            await connection.execute(migration.sql.encode())
        except psycopg.Error as error:
            error.add_note(f"in {migration.file}")
            raise
        await connection.execute(RECORD, [migration.number, migration.name, migration.checksum])
        return True


async def _lock(connection: Connection) -> None:
    await connection.execute(f"set local lock_timeout = {LOCK_LIMIT_MS}")
    await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK_KEY])
    await connection.execute("set local lock_timeout = default")


def _demand_version(connection: Connection) -> None:
    version = connection.info.server_version
    if version // 10_000 < OLDEST_SERVER:
        raise ConfigError(
            f"PostgreSQL {OLDEST_SERVER} or later is needed; {connection.info.host} runs"
            f" {version // 10_000}.{version % 10_000}. Update it, or leave database.url out to use the embedded one.",
            code="database_too_old",
        )


def _explained(error: psycopg.Error, dsn: str) -> ConfigError | Unavailable:
    where = place_of(dsn)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return Unavailable(f"Another start has been setting up the database ({where}) for {LOCK_LIMIT_MS // 1000} s.")
    if is_away(error):
        return Unavailable(f"The database ({where}) went away while its tables were set up. {WHAT_TO_DO}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ConfigError(
            f"The database's user may not make tables ({where}): {error.diag.message_primary}."
            " Give it a database of its own, or: grant create on schema public to <user>."
        )
    notes = " ".join(getattr(error, "__notes__", []))
    return ConfigError(f"Setting up the tables failed ({where}) {notes}: {error}".strip())
