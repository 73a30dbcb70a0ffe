"""`POST /v1/feedback`: what an application's users think of an answer, from the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from comporta.errors import BadRequest, BodyTooLarge
from comporta.feedback.taking import Taken
from comporta.gateway.doors.writing import encode
from comporta.gateway.reading import secret_of
from comporta.gateway.server import Asked, Page
from comporta.types import Caller

MAX_BODY = 256 * 1024

Take = Callable[[Any, Caller, str | None], Awaitable[Taken]]


class FeedbackPage:
    """The page. `authenticate` knows the caller, `admit` may refuse (draining), `take` keeps what is said."""

    def __init__(self, authenticate: Callable[[str], Caller], admit: Callable[[], None], take: Take) -> None:
        self._authenticate = authenticate
        self._admit = admit
        self._take = take

    async def post(self, asked: Asked) -> Page:
        """200 where the answer's call is known, 202 where its record is still on its way."""
        caller = self._authenticate(secret_of(asked.headers))
        self._admit()
        if len(asked.body) > MAX_BODY:
            raise BodyTooLarge(f"Feedback has up to {MAX_BODY} bytes; this has {len(asked.body)}.")
        taken = await self._take(_body(asked.body), caller, asked.headers.get("idempotency-key"))
        return Page(encode(told(taken)), status=200 if taken.state == "joined" else 202)


def told(taken: Taken) -> dict[str, Any]:
    """What is answered."""
    return {
        "object": "feedback",
        "state": taken.state,
        "trace_id": taken.trace_id,
        "call_id": taken.call_id,
        "scores": [{"id": id, "name": name} for id, name in zip(taken.ids, taken.names, strict=True)],
    }


def _body(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
