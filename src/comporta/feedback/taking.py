"""Takes feedback: whose answer it is of, whether this caller may judge it, and its scores on their way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import psycopg
import structlog
from msgspec import Struct

from comporta.errors import Forbidden, Unavailable
from comporta.feedback.reading import Said, judged, read
from comporta.store.database import Database
from comporta.telemetry.score_tables import Called, called
from comporta.telemetry.scores import Scores, owner_of
from comporta.types import Caller

log = structlog.get_logger("comporta.feedback")

#: A database that is silent holds nobody up for longer: the score then waits for its call like one that came early.
_LOOK_LIMIT_S = 2.0


class Taken(Struct, frozen=True):
    """Feedback that is kept. `joined`: its call is known; `waiting`: the call's record is still on its way."""

    state: Literal["joined", "waiting"]
    trace_id: str | None
    call_id: str | None
    ids: tuple[str, ...]
    names: tuple[str, ...]


class Feedback:
    """The one way in for feedback, whichever door it comes by."""

    def __init__(self, database: Database, scores: Scores, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._scores = scores
        self._clock = clock
        self._looking: set[asyncio.Task[Called | None]] = set()

    async def take(self, body: Any, caller: Caller, key: str | None = None) -> Taken:
        """Keep what a body says; nothing of it where a part is wrong. Said again, it changes nothing.

        A key may judge what its team called, or what it called itself where it has no team. Where the call is not
        recorded yet, that is looked at when its record comes. Raises BadRequest, Forbidden, Unavailable.
        """
        said = read(body, caller.name or caller.key_id, self._clock(), key)
        owner = owner_of(caller.key_id, caller.team, caller.admin)
        found = await self._called(said, owner)
        if found is not None and not found.mine:
            raise _not_yours()
        ids = self._scores.add_all(said.scores, owner=owner, reply_id=said.reply_id)
        if ids is None:
            raise Unavailable(
                "Scores have no place left on this gate's disk. Is PostgreSQL reachable? See `comporta doctor`.",
                code="scores_full", retry_after_s=5,
            )  # fmt: skip
        names = tuple(score.name for score in said.scores)
        if found is None:
            return Taken("waiting", said.trace_id or None, said.call_id, ids, names)
        return Taken("joined", found.trace_id, found.call_id, ids, names)

    async def call_of(self, body: Mapping[str, Any], caller: Caller) -> Called | None:
        """The call that a body names, where the caller may judge it; None where it is not recorded (yet).

        Raises BadRequest, Forbidden.
        """
        trace_id, call_id, reply_id = judged(body)
        said = Said(trace_id, call_id, reply_id, ())
        found = await self._called(said, owner_of(caller.key_id, caller.team, caller.admin))
        if found is not None and not found.mine:
            raise _not_yours()
        return found

    async def _called(self, said: Said, owner: str) -> Called | None:
        """The call that is meant; None where it is not recorded, or the database does not say so in time.

        A statement takes long to be cancelled where the server is silent: that goes on without whoever asked.
        """
        looking = asyncio.create_task(self._look(said, owner))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)
        done, _ = await asyncio.wait({looking}, timeout=_LOOK_LIMIT_S)
        if not done:
            looking.cancel()
            return None
        return looking.result()

    async def _look(self, said: Said, owner: str) -> Called | None:
        try:
            async with self._database.reading() as connection:
                return await called(connection, owner, said.trace_id or None, said.call_id, said.reply_id)
        except (Unavailable, psycopg.OperationalError) as error:
            log.info("feedback_waits", reason=type(error).__name__)
            return None


def _not_yours() -> Forbidden:
    return Forbidden(
        "That call was made with another team's key: a key may judge what its own team called.", code="not_your_call"
    )
