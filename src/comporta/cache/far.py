"""The far layer of the cache, shared and kept over restarts: asked in common, written behind, never waited for long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from comporta.cache.entry import Row

log = structlog.get_logger("comporta.cache")

#: A store that takes longer to answer than this is as good as away.
LIMIT_S = 0.05
#: So long a store that failed is not asked again.
REST_S = 1.0
#: Entries wait this long for company, so that a busy gate writes many at once.
_GATHER_S = 0.2
_BATCH_ROWS = 512
_WRITE_LIMIT_S = 10.0
_WAITING_BYTES = 16 << 20
_CLOSE_LIMIT_S = 2.0
_TELL_EVERY_S = 60.0


class Store(Protocol):
    """Where entries are kept outside this process."""

    def may_hold(self, key: bytes) -> bool:
        """Whether it is worth asking; no I/O."""

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The encoded entries of those keys that are there. Raises whatever goes wrong."""

    async def put(self, rows: Sequence[Row]) -> None:
        """Keep entries, in place of older ones with the same key. Raises whatever goes wrong."""

    async def held(self, owner: bytes, after: str | None, limit: int) -> tuple[list[bytes], str | None]:
        """Some of a user's encoded entries, and what to go on after. Raises whatever goes wrong."""

    async def erase(self, owner: bytes, after: str | None) -> tuple[int, str | None]:
        """Delete some of a user's entries: how many, and what to go on after. Raises whatever goes wrong."""

    async def refresh(self) -> None:
        """Learn what others stored, or whether the store is there at all; called about once a second."""

    async def close(self) -> None: ...


class Far:
    """A store behind a limit of time. It never raises: away, slow and full all mean that nothing is found or kept.

    Look-ups that come while one is under way go out together with the next question; entries are written by `run`.
    """

    def __init__(self, store: Store, *, limit_s: float = LIMIT_S, rest_s: float = REST_S) -> None:
        self.store = store
        self._limit_s = limit_s
        self._rest_s = rest_s
        self._rest_until_s = 0.0
        self._asked: list[tuple[bytes, asyncio.Future[bytes | None]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._rows: deque[Row] = deque()
        self._rows_bytes = 0
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()
        self._told_s = -_TELL_EVERY_S
        #: Questions that failed or took too long, and entries that found no place.
        self.failures = 0
        self.lost = 0

    # ---- reading ----

    async def get(self, key: bytes) -> bytes | None:
        """The encoded entry; None where there is none to be had within the limit."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until_s or not self.store.may_hold(key):
            return None
        answer: asyncio.Future[bytes | None] = loop.create_future()
        timer = loop.call_later(self._limit_s, self._too_slow, answer)
        self._asked.append((key, answer))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        try:
            return await answer
        finally:
            timer.cancel()

    async def _read(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            keys = list({key for key, answer in asked if not answer.done()})
            found: Mapping[bytes, bytes] = {}
            if keys:
                try:
                    async with asyncio.timeout(self._limit_s * 4):
                        found = await self.store.get(keys)
                except Exception as error:
                    self._failed(error)
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(key))

    def _too_slow(self, answer: asyncio.Future[bytes | None]) -> None:
        if not answer.done():
            self._failed(TimeoutError())
            answer.set_result(None)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        now_s = time.monotonic()
        self._rest_until_s = asyncio.get_running_loop().time() + self._rest_s
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            log.warning("cache.store_away", kind=type(error).__name__, failures=self.failures)

    # ---- writing ----

    def offer(self, row: Row) -> None:
        """Have an entry written soon; it is lost where too much waits already. No I/O."""
        if self._rows_bytes + len(row.body) > _WAITING_BYTES:
            self.lost += 1
            return
        self._rows.append(row)
        self._rows_bytes += len(row.body)
        self._some.set()

    def withdraw(self, owner: bytes) -> None:
        """Forget what waits to be written and is this user's. No I/O."""
        kept = [row for row in self._rows if row.owner != owner]
        self._rows = deque(kept)
        self._rows_bytes = sum(len(row.body) for row in kept)

    async def run(self) -> None:
        """Write what is offered, and learn what others wrote, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_on())
            tasks.create_task(self._refresh_on())

    async def flush(self) -> None:
        """Write all that waits."""
        async with self._writing:
            while self._rows:
                await self._write(self._take())

    async def close(self) -> None:
        """Write what waits, within a short time, and let go of the store."""
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await self.flush()
        except TimeoutError:
            self.lost += len(self._rows)
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.store.close()

    async def _write_on(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER_S)
            self._some.clear()
            await self.flush()

    def _take(self) -> list[Row]:
        rows = [self._rows.popleft() for _ in range(min(_BATCH_ROWS, len(self._rows)))]
        self._rows_bytes -= sum(len(row.body) for row in rows)
        return rows

    async def _write(self, rows: list[Row]) -> None:
        try:
            async with asyncio.timeout(_WRITE_LIMIT_S):
                await self.store.put(rows)
        except Exception as error:
            self.lost += len(rows)
            self._failed(error)

    async def _refresh_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_WRITE_LIMIT_S):
                    await self.store.refresh()
            except Exception as error:
                self._failed(error)
            await asyncio.sleep(self._rest_s)


def figures(far: Far | None) -> dict[str, float]:
    """What the far layer has counted."""
    return {} if far is None else {"cache_store_failures": far.failures, "cache_entries_lost": far.lost}
