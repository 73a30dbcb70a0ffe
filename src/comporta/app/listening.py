"""Feedback as a gate has it: tokens for browsers, live quality, and what the job worker finds by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import psycopg
import structlog

from comporta.app.around import Around
from comporta.app.guarding import UNGUARDED
from comporta.app.settings import Settings
from comporta.app.telemetry import Telemetry
from comporta.config.loading import Loaded
from comporta.counters.base import Counters
from comporta.embedding.base import Embedder
from comporta.embedding.minilm import MiniLM
from comporta.errors import Unavailable
from comporta.feedback.browsers import Browsers, Wanted
from comporta.feedback.follow_ups import find
from comporta.feedback.live import LiveQuality
from comporta.feedback.live_purse import Purse
from comporta.feedback.problems import keep
from comporta.feedback.taking import Feedback
from comporta.feedback.tokens import TOPIC, Tokens
from comporta.gateway.asking import ask
from comporta.gateway.feedback import FeedbackPage
from comporta.gateway.feedback_pages import BrowserPages
from comporta.pipeline import MAX_DEPTH, Call, Next
from comporta.store.changes import Changes
from comporta.store.database import Database
from comporta.telemetry.capture import KEEP
from comporta.types import Caller, Reply

log = structlog.get_logger("comporta.feedback")

HEADER = "x-comporta-feedback-token"
#: How often it is seen to that tokens are signed with a young key; sooner where there is none.
_ROTATE_EVERY_S = 600.0
_SOON_S = 2.0


class Metered(Protocol):
    """Who counts."""

    @property
    def counters(self) -> Counters: ...


class Listening:
    """Put together once per process; `loaded` and `pipeline` are asked when they are needed."""

    def __init__(
        self,
        database: Database,
        telemetry: Telemetry,
        loaded: Callable[[], Loaded[Settings]],
        pipeline: Callable[[], Next],
        metering: Callable[[], Metered],
        embedder: Embedder,
    ) -> None:
        self._loaded = loaded
        self._pipeline = pipeline
        self._telemetry = telemetry
        #: Takes what people say of answers, from the door and from `feedback`.
        self.judged = Feedback(database, telemetry.scores)
        self.tokens = Tokens(database, lambda: loaded().value.feedback.rotate)
        self.browsers = Browsers(self.tokens, telemetry.scores, lambda: metering().counters, self.wanted)
        self.live = LiveQuality(self._ask, telemetry.scores.add, Purse(database), embedder, self._shows)
        self.take(loaded().value)

    def take(self, settings: Settings) -> None:
        """Go by a new configuration."""
        self._signs = settings.feedback.tokens
        self._lifetime_s = settings.feedback.token_lifetime
        self.live.take(settings.live_quality)

    def wanted(self) -> Wanted:
        settings = self._loaded().value
        return Wanted(settings.feedback, settings.feedback_system)

    def headers(self, call: Call) -> tuple[tuple[str, str], ...]:
        """What tells an answer's reader how to judge it; nothing where tokens are off, or no key is known yet."""
        if not self._signs or not self.tokens.ready:
            return ()
        return ((HEADER, self.tokens.make(call.id, call.trace_id, self._lifetime_s)),)

    def pages(self, authenticate: Callable[[str], Caller], admit: Callable[[], None]) -> BrowserPages:
        door = FeedbackPage(authenticate, admit, self.judged.take)
        return BrowserPages(door, self.browsers, self.tokens, self.judged, self.wanted, authenticate, admit)

    def subscribe(self, changes: Changes) -> None:
        changes.subscribe(TOPIC, self.tokens.load)

    async def run(self) -> None:
        """See to it that there is a young key, until cancelled."""
        while True:
            try:
                await self.tokens.rotate()
            except (Unavailable, psycopg.OperationalError) as error:
                log.info("feedback_keys_wait", reason=type(error).__name__)
            await asyncio.sleep(_ROTATE_EVERY_S if self.tokens.ready else _SOON_S)

    def totals(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return self.live.totals()

    async def close(self) -> None:
        await self.live.close()

    def _shows(self, call: Call) -> bool:
        """Whether words of an answer may be kept beside its scores."""
        return self._mode(call) in ("full", "preview") and self._telemetry.recorder.kept(call) is None

    def _mode(self, call: Call) -> str:
        route = call.target.route if call.target else call.model
        mode: str = call.facts.get(KEEP) or self._telemetry.recorder.capture.mode(route)
        return mode

    async def _ask(self, of: Call, child: Call) -> Reply:
        """A judge's call on behalf of one that has ended: kept as that is, and looked at by no guard."""
        if of.depth >= MAX_DEPTH:
            raise Unavailable("Calls on behalf of calls are too deep for a judge.", code="judge_unavailable")
        child.parent_id, child.depth, child.door = of.id, of.depth + 1, "live_quality"
        child.facts[KEEP] = self._mode(of)
        child.facts[UNGUARDED] = True
        return await ask(self._pipeline(), child)


async def find_follow_ups(around: Around) -> None:
    """Score answers after which the same was asked again."""
    settings = around.settings()
    collected = settings.feedback_system.collection_methods.implicit
    if not settings.feedback.follow_ups or "follow_up_question" not in collected:
        return
    # It loads itself at the first English question that words alone don't decide.
    embedder = MiniLM(around.folder.cache)
    try:
        found = await find(around.database, embedder)
    finally:
        embedder.close()
    if found:
        around.count("follow_ups_found", found)
        log.info("feedback.follow_ups", found=found)


async def keep_problems(around: Around) -> None:
    """Keep the list of problematic conversations up to date."""
    await keep(around.database, around.settings().records.keep)
