"""Looks at each live rollout about once a second: figures in, decision out, shares moved, all in one transaction.

Every worker may look; a lock in the database lets one of them at a time. Whoever dies in the middle has done nothing,
and the next one goes on exactly there. While the database is away nobody looks, and shares stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from comporta.routing.rollout import moves, rows
from comporta.routing.rollout.collecting import drop_strays, take
from comporta.routing.rollout.decide import Decision, Standing, decide
from comporta.routing.rollout.evidence import Evidence, fold
from comporta.routing.rollout.figures import Figures
from comporta.routing.rollout.plan import Rollout
from comporta.routing.rollout.rows import RolloutRow
from comporta.routing.rollout.store import Rollouts, lock
from comporta.store.database import Connection, Database
from comporta.types import JSON

#: Who decides, in the log.
GATE = "comporta"
#: The first of two keys of the advisory lock that a look at one rollout holds.
_LOCK_SPACE = 6_033_414
LOCK = "select pg_try_advisory_xact_lock(%(space)s, hashtext(%(id)s))"
#: Another worker may have looked just now.
_FRESH_S = 0.4


class Kept(Struct, frozen=True):
    """What is kept of the figures of one rollout."""

    evidence: Evidence
    shadow: Figures
    last: JSON | None
    looked_at_s: float | None


async def kept(connection: Connection, id: str) -> Kept:
    """The figures as they stand."""
    row = await (await connection.execute(rows.FIGURES, {"id": id})).fetchone()
    assert row is not None, "figures are written with their rollout"
    evidence, shadow, last, looked_at_s = row
    return Kept(
        msgspec.json.decode(evidence, type=Evidence), msgspec.json.decode(shadow, type=Figures), last, looked_at_s
    )


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
        plan = moves.plan_of(row)
        taken = await take(connection, id, plan.guards)
        evidence = before.evidence
        for window in taken.windows:
            evidence = fold(plan, evidence, window)
        decision = self._decide(plan, evidence, row, now_s)
        await self._keep(connection, row, evidence, before.shadow.plus(taken.shadow), decision, now_s)
        new = None if decision is None else _moved(row, decision, now_s)
        if new is None or decision is None:
            return None
        return await self._rollouts.apply(
            connection, row, _ACTS[decision.action], new, by=GATE, why=decision.reason, numbers=rows.plain(decision)
        )

    def _decide(self, plan: Rollout, evidence: Evidence, row: RolloutRow, now_s: float) -> Decision | None:
        if row.state not in ("running", "paused") or row.id in self._problems():
            return None
        since_s = row.stage_at_s + (now_s - row.paused_at_s if row.paused_at_s is not None else 0.0)
        return decide(plan, evidence, Standing(row.stage, since_s, now_s))

    async def _keep(
        self, connection: Connection, row: RolloutRow, evidence: Evidence, shadow: Figures, decision: Decision | None,
        now_s: float,
    ) -> None:  # fmt: skip
        values = {"id": row.id, "now_s": now_s, "figures": _text(evidence), "shadow": _text(shadow)}
        last = None if decision is None else _text(decision)
        await connection.execute(rows.UPDATE_FIGURES, values | {"last": last})


_ACTS = {"advance": "stage", "finish": "held", "roll_back": "roll_back"}


def _moved(row: RolloutRow, decision: Decision, now_s: float) -> RolloutRow | None:
    """The row after a decision; None where all stays. In a pause nothing but harm moves anything."""
    if decision.action == "roll_back":
        return moves.roll_back(row, now_s)
    if row.state == "paused" or decision.action == "wait":
        return None
    return moves.held(row, now_s) if decision.action == "finish" else moves.at_stage(row, row.stage + 1, now_s)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
