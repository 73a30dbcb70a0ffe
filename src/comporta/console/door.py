"""The console's door: nothing passes without a session, and nothing that another site's page has caused.

The user interface's own socket takes connections from every origin, so that is checked here, for it and for every
POST. A socket must also belong to the session that the page was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comporta.console.sessions import Session, Sessions
from comporta.errors import Unavailable

#: What anybody may have: the sign-in page, its style, the interface's own scripts (they hold no data).
_OPEN = ("/sign-in", "/web/", "/favicon.ico", "/health", "/_nicegui/")
_SOCKET = "/_nicegui_ws/"
_SAFE = ("GET", "HEAD")
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
#: A page that was asked for comes by itself once the database is back.
_AGAIN = ((b"refresh", b"5"), (b"retry-after", b"5"))
#: The session of a request, in its scope's state; and of a socket, in its own.
SESSION = "comporta_session"


class Door:
    """ASGI around the whole console. `owner` says whose session the page of a client's id was made for."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, *, cookie: str, url: str | None, hosts: Collection[str],
        owner: Callable[[str], bytes | None],
    ) -> None:  # fmt: skip
        self._app = app
        self._sessions = sessions
        self._cookie = cookie
        self._site = urlsplit(url).netloc.lower() if url else None
        self._hosts = frozenset(hosts)
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, _guarded(send))
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        if not self._known_host(headers):
            await _answer(send, 421, "This console is not known by that name; set console.url to the address you use.")
            return
        path = scope["path"]
        if path.startswith(_SOCKET):
            await _answer(send, 403, "The console talks by websocket alone.")
            return
        if scope["method"] not in _SAFE and not self._same_origin(headers):
            await _answer(send, 403, "This request comes from another site's page.")
            return
        if not path.startswith(_OPEN):
            try:
                session = await self._session(headers)
            except Unavailable as error:
                await _answer(send, 503, error.message, _AGAIN if scope["method"] in _SAFE else ())
                return
            if session is None:
                await _to_sign_in(scope, send)
                return
            scope.setdefault("state", {})[SESSION] = session
        await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        try:
            session = await self._session(headers)
        except Unavailable:
            session = None
        fits = session is not None and self._known_host(headers) and self._same_origin(headers)
        if session is None or not fits or self._owner(_client(scope)) != session.digest:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "not signed in here"})
            return
        scope.setdefault("state", {})[SESSION] = session
        await self._app(scope, receive, send)

    async def _session(self, headers: dict[bytes, bytes]) -> Session | None:
        secret = cookie_of(headers.get(b"cookie", b"").decode("latin-1"), self._cookie)
        return await self._sessions.live(secret) if secret else None

    def _same_origin(self, headers: dict[bytes, bytes]) -> bool:
        """Browsers name the origin with every POST and every socket; what names none is no page of ours."""
        origin = urlsplit(headers.get(b"origin", b"").decode("latin-1")).netloc.lower()
        return bool(origin) and origin in (self._site, _host(headers))

    def _known_host(self, headers: dict[bytes, bytes]) -> bool:
        """On this machine alone, other names lead here only by tricks with DNS."""
        name = _name(_host(headers))
        return not self._hosts or name in self._hosts or _host(headers) == self._site


def cookie_of(header: str, name: str) -> str | None:
    """One cookie's value."""
    return cookie_parser(header).get(name)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in scope["headers"]}


def _host(headers: dict[bytes, bytes]) -> str:
    return str(headers.get(b"host", b""), "latin-1").lower()


def _name(host: str) -> str:
    """Without the port: `localhost`, `[::1]`."""
    return host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host


def _client(scope: Scope) -> str:
    query = parse_qs(str(scope.get("query_string", b""), "latin-1"))
    return query.get("client_id", [""])[0]


def _guarded(send: Send) -> Send:
    """Adds the headers that keep browsers from doing more than we want."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body: dict[str, Any] = {"type": "http.response.body", "body": text.encode()}
    plain = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *headers]})
    await send(body)


async def _to_sign_in(scope: Scope, send: Send) -> None:
    """Pages lead to the sign-in and back; anything else only hears that nobody is signed in."""
    if scope["method"] not in _SAFE:
        await _answer(send, 401, "Nobody is signed in.")
        return
    query = scope.get("query_string", b"").decode("latin-1")
    place = scope["path"] + (f"?{query}" if query else "")
    way = "/sign-in" if place == "/" else f"/sign-in?next={quote(place, safe='')}"
    await _answer(send, 303, "Sign in first.", ((b"location", way.encode()),))
