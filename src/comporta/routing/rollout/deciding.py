"""Looks at each live rollout about once a second: figures in, decision out, shares moved, all in one transaction.

Every worker may look; a lock in the database lets one of them at a time. Whoever dies in the middle has done nothing,
and the next one goes on exactly there. While the database is away nobody looks, and shares stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from comporta.routing.rollout import rows
from comporta.routing.rollout.collecting import drop_strays, take
from comporta.routing.rollout.courses import course_of
from comporta.routing.rollout.figures import Figures
from comporta.routing.rollout.rows import RolloutRow
from comporta.routing.rollout.store import GATE, Rollouts, lock
from comporta.store.database import Connection, Database
from comporta.types import JSON

#: The first of two keys of the advisory lock that a look at one rollout holds.
_LOCK_SPACE = 6_033_414
LOCK = "select pg_try_advisory_xact_lock(%(space)s, hashtext(%(id)s))"
#: Another worker may have looked just now.
_FRESH_S = 0.4


class Kept(Struct, frozen=True):
    """What is kept of one rollout's figures: its course as text, its copies', and what the last look showed."""

    figures: str
    shadow: Figures
    last: JSON | None
    looked_at_s: float | None


async def kept(connection: Connection, id: str) -> Kept:
    """The figures as they stand."""
    row = await (await connection.execute(rows.FIGURES, {"id": id})).fetchone()
    assert row is not None, "figures are written with their rollout"
    figures, shadow, last, looked_at_s = row
    return Kept(figures, msgspec.json.decode(shadow, type=Figures), last, looked_at_s)


class Decider:
    """`look` at every live rollout. `problems` are those that can't be applied now: of them nothing is decided."""

    def __init__(
        self,
        database: Database,
        rollouts: Rollouts,
        problems: Callable[[], Mapping[str, str]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._rollouts = rollouts
        self._problems = problems
        self._clock = clock

    async def look(self, id: str) -> RolloutRow | None:
        """One look at one rollout; its new row where something was decided. Raises Unavailable."""
        async with self._database.connection() as connection:
            found = await (await connection.execute(LOCK, {"space": _LOCK_SPACE, "id": id})).fetchone()
            if found is None or not found[0]:
                return None
            return await self._look(connection, id)

    async def tidy(self) -> None:
        """Let go of calls whose rollout has ended."""
        async with self._database.connection() as connection:
            await drop_strays(connection)

    async def _look(self, connection: Connection, id: str) -> RolloutRow | None:
        row = await lock(connection, id)
        before = await kept(connection, id)
        now_s = self._clock()
        if not row.live or now_s - (before.looked_at_s or 0.0) < _FRESH_S:
            return None
        course = course_of(row, before.figures)
        taken = await take(connection, id, course.guards)
        for window in taken.windows:
            course.fold(window)
        decides = row.state in ("running", "paused") and id not in self._problems()
        step = course.step(now_s, before.last) if decides else None
        values = {
            "id": id, "now_s": now_s, "figures": course.text(), "shadow": _text(before.shadow.plus(taken.shadow)),
            "last": _text(before.last if step is None else step.shown),
        }  # fmt: skip
        await connection.execute(rows.UPDATE_FIGURES, values)
        if step is None or step.row is None:
            return None
        return await self._rollouts.apply(
            connection, row, step.act, step.row, by=GATE, why=step.why, numbers=step.shown
        )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
