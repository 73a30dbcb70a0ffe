"""The job worker's side of native batches: rows that came as far as they can are put together and handed over.

Any number of workers may do it: each handover is leased for one step, and a worker that dies leaves it to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from comporta.errors import ComportaError, Unavailable
from comporta.gateway.batches.handovers import Handovers

log = structlog.get_logger("comporta.batches")

#: Longer than any step may take.
LEASE_S = 900.0
_IDLE_S = 1.0
_NOTHING_S = 2.0
_AWAY_S = 5.0
_AT_ONCE = 2

#: Has the gate take a handover one step on; seconds until the next. Raises Unavailable where it can't be reached.
Step = Callable[[str], Awaitable[float]]


class HandingOver:
    """One job worker's part. `run` goes on until cancelled."""

    def __init__(self, handovers: Handovers, step: Step) -> None:
        self._handovers = handovers
        self._step = step
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            while True:
                pause_s = await self._round()
                await asyncio.wait(self._running, timeout=pause_s) if self._running else await asyncio.sleep(pause_s)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _round(self) -> float:
        """Do what is due; seconds until it is worth looking again."""
        try:
            if not self._running and not await self._handovers.any():
                return _NOTHING_S
            begun = await self._handovers.gather()
            while len(self._running) < _AT_ONCE and (id := await self._handovers.claim(LEASE_S)) is not None:
                task = asyncio.create_task(self._take(id))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                begun += 1
        except Unavailable:
            return _AWAY_S
        return 0.1 if begun else _IDLE_S

    async def _take(self, id: str) -> None:
        """One step; where it fails in a way that nobody foresaw, the next try is a little later."""
        try:
            wait_s = await self._step(id)
        except Unavailable:
            wait_s = _AWAY_S
        except Exception as error:
            expected = isinstance(error, ComportaError)
            log.error(
                "native_step_failed", handover=id, kind=type(error).__name__, exc_info=None if expected else error
            )
            wait_s = _AWAY_S * 4
        try:
            await self._handovers.let_go(id, wait_s)
        except Unavailable:
            # Its lease ends by itself.
            return
