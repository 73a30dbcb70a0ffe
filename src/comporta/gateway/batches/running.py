"""Asks the rows of batches, several at a time, in any number of job workers: a row is leased, asked, and written down.

A row is asked once; one whose worker died while it was asked is asked again when its lease is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from psycopg.rows import class_row, dict_row

from comporta.errors import Unavailable
from comporta.gateway.batches.native_rows import ALONE as ALONE_STATUS
from comporta.gateway.batches.native_rows import STOPPED
from comporta.gateway.batches.reading import Row, rows_of
from comporta.gateway.reading import AS_KEY, BATCH
from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK

log = structlog.get_logger("comporta.batches")

#: Longer than any call may take.
_LEASE_S = 900
_IDLE_S = 1.0
_NOTHING_S = 2.0
_AWAY_S = 5.0
#: Refusals that say «later»: the row waits, and is asked again.
_LATER = frozenset({408, 409, 429, 502, 503, 504, 529})
_TRIES = 20
_LONGEST_PAUSE_S = 120.0

ANY = "select exists (select from batch where status in ('validating', 'in_progress', 'finalizing', 'cancelling'))"
VALIDATE = """
select id, endpoint, input_file_id from batch where status = 'validating' order by created_at
limit 1 for update skip locked
"""
LINES = "select number, line from file_line where file_id = %s order by number"
COPY_ROWS = "copy batch_row (batch_id, number, custom_id, body, user_id) from stdin"
BEGUN = "update batch set status = 'in_progress', in_progress_at = now(), total = %s where id = %s"
FAILED = "update batch set status = 'failed', failed_at = now(), mistakes = %s where id = %s"
CLAIM = """
with next as (
    select r.batch_id, r.number from batch_row as r join batch as b on b.id = r.batch_id
    where (b.status = 'in_progress' and b.expires_at > now()
            or r.result is not null and b.status in ('in_progress', 'cancelling'))
        and (r.state = 'waiting' and coalesce(r.lease_until, now()) <= now()
            or r.state = 'running' and r.lease_until < now())
    order by r.number, r.batch_id limit %(limit)s for update of r skip locked
)
update batch_row as r set state = 'running', lease_until = now() + make_interval(secs => %(lease_s)s)
from next, batch as b
where r.batch_id = next.batch_id and r.number = next.number and b.id = r.batch_id
returning r.batch_id, r.number, r.body, b.key_id, b.endpoint, r.result is not null as arrived,
    b.native and not r.alone as native
"""
WRITE = """
update batch_row set state = %(state)s, status = %(status)s, request_id = %(request_id)s, answer = %(answer)s,
    lease_until = null, cost_microusd = %(cost_microusd)s, saved_microusd = %(saved_microusd)s,
    parked = null, request = null, result = null
where batch_id = %(batch)s and number = %(number)s and state = 'running'
"""
LATER = """
update batch_row set state = 'waiting', lease_until = now() + make_interval(secs => %(pause_s)s)
where batch_id = %(batch)s and number = %(number)s and state = 'running'
"""
ALONE = """
update batch_row set state = 'waiting', lease_until = null, alone = true
where batch_id = %(batch)s and number = %(number)s and state = 'running'
"""
#: What has nothing left to ask has ended, each by the word for how it ended.
END = """
update batch as b set
    status = case b.status when 'cancelling' then 'cancelled'
        else case when b.expires_at <= now() and exists (
            select from batch_row where batch_id = b.id and state in ('waiting', 'parked')
        ) then 'expired' else 'completed' end end,
    finalizing_at = now(),
    completed_at = case when b.status = 'in_progress' and not (b.expires_at <= now() and exists (
        select from batch_row where batch_id = b.id and state in ('waiting', 'parked'))) then now() end,
    expired_at = case when b.status = 'in_progress' and b.expires_at <= now() and exists (
        select from batch_row where batch_id = b.id and state in ('waiting', 'parked')) then now() end,
    cancelled_at = case when b.status = 'cancelling' then now() end
where b.status in ('in_progress', 'cancelling')
    and not exists (
        select from batch_row as r
        where r.batch_id = b.id and (r.state = 'running' and r.lease_until > now()
            or r.state = 'waiting' and b.status = 'in_progress' and b.expires_at > now()
            or r.state = 'running' and b.status = 'in_progress' and b.expires_at > now()
            or r.state = 'parked' and (r.handover_id is not null
                or b.status = 'in_progress' and b.expires_at > now())
            or r.state in ('waiting', 'running') and r.result is not null)
    )
returning b.id, b.status
"""
#: Rows that were not asked in time, or whose worker died when nobody asks again, are told as such.
LEFT_OUT = """
update batch_row set state = 'failed', answer = %(error)s, parked = null, request = null
where batch_id = %(batch)s and state in ('waiting', 'running', 'parked')
"""


class Answered(Struct, frozen=True):
    """What the gate answered a row; `body` is JSON text."""

    status: int
    body: str
    request_id: str | None = None
    retry_after_s: float | None = None
    cost_microusd: int | None = None
    saved_microusd: int | None = None


class Claimed(Struct, frozen=True):
    """A row to ask."""

    batch_id: str
    number: int
    body: str
    key_id: str
    endpoint: str
    #: Whether a provider's batch has answered it, and whether one may.
    arrived: bool
    native: bool

    @property
    def path(self) -> str:
        """Where the gate is asked: for an answer, to be stopped at the provider's edge, or for what was arrived."""
        if self.arrived:
            return f"/native/arrive/{self.batch_id}/{self.number}"
        return f"/native/park/{self.batch_id}/{self.number}{self.endpoint}" if self.native else self.endpoint


