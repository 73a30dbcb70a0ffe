"""One connection to Redis for one command at a time, with next to nothing between the command and the socket.

The client library costs 70 µs of CPU a command, this costs 10, and every batch of counting pays it. Addresses with TLS
go through the library, which knows its options. Protocol: RESP2, and of that what EVALSHA, SCRIPT, AUTH and SELECT
answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Answer = bytes | int | None

_ERRORS: dict[bytes, type[RedisError]] = {
    b"NOSCRIPT": NoScriptError, b"NOPERM": NoPermissionError, b"WRONGPASS": AuthenticationError,
    b"NOAUTH": AuthenticationError,
    # It is there, and can't count just now: as good as away.
    **dict.fromkeys((b"LOADING", b"READONLY", b"MASTERDOWN", b"CLUSTERDOWN", b"BUSY", b"MISCONF", b"OOM"),
                    RedisConnectionError),
}  # fmt: skip
_LARGEST_ANSWER = 64 * 1024 * 1024


class _Wire(asyncio.Protocol):
    """A connected socket: whoever asks gets the next answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._read = b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read = self._read + data if self._read else data
        try:
            parsed = _parsed(self._read)
        except RedisError as error:
            self._read = b""
            self._fail(error)
            if isinstance(error, RedisConnectionError):
                self.abort()
            return
        if parsed is not None:
            self._read = b""
            answer, self._answer = self._answer, None
            if answer is not None and not answer.done():
                answer.set_result(parsed[0])

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._fail(RedisConnectionError("The connection to Redis was closed."))

    def ask(self, command: bytes) -> asyncio.Future[Answer]:
        assert self._answer is None and self._transport is not None, "one command at a time"
        self._answer = answer = self._loop.create_future()
        self._transport.write(command)
        return answer

    def abort(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: RedisError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)


class Line:
    """Connects when it must. A command that fails or takes too long closes the connection; the next opens another."""

    def __init__(self, url: str, *, connect_s: float, answer_s: float) -> None:
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._options: dict[str, Any] = dict(parse_url(url))
        self._wire: _Wire | None = None
        self._library: Redis | None = None
        if "ssl" in str(self._options.get("connection_class", "")).lower():
            self._library = Redis.from_url(
                url, socket_connect_timeout=connect_s, socket_timeout=answer_s,
                retry=Retry(NoBackoff(), 0), single_connection_client=True, protocol=2,
            )  # fmt: skip

    async def ask(self, *command: bytes | str | int) -> Answer:
        """The answer to one command; never call it twice at a time. Raises RedisError or OSError."""
        if self._library is not None:
            found: Answer = await self._library.execute_command(*command)  # type: ignore[no-untyped-call]
            return found
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._connected()
        return await self._asked(wire, _packed(command), self._answer_s)

    async def bulk(self, *command: bytes | str | int) -> bytes:
        """The answer to a command that answers with bytes."""
        found = await self.ask(*command)
        if isinstance(found, bytes):
            return found
        raise RedisConnectionError("Redis answered in another form than it was asked for.")

    async def load(self, script: bytes) -> str:
        """The name by which EVALSHA knows a script from now on."""
        return (await self.bulk("SCRIPT", "LOAD", script)).decode()

    async def close(self) -> None:
        if self._wire is not None:
            self._wire.abort()
        if self._library is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._library.aclose()

    async def _asked(self, wire: _Wire, command: bytes, limit_s: float) -> Answer:
        # A timer that aborts the connection costs a tenth of `asyncio.timeout`; the answer then fails by itself.
        timer = asyncio.get_running_loop().call_later(limit_s, _too_slow, wire)
        try:
            return await wire.ask(command)
        except asyncio.CancelledError:
            # The answer that comes yet would be taken for the next command's.
            wire.abort()
            raise
        finally:
            timer.cancel()

    async def _connected(self) -> _Wire:
        options, loop = self._options, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                if path := options.get("path"):
                    _, wire = await loop.create_unix_connection(_Wire, path)
                else:
                    host, port = options.get("host") or "localhost", options.get("port") or 6379
                    _, wire = await loop.create_connection(_Wire, host, port)
        except TimeoutError:
            raise RedisTimeoutError("Redis took too long to take the connection.") from None
        self._wire = wire
        try:
            await self._greet(wire)
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _greet(self, wire: _Wire) -> None:
        user, password, db = (self._options.get(name) for name in ("username", "password", "db"))
        if password:
            await self._asked(wire, _packed(("AUTH", *([user] if user else []), password)), self._connect_s)
        if db:
            await self._asked(wire, _packed(("SELECT", int(db))), self._connect_s)


def _too_slow(wire: _Wire) -> None:
    wire._fail(RedisTimeoutError("Redis took too long to answer."))
    wire.abort()


def _packed(command: tuple[bytes | str | int, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts += (b"$%d\r\n" % len(raw), raw, b"\r\n")
    return b"".join(parts)


def _parsed(read: bytes) -> tuple[Answer] | None:
    """The answer in a tuple; None while it is not whole. Raises what it says, or RedisConnectionError for nonsense."""
    end = read.find(b"\r\n")
    if end < 0:
        return None
    kind, line = read[:1], read[1:end]
    if kind == b"$":
        return _bulk(read, end + 2, _number(line))
    if kind == b"+":
        return (line,)
    if kind == b":":
        return (_number(line),)
    if kind == b"-":
        raise _ERRORS.get(line.partition(b" ")[0], ResponseError)(line.decode(errors="replace"))
    raise RedisConnectionError("This is no answer of Redis.")


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise RedisConnectionError("This is no answer of Redis.") from None


def _bulk(read: bytes, begin: int, length: int) -> tuple[Answer] | None:
    if length < 0:
        return (None,)
    if length > _LARGEST_ANSWER:
        raise RedisConnectionError("The answer is too large to be one.")
    return (read[begin : begin + length],) if len(read) >= begin + length + 2 else None
