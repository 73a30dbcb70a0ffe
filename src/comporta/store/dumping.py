"""A database as one file and back, by PostgreSQL's own programs: `pg_dump` and `pg_restore`."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from comporta.errors import ComportaError
from comporta.store import places, processes

#: Hears how many of how many tables are done, and which is the next.
Progress = Callable[[int, int, str], None]

_TABLES = """
select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""
_SERVER = "select current_setting('server_version_num')::int / 10000"
_DUMPING = re.compile(r'dumping contents of table "?(?P<table>[^"\s]+)"?')
#: Several tables at once are told when they are begun.
_RESTORING = re.compile(r'processing data for table "?(?P<table>[^"\s]+)"?')
_LISTED_TABLE = re.compile(r"^\d+; .* TABLE DATA (?P<schema>\S+) (?P<table>\S+) ", re.MULTILINE)
_OURS = "comporta_migration"
_JOBS = 2
_TOLD_LINES = 6


def server_major(dsn: str) -> int:
    """The server's major version."""
    return _number(dsn, _SERVER)


def own_major() -> int:
    """The major version of the programs that come with us."""
    return int(places.CLUSTER)


def dump(dsn: str, file: Path, progress: Progress) -> int:
    """Write the whole database into `file`, which appears at once and complete or not at all; its size.

    Calls go on meanwhile: what the file holds is the state at its beginning. Raises ComportaError.
    """
    total = _number(dsn, _TABLES)
    with _draft(file) as draft:
        _run(
            ["pg_dump", "--format=custom", "--compress=gzip:1", "--no-owner", "--no-privileges", "--verbose",
             f"--file={draft}"], dsn, "The backup failed", _count(_DUMPING, total, progress),
        )  # fmt: skip
        tables_in(draft)
        _to_disk(draft)
        return draft.stat().st_size


def tables_in(file: Path) -> int:
    """How many tables with data a backup holds. Raises ComportaError for a file that is no backup of ours."""
    lines: list[str] = []
    what = f"{file} can't be read as a backup"
    _run(["pg_restore", "--list", str(file)], None, what, lines.append)
    found = _LISTED_TABLE.findall("\n".join(lines))
    if _OURS not in {table for _, table in found}:
        raise ComportaError(f"{file} is a PostgreSQL dump, and none of a Comporta database.", code="no_backup")
    return len(found)


def load(dsn: str, file: Path, progress: Progress) -> None:
    """Fill an empty database from a backup. Raises ComportaError at the first thing that does not go in."""
    total = tables_in(file)
    _run(
        ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--verbose", f"--jobs={_JOBS}", str(file)],
        dsn, f"{file} can't be restored", _count(_RESTORING, total, progress),
    )  # fmt: skip


def command_of(program: str, dsn: str, *arguments: str) -> str:
    """A command for an operator to type, with the address as it is configured but for its password."""
    place = {name: value for name, value in conninfo_to_dict(dsn).items() if name != "password"}
    return " ".join([program, f"--dbname='{make_conninfo('', **place)}'", *arguments])


def _count(pattern: re.Pattern[str], total: int, progress: Progress) -> Callable[[str], None]:
    done = 0

    def look(line: str) -> None:
        nonlocal done
        match = pattern.search(line)
        if match is not None:
            progress(min(done, total), total, match["table"])
            done += 1

    return look


@contextlib.contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """A file beside the wanted one, for its owner alone, which takes its place once the block has succeeded."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        _clear_drafts(file)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            yield draft
            draft.replace(file)
            _to_disk(file.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ComportaError(f"{file} can't be written: {error.strerror}.", code="backup_failed") from None


def _clear_drafts(file: Path) -> None:
    """Remove what killed backups of that name left."""
    for left in file.parent.glob(f".{file.name}.*.part"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal() and not processes.alive(int(pid)):
            left.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _number(dsn: str, statement: str) -> int:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            row = connection.execute(statement.encode()).fetchone()
    except psycopg.OperationalError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ComportaError(f"The database does not answer: {reason}", code="database_unavailable") from None
    return int(row[0]) if row else 0


def _run(argv: Sequence[str], dsn: str | None, what: str, hear: Callable[[str], None]) -> None:
    """Run one of the programs to its end; `hear` gets each of its lines. Raises ComportaError with what it says."""
    program = places.find_binaries(None, _unheard) / argv[0]
    arguments, environment = _connecting(dsn)
    last: list[str] = []
    # What it tells of its progress and of its failures comes the same way; the list of a file comes as its output.
    process = subprocess.Popen(
        [program, *arguments, *argv[1:]], stdin=subprocess.DEVNULL, text=True, errors="replace", env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=processes.end_with_parent(),
    )  # fmt: skip
    try:
        for line in process.stdout or ():
            hear(line.rstrip("\n"))
            last = [*last, line.rstrip("\n")][-200:]
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    if code != 0:
        raise ComportaError("\n  ".join([f"{what}; {argv[0]} says:", *_told(last)]), code="backup_failed")


def _connecting(dsn: str | None) -> tuple[list[str], dict[str, str]]:
    """How a program finds the database: the password goes through its environment, where no other user sees it."""
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "HOME") if name in os.environ}
    environment |= {"LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
    if dsn is None:
        return [], environment
    parts = conninfo_to_dict(dsn)
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return [f"--dbname={make_conninfo('', **parts)}"], environment


def _told(lines: Sequence[str]) -> list[str]:
    """Of all that was said the part that says what is wrong."""
    wrong = [line for line in lines if re.search(r"(error|fatal|detail|hint):", line, re.IGNORECASE)]
    return [*(wrong or lines)[:_TOLD_LINES]] or ["nothing"]


def _unheard(text: str) -> None:
    return
