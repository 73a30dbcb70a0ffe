"""HTTP/1.1 towards providers: keep-alive connections that can be aborted in every phase (WIRE 8).

The rest of the product sees only `Transport` and `Response`. The connections are asyncio protocols around llhttp's
parser (`gateway/lines.py`): a plain exchange costs a quarter of what it cost with aiohttp's client, and an abort still
reaches the provider at once, before its headers too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs
from msgspec import Struct

from comporta.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from comporta.gateway.lines import Exchange, Line
from comporta.providers.base import Request

#: More than this is no answer of a model; it would only fill the memory.
MAX_REPLY_BYTES = 256 * 1024 * 1024
#: Errors are short; what comes beyond is left unread.
MAX_FAULT_BYTES = 64 * 1024


class Response(Protocol):
    """An answer whose headers are here and whose body is still to come."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case names; a repeated one is joined by commas."""

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


class Place(Struct, frozen=True):
    """Where connections go: what a pool is kept for."""

    host: str
    port: int
    tls: bool
    proxied: bool


class HttpTransport:
    """`Transport` over kept connections: no redirects, no cookies, no compression.

    `proxy` is an outgoing HTTP proxy (`http://user:password@host:port`), passed by for loopback addresses and for the
    hosts in `no_proxy` and below them; `ca_file` adds certificate authorities of the company's own. A connection that
    was idle for `keep_alive_s` seconds is closed.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        no_proxy: Sequence[str] = (),
        ca_file: str | None = None,
        keep_alive_s: float = 30.0,
    ) -> None:
        self._proxy = urlsplit(proxy) if proxy else None
        self._no_proxy = tuple(name.strip().lstrip(".").lower() for name in no_proxy)
        self._ca_file = ca_file
        self._keep_alive_s = keep_alive_s
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Place, list[Line]] = {}
        self._all: set[Line] = set()
        #: Where each URL goes and what its requests begin with; few, since they come from the configuration.
        self._known: dict[tuple[str, str], tuple[Place, bytes]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def send(self, request: Request, connect_s: float, timeout_s: float | None) -> Response:
        place, start = self._known.get((request.method, request.url)) or self._learn(request)
        data = _written(request, start)
        while True:
            line = self._kept(place) or await self._connect(place, connect_s)
            used = line.used
            exchange = line.exchange(data)
            timer = None if timeout_s is None else line.loop.call_later(timeout_s, _late, exchange, timeout_s)
            try:
                await exchange.begin()
            except UpstreamUnreachable:
                # A kept connection may be closed by the other side just as it is used: that is no failure of theirs.
                if not used or line.answered:
                    raise
            except BaseException:
                exchange.abort()
                raise
            else:
                return exchange
            finally:
                if timer is not None:
                    timer.cancel()

    async def send_once(self, request: Request, connect_s: float, timeout_s: float) -> Response:
        """The same on a connection of its own: what must not be done twice is never sent again by itself."""
        place, start = self._known.get((request.method, request.url)) or self._learn(request)
        line = await self._connect(place, connect_s)
        exchange = line.exchange(_written(request, start))
        timer = line.loop.call_later(timeout_s, _late, exchange, timeout_s)
        try:
            await exchange.begin()
        except BaseException:
            exchange.abort()
            raise
        finally:
            timer.cancel()
        return exchange

    @property
    def connections(self) -> int:
        """How many are open, idle ones included."""
        return len(self._all)

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        for line in tuple(self._all):
            line.transport.abort()

    def _learn(self, request: Request) -> tuple[Place, bytes]:
        parts = urlsplit(request.url)
        tls = parts.scheme == "https"
        host = parts.hostname or ""
        place = Place(host, parts.port or (443 if tls else 80), tls, self._goes_by_proxy(host))
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        by_proxy = place.proxied and not tls
        target = f"http://{_address(parts)}{path}" if by_proxy else path
        start = f"{request.method} {target} HTTP/1.1\r\nhost: {_address(parts)}\r\n"
        start += "accept: */*\r\naccept-encoding: identity\r\n"
        if by_proxy and self._proxy is not None:
            start += _proxy_credentials(self._proxy)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        known = self._known[request.method, request.url] = place, _on_one_wire(start)
        return known

    def _goes_by_proxy(self, host: str) -> bool:
        if self._proxy is None or host == "localhost" or host == "::1" or host.startswith("127."):
            return False
        return not any(host == name or host.endswith(f".{name}") for name in self._no_proxy)

    # -- kept connections

    def _kept(self, place: Place) -> Line | None:
        idle = self._idle.get(place)
        while idle:
            line = idle.pop()
            if line.open:
                return line
        return None

    def _put_by(self, place: Place, line: Line) -> None:
        loop = line.loop
        line.since_s = loop.time()
        self._idle.setdefault(place, []).append(line)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keep_alive_s, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long; the longest idle stand first."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        next_s = now_s + self._keep_alive_s
        for place, idle in list(self._idle.items()):
            stale = [line for line in idle if now_s - line.since_s >= self._keep_alive_s]
            for line in stale:
                line.transport.close()
            idle[:] = [line for line in idle if line.open]
            if idle:
                next_s = min(next_s, idle[0].since_s + self._keep_alive_s)
            else:
                del self._idle[place]
        self._sweeper = loop.call_at(next_s + 0.01, self._sweep) if self._idle else None

    # -- new connections

    async def _connect(self, place: Place, connect_s: float) -> Line:
        try:
            async with asyncio.timeout(connect_s):
                return await self._open(place)
        except TimeoutError:
            raise UpstreamTimeout(f"No connection within {connect_s:g} s.", code="connect_timeout") from None
        except ssl.SSLCertVerificationError as error:
            raise UpstreamUnreachable(
                f"The provider's certificate is not trusted ({error.verify_message}); see outgoing.ca_file.",
                code="certificate",
            ) from None
        except OSError as error:
            raise UpstreamUnreachable(f"No connection to the provider: {_reason(error)}.") from None

    async def _open(self, place: Place) -> Line:
        loop = asyncio.get_running_loop()
        sock = await self._socket(place)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, line = await loop.create_connection(
                lambda: Line(loop, lambda line: self._put_by(place, line), self._all.discard),
                sock=sock,
                ssl=self._context() if place.tls else None,
                server_hostname=place.host if place.tls else None,
            )
        except BaseException:
            sock.close()
            raise
        self._all.add(line)
        return line

    async def _socket(self, place: Place) -> socket.socket:
        proxy = self._proxy if place.proxied else None
        if proxy is None:
            return await _dial(place.host, place.port)
        sock = await _dial(proxy.hostname or "", proxy.port or 3128)
        if place.tls:
            try:
                await _tunnel(sock, place, _proxy_credentials(proxy))
            except BaseException:
                sock.close()
                raise
        return sock

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
            if self._ca_file:
                self._tls.load_verify_locations(self._ca_file)
        return self._tls


#: URLs remembered; a client that names another model with each call (Gemini's stands in the URL) must not fill memory.
_MOST_KNOWN = 4096
_MOST_PROXY_HEAD = 16 * 1024


def _late(exchange: Exchange, timeout_s: float) -> None:
    exchange.fail(UpstreamTimeout(f"No answer within {timeout_s:g} s.", code="first_token_timeout"))


def _written(request: Request, start: bytes) -> bytes:
    head = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
    if head.count("\n") != len(request.headers) or head.count("\r") != len(request.headers):
        raise UpstreamUnreachable("A header for the provider holds a line break; see its `headers` and its key.")
    return b"".join((start, _on_one_wire(head), b"content-length: %d\r\n\r\n" % len(request.body), request.body))


def _on_one_wire(text: str) -> bytes:
    """Text of a head; what Latin-1 has no place for goes out as UTF-8, as other clients send it."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


