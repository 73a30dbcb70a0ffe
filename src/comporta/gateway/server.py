"""The RSGI application: finds the door, the page or the mounted application that a path names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import structlog
from msgspec import Struct

from comporta.errors import BadRequest, ComportaError, NotFound, Unavailable
from comporta.gateway.answering import Answering, asking_again
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.listing import error as in_envelope
from comporta.gateway.reading import read_body, request_id_of
from comporta.pipeline import new_id

log = structlog.get_logger("comporta.gateway")


#: A page may ask a database that neither answers nor is away (frozen, out of disk).
_PAGE_LIMIT_S = 20.0
#: How long the body of a small POST may take to arrive.
_BODY_LIMIT_S = 15.0


Pairs = Sequence[tuple[str, str]]


class Page(Struct, frozen=True):
    """What a small GET, POST or DELETE answers."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Pairs = ()
    #: In place of the body: it is sent as it comes, however long it is.
    pieces: AsyncIterator[bytes] | None = None


class Asked(Struct, frozen=True):
    """What a small page may look at: the rest of the path after its prefix, the query, the headers, a POST's body."""

    rest: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


PageOf = Callable[[Asked], Awaitable[Page]]
#: An application mounted below a path (admin API), called with granian's own scope and protocol.
Mount = Callable[[Any, Any], Awaitable[None]]


class Server:
    """Routes by exact path, then by prefix. `doors` answer POST; `pages` answer GET; `mounts` answer everything below.

    `pages` keys ending in `/` match every path below them, but for `/` itself; so do those of `deletions`, which
    answer DELETE, and of `posts`, which answer POST and find its body (up to `max_body` bytes) in `Asked.body`.
    `packed` are those of the posts that take a packed body, as it is, and of how many bytes; `large` those that take a
    larger one than others. `preflights` answer OPTIONS, with which browsers ask for leave of another origin's pages.
    `inner` are posts by their prefixes that the gate's own processes ask for, and how many seconds they may take.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        doors: tuple[Door, ...],
        pages: Mapping[str, PageOf],
        mounts: Mapping[str, Mount],
        deletions: Mapping[str, PageOf] | None = None,
        posts: Mapping[str, PageOf] | None = None,
        packed: Mapping[str, int] | None = None,
        large: Mapping[str, int] | None = None,
        preflights: Mapping[str, PageOf] | None = None,
        inner: Mapping[str, tuple[PageOf, float]] | None = None,
        max_body: int = 20 * 1024 * 1024,
    ) -> None:
        self.answering = answering
        self._doors = {door.path: door for door in doors}
        self._pages = {path: page for path, page in pages.items() if path == "/" or not path.endswith("/")}
        self._below = {path: page for path, page in pages.items() if path not in self._pages}
        self._deletions = deletions or {}
        self._posts = posts or {}
        self._packed = packed or {}
        self._large = {**(large or {}), **self._packed}
        self._preflights = preflights or {}
        self._inner = inner or {}
        self._max_body = max_body
        self._mounts = mounts

    async def __call__(self, scope: Any, proto: Any) -> None:
        if scope.proto != "http":
            proto.close(404)
            return
        door = self._doors.get(scope.path)
        if door is not None and scope.method == "POST":
            await self.answering(door, scope, proto)
        else:
            await self._other(scope, proto, door)

    async def _other(self, scope: Any, proto: Any, door: Door | None) -> None:
        path: str = scope.path
        for prefix, mount in self._mounts.items():
            if path == prefix or path.startswith(prefix + "/"):
                await mount(scope, proto)
                return
        page, rest = self._page(path)
        remove, below = _below(self._deletions, path)
        if remove is not None and scope.method == "DELETE":
            await _show(remove, below, scope, proto)
            return
        if scope.method == "OPTIONS" and path in self._preflights:
            await _show(self._preflights[path], "", scope, proto)
            return
        take, posted = _below(self._posts, path)
        if take is not None and scope.method == "POST":
            most = self._large.get(path, self._max_body)
            await _show(take, posted, scope, proto, most, packed=path in self._packed)
            return
        for prefix, (inner, limit_s) in self._inner.items():
            if path.startswith(prefix) and scope.method == "POST":
                await _show(inner, path[len(prefix) :], scope, proto, self._max_body, limit_s=limit_s)
                return
        if page is None or scope.method not in ("GET", "HEAD"):
            _wrong_path(scope, proto, _methods(page, remove, take or door))
            return
        await _show(page, rest, scope, proto)

    def _page(self, path: str) -> tuple[PageOf | None, str]:
        page = self._pages.get(path)
        if page is not None:
            return page, ""
        return _below(self._below, path)


def _below(pages: Mapping[str, PageOf], path: str) -> tuple[PageOf | None, str]:
    """The page whose prefix a path has, and the rest of the path; a key that doesn't end in `/` is a whole path."""
    for prefix, page in pages.items():
        if path == prefix or (prefix.endswith("/") and path.startswith(prefix)):
            return page, path[len(prefix) :]
    return None, ""


