"""A provider that is nothing but bytes: it sends what it is told in the pieces it is told, and ends as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import deque
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

Ending = Literal["close", "reset", "hang"]

_MODEL = re.compile(rb'"model"\s*:\s*"([^"]+)"|models/([^:/ ]+):')
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
#: Closing with this drops what was not sent and tells the other side by RST.
_NO_LINGER = struct.pack("ii", 1, 0)


class Plan(Struct, frozen=True):
    """One answer: bytes in the pieces they are written in, and what becomes of the connection."""

    pieces: tuple[bytes, ...]
    end: Ending = "close"


class RawUpstream:
    """Answers each model's requests by its plans, in order; a model without a plan gets the connection closed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._plans: dict[str, deque[Plan]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plan(self, model: str, *plans: Plan) -> None:
        self._plans.setdefault(model, deque()).extend(plans)

    def forget(self, model: str) -> None:
        """Drop plans that nobody asked for."""
        self._plans.pop(model, None)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            plan = await self._asked(reader)
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in plan.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if plan.end == "hang":
                await reader.read()
            if plan.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        with contextlib.suppress(ConnectionError):
            writer.close()

    async def _asked(self, reader: asyncio.StreamReader) -> Plan:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        found = _MODEL.search(head) or _MODEL.search(body)
        model = b"".join(filter(None, found.groups())).decode() if found else ""
        self.asked.append(model)
        waiting = self._plans.get(model)
        return waiting.popleft() if waiting else Plan(())


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks of so many bytes, with its last one."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def head(content_type: str, *lines: str, status: int = 200) -> bytes:
    """The head of an answer whose connection is not used again."""
    return "\r\n".join((f"HTTP/1.1 {status} OK", f"Content-Type: {content_type}", *lines, "", "")).encode()
