"""Ships records from the spool into PostgreSQL, exactly once in effect, however often it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import psycopg
import structlog

from comporta.errors import Unavailable
from comporta.store.database import Database
from comporta.telemetry import partitions, tables
from comporta.telemetry.record import CallRecord, encoded
from comporta.telemetry.spool import Spool, lock_folder
from comporta.telemetry.spooled import Bad, Batch, Place, Quarantine, Spooled

log = structlog.get_logger("comporta.telemetry")

INTERVAL_S = 0.5
BATCH_RECORDS = 500
_BATCH_BYTES = 8 << 20
_PIECE_RECORDS = 50
#: With so much waiting, batches and their pieces are so many times as large: of each batch, and of each piece that must
#: wait for its turn among the calls, a part of the time is the same however large it is.
_BEHIND_BYTES = 8 << 20
_BEHIND_TIMES = 4
_DAY_US = 86_400_000_000
_ADOPT_EVERY_S = 5.0
_AHEAD_EVERY_S = 3600.0
#: A server that stopped answering in the middle of a batch is given up on after so long; the batch is sent again.
_BATCH_LIMIT_S = 60.0
_BACK_OFF_S = (0.25, 5.0)
#: SQLSTATE classes that blame the data. Anything else (no table, no right, a deadlock) is no record's fault.
_BLAMES_DATA = ("21", "22", "23", "54")

#: What a record can make the insertion raise; `_blames_data` tells which of them it is to blame for.
_AT_FAULT = (psycopg.Error, ArithmeticError, ValueError, TypeError)

Insert = Callable[[Database, Sequence[CallRecord]], Awaitable[int]]


async def insert_batch(database: Database, records: Sequence[CallRecord]) -> int:
    """One batch in one transaction; how many records were new."""
    async with asyncio.timeout(_BATCH_LIMIT_S), database.connection() as connection:
        return await tables.insert(connection, records)


class Shipper:
    """Ships this process's spool, and those of processes that died.

    `run` is the task, `drain` ships what is there and returns. A batch whose commit is in doubt is sent again: what
    it holds is in already or is not, and rollups follow only from what was not.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        *,
        interval_s: float = INTERVAL_S,
        batch_records: int = BATCH_RECORDS,
        insert: Insert = insert_batch,
    ) -> None:
        self._database = database
        self._spool = spool
        self._own = Spooled(spool.folder)
        self.quarantine = Quarantine(spool.root)
        self._interval_s = interval_s
        self._batch_records = batch_records
        self._insert = insert
        self._days: set[datetime.date] = set()
        self._busy = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._away_since_s: float | None = None
        self._adopt_at_s = 0.0
        self._ahead_at_s = 0.0
        #: Records that reached the database, new there or not.
        self.shipped = 0

    async def run(self) -> None:
        """Ship until `stop`; failures are waited out, with growing pauses."""
        pause_s = _BACK_OFF_S[0]
        while not self._stopped.is_set():
            try:
                shipped = await self.ship_once()
            except Exception as error:
                # Whatever it is, the records are in the spool and will be sent again: this task must not end.
                self._note_away(error)
                await self._sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, _BACK_OFF_S[1])
                continue
            self._note_back()
            pause_s = _BACK_OFF_S[0]
            if shipped < self._batch_records:
                await self._sleep(self._interval_s)

    def stop(self) -> None:
        self._stopped.set()

    async def drain(self, timeout_s: float = 10.0) -> bool:
        """Ship everything that is there now, dead processes' records too. False where that did not succeed in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ship_dead()
                while await self._ship_own():
                    pass
        except (Unavailable, psycopg.Error, TimeoutError, OSError) as error:
            log.warning("spool_not_drained", reason=type(error).__name__, bytes=self._spool.bytes)
            return False
        return True

    async def ship_once(self) -> int:
        """One round: partitions ahead, dead processes' spools now and then, one batch of ours."""
        now_s = time.monotonic()
        self._spool.survey()
        if now_s >= self._ahead_at_s:
            await partitions.ensure_partitions(self._database)
            self._ahead_at_s = now_s + _AHEAD_EVERY_S
        if now_s >= self._adopt_at_s:
            await self._ship_dead()
            self._adopt_at_s = now_s + _ADOPT_EVERY_S
        return await self._ship_own()

    async def _ship_own(self) -> int:
        shipped = await self._ship_batch(self._own, self._spool.position)
        segment, size = self._spool.position
        if self._own.place == (segment, size) and size:
            # All of it is shipped: a new segment lets this one, and the content in it, go.
            self._spool.turn_over()
            if self._spool.position[0] > segment:
                self._own.commit((self._spool.position[0], 0))
        self._spool.survey()
        return shipped

    async def _ship_dead(self) -> None:
        for folder in sorted(self._spool.root.iterdir()):
            if folder != self._spool.folder and folder.is_dir():
                await self._adopt(folder)

    async def _adopt(self, folder: os.PathLike[str]) -> None:
        """Ship a folder that nobody holds any more, and remove it."""
        path = self._spool.root / folder
        lock = lock_folder(path)
        if lock is None:
            return
        try:
            spooled = Spooled(path)
            while await self._ship_batch(spooled, None):
                pass
            spooled.remove()
            log.info("spool_adopted", folder=str(path))
        finally:
            os.close(lock)

    async def _ship_batch(self, spooled: Spooled, live: Place | None) -> int:
        """Ship the next records of a folder; how many entries were read (0 = nothing is left)."""
        async with self._busy:
            batch = await self._read(spooled, live)
            if batch.end == spooled.place:
                return 0
            await self._ship(batch.records)
            for bad in batch.bad:
                self.quarantine.put(bad.payload, bad.reason)
            spooled.commit(batch.end)
            self._spool.survey()
            self.shipped += len(batch.records)
            return max(len(batch.records), 1)

    async def _read(self, spooled: Spooled, live: Place | None) -> Batch:
        """A batch, read in small pieces: decoding it at once would hold up the calls in this process."""
        records: list[CallRecord] = []
        bad: list[Bad] = []
        end, left = spooled.place, _BATCH_BYTES
        times = _BEHIND_TIMES if self._spool.bytes > _BEHIND_BYTES else 1
        while len(records) < self._batch_records * times and left > 0:
            wanted = min(_PIECE_RECORDS * times, self._batch_records * times - len(records))
            piece = spooled.read(wanted, left, live, end)
            if piece.end == end:
                break
            records += piece.records
            bad += piece.bad
            left -= max(piece.end[1] - (end[1] if piece.end[0] == end[0] else 0), 1)
            end = piece.end
            await asyncio.sleep(0)
        return Batch(records, bad, end)

    async def _ship(self, records: Sequence[CallRecord]) -> None:
        """Insert; where the data is at fault, halve until the record at fault stands alone."""
        if not records:
            return
        try:
            await self._insert_with_days(records)
        except _AT_FAULT as error:
            if not _blames_data(error):
                raise
            # A partition may have been dropped behind our back: the next try looks again.
            self._days.clear()
            if len(records) == 1:
                await self._ship_poison(records[0], error)
                return
            middle = len(records) // 2
            await self._ship(records[:middle])
            await self._ship(records[middle:])

    async def _ship_poison(self, record: CallRecord, error: Exception) -> None:
        """The record at fault: its figures still count if its content was to blame. It is kept as it was."""
        try:
            await self._insert_with_days([record.without_content()])
        except _AT_FAULT as again:
            if not _blames_data(again):
                raise
        self.quarantine.put(encoded(record), type(error).__name__)

    async def _insert_with_days(self, records: Sequence[CallRecord]) -> None:
        one_a_day = {record.started_us // _DAY_US: record for record in records}
        missing = {partitions.day_of(record) for record in one_a_day.values()} - self._days
        if missing:
            await partitions.ensure_days(self._database, missing)
            self._days |= missing
        await self._insert(self._database, records)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _note_away(self, error: Exception) -> None:
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
            sqlstate = getattr(error, "sqlstate", None)
            expected = isinstance(error, Unavailable | psycopg.Error | TimeoutError | OSError)
            log.warning(
                "records_wait", reason=type(error).__name__, sqlstate=sqlstate, place=self._database.place,
                exc_info=None if expected else error,
            )  # fmt: skip

    def _note_back(self) -> None:
        if self._away_since_s is not None:
            log.info("records_flow_again", away_s=round(time.monotonic() - self._away_since_s, 1))
            self._away_since_s = None


def _blames_data(error: Exception) -> bool:
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return error.sqlstate[:2] in _BLAMES_DATA
    return isinstance(error, psycopg.DataError | ArithmeticError | ValueError | TypeError)
