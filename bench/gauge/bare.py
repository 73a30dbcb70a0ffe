"""The yardstick: the least that a proxy in Python can be, granian in front and aiohttp behind.

It keeps no keys, no limits and no records. It does read: the body it passes on is decoded, and so is every event of a
stream. `python -m gauge.bare PORT MOCK_PORT`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aiohttp
import msgspec
from granian.constants import HTTPModes, Interfaces, Loops
from granian.server import Server

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Bare:
    """granian's RSGI application."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        return

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        session = self._session = self._session or _session()
        body = _decode(await proto())
        headers = {"content-type": "application/json", "authorization": "Bearer upstream"}
        async with session.post(self._url, data=_encode(body), headers=headers) as response:
            if body.get("stream"):
                await _forward(response.content, proto.response_stream(200, [("content-type", "text/event-stream")]))
            else:
                answer = await response.read()
                _decode(answer)
                proto.response_bytes(response.status, [("content-type", "application/json")], answer)


async def _forward(content: aiohttp.StreamReader, transport: Any) -> None:
    """Pass on what came, at once, when each event in it has been decoded."""
    rest = b""
    while data := await content.readany():
        *frames, rest = (rest + data).split(b"\n\n")
        for frame in frames:
            if frame != b"data: [DONE]":
                _decode(frame[6:])
        await transport.send_bytes(data)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )  # fmt: skip


def create() -> Bare:
    """What granian calls in its worker."""
    return Bare(os.environ["BENCH_UPSTREAM"])


if __name__ == "__main__":
    os.environ["BENCH_UPSTREAM"] = f"http://127.0.0.1:{sys.argv[2]}/v1/chat/completions"
    Server(
        "gauge.bare:create", address="127.0.0.1", port=int(sys.argv[1]), interface=Interfaces.RSGI, factory=True,
        loop=Loops.uvloop, http=HTTPModes.http1, backpressure=16384, log_enabled=False,
    ).serve()  # fmt: skip
