"""The labels of all prompts in memory: where every call's prompt is looked for, and what follows their moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from comporta.prompts.kept import Label
from comporta.store.database import Connection, Database

#: Rows taken in before other work gets a turn.
SLICE = 250
#: Now and then everything is read, whatever the marks of change say.
FULL_EVERY_S = 600.0
SNAPSHOT_FOR_S = 600.0

SELECT = """
select prompt_id, environment, version, digest, number, tags::text, extract(epoch from moved_at)::float8
from prompt_label
"""
SELECT_MOVED = f"{SELECT} where moved_at >= to_timestamp(%(since_s)s)"
#: The margin lets a move in that was made before and committed after we last looked.
STATE = "select count(*), extract(epoch from clock_timestamp() - interval '60 s')::float8 from prompt_label"

_Held = dict[str, dict[str, Label]]


class Labels:
    """Labels by prompt and environment, as of the last load.

    While the database is away they serve for `snapshot_for_s`, as keys do.
    """

    def __init__(
        self, database: Database, *, snapshot_for_s: float = SNAPSHOT_FOR_S, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._snapshot_for_s = snapshot_for_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._held: _Held = {}
        self._count = 0
        #: Labels moved by one deploy share their tags.
        self._tags: dict[str, Mapping[str, str]] = {}
        self._since_s = 0.0
        self._full_at_s = 0.0
        self._stale_at_s = 0.0

    @property
    def fresh(self) -> bool:
        """Whether the last load is recent enough to be believed."""
        return self._clock() <= self._stale_at_s

    def find(self, id: str, environment: str) -> Label | None:
        of_prompt = self._held.get(id)
        return None if of_prompt is None else of_prompt.get(environment)

    def of(self, id: str) -> Mapping[str, Label]:
        """All labels of a prompt, by environment."""
        return self._held.get(id, {})

    @property
    def ids(self) -> Iterable[str]:
        """The prompts that have a label."""
        return self._held.keys()

    async def load(self) -> None:
        """All labels the first time and now and then, else those that moved."""
        async with self._lock:
            begun_s = self._clock()
            async with self._database.connection() as connection:
                row: Any = await (await connection.execute(STATE)).fetchone()
                count, since_s = row
                due = not self._since_s or begun_s - self._full_at_s >= FULL_EVERY_S
                if not due:
                    moved = await connection.execute(SELECT_MOVED, {"since_s": self._since_s})
                    self._put(self._held, await moved.fetchall())
                # A row taken out by hand leaves no mark but the count.
                if due or self._count != count:
                    await self._take_all(connection)
                    self._full_at_s = begun_s
            self._since_s = since_s
            self._stale_at_s = begun_s + self._snapshot_for_s

    async def _take_all(self, connection: Connection) -> None:
        """Read all into a new mapping, a slice at a time: thousands of them must not hold up the calls."""
        held: _Held = {}
        self._count = 0
        self._tags = {}
        cursor = await connection.execute(SELECT)
        while part := await cursor.fetchmany(SLICE):
            self._put(held, part)
            await asyncio.sleep(0)
        self._held = held

    def _put(self, held: _Held, rows: Iterable[Sequence[Any]]) -> None:
        for id, environment, version, digest, number, tags, moved_at_s in rows:
            if tags not in self._tags:
                self._tags[tags] = msgspec.json.decode(tags, type=dict[str, str])
            of_prompt = held.setdefault(id, {})
            self._count += environment not in of_prompt
            of_prompt[environment] = Label(id, environment, version, digest, number, self._tags[tags], moved_at_s)