def _address(parts: SplitResult) -> str:
    """Host and port as they were written, without a name and a password."""
    return parts.netloc.rpartition("@")[2]


async def _dial(host: str, port: int) -> socket.socket:
    """A connected socket to the first address that answers, whichever kind of address (RFC 8305)."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=0.25, loop=loop)


async def _tunnel(sock: socket.socket, place: Place, credentials: str) -> None:
    """Ask the proxy for a connection through to `place`."""
    loop = asyncio.get_running_loop()
    address = f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
    await loop.sock_sendall(sock, _on_one_wire(f"CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n{credentials}\r\n"))
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(sock, 4096)
        head += data
        if not data or len(head) > _MOST_PROXY_HEAD:
            raise UpstreamUnreachable("The outgoing proxy gave no proper answer.", code="proxy_failed")
    # Any 2xx opens the tunnel, with words behind it or without (RFC 9110, 9.3.6).
    status = head[:64].split()[1:2]
    if not (status and len(status[0]) == 3 and status[0].startswith(b"2")):
        told = status[0][:3].decode("latin-1") if status else "no status"
        raise UpstreamUnreachable(f"The outgoing proxy refused the connection ({told}).", code="proxy_refused")


def _proxy_credentials(proxy: SplitResult) -> str:
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"proxy-authorization: Basic {b64encode(pair.encode()).decode()}\r\n"


def _reason(error: OSError) -> str:
    """What the operating system says, without addresses that tell more than the configuration does."""
    if isinstance(error, socket.gaierror):
        return "its name is not known here"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    return os.strerror(error.errno) if error.errno else type(error).__name__
