"""Rollouts and experiments in the database: started, changed by people and by the gate, every act written down.

What is live is held in memory (`held`), which every worker follows within a second. While the database is away it
stays as it was last read: shares stay as they are.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import psycopg
from msgspec import structs
from psycopg.types.json import Jsonb

from comporta.errors import Conflict, NotFound, Unavailable
from comporta.pipeline import new_id
from comporta.routing.rollout import moves, rows
from comporta.routing.rollout.rows import EventRow, Kind, RolloutRow, read_event, read_row
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.store.rows import Rows
from comporta.types import JSON

#: Who acts where nobody asked, in the log.
GATE = "comporta"
Move = Callable[[RolloutRow, float], RolloutRow]
#: Hears of an event in the transaction that it is written in: what was done and that it is told stand or fall together.
Tell = Callable[[Connection, RolloutRow, EventRow], Awaitable[object]]


async def _untold(connection: Connection, row: RolloutRow, event: EventRow) -> None:
    return


class Rollouts:
    """All live rollouts and experiments in memory; all there ever were in the database."""

    topic = rows.TOPIC

    def __init__(self, database: Database, *, tell: Tell = _untold, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._tell = tell
        self._clock = clock
        self._rows: Rows[RolloutRow] = Rows(
            database, topic=rows.TOPIC, select=rows.SELECT_LIVE, read=read_row, key=lambda row: row.id
        )  # fmt: skip
        #: Called after every load: the overlay is made anew.
        self.changed: Callable[[], object] = lambda: None

    @property
    def held(self) -> Mapping[str, RolloutRow]:
        """What is live, by id, as of the last load."""
        return self._rows.held

    async def load(self) -> None:
        await self._rows.load()
        self.changed()

    # ---- reading ----

    async def list(self, kind: Kind | None = None, *, live: bool = False, limit: int = 100) -> list[RolloutRow]:
        """The live ones first, then the newest first."""
        async with self._database.reading() as connection:
            cursor = await connection.execute(rows.LIST, {"kind": kind, "live": live, "limit": limit})
            return [read_row(row) for row in await cursor.fetchall()]

    async def find(self, which: str, kind: Kind | None = None) -> RolloutRow:
        """By id, name, route or `prompt@label`: the live one, else the latest. Raises NotFound."""
        async with self._database.reading() as connection:
            row = await (await connection.execute(rows.FIND, {"which": which, "kind": kind})).fetchone()
        if row is None:
            raise NotFound(f"There is no {kind or 'rollout'} '{which[:100]}'.", code="rollout_not_found", param="id")
        return read_row(row)

    async def events(self, id: str, *, limit: int = 200) -> builtins.list[EventRow]:
        """What was done and decided, the newest first."""
        async with self._database.reading() as connection:
            cursor = await connection.execute(rows.EVENTS, {"id": id, "limit": limit})
            return [read_event(row) for row in await cursor.fetchall()]

    # ---- changing ----

    async def start(self, row: RolloutRow, figures: str, *, why: str = "") -> RolloutRow:
        """Begin, with the JSON of the evidence so far. Raises Conflict where one is live on the same route or label."""
        now_s = self._clock()
        row = structs.replace(row, id=row.id or new_id(), stage_at_s=now_s, started_at_s=now_s)
        try:
            async with self._database.connection() as connection:
                await connection.execute(rows.INSERT, rows.sql_of(row))
                await connection.execute(rows.INSERT_FIGURES, {"id": row.id, "figures": figures})
                await self._write_event(connection, row, None, "start", row.started_by, why, None)
                await notify(connection, self.topic)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(
                f"Something rolls out on {row.about} already: `comporta rollout list` shows it. Finish or abort it "
                "first.",
                code="rollout_running",
            ) from error
        await self._seen()
        return row

    async def act(
        self, id: str, act: str, move: Move, *, by: str, why: str = "", numbers: JSON | None = None
    ) -> RolloutRow:
        """Do something with one, and write it down. Raises NotFound, and Conflict where it can't be done now."""
        async with self._database.connection() as connection:
            row = await lock(connection, id)
            new = await self.apply(connection, row, act, move(row, self._clock()), by=by, why=why, numbers=numbers)
        await self._seen()
        return new

    async def pause(self, id: str, *, by: str, why: str = "") -> RolloutRow:
        return await self.act(id, "pause", moves.pause, by=by, why=why)

    async def resume(self, id: str, *, by: str, why: str = "") -> RolloutRow:
        return await self.act(id, "resume", moves.resume, by=by, why=why)

    async def promote(self, id: str, *, by: str, why: str = "", whole: bool = False) -> RolloutRow:
        """To the next stage, or at once to all calls."""
        return await self.act(id, "promote", lambda row, now_s: moves.promote(row, now_s, whole=whole), by=by, why=why)

    async def abort(self, id: str, *, by: str, why: str = "") -> RolloutRow:
        return await self.act(id, "abort", moves.abort, by=by, why=why)

    async def finish(self, id: str, *, by: str, why: str = "") -> RolloutRow:
        return await self.act(id, "finish", moves.finish, by=by, why=why)

    async def trouble(self, row: RolloutRow, problem: str) -> None:
        """Say what keeps a live one from going on; said once, and told once, whoever notices it."""
        if row.problem != problem:
            with suppress(Conflict):
                await self.act(row.id, "problem", lambda row, _: moves.troubled(row, problem), by=GATE, why=problem)

    async def apply(
        self, connection: Connection, old: RolloutRow, act: str, new: RolloutRow, *, by: str, why: str = "",
        numbers: JSON | None = None,
    ) -> RolloutRow:  # fmt: skip
        """Write a locked row's change and its event in the running transaction, and announce it."""
        await connection.execute(rows.UPDATE, rows.sql_of(new))
        await self._write_event(connection, new, old.share, act, by, why, numbers)
        await notify(connection, self.topic)
        return new

    async def _write_event(
        self, connection: Connection, row: RolloutRow, before: float | None, act: str, by: str, why: str,
        numbers: JSON | None,
    ) -> None:  # fmt: skip
        event = EventRow(new_id(), self._clock(), by, act, why, before, row.share, row.stage, numbers)
        values = structs.asdict(event) | {"rollout": row.id, "numbers": None if numbers is None else Jsonb(numbers)}
        await connection.execute(rows.INSERT_EVENT, values)
        await self._tell(connection, row, event)

    async def _seen(self) -> None:
        # The change stands even if the database goes away just now; the next load brings it.
        with suppress(Unavailable):
            await self.load()


async def lock(connection: Connection, id: str) -> RolloutRow:
    """The row as it is, held until the transaction ends. Raises NotFound."""
    row = await (await connection.execute(rows.LOCK_ONE, {"id": id})).fetchone()
    if row is None:
        raise NotFound(f"There is no rollout with the id '{id}'.", code="rollout_not_found", param="id")
    return read_row(row)
