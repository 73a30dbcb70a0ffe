"""A small table held in memory as a whole: read at once, written through the database, announced to every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import psycopg

from comporta.errors import Conflict
from comporta.store.changes import notify
from comporta.store.database import Database

Row = TypeVar("Row")


class Rows(Generic[Row]):
    """The rows of one table by their key. While the database is away, the last ones read stay."""

    def __init__(
        self,
        database: Database,
        *,
        topic: str,
        select: str,
        read: Callable[[Sequence[Any]], Row],
        key: Callable[[Row], str],
    ) -> None:
        self._database = database
        self._select = select
        self._read = read
        self._key = key
        self._lock = asyncio.Lock()
        #: What `Changes` calls its notices of this table.
        self.topic = topic
        self.held: Mapping[str, Row] = {}

    async def load(self) -> None:
        """Read them anew. One at a time, so that an older answer never replaces a newer one."""
        async with self._lock, self._database.connection() as connection:
            rows = await (await connection.execute(self._select)).fetchall()
            found = (self._read(row) for row in rows)
            self.held = {self._key(row): row for row in found}

    async def write(self, statement: str, parameters: Mapping[str, Any], *, taken: str) -> str | None:
        """Run a statement that returns one row's key, announce it, and read anew; None where no row was concerned.

        `taken` is what a caller hears where the name is in use.
        """
        try:
            async with self._database.connection() as connection:
                row = await (await connection.execute(statement.encode(), parameters)).fetchone()
                if row is not None:
                    await notify(connection, self.topic)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(taken, param="name") from error
        if row is None:
            return None
        await self.load()
        return str(row[0])
