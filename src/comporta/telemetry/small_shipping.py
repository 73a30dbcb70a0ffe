"""Ships what waits in small files into PostgreSQL, however often it is interrupted: scores, reviews.

What is shipped twice must change nothing: a file is removed only once all of it is in the database.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import psycopg
import structlog
from msgspec import Struct

from comporta.errors import Unavailable
from comporta.store.database import Connection, Database
from comporta.telemetry.score_spool import ScoreSpool, read, remove_folder
from comporta.telemetry.spool import lock_folder, segments
from comporta.telemetry.spooled import Quarantine

log = structlog.get_logger("comporta.telemetry")

INTERVAL_S = 0.5
BATCH = 500
LIMIT_S = 30.0
_BACK_OFF_S = (0.25, 5.0)
_ADOPT_EVERY_S = 5.0
#: SQLSTATE classes that blame the data.
_BLAMES_DATA = ("21", "22", "23", "54")

Kept = TypeVar("Kept", bound=Struct)


class SmallShipper(Generic[Kept]):
    """Ships this process's files, and those of processes that died. `run` is the task, `drain` ships what is there.

    `kind` is what a file holds, `name` is for logs. Who inherits says in `_put` where it goes.
    """

    def __init__(
        self, database: Database, spool: ScoreSpool, kind: type[Kept], name: str, *, interval_s: float = INTERVAL_S
    ) -> None:
        self._database = database
        self._spool = spool
        self._kind = kind
        self._name = name
        self._interval_s = interval_s
        self.quarantine = Quarantine(spool.root)
        self._busy = asyncio.Lock()
        self._adopt_at_s = 0.0
        self._away = False
        #: How many reached the database.
        self.shipped = 0

    async def run(self) -> None:
        """Ship until cancelled; failures are waited out, with growing pauses."""
        pause_s = _BACK_OFF_S[0]
        while True:
            try:
                await self.ship_once()
            except Exception as error:
                # All of it is in the spool and will be sent again: this task must not end.
                self._note_away(error)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, _BACK_OFF_S[1])
                continue
            pause_s, self._away = _BACK_OFF_S[0], False
            await asyncio.sleep(self._interval_s)

    async def ship_once(self) -> int:
        """One round: ours, and now and then what dead processes left; how many were shipped."""
        now_s = time.monotonic()
        adopt = now_s >= self._adopt_at_s
        shipped = await self._ship_all(adopt=adopt)
        if adopt:
            self._adopt_at_s = now_s + _ADOPT_EVERY_S
        return shipped

    async def drain(self, timeout_s: float = 5.0) -> bool:
        """Ship what is there now. False where that did not succeed in time: it stays for later."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ship_all(adopt=True)
                await self._drained()
        except (Unavailable, psycopg.Error, TimeoutError, OSError) as error:
            log.warning(f"{self._name}_not_drained", reason=type(error).__name__, bytes=self._spool.bytes)
            return False
        return True

    async def _put(self, connection: Connection, records: Sequence[Kept]) -> None:
        """Put them into their table; without effect the second time."""
        raise NotImplementedError

    async def _drained(self) -> None:
        """What else must be done before all is at its place."""

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
        records, bad = self._decoded(path)
        for start in range(0, len(records), BATCH):
            await self._ship(records[start : start + BATCH])
        for payload, reason in bad:
            self.quarantine.put(payload, reason)
        _remove(path)
        self.shipped += len(records)
        return len(records)

    async def _ship(self, records: Sequence[Kept]) -> None:
        """Insert; where the data is at fault, halve until the one at fault stands alone, and put that one aside."""
        try:
            async with asyncio.timeout(LIMIT_S), self._database.connection() as connection:
                await self._put(connection, records)
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _BLAMES_DATA:
                raise
            if len(records) == 1:
                self.quarantine.put(msgspec.json.encode(records[0]), type(error).__name__)
                return
            middle = len(records) // 2
            await self._ship(records[:middle])
            await self._ship(records[middle:])

    def _decoded(self, path: Path) -> tuple[list[Kept], list[tuple[bytes, str]]]:
        found = read(path)
        records, bad = [], list(found.bad)
        for payload in found.payloads:
            try:
                records.append(msgspec.json.decode(payload, type=self._kind))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                bad.append((payload, "unreadable"))
        return records, bad

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            expected = isinstance(error, Unavailable | psycopg.Error | TimeoutError | OSError)
            log.warning(
                f"{self._name}_wait", reason=type(error).__name__, place=self._database.place,
                exc_info=None if expected else error,
            )  # fmt: skip


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
