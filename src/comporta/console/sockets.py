"""The interface's socket, watched: what comes over it must be of the session whose page it is, while that lives.

The door has looked at the socket when it was opened; its messages name the page that they are for, and it may stay
open for days, through a sign-out elsewhere and the end of an account.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import Client, core

from comporta.console.door import SESSION
from comporta.console.sessions import Session, Sessions
from comporta.errors import Unavailable

_MESSAGES = ("handshake", "event", "javascript_response", "ack", "log")
#: How long it is believed that a session lives: a second is less than anybody's next click.
_BELIEVED_S = 1.0
_MOST = 10_000


def owner(client_id: str) -> bytes | None:
    """Of the session that the page of this id was made for."""
    client = Client.instances.get(client_id)
    if client is None:
        return None
    session = getattr(client.request.state, SESSION, None)
    return session.digest if session is not None else None


def watch_sockets(sessions: Sessions) -> None:
    """Look at every message before the interface does."""
    living = _Living(sessions)
    for name in _MESSAGES:
        handlers = core.sio.handlers["/"]
        core.sio.on(name, handler=_watched(handlers[name], living))


def _watched(act: Callable[..., Any], living: _Living) -> Callable[[str, Any], Awaitable[Any]]:
    async def message(sid: str, data: Any) -> Any:
        session: Session | None = core.sio.get_environ(sid)["asgi.scope"].get("state", {}).get(SESSION)
        client_id = data.get("client_id") if isinstance(data, dict) else None
        if session is None or not isinstance(client_id, str) or owner(client_id) != session.digest:
            return False
        if not await living.still(session):
            await core.sio.emit("open", {"path": "/sign-in", "new_tab": False}, room=sid)
            await core.sio.disconnect(sid)
            return False
        found = act(sid, data)
        return await found if isinstance(found, Awaitable) else found

    return message


class _Living:
    """Asks whether a session lives, and remembers the answer for a moment."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._asked_s: dict[bytes, float] = {}

    async def still(self, session: Session) -> bool:
        now_s = time.monotonic()
        if now_s - self._asked_s.get(session.digest, -_BELIEVED_S) < _BELIEVED_S:
            return True
        try:
            if await self._sessions.alive(session.digest) is None:
                self._asked_s.pop(session.digest, None)
                return False
        except Unavailable:
            # The page itself will say that the database is away; nothing can be read or done meanwhile.
            return True
        if len(self._asked_s) >= _MOST:
            self._asked_s.clear()
        self._asked_s[session.digest] = now_s
        return True
