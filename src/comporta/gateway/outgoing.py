"""The client's end of a call: the bytes of a stream on their way out, and word of a client that left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from comporta.errors import ClientGone

_KEEP_ALIVE = b": keep-alive\n\n"
#: granian buffers without bound and never yields; after so many bytes others get their turn.
_TURN_BYTES = 64 * 1024


class Outgoing:
    """The bytes of one streamed answer on their way to the client, with a comment sent in long silences (WIRE 6).

    What is added goes out as soon as its adder waits for more, so that events which came together leave together: a
    write costs more than an event. granian ends the response when the transport object is freed: `close` lets go of
    it, and nothing else may hold it.
    """

    __slots__ = ("_gone", "_keep_alive_s", "_loop", "_sent_s", "_since_turn", "_soon", "_timer", "_transport",
                 "_waiting")  # fmt: skip

    def __init__(self, transport: Any, keep_alive_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._keep_alive_s = keep_alive_s
        self._sent_s = self._loop.time()
        self._since_turn = 0
        self._waiting: list[bytes] = []
        self._soon = False
        self._gone = False
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(keep_alive_s, self._look)

    @property
    def greedy(self) -> bool:
        """Whether so much went out without a pause that others should get their turn: see `rest`."""
        return self._since_turn > _TURN_BYTES

    def add(self, data: bytes) -> None:
        """Have it sent. Raises ClientGone when the connection is closed."""
        if self._gone:
            raise ClientGone("The client closed the connection.")
        if not data:
            return
        self._waiting.append(data)
        self._since_turn += len(data)
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._flush_quietly)

    async def rest(self) -> None:
        """Let others have their turn."""
        self._since_turn = 0
        await asyncio.sleep(0)

    def flush(self) -> None:
        """Send what waits now. Raises ClientGone when the connection is closed."""
        if self._gone:
            raise ClientGone("The client closed the connection.")
        if not self._waiting:
            return
        waiting = self._waiting
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        waiting.clear()
        self._sent_s = self._loop.time()
        try:
            _run(self._transport.send_bytes(data))
        except Exception:
            self._gone = True
            raise ClientGone("The client closed the connection.") from None

    def last_words(self, data: bytes) -> None:
        """Send what there is to say at a failed end; a client that has gone by now misses nothing."""
        with contextlib.suppress(ClientGone):
            self.add(data)
            self.flush()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self._waiting.clear()

    def _flush_quietly(self) -> None:
        self._soon = False
        if self._transport is not None:
            # Who adds next hears of it; a call that waits for its provider is ended by `Gone`.
            with contextlib.suppress(ClientGone):
                self.flush()

    def _look(self) -> None:
        if self._transport is None:
            return
        silent_s = self._loop.time() - self._sent_s
        if silent_s >= self._keep_alive_s:
            self._waiting.append(_KEEP_ALIVE)
            self._flush_quietly()
            silent_s = 0.0
        self._timer = self._loop.call_later(self._keep_alive_s - silent_s, self._look)


def _run(sending: Awaitable[object]) -> None:
    """granian sends when it is called: what it returns says only whether that went well, and never waits."""
    try:
        next(sending.__await__())
    except StopIteration:
        return
    raise RuntimeError("sending waits: this needs another way to send")


class Gone:
    """Cancels a call when its client leaves (WIRE 8), from a moment after it began: most are over by then.

    granian tells of a client that left earlier at once, so that nothing is missed meanwhile.
    """

    __slots__ = ("_proto", "_task", "_timer", "_watch", "left")

    _AFTER_S = 0.05

    def __init__(self, proto: Any, task: asyncio.Task[Any] | None, loop: asyncio.AbstractEventLoop) -> None:
        self._proto = proto
        self._task = task
        self._watch: asyncio.Future[None] | None = None
        self._timer = loop.call_later(self._AFTER_S, self._begin)
        #: Whether it was the client's leaving that cancelled the call.
        self.left = False

    def cancel(self) -> None:
        """Watch no longer. What holds granian's end of the connection must let go of it."""
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        self._proto = self._task = None

    def _begin(self) -> None:
        self._watch = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        await self._proto.client_disconnect()
        if self._task is not None:
            self.left = True
            self._task.cancel()
