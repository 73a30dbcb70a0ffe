"""ASGI applications (admin API, console) on granian's RSGI: an adapter for HTTP, websocket and lifespan."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import quote

import structlog

from comporta.errors import ComportaError

log = structlog.get_logger("comporta.gateway")

Message = MutableMapping[str, Any]
AsgiApp = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

#: With 2.3 starlette itself watches for a client that leaves and ends the stream; from 2.4 on it waits for a failed
#: send, which never comes while the application has nothing to send.
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_FAILED = (
    b'{"error":{"message":"Something failed inside the gate.","type":"api_error","param":null,"code":"internal_error"}}'
)
#: granian buffers without bound and never yields; after so many bytes others get their turn.
_YIELD_BYTES = 64 * 1024


class AsgiMount:
    """Serves an ASGI application: await `startup()` before the first request and `shutdown()` after the last.

    `startup` raises ComportaError when the application says that it can't start; one without lifespan just starts.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._lifespan = _Lifespan(app, self._state)

    async def startup(self) -> None:
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        await self._lifespan.shutdown()

    async def __call__(self, scope: Any, proto: Any) -> None:
        if scope.proto == "http":
            await self._http(scope, proto)
        else:
            await self._websocket(scope, proto)

    async def _http(self, scope: Any, proto: Any) -> None:
        exchange = _Exchange(proto, scope.headers)
        try:
            await self._app(_http_scope(scope, self._state.copy()), exchange.receive, exchange.send)
        except Exception as failure:
            log.error("mounted_app_failed", path=scope.path, kind=type(failure).__name__, exc_info=failure)
            exchange.fail()
        finally:
            exchange.close()

    async def _websocket(self, scope: Any, proto: Any) -> None:
        socket = _Socket(proto)
        try:
            await self._app(_websocket_scope(scope, self._state.copy()), socket.receive, socket.send)
        except Exception as failure:
            log.error("mounted_app_failed", path=scope.path, kind=type(failure).__name__, exc_info=failure)
            socket.close(1011, 500)
        else:
            socket.close(1000, 403)


def _scope(scope: Any, state: dict[str, Any]) -> dict[str, Any]:
    """What both kinds share. The server decodes the path, so `raw_path` is it encoded again."""
    return {
        "asgi": _ASGI,
        "http_version": scope.http_version,
        "path": scope.path,
        "raw_path": quote(scope.path, safe="/!$&'()*+,;=:@~").encode("ascii"),
        "root_path": "",
        "query_string": scope.query_string.encode("latin-1"),
        "headers": [(k.encode("latin-1"), v.encode("latin-1", "replace")) for k, v in scope.headers.items()],
        "client": _address(scope.client),
        "server": _address(scope.server),
        "state": state,
    }


def _http_scope(scope: Any, state: dict[str, Any]) -> dict[str, Any]:
    return {"type": "http", "scheme": scope.scheme, "method": scope.method, **_scope(scope, state)}


def _websocket_scope(scope: Any, state: dict[str, Any]) -> dict[str, Any]:
    """granian's accept knows no subprotocols, so none are offered to the application."""
    scheme = "wss" if scope.scheme == "https" else "ws"
    return {"type": "websocket", "scheme": scheme, "subprotocols": [], **_scope(scope, state)}


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else None


