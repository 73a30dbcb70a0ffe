"""HTTP towards providers: one client per worker that can abort a request in every phase (WIRE 8).

The rest of the product sees only `Transport` and `Response`, so that another client can take aiohttp's place (it was
chosen because cancelling reaches the upstream within a millisecond even before its headers came).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Protocol

import aiohttp

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault, UpstreamTimeout, UpstreamUnreachable
from comporta.providers.base import Request

#: More than this is no answer of a model; it would only fill the memory.
MAX_REPLY_BYTES = 256 * 1024 * 1024
#: Errors are short; what comes beyond is left unread.
MAX_FAULT_BYTES = 64 * 1024


class Response(Protocol):
    """An answer whose headers are here and whose body is still to come."""

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body; raises UpstreamCut if it ends early, UpstreamFault above `limit` bytes."""

    async def chunk(self) -> bytes:
        """The next bytes as they come; empty at the end. Raises UpstreamCut if the connection breaks."""

    def fail(self, error: UpstreamError) -> None:
        """Make the waiting `read` or `chunk` raise `error` and close the connection (time limits)."""

    def abort(self) -> None:
        """Close the connection now unless the body was read to its end. Safe to call again."""

    def finish(self) -> None:
        """The answer is complete: what little may follow is read in the background, to keep the connection."""


class Transport(Protocol):
    async def send(self, request: Request, connect_s: float, timeout_s: float | None) -> Response:
        """Send and wait for the headers. Cancelling closes the connection.

        Raises UpstreamUnreachable, or UpstreamTimeout where the headers take more than `timeout_s`.
        """

    async def close(self) -> None:
        """Close all connections."""


class AiohttpTransport:
    """`Transport` over aiohttp: keep-alive connections per host, no redirects, no cookies, DNS kept for a minute.

    `proxy` is an outgoing HTTP proxy; `ca_file` adds a certificate authority of the company's own.
    """

    def __init__(self, *, proxy: str | None = None, ca_file: str | None = None) -> None:
        self._proxy = proxy
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, connect_s: float, timeout_s: float | None) -> Response:
        session = self._session or self._open()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, connect=None)
        try:
            async with asyncio.timeout(timeout_s):
                response = await session.request(
                    request.method, request.url, data=request.body or None, headers=request.headers, timeout=timeout,
                    allow_redirects=False, proxy=self._proxy,
                )  # fmt: skip
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamTimeout(f"No connection within {connect_s:g} s.", code="connect_timeout") from None
        except TimeoutError:
            raise UpstreamTimeout(f"No answer within {timeout_s:g} s.", code="first_token_timeout") from None
        except aiohttp.ClientConnectorError as error:
            raise UpstreamUnreachable(f"No connection to the provider: {_reason(error)}.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachable(f"The provider closed the connection: {_reason(error)}.", code="reset") from None
        return AiohttpResponse(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30, ssl=context)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"), headers={"accept-encoding": "identity"},
            max_line_size=65536, max_field_size=65536,
        )  # fmt: skip
        return self._session


class AiohttpResponse:
    """`Response` over aiohttp's."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int) -> bytes:
        content = self._response.content
        parts: list[bytes] = []
        size = 0
        while data := await self._next(content):
            size += len(data)
            if size > limit:
                self.abort()
                raise UpstreamFault(f"The provider's answer is larger than {limit} bytes.", code="upstream_too_large")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunk(self) -> bytes:
        return await self._next(self._response.content)

    async def _next(self, content: aiohttp.StreamReader) -> bytes:
        try:
            return await content.readany()
        except UpstreamError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamCut(f"The provider's answer ended before its end: {type(error).__name__}.") from None

    def fail(self, error: UpstreamError) -> None:
        self._response.content.set_exception(error)
        self._response.close()

    def abort(self) -> None:
        self._response.close()

    def finish(self) -> None:
        if not self._response.content.is_eof():
            task = asyncio.get_running_loop().create_task(_drain(self._response))
            _DRAINING.add(task)
            task.add_done_callback(_DRAINING.discard)


#: Tasks need a reference while they run (asyncio keeps weak ones only).
_DRAINING: set[asyncio.Task[None]] = set()


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what follows the last frame for at most a second; whatever goes wrong, the connection is just not kept."""
    try:
        async with asyncio.timeout(1):
            await response.content.read(4096)
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    finally:
        response.close()


def _reason(error: BaseException) -> str:
    """What the operating system says, without addresses that tell more than the configuration does."""
    inner = getattr(error, "os_error", None) or error
    number = getattr(inner, "errno", None)
    return os.strerror(number) if number else type(inner).__name__
