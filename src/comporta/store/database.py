"""The pool of connections to PostgreSQL; it outlives the server's going away and coming back."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from comporta.errors import ConfigError, Unavailable

Connection = AsyncConnection[TupleRow]

MIN_SIZE = 1
MAX_SIZE = 8
#: How long a caller waits for a connection before it hears that there is none.
CHECKOUT_LIMIT_S = 5.0
CONNECT_LIMIT_S = 5
#: How long the pool goes on by itself after a failed connect. Short, since its pauses double: after a long outage it
#: would sleep on past the server's return, while a caller's next try connects at once.
RECONNECT_S = 2.0
#: One connection that nobody used for so long is closed, and after as long again another, down to `min_size`: each
#: is a process of the server, with some ten megabytes of its own.
MAX_IDLE_S = 60.0
READY_POLL_S = 0.1
#: How long a statement that a page waits for may take; it is cancelled then.
READ_LIMIT_S = 8.0
#: How long the server may take to cancel one. The driver gives it ten seconds, which a frozen server uses up.
CANCEL_LIMIT_S = 1.0

#: SQLSTATE classes and codes that say «the server, not the statement»: connection, resources, shutdown, system.
AWAY_CLASSES = ("08", "53", "58")
AWAY_CODES = ("57P01", "57P02", "57P03", "57P05")


class Database:
    """PostgreSQL behind a small pool, opened at the first use. Nothing here starts or stops a server.

    `prepare` is done once to every new connection.
    """

    def __init__(
        self, dsn: str, *, min_size: int = MIN_SIZE, max_size: int = MAX_SIZE, checkout_s: float = CHECKOUT_LIMIT_S,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self.dsn = dsn
        self._checkout_s = checkout_s
        self._prepare = prepare
        try:
            #: Where the database is, without the password: for messages.
            self.place = place_of(dsn)
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                "database.url is not a PostgreSQL address; it looks like postgresql://user:password@host:5432/database"
            ) from error
        self._sizes = (min_size, max_size)
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open the pool without waiting for the server; connections come as they are needed."""
        async with self._opening:
            if self._pool is None:
                pool = self._make_pool()
                await pool.open(wait=False)
                self._pool = pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def __aenter__(self) -> Database:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pool(self) -> AsyncConnectionPool[Connection]:
        """The open pool, for libraries that share it (procrastinate)."""
        if self._pool is None:
            raise Unavailable("The database pool is not open yet; await Database.open() first.")
        return self._pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in a transaction: committed at the end, rolled back on an error.

        The server's being away is Unavailable, wherever in the block it is noticed; a statement's own failure stays
        what it is.
        """
        cancelled = _cancellations()
        if self._pool is None:
            await self.open()
        pool = self.pool
        try:
            connection = await _checkout(pool)
            try:
                async with connection:
                    yield connection
            finally:
                await pool.putconn(connection)
        except (PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise self._away() from error
        except psycopg.Error as error:
            if is_away(error):
                raise self._away() from error
            raise
        if _cancellations() > cancelled:
            # Python 3.11's `wait_for`, in the driver, loses a cancellation that comes with the server's answer.
            raise asyncio.CancelledError

    @asynccontextmanager
    async def reading(self, limit_s: float = READ_LIMIT_S) -> AsyncIterator[Connection]:
        """A connection for somebody who waits for an answer: a server that has gone silent is Unavailable too.

        The block takes `limit_s` at most, and `CANCEL_LIMIT_S` where the server does not even cancel.
        """
        try:
            # The second cancelling ends the driver's wait for the first; it closes the connection then.
            longest = asyncio.timeout(limit_s + CANCEL_LIMIT_S)
            async with longest, asyncio.timeout(limit_s), self.connection() as connection:
                yield connection
        except TimeoutError as error:
            raise self._away("does not answer") from error

    async def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the server answers; Unavailable where it doesn't in time, and at once where it refuses us."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                async with await connect(self.dsn):
                    return
            except psycopg.OperationalError as error:
                if time.monotonic() + READY_POLL_S > until or _refuses(error):
                    raise Unavailable(
                        f"No connection to PostgreSQL ({self.place}): {_first_line(error)}. {WHAT_TO_DO}"
                    ) from error
            await asyncio.sleep(READY_POLL_S)

    def _make_pool(self) -> AsyncConnectionPool[Connection]:
        low, high = self._sizes
        return AsyncConnectionPool(
            self.dsn, min_size=low, max_size=high, open=False, timeout=self._checkout_s, name="comporta",
            reconnect_timeout=RECONNECT_S, max_idle=MAX_IDLE_S, kwargs=CONNECT_OPTIONS, configure=self._prepare,
        )  # fmt: skip

    def _away(self, how: str = "is away") -> Unavailable:
        return Unavailable(f"The database ({self.place}) {how}. {WHAT_TO_DO}", code="database_unavailable")


def _cancellations() -> int:
    """How often the running task was told to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


CONNECT_OPTIONS: dict[str, Any] = {"connect_timeout": CONNECT_LIMIT_S, "application_name": "comporta"}
WHAT_TO_DO = (
    "See that PostgreSQL runs and that database.url and its credentials are right; `comporta doctor` checks it."
)


async def connect(dsn: str, *, autocommit: bool = True) -> Connection:
    """One connection outside any pool."""
    return await AsyncConnection.connect(dsn, autocommit=autocommit, **CONNECT_OPTIONS)


def is_away(error: psycopg.Error) -> bool:
    """Whether the error says that the server is away or can't serve anybody, rather than that the statement is bad."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] in AWAY_CLASSES or state in AWAY_CODES


def place_of(dsn: str) -> str:
    """Host and database of a DSN, without its password."""
    parts = conninfo_to_dict(dsn)
    host = parts.get("host") or parts.get("hostaddr") or "local socket"
    return f"{parts.get('dbname') or 'default database'} on {host}"


async def _checkout(pool: AsyncConnectionPool[Connection]) -> Connection:
    """A connection that lives: one that died in the pool is put aside and the next one taken.

    The pool's own check asks the server at every checkout, a third of its time, and waits a second after a failure.
    """
    until = time.monotonic() + pool.timeout
    while True:
        connection = await _wait_for_one(pool, max(0.0, until - time.monotonic()))
        if not _has_news(connection):
            return connection
        await connection.close()
        await pool.putconn(connection)


async def _wait_for_one(pool: AsyncConnectionPool[Connection], timeout_s: float) -> Connection:
    """A connection of the pool, and no lost cancelling.

    The pool waits by `asyncio.wait_for`, which up to Python 3.11 forgets a cancelling that comes in the very turn in
    which a connection does: a task that was told to end would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    connection = await pool.getconn(timeout_s)
    if task is not None and task.cancelling() > before:
        await pool.putconn(connection)
        raise asyncio.CancelledError
    return connection


def _has_news(connection: Connection) -> bool:
    """Whether something waits to be read on an idle connection, or it is closed: that is how its end shows."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def _refuses(error: psycopg.OperationalError) -> bool:
    """Whether waiting can't help: the server is there and says no (password, database, role)."""
    return error.sqlstate is not None and error.sqlstate[:2] in ("28", "3D")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
