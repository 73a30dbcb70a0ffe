"""Ships scores into PostgreSQL and joins them with their calls, however often it is interrupted."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psycopg
import structlog

from comporta.errors import Unavailable
from comporta.store.database import Database
from comporta.telemetry import score_tables
from comporta.telemetry.score_spool import ScoreSpool, read, remove_folder
from comporta.telemetry.scores import ScoreRecord
from comporta.telemetry.spool import lock_folder, segments
from comporta.telemetry.spooled import Quarantine

log = structlog.get_logger("comporta.telemetry")

INTERVAL_S = 0.5
_BATCH = 500
_LIMIT_S = 30.0
_BACK_OFF_S = (0.25, 5.0)
_ADOPT_EVERY_S = 5.0
#: A call's record comes within a second, so its score is joined soon after. Where records are late it is looked for
#: now and then; and so it is for what other processes left.
_JOIN_SOON_S = 1.0
_JOIN_LATER_S = 20.0
_SOON_FOR_S = 30.0
#: SQLSTATE classes that blame the data.
_BLAMES_DATA = ("21", "22", "23", "54")


class ScoreShipper:
    """Ships this process's scores, and those of processes that died. `run` is the task, `drain` ships what is there."""

    def __init__(self, database: Database, spool: ScoreSpool, *, interval_s: float = INTERVAL_S) -> None:
        self._database = database
        self._spool = spool
        self._interval_s = interval_s
        self.quarantine = Quarantine(spool.root)
        self._busy = asyncio.Lock()
        self._adopt_at_s = 0.0
        self._join_at_s = 0.0
        self._all_at_s = 0.0
        #: Until when scores that have just come are looked after often.
        self._soon_until_s = 0.0
        self._away = False
        #: Scores that reached the database.
        self.shipped = 0

    async def run(self) -> None:
        """Ship until cancelled; failures are waited out, with growing pauses."""
        pause_s = _BACK_OFF_S[0]
        while True:
            try:
                await self.ship_once()
            except Exception as error:
                # The scores are in the spool and will be sent again: this task must not end.
                self._note_away(error)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, _BACK_OFF_S[1])
                continue
            pause_s, self._away = _BACK_OFF_S[0], False
            await asyncio.sleep(self._interval_s)

    async def ship_once(self) -> None:
        """One round: what dead processes left now and then, ours, and the joining of what waits for its call."""
        now_s = time.monotonic()
        adopt = now_s >= self._adopt_at_s
        shipped = await self._ship_all(adopt=adopt)
        if adopt:
            self._adopt_at_s = now_s + _ADOPT_EVERY_S
        if shipped:
            self._soon_until_s = now_s + _SOON_FOR_S
        if now_s >= self._all_at_s:
            await self._join()
            self._all_at_s = now_s + _JOIN_LATER_S
        elif shipped or self._join_at_s <= now_s < self._soon_until_s:
            await self._join(2 * _SOON_FOR_S)
            self._join_at_s = now_s + _JOIN_SOON_S

    async def drain(self, timeout_s: float = 5.0) -> bool:
        """Ship and join what is there now. False where that did not succeed in time: it stays for later."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ship_all(adopt=True)
                await self._join()
        except (Unavailable, psycopg.Error, TimeoutError, OSError) as error:
            log.warning("scores_not_drained", reason=type(error).__name__, bytes=self._spool.bytes)
            return False
        return True

    async def _ship_all(self, *, adopt: bool) -> int:
        async with self._busy:
            shipped = 0
            for path in self._spool.sealed():
                shipped += await self._ship_file(path)
            if adopt:
                for folder in self._spool.others():
                    shipped += await self._adopt(folder)
            if shipped or adopt:
                self._spool.survey()
            return shipped

    async def _adopt(self, folder: Path) -> int:
        """Ship a folder that nobody holds any more, and remove it."""
        lock = lock_folder(folder)
        if lock is None:
            return 0
        try:
            shipped = 0
            for path in segments(folder):
                shipped += await self._ship_file(path)
            remove_folder(folder)
            return shipped
        finally:
            os.close(lock)

    async def _ship_file(self, path: Path) -> int:
        records, bad = _decoded(path)
        for start in range(0, len(records), _BATCH):
            await self._ship(records[start : start + _BATCH])
        for payload, reason in bad:
            self.quarantine.put(payload, reason)
        _remove(path)
        self.shipped += len(records)
        return len(records)

    async def _ship(self, records: Sequence[ScoreRecord]) -> None:
        """Insert; where the data is at fault, halve until the score at fault stands alone, and put that one aside."""
        try:
            async with asyncio.timeout(_LIMIT_S), self._database.connection() as connection:
                await score_tables.insert(connection, records)
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _BLAMES_DATA:
                raise
            if len(records) == 1:
                self.quarantine.put(msgspec.json.encode(records[0]), type(error).__name__)
                return
            middle = len(records) // 2
            await self._ship(records[:middle])
            await self._ship(records[middle:])

    async def _join(self, within_s: float = score_tables.WAIT_S) -> None:
        place = None
        while True:
            async with asyncio.timeout(_LIMIT_S), self._database.connection() as connection:
                joined = await score_tables.join(connection, _BATCH, place, within_s)
            place = joined.next
            if place is None:
                return

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            expected = isinstance(error, Unavailable | psycopg.Error | TimeoutError | OSError)
            log.warning(
                "scores_wait", reason=type(error).__name__, place=self._database.place,
                exc_info=None if expected else error,
            )  # fmt: skip


def _decoded(path: Path) -> tuple[list[ScoreRecord], list[tuple[bytes, str]]]:
    found = read(path)
    records, bad = [], list(found.bad)
    for payload in found.payloads:
        try:
            records.append(msgspec.json.decode(payload, type=ScoreRecord))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            bad.append((payload, "unreadable"))
    return records, bad


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
