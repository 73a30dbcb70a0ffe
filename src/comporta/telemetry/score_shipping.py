"""Ships scores into PostgreSQL and joins them with their calls, however often it is interrupted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from comporta.store.database import Connection, Database
from comporta.telemetry import score_tables
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.scores import ScoreRecord
from comporta.telemetry.small_shipping import BATCH, INTERVAL_S, LIMIT_S, SmallShipper

#: A call's record comes within a second, so its score is joined soon after. Where records are late it is looked for
#: now and then; and so it is for what other processes left.
_JOIN_SOON_S = 1.0
_JOIN_LATER_S = 20.0
_SOON_FOR_S = 30.0


class ScoreShipper(SmallShipper[ScoreRecord]):
    """Ships this process's scores, and those of processes that died. `run` is the task, `drain` ships what is there."""

    def __init__(self, database: Database, spool: ScoreSpool, *, interval_s: float = INTERVAL_S) -> None:
        super().__init__(database, spool, ScoreRecord, "scores", interval_s=interval_s)
        self._join_at_s = 0.0
        self._all_at_s = 0.0
        #: Until when scores that have just come are looked after often.
        self._soon_until_s = 0.0

    async def ship_once(self) -> int:
        """One round: what dead processes left now and then, ours, and the joining of what waits for its call."""
        now_s = time.monotonic()
        shipped = await super().ship_once()
        if shipped:
            self._soon_until_s = now_s + _SOON_FOR_S
        if now_s >= self._all_at_s:
            await self._join()
            self._all_at_s = now_s + _JOIN_LATER_S
        elif shipped or self._join_at_s <= now_s < self._soon_until_s:
            await self._join(2 * _SOON_FOR_S)
            self._join_at_s = now_s + _JOIN_SOON_S
        return shipped

    def soon(self) -> None:
        """A score came by another way, and waits for its call."""
        self._soon_until_s = time.monotonic() + _SOON_FOR_S

    async def _put(self, connection: Connection, records: Sequence[ScoreRecord]) -> None:
        await score_tables.insert(connection, records)

    async def _drained(self) -> None:
        await self._join()

    async def _join(self, within_s: float = score_tables.WAIT_S) -> None:
        place = None
        while True:
            async with asyncio.timeout(LIMIT_S), self._database.connection() as connection:
                joined = await score_tables.join(connection, BATCH, place, within_s)
            place = joined.next
            if place is None:
                return
