"""Feedback by token: what a page in somebody's browser may say, of the one answer that its token names."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from comporta.counters.base import Counters, Take, Window
from comporta.errors import BadRequest, RateLimited, Unavailable
from comporta.feedback.reading import read
from comporta.feedback.script import methods_of
from comporta.feedback.settings import FeedbackSection, FeedbackSystemSection
from comporta.feedback.signals import SIGNALS
from comporta.feedback.taking import Taken
from comporta.feedback.tokens import Claims, Tokens
from comporta.pipeline import new_id
from comporta.telemetry.scores import Scores

#: Who judges where nobody knows more than that it was a page.
WHO = "browser"
_MAX_OWN_ID = 100


class Wanted(Struct, frozen=True):
    """The configuration's word on feedback."""

    feedback: FeedbackSection
    system: FeedbackSystemSection

    @property
    def methods(self) -> tuple[str, ...]:
        """What the script collects."""
        collected = self.system.collection_methods
        return methods_of(collected.explicit, collected.implicit)

    def collects(self, field: str) -> bool:
        """Whether a page may tell a usual field, under any of its names."""
        collected = self.system.collection_methods
        names = {SIGNALS[one].name for one in (*self.methods, *collected.behavioral)}
        return field in SIGNALS and SIGNALS[field].name in names


class Browsers:
    """The way in for pages: `take` what they say, once the token is read and has not been used too often."""

    def __init__(
        self,
        tokens: Tokens,
        scores: Scores,
        counters: Callable[[], Counters],
        wanted: Callable[[], Wanted],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._scores = scores
        self._counters = counters
        self._wanted = wanted
        self._clock = clock

    async def take(self, token: str, body: Mapping[str, Any]) -> Taken:
        """Keep what a page says. Raises InvalidKey, RateLimited, BadRequest, Unavailable.

        A field that the configuration does not collect is refused; so is any that only programs may send.
        """
        claims = await self._tokens.read(token)
        await self._admit(token)
        said = read(self._body(claims, body), WHO, self._clock())
        ids = self._scores.add_all(said.scores)
        if ids is None:
            raise Unavailable("Feedback can't be kept at the moment.", code="scores_full", retry_after_s=5)
        # What is answered tells a page nothing that its token does not say.
        return Taken("waiting", None, None, ids, tuple(score.name for score in said.scores))

    async def _admit(self, token: str) -> None:
        key = "feedback:" + hashlib.sha256(token.encode()).hexdigest()[:32]
        window = Window(key, self._wanted().feedback.per_minute)
        taken = await self._counters().take(Take(new_id(), windows=(window,)))
        if taken.refused is not None:
            raise RateLimited("This token was used too often; wait a little.", retry_after_s=max(1.0, taken.wait_s))

    def _body(self, claims: Claims, body: Mapping[str, Any]) -> dict[str, Any]:
        """What is read in its place: of the answer that the token names, under an id that can be nobody else's."""
        wanted = self._wanted()
        said: dict[str, Any] = {"call_id": claims.call_id} if claims.call_id else {"trace_id": claims.trace_id}
        for name, value in body.items():
            if name == "id":
                said["id"] = self._id(claims, value)
            elif name != "token":
                if not wanted.collects(name):
                    shown = "".join(c for c in name[:50] if c.isprintable())
                    raise BadRequest(f"A page can't tell '{shown}' here: it is not collected.", param=shown)
                said[name] = value
        return said

    def _id(self, claims: Claims, value: Any) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_OWN_ID:
            raise BadRequest(f"id must be a text of 1 to {_MAX_OWN_ID} characters.", param="id")
        whole = "\0".join((claims.call_id, claims.trace_id, value))
        return f"page-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:40]}"
