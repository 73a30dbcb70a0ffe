"""The outermost layer of the admin API: an administrator's key, a bounded body, and a request id on every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comporta.errors import BadRequest, BodyTooLarge, ComportaError, Forbidden, Unavailable
from comporta.gateway.reading import request_id_of, secret_of
from comporta.pipeline import new_id
from comporta.types import Caller

log = structlog.get_logger("comporta.gateway")

MAX_BODY = 256 * 1024
_MOST_DISCARDED = 32 * 1024 * 1024
#: A folder of prompts comes in one piece, since it is taken in as a whole or not at all; so do names of thousands.
MAX_PUSH = 32 * 1024 * 1024
LARGE = ("/admin/prompts/push", "/admin/prompts/deploy")
_BODY_LIMIT_S = 30.0
#: Reads of a database that neither answers nor is away (frozen, out of disk) end here.
_ANSWER_LIMIT_S = 25.0
_LARGE_LIMIT_S = 120.0
#: They describe the software and hold no data, and a browser can't send a key with a page it opens.
OPEN = ("/admin", "/admin/docs", "/admin/openapi.json")


def envelope(error: ComportaError) -> bytes:
    """OpenAI's error envelope (WIRE 13): absent is JSON null."""
    told = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": told})


class Guarded:
    """Lets only administrators through to `app`, with `request.state.caller` and `request.state.request_id` set."""

    def __init__(self, app: ASGIApp, authenticate: Callable[[str], Caller]) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_of(headers) or new_id()
        send = _marked(send, request_id)
        try:
            state = {**scope.get("state", {}), "request_id": request_id, "caller": self._caller(scope["path"], headers)}
            _demand_no_nul(scope)
            body = await _body(receive, MAX_PUSH if scope["path"] in LARGE else MAX_BODY)
            if body:
                _demand_json(headers)
        except ComportaError as error:
            await refuse(send, error)
            return
        if body is not None:
            await self._answer({**scope, "state": state}, _again(body, receive), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What nobody foresaw is told by its request id; the log knows the rest."""
        limit_s = _LARGE_LIMIT_S if scope["path"] in LARGE else _ANSWER_LIMIT_S
        try:
            async with asyncio.timeout(limit_s):
                await self._app(scope, receive, send)
        except TimeoutError:
            told = f"No answer within {limit_s:g} s: does PostgreSQL respond? See `comporta doctor`."
            await refuse(send, Unavailable(told, code="database_unavailable"))
        except Exception as error:
            request_id = scope["state"]["request_id"]
            log.error("admin_failed", request_id=request_id, path=scope["path"], exc_info=error)
            told = f"Something failed inside the gate; its log knows more under request id {request_id}."
            await refuse(send, ComportaError(told))

    def _caller(self, path: str, headers: Headers) -> Caller | None:
        if path in OPEN:
            return None
        caller = self._authenticate(secret_of(headers))
        if not caller.admin:
            raise Forbidden(f"The key '{caller.name}' is not an administrator's; /admin needs one that is.")
        return caller


def _demand_json(headers: Headers) -> None:
    """Without the word for it a body would be read as plain text, and every mistake told of that."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise BadRequest(
            "Send the body as JSON, with the header `Content-Type: application/json`.",
            code="unsupported_media_type", status=415,
        )  # fmt: skip


def _demand_no_nul(scope: Scope) -> None:
    """No name holds a NUL, and PostgreSQL refuses it."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
        raise BadRequest("The path or the query holds a NUL character.", code="bad_query")


async def refuse(send: Send, error: ComportaError) -> None:
    head = [(b"content-type", b"application/json")]
    if error.retry_after_s is not None:
        head.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": head})
    await send({"type": "http.response.body", "body": envelope(error)})


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None where the client left before its end.

    One that is too large is read on and forgotten: a client that is still sending would not see the answer.
    """
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(_BODY_LIMIT_S):
            while more and size <= 2 * _MOST_DISCARDED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                size += len(message.get("body", b""))
                if size <= most:
                    parts.append(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        raise BadRequest(
            f"The body did not arrive within {_BODY_LIMIT_S:g} s.", code="body_timeout", status=408
        ) from None
    if size > most:
        raise BodyTooLarge(f"The body is larger than {most} bytes.")
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return waiting.pop() if waiting else await receive()

    return read


def _marked(send: Send, request_id: str) -> Send:
    more = [(b"x-request-id", request_id.encode()), (b"cache-control", b"no-store")]

    async def write(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[Any] = [*message.get("headers", ()), *more]
            message = {**message, "headers": headers}
        await send(message)

    return write
