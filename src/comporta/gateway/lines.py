"""One connection to a provider: an asyncio protocol around llhttp's parser, which carries one exchange at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault, UpstreamUnreachable

#: So much of an answer waits in memory for its reader; then the provider has to wait.
_MOST_WAITING = 256 * 1024
_MOST_HEAD_BYTES = 64 * 1024
#: How long and how much may follow an answer that said all it had to say, if its connection is to be kept.
_DRAIN_S = 1.0
_DRAIN_BYTES = 4096


class Exchange:
    """One request and its answer (`Response` of the transport). After its end nothing done to it touches the line."""

    __slots__ = (
        "_ended", "_error", "_head", "_headers", "_line", "_loop", "_parts", "_paused", "_waiter", "_waiting_bytes",
        "status",
    )  # fmt: skip

    def __init__(self, line: Line) -> None:
        self._line: Line | None = line
        self._loop = line.loop
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._ended = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._head: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] | None = None
        #: 0 until the headers are here.
        self.status = 0

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case names; a repeated one is joined by commas. Read where they are asked for: seldom."""
        if self._headers is None:
            found: dict[str, str] = {}
            for name, value in self._head:
                field, text = name.decode("latin-1").lower(), value.decode("latin-1")
                found[field] = f"{found[field]}, {text}" if field in found else text
            self._headers = found
        return self._headers

    async def begin(self) -> None:
        """Wait for the headers."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self, limit: int) -> bytes:
        """The whole body; raises UpstreamCut if it ends early, UpstreamFault above `limit` bytes."""
        if self._ended and len(self._parts) == 1 and self._waiting_bytes <= limit:
            self.finish()
            return self._parts.popleft()
        parts: list[bytes] = []
        size = 0
        while data := await self.chunk():
            size += len(data)
            if size > limit:
                self.abort()
                raise UpstreamFault(f"The provider's answer is larger than {limit} bytes.", code="upstream_too_large")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunk(self) -> bytes:
        """The next bytes as they come; empty at the end. Raises UpstreamCut if the connection breaks."""
        parts = self._parts
        while not parts:
            if self._ended:
                self.finish()
                return b""
            if self._error is not None:
                raise self._error
            if self._paused:
                self._go_on()
            await self._wait()
        self._waiting_bytes = 0
        if len(parts) == 1:
            return parts.popleft()
        data = b"".join(parts)
        parts.clear()
        return data

    def fail(self, error: UpstreamError) -> None:
        """Make the waiting `read` or `chunk` raise `error` and close the connection (time limits)."""
        self._parts.clear()
        self._ended = False
        self._error = error
        self.abort()
        self.wake()

    def abort(self) -> None:
        """Close the connection now unless the body came to its end. Safe to call again."""
        line, self._line = self._line, None
        if line is not None:
            if self._paused:
                line.resume()
            line.leave(self._ended)

    def finish(self) -> None:
        """The answer is complete: the little that may follow is awaited in the background, to keep the connection."""
        line, self._line = self._line, None
        if line is None:
            return
        if self._paused:
            line.resume()
        if self._ended:
            line.leave(True)
        else:
            line.drain()

    # -- told by the line

    @property
    def ended(self) -> bool:
        return self._ended

    def put(self, data: bytes) -> None:
        self._parts.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _MOST_WAITING and not self._paused and self._line is not None:
            self._paused = True
            self._line.pause()

    def begun(self, status: int, head: list[tuple[bytes, bytes]]) -> None:
        self.status, self._head = status, head

    def end(self) -> None:
        self._ended = True

    def broken(self, error: UpstreamError) -> None:
        if self._error is None and not self._ended:
            self._error = error
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _go_on(self) -> None:
        self._paused = False
        if self._line is not None:
            self._line.resume()

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = waiter = self._loop.create_future()
        return waiter


class Line(asyncio.Protocol):
    """The connection. `back` takes it when it is free for the next exchange, `lost` when it is closed.

    An answer that nobody asked for closes it: what came before a request can't be the answer to it.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, back: Callable[[Line], None], lost: Callable[[Line], None]
    ) -> None:
        #: Kept, since asking which loop runs is a system call each time.
        self.loop = loop
        self._back = back
        self._lost = lost
        self._parser: Any = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._head: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._keep = True
        self._draining: asyncio.TimerHandle | None = None
        self._drained_bytes = 0
        self.transport: Any = None
        #: Whether it has carried an exchange before; one that is used may be closed by the other side at any time.
        self.used = False
        #: Whether any byte of the present answer has come.
        self.answered = False
        #: When it was put by, on the event loop's clock.
        self.since_s = 0.0

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def exchange(self, request: bytes) -> Exchange:
        """Send a request; its answer comes into the exchange."""
        self.answered = False
        self._exchange = exchange = Exchange(self)
        self.transport.write(request)
        return exchange

    def leave(self, ended: bool) -> None:
        """The exchange is over; the line is free if it came to its end, else closed.

        An answer that was there before its request had gone out whole is no sign that the rest will ever be read.
        """
        self._exchange = None
        if ended and self._keep and self.open and not self.transport.get_write_buffer_size():
            self.used = True
            self._back(self)
        elif self.transport is not None:
            self.transport.abort()

    def drain(self) -> None:
        """Wait a moment for the end of an answer that has said all; then it is put by, else closed."""
        self._drained_bytes = 0
        self._draining = self.loop.call_later(_DRAIN_S, self.leave, False)

    def pause(self) -> None:
        if self.open:
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.open:
            self.transport.resume_reading()

    # -- told by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.transport.abort()
            return
        self.answered = True
        if not exchange.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            exchange.broken(UpstreamCut("The provider's answer is no proper HTTP.", code="bad_http"))
            self._keep = False
            self.transport.abort()
        else:
            if self._head_bytes > _MOST_HEAD_BYTES and not exchange.status:
                exchange.broken(UpstreamCut("The provider's answer has no end to its head.", code="bad_http"))
                self.transport.abort()
            exchange.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
        self._stop_draining()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.status:
            headers = exchange.headers
            if exc is None and "content-length" not in headers and "transfer-encoding" not in headers:
                # Such an answer ends with its connection.
                exchange.end()
            exchange.broken(UpstreamCut("The provider's answer ended before its end."))
        else:
            exchange.broken(UpstreamUnreachable("The provider closed the connection.", code="reset"))

    # -- told by the parser

    def on_message_begin(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.ended:
            # A second answer to one request: whatever it is, the line can't be trusted any more.
            raise ValueError("there are two answers")
        self._head = []

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.status:
            # What follows a body is of no use to anybody, and without bound.
            self._head.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        exchange = self._exchange
        if status < 200 or exchange is None:
            return
        if self._head_bytes > _MOST_HEAD_BYTES and sum(len(n) + len(v) for n, v in self._head) > _MOST_HEAD_BYTES:
            raise ValueError("the head is too long")
        self._head_bytes = 0
        exchange.begun(status, self._head)

    def on_body(self, data: bytes) -> None:
        if self._draining is None:
            if self._exchange is not None:
                self._exchange.put(data)
            return
        self._drained_bytes += len(data)
        if self._drained_bytes > _DRAIN_BYTES:
            self.leave(False)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.status:
            return
        self._keep = self._parser.should_keep_alive()
        exchange.end()
        if self._draining is not None:
            self._stop_draining()
            self.leave(True)

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None
