"""What pages in browsers ask of the gate: `/feedback.js`, feedback by token, and the tokens themselves for programs."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from comporta.errors import BadRequest, BodyTooLarge, ComportaError, Forbidden, NotFound
from comporta.feedback.browsers import Browsers, Wanted
from comporta.feedback.script import script
from comporta.feedback.taking import Feedback
from comporta.feedback.tokens import PREFIX, Tokens
from comporta.gateway.doors.listing import error as in_envelope
from comporta.gateway.doors.writing import encode
from comporta.gateway.feedback import FeedbackPage, told
from comporta.gateway.reading import secret_of
from comporta.gateway.server import Asked, Page, Pairs
from comporta.types import Caller

#: Of what a page sends.
MAX_BODY = 16 * 1024
_TOKEN_FIELDS = ("trace_id", "call_id", "completion_id", "reply_id", "response_id", "message_id", "lifetime_s")
#: So often a call is looked for whose record is still on its way, and after which pauses.
_LOOKS_S = (0.0, 0.3, 0.7, 1.0)
_RECENT_S = 60.0
_OURS = re.compile(r"([0-9a-f]{12})7[0-9a-f]{19}\Z")


class BrowserPages:
    """The pages. What comes without a token goes on to `door`, which wants a key."""

    def __init__(
        self,
        door: FeedbackPage,
        browsers: Browsers,
        tokens: Tokens,
        feedback: Feedback,
        wanted: Callable[[], Wanted],
        authenticate: Callable[[str], Caller],
        admit: Callable[[], None],
    ) -> None:
        self._door = door
        self._browsers = browsers
        self._tokens = tokens
        self._feedback = feedback
        self._wanted = wanted
        self._authenticate = authenticate
        self._admit = admit

    async def script(self, asked: Asked) -> Page:
        """`/feedback.js`: anybody may read it, from any page."""
        body = script(self._wanted().methods)
        tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        head = (
            ("cache-control", "public, max-age=3600"), ("etag", tag), ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "cross-origin"),
        )  # fmt: skip
        kind = "text/javascript; charset=utf-8"
        if asked.headers.get("if-none-match") == tag:
            return Page(b"", kind, status=304, headers=head)
        return Page(body, kind, headers=head)

    async def post(self, asked: Asked) -> Page:
        """Feedback with a key, or with a token: in `Authorization`, or as `token` in a body of plain text."""
        secret = asked.headers.get("authorization", "").partition(" ")[2].strip()
        if secret and not secret.startswith(PREFIX):
            return await self._door.post(asked)
        if not secret and "x-api-key" in asked.headers:
            return await self._door.post(asked)
        body = _page_body(asked.body)
        token = secret or (body or {}).get("token", "")
        if not token:
            return await self._door.post(asked)
        return await self._from_page(asked, token, body)

    async def _from_page(self, asked: Asked, token: Any, body: dict[str, Any] | None) -> Page:
        """Whatever comes of it, the page is let to read that, if its origin may send at all."""
        head = self._allowing(asked.headers)
        try:
            self._admit()
            if len(asked.body) > MAX_BODY:
                raise BodyTooLarge(f"Feedback of a page has up to {MAX_BODY} bytes.")
            if body is None or not isinstance(token, str):
                raise BadRequest("The body must be a JSON object.", code="invalid_json")
            taken = await self._browsers.take(token, body)
        except ComportaError as error:
            if error.retry_after_s is not None:
                head = (*head, ("retry-after", str(max(1, round(error.retry_after_s)))))
            return Page(in_envelope(error, asked.headers), status=error.status, headers=head)
        return Page(encode(told(taken)), status=202, headers=head)

    async def ask_first(self, asked: Asked) -> Page:
        """`OPTIONS`: a browser asks whether a page of another origin may send."""
        head = (
            *self._allowing(asked.headers), ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "authorization, content-type"), ("access-control-max-age", "3600"),
        )  # fmt: skip
        return Page(b"", status=204, headers=head)

    def _allowing(self, headers: Mapping[str, str]) -> Pairs:
        """What lets a page read the answer. Raises Forbidden for a page of an origin that is not configured."""
        origin = headers.get("origin")
        if origin is None:
            return ()
        if origin not in self._wanted().feedback.origins and not _own(origin, headers):
            raise Forbidden(
                "Pages of this origin may not send feedback here: add it to `feedback.origins`.",
                code="origin_not_allowed",
            )
        return ("access-control-allow-origin", origin), ("vary", "origin")

    async def token(self, asked: Asked) -> Page:
        """`POST /v1/feedback/token`: a token for an answer that the caller's own team called."""
        caller = self._authenticate(secret_of(asked.headers))
        self._admit()
        body = _page_body(asked.body)
        if body is None:
            raise BadRequest("The body must be a JSON object.", code="invalid_json")
        for name in body:
            if name not in _TOKEN_FIELDS:
                raise BadRequest(f"There is no field '{_shown(name)}' here.", param=_shown(name))
        most_s = self._wanted().feedback.token_lifetime
        lifetime_s = _lifetime(body.pop("lifetime_s", None), most_s)
        call_id, trace_id = await self._meant(body, caller)
        token = self._tokens.make(call_id, trace_id, lifetime_s)
        said = {"object": "feedback.token", "token": token, "call_id": call_id, "expires_in_s": int(lifetime_s)}
        return Page(encode(said))

    async def _meant(self, body: dict[str, Any], caller: Caller) -> tuple[str, str]:
        """Call and trace; a record that is still on its way is waited for, since nobody else knows whose it is."""
        for pause_s in _LOOKS_S if _is_recent(body) else _LOOKS_S[:1]:
            await asyncio.sleep(pause_s)
            found = await self._feedback.call_of(body, caller)
            if found is not None:
                return found.call_id, found.trace_id
        raise NotFound(
            "There is no record of that call (yet). `x-comporta-feedback-token` comes with the answer itself where "
            "`feedback.tokens` is on.",
            code="call_not_recorded",
        )


def _is_recent(body: Mapping[str, Any]) -> bool:
    """Whether an id of ours that stands there was made a moment ago: it begins with its time."""
    for text in body.values():
        found = _OURS.search(text.replace("-", "")) if isinstance(text, str) else None
        if found is not None and abs(time.time() - int(found[1], 16) / 1000) < _RECENT_S:
            return True
    return False


def _page_body(data: bytes) -> dict[str, Any] | None:
    """A small JSON object; None for anything else."""
    try:
        body = msgspec.json.decode(data[: MAX_BODY + 1])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _lifetime(value: Any, most_s: float) -> float:
    if value is None:
        return most_s
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most_s:
        raise BadRequest(f"lifetime_s must be a number from 1 to {most_s:g} seconds.", param="lifetime_s")
    return float(value)


def _own(origin: str, headers: Mapping[str, str]) -> bool:
    """Whether a page of the gate's own address asks."""
    try:
        return bool(host := headers.get("host")) and urlsplit(origin).netloc == host
    except ValueError:
        return False


def _shown(name: str) -> str:
    return "".join(c for c in str(name)[:50] if c.isprintable())
