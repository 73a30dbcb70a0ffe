"""Reading a request from the server: body with a size and a time limit, caller's secret, request id."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from typing import Any

from comporta.budget.allocation import HEADER as TAGS
from comporta.errors import BadRequest, BodyTooLarge, InvalidKey

#: So much of a body that is too large is still read, so that its sender gets to hear why it is refused.
_MOST_DISCARDED = 256 * 1024 * 1024
#: Of what the gate's own processes ask: for which key, and in which batch. Believed of the data folder's key alone.
AS_KEY, BATCH = "x-comporta-as-key", "x-comporta-batch"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}\Z")


async def read_body(
    proto: Any,
    headers: Mapping[str, str],
    limit: int,
    timeout_s: float,
    loop: asyncio.AbstractEventLoop,
    packed: bool = False,
) -> bytes:
    """The whole body. Raises BodyTooLarge above `limit` bytes and BadRequest for one that is cut off or too slow.

    `packed`: one with a Content-Encoding is read as well, and left as it is.

    granian ends the iteration in silence when the client leaves, so the size is held against Content-Length.
    """
    if not packed:
        _plainly_written(headers)
    expected = _declared(headers)
    if expected is not None and expected > limit:
        await _discard(proto, timeout_s)
        raise BodyTooLarge(f"The body has {expected} bytes; the limit is {limit}.")
    if expected is not None and expected <= 65536:
        body: bytes = await _small(proto, timeout_s, loop)
    else:
        body = await _large(proto, limit, timeout_s)
    if expected is not None and len(body) != expected:
        raise BadRequest(f"The body ended after {len(body)} of {expected} bytes.", code="incomplete_body")
    return body


def _plainly_written(headers: Mapping[str, str]) -> None:
    """Bodies come as they are: a small compressed one could unfold to any size."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadRequest(
            "The body has a Content-Encoding: send it uncompressed, without that header.",
            code="unsupported_encoding",
            status=415,
        )


def _declared(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not text.isdecimal():
        raise BadRequest("Content-Length is not a number.")
    return int(text)


async def _discard(proto: Any, timeout_s: float) -> None:
    """Read a body that is too large and forget it: a client that is still sending would not see our answer."""
    left = _MOST_DISCARDED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            async for part in proto:
                left -= len(part)
                if left < 0:
                    return


async def _small(proto: Any, timeout_s: float, loop: asyncio.AbstractEventLoop) -> bytes:
    """A body that comes at once, as nearly all do: a bare timer costs a third of `asyncio.timeout`."""
    late = _Late()
    timer = loop.call_later(timeout_s, late.strike, asyncio.current_task(loop))
    try:
        return bytes(await proto())
    except asyncio.CancelledError:
        if not late.struck or late.others():
            raise
        raise _late(timeout_s) from None
    except Exception:  # granian's word for a connection that was closed in the middle
        raise BadRequest("The body broke off before its end.", code="incomplete_body") from None
    finally:
        timer.cancel()


class _Late:
    """Cancels a task, and knows whether the cancelling was its own alone."""

    __slots__ = ("_task", "struck")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self.struck = False

    def strike(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            self._task, self.struck = task, True
            task.cancel()

    def others(self) -> bool:
        return self._task is not None and self._task.uncancel() > 0


async def _large(proto: Any, limit: int, timeout_s: float) -> bytes:
    """What is too large is read on and forgotten, in the same go: granian lets a body be walked through but once."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for part in proto:
                size += len(part)
                if size <= limit:
                    parts.append(part)
                elif size > _MOST_DISCARDED:
                    break
    except TimeoutError:
        if size <= limit:
            raise _late(timeout_s) from None
    if size > limit:
        raise BodyTooLarge(f"The body is larger than {limit} bytes.")
    return b"".join(parts)


def _late(timeout_s: float) -> BadRequest:
    return BadRequest(f"The body did not arrive within {timeout_s:g} s.", code="body_timeout", status=408)


def secret_of(headers: Mapping[str, str]) -> str:
    """The caller's key: `Authorization: Bearer`, Anthropic's `x-api-key` or Azure's `api-key`. Raises InvalidKey."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() == "bearer" and secret.strip():
            return secret.strip()
    secret = headers.get("x-api-key") or headers.get("api-key") or ""
    if not secret:
        raise InvalidKey(
            "No key was sent: put a Comporta key into `Authorization: Bearer …` or `x-api-key`.", code="missing_api_key"
        )
    return secret


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The client's own `x-request-id` where it is usable, else None (WIRE 22)."""
    given = headers.get("x-request-id")
    return given if given is not None and _REQUEST_ID.match(given) else None


#: Client headers that some provider may need (WIRE 26), and what the cache is told; nothing else of a request's head
#: travels on (WIRE 21), and this one of the cache's not beyond the gate.
_PASSED = ("anthropic-version", "anthropic-beta", "cache-control", TAGS, "x-comporta-cache", "x-comporta-cache-tags",
           "x-comporta-task")  # fmt: skip


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in _PASSED:
        value = headers.get(name)
        if value is not None:
            found[name] = value
    return found