def _methods(page: object, remove: object, take: object) -> str | None:
    """The methods of a path, as `allow` lists them; None where there is nothing."""
    return ", ".join([name for name, one in (("GET", page), ("DELETE", remove), ("POST", take)) if one]) or None


def _wrong_path(scope: Any, proto: Any, allowed: str | None) -> None:
    if allowed is None:
        error: ComportaError = NotFound(f"There is nothing at {_printable(scope.path)}.")
    else:
        error = BadRequest(f"Use {allowed} here.", code="method_not_allowed", status=405)
    headers = [] if allowed is None else [("allow", allowed)]
    _send_error(scope, proto, error, request_id_of(scope.headers) or new_id(), headers)


def _printable(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path[:200])


async def _show(
    page: PageOf, rest: str, scope: Any, proto: Any, max_body: int = 0, *, packed: bool = False,
    limit_s: float = _PAGE_LIMIT_S,
) -> None:  # fmt: skip
    """`max_body`: the largest body that is read, in bytes; 0 reads none."""
    request_id = request_id_of(scope.headers) or new_id()
    loop = asyncio.get_running_loop()
    try:
        _check(rest, "path")
        query = _query(scope.query_string)
        body = await read_body(proto, scope.headers, max_body, _BODY_LIMIT_S, loop, packed) if max_body else b""
        async with asyncio.timeout(limit_s):
            shown = await page(Asked(rest, query, scope.headers, body))
    except TimeoutError:
        told = f"No answer within {limit_s:g} s: does PostgreSQL respond? See `comporta doctor`."
        _send_error(scope, proto, Unavailable(told, code="database_unavailable"), request_id)
    except ComportaError as error:
        _send_error(scope, proto, error, request_id)
    except Exception as error:
        log.error("page_failed", request_id=request_id, path=scope.path, kind=type(error).__name__, exc_info=error)
        _send_error(scope, proto, ComportaError(f"This failed; see the log under request id {request_id}."), request_id)
    else:
        head = [("content-type", shown.content_type), ("x-request-id", request_id), *shown.headers]
        if shown.pieces is not None and scope.method != "HEAD":
            await _send_pieces(shown.pieces, shown.status, head, proto, request_id)
            return
        proto.response_bytes(shown.status, head, b"" if scope.method == "HEAD" else shown.body)


async def _send_pieces(
    pieces: AsyncIterator[bytes], status: int, head: Sequence[tuple[str, str]], proto: Any, request_id: str
) -> None:
    """Send what comes, as it comes. Where it breaks off it is shorter than its content-length said, and no client takes
    a part for the whole."""
    out = proto.response_stream(status, list(head))
    try:
        async for piece in pieces:
            await out.send_bytes(piece)
    except Exception as error:
        log.warning("page_broke_off", request_id=request_id, kind=type(error).__name__)
        raise


def _query(text: str) -> dict[str, str]:
    try:
        query = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=64))
    except ValueError as error:
        raise BadRequest(f"The query can't be read: {error}.", code="bad_query") from None
    for name, value in query.items():
        _check(name + value, "query")
    return query


def _check(text: str, place: str) -> None:
    if "\0" in text:
        # No name holds one, and PostgreSQL refuses it.
        raise BadRequest(f"The {place} holds a NUL character.", code="bad_query")


def _send_error(scope: Any, proto: Any, error: ComportaError, request_id: str, more: Pairs = ()) -> None:
    head = [("content-type", "application/json"), ("x-request-id", request_id), *asking_again(error), *more]
    proto.response_bytes(error.status, head, in_envelope(error, scope.headers))
