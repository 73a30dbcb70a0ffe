"""Backup, restore and upgrade of the database: what the commands of those names do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from comporta.app.folder import Folder
from comporta.app.settings import Settings
from comporta.counters.forgetting import forget_spent
from comporta.errors import ComportaError, ConfigError, Unavailable
from comporta.store import dumping, places
from comporta.store.database import Database
from comporta.store.dumping import Progress
from comporta.store.embedded import EmbeddedPostgres
from comporta.store.migrate import migrate
from comporta.store.upgrading import Upgrade
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool, segments, size_of_folders
from comporta.telemetry.spooled import Spooled

Tell = Callable[[str], None]

#: How long a running gate gets to ship the records that were in its spool when the backup began.
_SHIP_S = 15.0
_LOOK_S = 0.1
_MAINTENANCE = "postgres"
_DRAFT = "comporta_restore"
_ASIDE = "comporta_before_restore"


class Written(Struct, frozen=True):
    """A backup that was made. `waiting_bytes` of records lay in the spool and are not in it."""

    size: int
    tables: int
    waiting_bytes: int


def backup(folder: Folder, settings: Settings, file: Path, tell: Tell, progress: Progress) -> Written:
    """Write the database into one file, whether the gate runs or not. Raises ComportaError."""
    file = file.absolute()
    if not file.parent.is_dir():
        raise ComportaError(f"There is no folder {file.parent} to write the backup into.", code="backup_failed")
    with reachable(folder, settings, tell) as (dsn, serving):
        if dumping.server_major(dsn) > dumping.own_major():
            command = dumping.command_of("pg_dump", dsn, "--format=custom", f"--file={file}")
            raise ComportaError(
                f"Your PostgreSQL is newer than the programs that come with Comporta ({dumping.own_major()}). Use its"
                f" own: {command}",
                code="server_too_new",
            )
        waiting = _wait_for_spool(folder, _SHIP_S) if serving else asyncio.run(_ship(folder, dsn))
        size = dumping.dump(dsn, file, progress)
    return Written(size, dumping.tables_in(file), waiting)


def restore(folder: Folder, settings: Settings, file: Path, tell: Tell, progress: Progress) -> list[str]:
    """Put a backup in the database's place, wholly or not at all; the migrations it needed. Raises ComportaError."""
    file = file.absolute()
    if not file.is_file():
        raise ComportaError(f"There is no file {file}.", code="no_backup")
    dumping.tables_in(file)
    if settings.database.url is not None:
        command = dumping.command_of(
            "pg_restore", settings.database.url.get_secret_value(), "--clean", "--if-exists", "--no-owner",
            "--single-transaction", str(file),
        )  # fmt: skip
        raise ConfigError(
            "database.url names a server of yours, and only its keeper should replace what is in it. Stop every gate"
            f" that uses it, and type: {command}"
        )
    folder.make()
    with _held(folder, "A restore replaces its whole database"):
        with _started(folder, tell) as dsn:
            applied = _replace(dsn, file, tell, progress)
        _forget_spent(settings, tell)
    return applied


def upgrade(folder: Folder, settings: Settings, tell: Tell) -> list[str]:
    """Bring the database to this version: PostgreSQL's own files first, then our tables. The migrations applied."""
    if settings.database.url is not None:
        return asyncio.run(migrate(settings.database.url.get_secret_value()))
    folder.make()
    with _held(folder, "An upgrade needs the database for itself"):
        old = Upgrade(folder.path, tell)
        if old.old is None:
            with _started(folder, tell) as dsn:
                return asyncio.run(migrate(dsn))
        tell(f"PostgreSQL {old.old} → {places.CLUSTER}, on a copy:")
        left = old.run()
        with _started(folder, tell) as dsn:
            _refresh(dsn)
            applied = asyncio.run(migrate(dsn))
        tell(f"The old files stay in {left}: remove them when all is well.")
        return applied


