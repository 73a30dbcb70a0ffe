"""Answers on their way into the semantic cache: gathered, given vectors where they have none, written in batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import structlog
from msgspec import structs

from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.searching import Searching
from comporta.cache.semantic.store import Indexed, Row, SemanticStore

log = structlog.get_logger("comporta.cache")

_GATHER_S = 0.2
_BATCH_ROWS = 256
_WAITING_ROWS, _WAITING_BYTES = 4_096, 16 << 20
_WRITE_LIMIT_S = 10.0
_TELL_EVERY_S = 60.0


class Writing:
    """`offer` is for calls; `put` is for whoever waits until it is stored."""

    def __init__(self, store: SemanticStore, vectors: Vectors, searching: Searching) -> None:
        self._store = store
        self._vectors = vectors
        self._searching = searching
        self._rows: deque[Row] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()
        self._told_s = -_TELL_EVERY_S
        #: Answers that could not be written.
        self.lost = 0

    def offer(self, row: Row) -> None:
        """Have an entry written soon; it is lost where too much waits already. No I/O."""
        if len(self._rows) >= _WAITING_ROWS or self._bytes + len(row.body) > _WAITING_BYTES:
            self.lost += 1
            return
        self._rows.append(row)
        self._bytes += len(row.body)
        self._some.set()

    def withdraw(self, owner: bytes) -> None:
        """Forget what waits to be written and is this user's. No I/O."""
        self._rows = deque(row for row in self._rows if row.owner != owner)
        self._bytes = sum(len(row.body) for row in self._rows)

    async def put(self, rows: Sequence[Row]) -> int:
        """Store entries now, each with its vector; how many were stored. Raises whatever goes wrong."""
        numbers = await self._store.put(rows)
        self._searching.add(
            [
                Indexed(numbers[row.key], row.scope, row.stored_s + row.ttl_s, row.vector, row.stored_s)
                for row in {row.key: row for row in rows}.values()
                if row.key in numbers
            ]
        )
        return len(numbers)

    async def run(self) -> None:
        """Write what is offered until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER_S)
            self._some.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits; what can't be written is lost, told and counted."""
        async with self._writing:
            while self._rows:
                rows = [self._rows.popleft() for _ in range(min(_BATCH_ROWS, len(self._rows)))]
                self._bytes -= sum(len(row.body) for row in rows)
                whole = [row for row in [await self._with_vector(row) for row in rows] if row is not None]
                self.lost += len(rows) - len(whole)
                if whole:
                    await self._write(whole)

    async def _with_vector(self, row: Row) -> Row | None:
        if row.vector:
            return row
        vector = await self._vectors.vector(row.question)
        return None if vector is None else structs.replace(row, vector=vector)

    async def _write(self, rows: list[Row]) -> None:
        try:
            async with asyncio.timeout(_WRITE_LIMIT_S):
                await self.put(rows)
        except Exception as error:
            self.lost += len(rows)
            now_s = time.monotonic()
            if now_s - self._told_s >= _TELL_EVERY_S:
                self._told_s = now_s
                log.warning("cache.semantic_unwritten", kind=type(error).__name__, lost=self.lost)
