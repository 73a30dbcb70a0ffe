"""The upstream that all gateways have in front of them: a bare asyncio protocol, so that it costs as little as it can.

`python -m gauge.mock PORT`.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import Any

import uvloop

from gauge.words import asked, stream_answer, whole_answer

_LENGTH = b"content-length:"
_WHOLE = whole_answer()
_pieces = functools.cache(stream_answer)


class Mock(asyncio.Protocol):
    """One connection. Each event of a stream is a write of its own, in a turn of the loop of its own."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._data = b""

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._data = data
            return
        head = data[:end].lower()
        at = head.find(_LENGTH)
        if at < 0:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\n\r\n")
            self._data = b""
            return
        length = int(head[at + len(_LENGTH) :].partition(b"\r\n")[0])
        if len(data) < end + 4 + length:
            self._data = data
            return
        self._data = b""
        self._answer(data[end + 4 :])

    def _answer(self, body: bytes) -> None:
        events, gap_ms, usage = asked(body)
        if events:
            self._send(_pieces(events, usage=usage), 0, gap_ms / 1000)
        else:
            self._transport.write(_WHOLE)

    def _send(self, pieces: tuple[bytes, ...], place: int, gap_s: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(pieces[place])
        place += 1
        if place == len(pieces):
            return
        if gap_s:
            self._loop.call_later(gap_s, self._send, pieces, place, gap_s)
        else:
            self._loop.call_soon(self._send, pieces, place, gap_s)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