@contextlib.contextmanager
def _held(folder: Folder, why: str) -> Iterator[None]:
    """Hold the data folder. Raises ComportaError that says who has it and what to do."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folder.held())
        except ComportaError as error:
            running = folder.running()
            who = f"A gate runs on {folder.path} ({running.url}, pid {running.pid})" if running else error.message
            raise ComportaError(
                f"{who}. {why}: stop the gate first (Ctrl-C, or SIGTERM).", code="data_folder_in_use"
            ) from None
        yield


@contextlib.contextmanager
def _started(folder: Folder, tell: Tell) -> Iterator[str]:
    """Our own database, running for as long as the block lasts."""
    server = EmbeddedPostgres(folder.path, tell)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def reachable(
    folder: Folder, settings: Settings, tell: Tell, nothing: str = "nothing to back up"
) -> Iterator[tuple[str, bool]]:
    """The database, and whether somebody runs on it: theirs, the running one, else our own, started meanwhile.

    Raises ComportaError; `nothing` says what is missed where there is none yet.
    """
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value(), folder.running() is not None
        return
    running = EmbeddedPostgres(folder.path, tell).attach()
    if running is not None:
        yield running, True
        return
    home, _ = places.find_home(folder.path.resolve(), tell) if folder.path.is_dir() else (folder.path, None)
    if not places.clusters(home):
        raise ComportaError(f"There is no database under {folder.path} yet: {nothing}.", code="no_database")
    with folder.held(), _started(folder, tell) as dsn:
        yield dsn, False


def _wait_for_spool(folder: Folder, within_s: float) -> int:
    """Wait until the gate has shipped what lies in its spool now; the bytes of what it did not."""
    return asyncio.run(_shipped(folder, within_s))


async def _shipped(folder: Folder, within_s: float) -> int:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    waiting = {path: path.stat().st_size for path in _all_segments(folder)}
    while left := {path: size for path, size in waiting.items() if _unshipped(path, size)}:
        if loop.time() > until_s:
            return sum(left.values())
        waiting = left
        await asyncio.sleep(_LOOK_S)
    return 0


def _all_segments(folder: Folder) -> list[Path]:
    root = folder.spool
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    return [path for one in folders for path in segments(one)]


def _unshipped(segment: Path, size: int) -> bool:
    """Whether a segment holds records, in its first `size` bytes, that are not in the database yet."""
    if not segment.exists():
        return False
    number, offset = Spooled(segment.parent).place
    own = int(segment.name.partition(".")[0])
    return own > number or (own == number and offset < size)


async def _ship(folder: Folder, dsn: str) -> int:
    """Ship what an earlier gate left in the spool; the bytes of what could not be."""
    if not _all_segments(folder):
        return 0
    spool = Spool(folder.spool)
    try:
        async with Database(dsn) as database:
            await Shipper(database, spool).drain(_SHIP_S)
    finally:
        spool.close()
        Spooled(spool.folder).remove()
    return size_of_folders(folder.spool)


def _forget_spent(settings: Settings, tell: Tell) -> None:
    """The next start counts what was spent from the restored ledger; sums in Redis know of more than is in it."""
    if settings.redis.url is None:
        return
    try:
        forget_spent(settings.redis.url.get_secret_value())
    except Unavailable as error:
        tell(f"{error.message} What it counted of budgets stays, also what the restored database knows nothing of.")


def _replace(dsn: str, file: Path, tell: Tell, progress: Progress) -> list[str]:
    """Fill a new database beside the old one, and only when it is whole let them change places."""
    name = str(conninfo_to_dict(dsn)["dbname"])
    maintenance = make_conninfo(dsn, dbname=_MAINTENANCE)
    # What a restore that was cut short left: the database in use has its own name again or still.
    _execute(maintenance, "drop database if exists {} with (force)", _DRAFT)
    _execute(maintenance, "create database {} template template0", _DRAFT)
    draft = make_conninfo(dsn, dbname=_DRAFT)
    try:
        dumping.load(draft, file, progress)
        applied = asyncio.run(migrate(draft))
        tell("Checking …")
        _execute(draft, "analyze")
        _execute(maintenance, "drop database if exists {} with (force)", _ASIDE)
        _change_places(maintenance, name)
    except BaseException:
        _execute(maintenance, "drop database if exists {} with (force)", _DRAFT)
        raise
    _execute(maintenance, "drop database if exists {} with (force)", _ASIDE)
    return applied


def _change_places(maintenance: str, name: str) -> None:
    """In one transaction: there is no moment without a database of that name."""
    with psycopg.connect(maintenance) as connection:
        rename = sql.SQL("alter database {} rename to {}")
        connection.execute(rename.format(sql.Identifier(name), sql.Identifier(_ASIDE)))
        connection.execute(rename.format(sql.Identifier(_DRAFT), sql.Identifier(name)))


def _refresh(dsn: str) -> None:
    """What `pg_upgrade` leaves to do: the extension's own objects, and statistics that it can't carry over."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (extension,) in connection.execute("select extname from pg_extension").fetchall():
            connection.execute(sql.SQL("alter extension {} update").format(sql.Identifier(extension)))
        connection.execute("analyze")


def _execute(dsn: str, statement: str, *names: str) -> None:
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ComportaError(f"The database refuses: {reason}", code="restore_failed") from error