#: Asks the gate: path, body, and the headers that say for whom. Raises Unavailable where it can't be reached.
Send = Callable[[str, str, Mapping[str, str]], Awaitable[Answered]]


class Running:
    """One job worker's part. `run` goes on until cancelled; `count` hears of rows under their names in `/metrics`."""

    def __init__(
        self, database: Database, send: Send, concurrency: Callable[[], int], most_rows: Callable[[], int],
        count: Callable[[str, float], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._send = send
        self._concurrency = concurrency
        self._most_rows = most_rows
        self._count = count
        self._asking: set[asyncio.Task[None]] = set()
        #: How often a row of ours was put off, so that one that nobody ever takes comes to an end.
        self._tries: dict[tuple[str, int], int] = {}

    async def run(self) -> None:
        try:
            while True:
                await self._round()
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    async def _round(self) -> None:
        try:
            if not self._asking and not await self._any():
                await asyncio.sleep(_NOTHING_S)
                return
            await self._validate()
            free = self._concurrency() - len(self._asking)
            claimed = await self._claim(free) if free > 0 else []
            if not claimed:
                await self._end()
        except Unavailable:
            await asyncio.sleep(_AWAY_S)
            return
        for row in claimed:
            task = asyncio.create_task(self._ask(row))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        if self._asking:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait(self._asking, timeout=_IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(_IDLE_S)

    async def _any(self) -> bool:
        async with self._database.connection() as connection:
            row = await (await connection.execute(ANY)).fetchone()
        return bool(row and row[0])

    async def _validate(self) -> None:
        """Read the file of a new batch: its rows are then there all at once, or its mistakes are."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            batch = await (await cursor.execute(VALIDATE)).fetchone()
            if batch is None:
                return
            await connection.execute(HOLD_BACK)
            lines = await (await connection.execute(LINES, [batch["input_file_id"]])).fetchall()
            rows, mistakes = await asyncio.to_thread(rows_of, lines, batch["endpoint"], self._most_rows())
            if mistakes:
                told = msgspec.json.encode([msgspec.structs.asdict(one) for one in mistakes]).decode()
                await connection.execute(FAILED, [told, batch["id"]])
                return
            await _put_in(connection, batch["id"], rows)
            await connection.execute(BEGUN, [len(rows), batch["id"]])
        log.info("batch_begun", batch=batch["id"], rows=len(rows))

    async def _claim(self, limit: int) -> list[Claimed]:
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Claimed))
            return await (await cursor.execute(CLAIM, {"limit": limit, "lease_s": _LEASE_S})).fetchall()

    async def _ask(self, row: Claimed) -> None:
        """Ask one row and write down what came; where that can't be done the lease brings it back."""
        try:
            answered = await self._send(row.path, row.body, {AS_KEY: row.key_id, BATCH: row.batch_id})
        except Unavailable:
            await self._put_off(row, _AWAY_S)
            return
        except Exception as error:
            log.error("batch_row_failed", batch=row.batch_id, row=row.number, kind=type(error).__name__)
            await self._put_off(row, _AWAY_S)
            return
        if row.native and not row.arrived and answered.status in (STOPPED, ALONE_STATUS):
            await self._stopped(row, answered.status)
            return
        place = (row.batch_id, row.number)
        tries = self._tries.pop(place, 0)
        if answered.status in _LATER and tries < _TRIES:
            self._tries[place] = tries + 1
            pause_s = answered.retry_after_s or min(2.0**tries, _LONGEST_PAUSE_S)
            await self._put_off(row, min(pause_s, _LONGEST_PAUSE_S))
            return
        await self._write(row, answered)

    async def _stopped(self, row: Claimed, status: int) -> None:
        """The gate has written down that it is parked; one that can't be is asked by itself."""
        if status == ALONE_STATUS:
            await self._until_done(ALONE, {"batch": row.batch_id, "number": row.number})

    async def _write(self, row: Claimed, answered: Answered) -> None:
        good = answered.status < 400
        values = {
            "batch": row.batch_id, "number": row.number, "state": "done" if good else "failed",
            "status": answered.status, "request_id": answered.request_id, "answer": answered.body.replace("\0", ""),
            "cost_microusd": answered.cost_microusd, "saved_microusd": answered.saved_microusd,
        }  # fmt: skip
        await self._until_done(WRITE, values)
        self._count("batch_rows_done" if good else "batch_rows_failed", 1)
        if row.arrived:
            self._count("batch_rows_native", 1)
            self._count("batch_saved_usd", (answered.saved_microusd or 0) / 1e6)

    async def _put_off(self, row: Claimed, pause_s: float) -> None:
        await self._until_done(LATER, {"batch": row.batch_id, "number": row.number, "pause_s": pause_s})

    async def _until_done(self, statement: str, values: Mapping[str, Any]) -> None:
        """An answer that was paid for must not be lost to a database that is away for a while."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await connection.execute(statement, values)
                return
            except Unavailable:
                await asyncio.sleep(_AWAY_S)

    async def _end(self) -> None:
        async with self._database.connection() as connection:
            for batch, status in await (await connection.execute(END)).fetchall():
                code = "batch_cancelled" if status == "cancelled" else "batch_expired"
                error = msgspec.json.encode({"code": code, "message": f"The batch was {status} before this row."})
                await connection.execute(LEFT_OUT, {"batch": batch, "error": error.decode()})
                log.info("batch_ended", batch=batch, status=status)


async def _put_in(connection: Connection, batch: str, rows: Sequence[Row]) -> None:
    async with connection.cursor().copy(COPY_ROWS) as copy:
        for row in rows:
            await copy.write_row((batch, row.number, row.custom_id, row.body, row.user))