def _pairs(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


class _Exchange:
    """One HTTP request and its answer.

    granian ends a streamed response when its transport is freed, so this holds the only reference to it.
    """

    __slots__ = ("_answered", "_body", "_gone", "_head", "_proto", "_since_yield", "_transport")

    def __init__(self, proto: Any, headers: Any) -> None:
        self._proto = proto
        self._body = _Body(proto, headers)
        self._gone: asyncio.Future[None] | None = None
        self._head: tuple[int, list[tuple[str, str]]] | None = None
        self._transport: Any = None
        self._answered = asyncio.Event()
        self._since_yield = 0

    async def receive(self) -> Message:
        """The next piece of the body; after its end, wait until the client leaves or the answer is out."""
        if not self._body.ended:
            return await self._body.read()
        await self._left()
        return {"type": "http.disconnect"}

    async def _left(self) -> None:
        if self._gone is None:
            self._gone = asyncio.ensure_future(_until_gone(self._proto))
        if self._gone.done() or self._answered.is_set():
            return
        answered = asyncio.ensure_future(self._answered.wait())
        try:
            await asyncio.wait((self._gone, answered), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("The application started its answer twice.")
            self._head = (message["status"], _pairs(message.get("headers", ())))
        elif kind == "http.response.body":
            await self._answer(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"The application sent {kind}, which HTTP answers don't know.")

    async def _answer(self, data: bytes, more: bool) -> None:
        if self._head is None:
            raise RuntimeError("The application sent a body before its status.")
        if self._answered.is_set():
            return
        if self._transport is None and not more:
            self._proto.response_bytes(*self._head, bytes(data))
            self._answered.set()
            return
        if self._transport is None:
            self._transport = self._proto.response_stream(*self._head)
        await self._stream(bytes(data))
        if not more:
            self._answered.set()
            self._transport = None

    async def _stream(self, data: bytes) -> None:
        if not data:
            return
        try:
            await self._transport.send_bytes(data)
        except Exception:
            # The client has gone; ASGI wants that to be silent, `receive` tells it.
            self._answered.set()
            self._transport = None
            return
        self._since_yield += len(data)
        if self._since_yield > _YIELD_BYTES:
            self._since_yield = 0
            await asyncio.sleep(0)

    def fail(self) -> None:
        """A failed application: a 500, as long as nothing of the answer is out."""
        if self._transport is None and not self._answered.is_set():
            self._answered.set()
            self._proto.response_bytes(500, [("content-type", "application/json")], _FAILED)

    def close(self) -> None:
        if self._head is None:
            self.fail()
        self._body.close()
        if self._gone is not None:
            self._gone.cancel()
        self._answered.set()
        self._transport = None


class _Body:
    """A request's body, piece by piece."""

    __slots__ = ("_expected", "_parts", "_reading", "_seen", "ended")

    def __init__(self, proto: Any, headers: Any) -> None:
        length = headers.get("content-length")
        self._expected = int(length) if length and length.isdecimal() else None
        self._parts = aiter(proto)
        self._reading: asyncio.Future[bytes] | None = None
        self._seen = 0
        self.ended = False
        if not self._expected and "transfer-encoding" not in headers:
            self._expected = 0

    async def read(self) -> Message:
        """The next piece. The reading goes on when its asker is cancelled: starlette asks so whether one is there."""
        if self._seen == self._expected:
            self.ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._reading is None:
            self._reading = asyncio.ensure_future(anext(self._parts, b""))
        part = await asyncio.shield(self._reading)
        self._reading = None
        return self._came(part)

    def _came(self, part: bytes) -> Message:
        """granian ends a cut-off body in silence: only Content-Length tells it from a whole one."""
        self._seen += len(part)
        self.ended = not part or self._seen == self._expected
        if not part and self._expected is not None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": not self.ended}

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


async def _until_gone(proto: Any) -> None:
    await proto.client_disconnect()


class _Socket:
    """One websocket, before and after it is accepted."""

    __slots__ = ("_asked", "_closed", "_proto", "_transport")

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self._asked = False
        self._closed = False
        self._transport: Any = None

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        if self._transport is None or self._closed:
            return {"type": "websocket.disconnect", "code": 1006}
        try:
            message = await self._transport.receive()
        except Exception:
            self._closed = True
            return {"type": "websocket.disconnect", "code": 1006}
        return self._received(message)

    def _received(self, message: Any) -> Message:
        if message.kind == 1:
            return {"type": "websocket.receive", "bytes": message.data}
        if message.kind == 2:
            return {"type": "websocket.receive", "text": message.data}
        self._closed = True
        return {"type": "websocket.disconnect", "code": 1005}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self._transport = await self._proto.accept()
        elif kind == "websocket.close":
            self.close(message.get("code", 1000), 403)
        elif kind == "websocket.send":
            await self._push(message)
        else:
            raise RuntimeError(f"The application sent {kind}, which websockets don't know.")

    async def _push(self, message: Message) -> None:
        if self._transport is None:
            raise RuntimeError("The application sent before it accepted the websocket.")
        if self._closed:
            return
        text = message.get("text")
        try:
            if text is not None:
                await self._transport.send_str(text)
            else:
                await self._transport.send_bytes(message["bytes"])
        except Exception:  # the other side has gone; `receive` tells the application
            self._closed = True

    def close(self, code: int, refused_status: int) -> None:
        """Close, or refuse the handshake with an HTTP status where it was never accepted.

        granian 2.8 sends its close frame without the code: the other side sees 1005.
        """
        accepted, already = self._transport is not None, self._closed
        self._closed = True
        if not already:
            self._proto.close(code if accepted else refused_status)
        self._transport = None


class _Lifespan:
    """The application's start and end, as one task that runs between them."""

    def __init__(self, app: AsgiApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._in.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()
        if self._failure is not None:
            raise ComportaError(f"A mounted application can't start: {self._failure}", code="mount_failed")

    async def shutdown(self) -> None:
        if self._task is None:
            return
        if not self._task.done():
            self._in.put_nowait({"type": "lifespan.shutdown"})
            await self._stopped.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": _ASGI, "state": self._state}
        try:
            await self._app(scope, self._in.get, self._send)
        except Exception as error:
            if self._started.is_set():
                log.error("mounted_app_end_failed", kind=type(error).__name__, exc_info=error)
            else:
                log.debug("mounted_app_without_lifespan", kind=type(error).__name__)
        finally:
            self._started.set()
            self._stopped.set()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.failed":
            self._failure = (message.get("message") or "it gave no reason").strip().splitlines()[-1]
            self._started.set()
        elif kind == "lifespan.startup.complete":
            self._started.set()
        else:
            if kind == "lifespan.shutdown.failed":
                log.error("mounted_app_end_failed", message=message.get("message"))
            self._stopped.set()
