"""How a worker leaves: no new calls, running ones to their end within a limit, then out."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import structlog

from comporta.gateway.answering import Answering

log = structlog.get_logger("comporta.gate")

#: Tells a worker to cut what still runs and be gone. Not SIGTERM again: a process supervisor may send that to every
#: process of ours, and each worker gets another one from its parent.
AT_ONCE = signal.SIGUSR1
#: How long calls that were cut get for their last words and their records.
CUT_S = 2.0
#: How long the server gets to let go of its connections once nothing runs: one may be stuck in the middle of a request.
LET_GO_S = 2.0
_LOOK_S = 0.02


class Leaving:
    """SIGTERM begins it, AT_ONCE cuts it short.

    `drain` makes the gate refuse new calls. While it drains the worker goes on listening, so that a caller hears why
    it is refused; one whose parent has died stops listening at once, since another takes its place. The server under
    us leaves on SIGINT: it stops listening and waits for its connections. `close` is called where one is stuck,
    `settle` in place of it where haste was asked for.
    """

    def __init__(
        self,
        answering: Answering,
        drain_s: float,
        *,
        drain: Callable[[], None],
        settle: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._answering = answering
        self._drain = drain
        self._settle = settle
        self._close = close
        self._drain_s = drain_s
        self._parent = os.getppid()
        self._hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self.ask)
        loop.add_signal_handler(AT_ONCE, self.hurry)

    def ask(self) -> None:
        """Begin to leave; asked again it changes nothing."""
        if self._task is None:
            self._drain()
            self._task = asyncio.get_running_loop().create_task(self._leave())

    def hurry(self) -> None:
        """Leave now: what runs is cut."""
        self._hurried.set()
        self.ask()

    def over(self) -> None:
        """The server has let go of all its connections: what is left to do is the worker's own end."""
        if self._task is not None:
            self._task.cancel()

    async def _leave(self) -> None:
        if os.getppid() != self._parent:
            _stop_listening()
        log.info("draining", calls=self._answering.in_flight, limit_s=self._drain_s)
        if not await self._done(self._drain_s, self._hurried):
            log.warning("calls_cut", calls=self._answering.in_flight)
            self._answering.cut()
            await self._done(CUT_S)
        _stop_listening()
        if self._hurried.is_set():
            await self._settle()
        else:
            await asyncio.sleep(LET_GO_S)
            log.warning("connections_cut")
            await self._close()
        os._exit(0)

    async def _done(self, within_s: float, hurried: asyncio.Event | None = None) -> bool:
        """Whether nothing runs any more; False when the time is over or haste was asked for."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while self._answering.in_flight:
            if loop.time() >= until_s or (hurried is not None and hurried.is_set()):
                return False
            await asyncio.sleep(_LOOK_S)
        return True


def _stop_listening() -> None:
    os.kill(os.getpid(), signal.SIGINT)
