"""Asking a provider for what is no call: its batches. The same connections and time limits, and the same errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from comporta.errors import ComportaError, UpstreamTimeout
from comporta.gateway.transport import MAX_FAULT_BYTES, MAX_REPLY_BYTES, HttpTransport, Response
from comporta.providers.base import Request
from comporta.telemetry.scrubbing import MIN_SECRET_LENGTH

_CONNECT_S = 5.0
_TOTAL_S = 300.0
_SILENCE_S = 60.0
_LONGEST_LINE = 32 << 20

#: What a status and a body mean, in an error's words.
Fault = Callable[[int, Mapping[str, str], bytes], ComportaError]


class Remotely:
    """`fault` is the wire's. What was sent as a secret stands in no error."""

    def __init__(self, transport: HttpTransport, fault: Fault) -> None:
        self._transport = transport
        self._fault = fault

    async def ask(self, request: Request, *, once: bool = False) -> bytes:
        """The body of an answer; `once`: in no case is it sent a second time. Raises UpstreamError."""
        async with _within(_TOTAL_S):
            response = await self._send(request, once=once)
            try:
                return await response.read(MAX_REPLY_BYTES)
            finally:
                response.abort()

    async def lines(self, request: Request) -> AsyncIterator[bytes]:
        """The lines of an answer, as they come. Raises UpstreamError."""
        async with _within(_TOTAL_S):
            response = await self._send(request)
        rest = b""
        try:
            while data := await _chunk(response):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield line
                if len(rest) > _LONGEST_LINE:
                    rest = b""
            if rest.strip():
                yield rest
        finally:
            response.abort()

    async def _send(self, request: Request, *, once: bool = False) -> Response:
        send = self._transport.send_once if once else self._transport.send
        response = await send(request, _CONNECT_S, _TOTAL_S)
        if response.status < 300:
            return response
        try:
            body = await response.read(MAX_FAULT_BYTES)
        except ComportaError:
            body = b""
        finally:
            response.abort()
        error = self._fault(response.status, {k.lower(): v for k, v in response.headers.items()}, body)
        for value in request.headers.values():
            if len(value) >= MIN_SECRET_LENGTH:
                error.message = error.message.replace(value, "***")
        raise error


async def _chunk(response: Response) -> bytes:
    async with _within(_SILENCE_S):
        return await response.chunk()


@asynccontextmanager
async def _within(limit_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise UpstreamTimeout(f"The provider's batch API did not answer within {limit_s:g} s.") from None
