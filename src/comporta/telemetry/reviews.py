"""The review queue: what a person is to look at, who looks at it, and what they found.

`Reviews.add` is a local act, as `Scores.add` is: it asks no database, so a stage may put something up for review in
passing, and nothing is lost while PostgreSQL is away. Claiming and deciding need the database. A decision on a call is
a score of it as well (source `human`), written in the same transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from comporta.errors import BadRequest, Conflict, NotFound
from comporta.pipeline import new_id
from comporta.store.database import Connection, Database
from comporta.store.fields import in_utc
from comporta.store.people import stored_name
from comporta.telemetry import review_tables, score_tables
from comporta.telemetry.capture import cleaned
from comporta.telemetry.review_tables import ReviewRecord, ReviewRow
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.scores import Scores, record_of
from comporta.types import JSON, Score

State = Literal["open", "claimed", "done"]
#: What was done stands, was wrong, or should have been something else.
Verdict = Literal["accept", "reject", "correct"]

STATES: tuple[State, ...] = get_args(State)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
#: The scores that a decision gives its call: whether it was right, which of several answers was, and what would be.
SCORE, CHOICE_SCORE, CORRECTION_SCORE = "review", "review_choice", "correction"
#: A claim that came to no decision within this time binds nobody any more.
CLAIM_S = 1800.0
MAX_LIMIT = 200
MAX_TEXT_CHARS = 10_000
MAX_PAYLOAD_BYTES = 256_000

_KIND = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,49}\Z")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")


class ReviewPage(Struct, frozen=True):
    """Reviews in the order asked for; `next` is what to ask for as `after`, None at the end."""

    reviews: list[ReviewRow]
    next: str | None


class Decision(Struct, frozen=True):
    """What a reviewer found. `choice` names the right one of several answers, `correction` what would have been it."""

    verdict: Verdict
    choice: str | None = None
    correction: str | None = None
    note: str | None = None


class Reviews:
    """The queue. `clean` takes secrets out of texts, as they are taken out of records."""

    def __init__(
        self, database: Database, spool: ScoreSpool, scores: Scores, *, clean: Callable[[str], str] = str,
        joined_soon: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._database = database
        self._spool = spool
        self._scores = scores
        self._clean = clean
        self._joined_soon = joined_soon
        self._clock = clock

    def add(
        self, kind: str, reason: str, *, trace_id: str | None = None, call_id: str | None = None,
        route: str | None = None, payload: JSON | None = None, user: str | None = None, id: str = "",
    ) -> str | None:  # fmt: skip
        """Put something up for review; its id, or None where there is no room on the disk for it.

        `kind` is a short word (`consensus`, `guard`, `feedback`, `drift` …), `reason` a sentence for whoever looks,
        `payload` JSON with figures, and texts only as far as they may be kept (`Telemetry.review` sees to that for a
        call). An `id` given makes a second `add` of it do nothing. Raises BadRequest for what is none.
        """
        record = self._record(kind, reason, trace_id, call_id, route, payload, user, id)
        return record.id if self._spool.append(record) else None

    def _record(
        self, kind: str, reason: str, trace_id: str | None, call_id: str | None, route: str | None,
        payload: JSON | None, user: str | None, id: str,
    ) -> ReviewRecord:  # fmt: skip
        if not _KIND.match(kind):
            raise BadRequest("A review's kind has 1 to 50 of a-z, 0-9 and `_ . -`.", param="kind")
        if not reason.strip():
            raise BadRequest("Say in `reason` why somebody is to look at it.", param="reason")
        if call_id is not None and not _UUID.match(call_id):
            raise BadRequest("call_id must be a call's id, as `x-comporta-call` tells it.", param="call_id")
        if len(id) > 256:
            raise BadRequest("A review's id has up to 256 characters.", param="id")
        return ReviewRecord(
            id=_storable(id) or new_id(), kind=kind, reason=self._text(reason) or "", at_s=self._clock(),
            trace_id=_storable(trace_id)[:256] if trace_id else None, call_id=call_id,
            route=_storable(route)[:256] if route else None, payload=self._payload(payload or {}),
            user=stored_name(user) if user else None,
        )  # fmt: skip

    def _payload(self, payload: JSON) -> JSON:
        try:
            kept: JSON = cleaned(msgspec.to_builtins(payload), lambda text: self._clean(_storable(text)))
            size = len(msgspec.json.encode(kept))
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            raise BadRequest("A review's payload must be an object of JSON.", param="payload") from None
        if size > MAX_PAYLOAD_BYTES:
            raise BadRequest(f"A review's payload has up to {MAX_PAYLOAD_BYTES} bytes as JSON.", param="payload")
        return kept

    # ---- reading ----

    async def list(
        self, *, filters: Mapping[str, str] | None = None, since: datetime | None = None,
        until: datetime | None = None, oldest_first: bool = False, after: str | None = None, limit: int = 50,
    ) -> ReviewPage:  # fmt: skip
        """One page. `filters` are names of review_tables.COLUMNS; `state: waiting` is all that is not done.

        Raises BadRequest for others, and for an `after` that is not ours.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"A page holds 1 to {MAX_LIMIT} reviews.", param="limit")
        async with self._database.reading() as connection:
            rows = await review_tables.rows(
                connection, filters or {}, since=in_utc(since), until=in_utc(until), oldest_first=oldest_first,
                after=after, limit=limit + 1,
            )  # fmt: skip
        return ReviewPage(rows[:limit], review_tables.cursor(rows[limit - 1]) if len(rows) > limit else None)

    async def get(self, id: str) -> ReviewRow:
        """Raises NotFound."""
        async with self._database.reading() as connection:
            return _found(await review_tables.row(connection, id), id)

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many of each kind are open, claimed and done."""
        async with self._database.reading() as connection:
            found = await review_tables.counts(connection)
        told: dict[str, dict[State, int]] = {}
        for kind, state, count in found:
            told.setdefault(kind, dict.fromkeys(STATES, 0))[state] = count
        return told

    # ---- what reviewers do ----

    async def claim(self, id: str, by: str) -> ReviewRow:
        """Take it on oneself: for half an hour nobody else can. Raises NotFound, Conflict."""
        async with self._database.connection() as connection:
            self._may(await review_tables.locked(connection, id), id, by)
            return await review_tables.claim(connection, id, by)

    async def release(self, id: str, by: str) -> ReviewRow:
        """Give it back to the queue. Raises NotFound, Conflict."""
        async with self._database.connection() as connection:
            row = self._may(await review_tables.locked(connection, id), id, by)
            return row if row.state == "open" else await review_tables.release(connection, id)

    async def decide(self, id: str, by: str, decision: Decision) -> ReviewRow:
        """Say what was found; it counts as a score of the call. Raises NotFound, Conflict, BadRequest.

        One that somebody else has claimed within the last half hour is theirs to decide; one that is done stays so.
        """
        decision = self._checked(decision)
        async with self._database.connection() as connection:
            self._may(await review_tables.locked(connection, id), id, by)
            row = await review_tables.decide(connection, id, by, msgspec.to_builtins(decision))
            scored = await self._score(connection, row)
        if scored:
            self._joined_soon()
        return row

    def _checked(self, decision: Decision) -> Decision:
        if decision.verdict not in VERDICTS:
            raise BadRequest(f"verdict must be one of {', '.join(VERDICTS)}.", param="verdict")
        if (decision.verdict == "correct") != bool(decision.correction):
            raise BadRequest(
                "With the verdict `correct`, and only with it, say in `correction` what would have been right.",
                param="correction",
            )
        return Decision(
            decision.verdict, self._text(decision.choice), self._text(decision.correction), self._text(decision.note)
        )

    def _text(self, text: str | None) -> str | None:
        return self._clean(_storable(text))[:MAX_TEXT_CHARS] if text else None

    def _may(self, row: ReviewRow | None, id: str, by: str) -> ReviewRow:
        """Whether somebody may claim, release or decide it now."""
        row = _found(row, id)
        if row.state == "done":
            raise Conflict(f"This review was decided by {row.by} ({row.verdict}).", code="review_done")
        if row.state == "claimed" and row.by != by and row.claimed_at is not None:
            ends_in_s = row.claimed_at.timestamp() + CLAIM_S - self._clock()
            if ends_in_s > 0:
                raise Conflict(
                    f"{row.by} looks at this review; it is free again in {ends_in_s / 60:.0f} minutes.",
                    code="review_claimed",
                )
        return row

    async def _score(self, connection: Connection, row: ReviewRow) -> bool:
        """What was found as scores of the call; nothing where no call is concerned."""
        if row.trace_id is None and row.call_id is None:
            return False
        values: dict[str, bool | str] = {SCORE: row.verdict == "accept"}
        if row.choice is not None:
            values[CHOICE_SCORE] = row.choice
        if row.correction is not None:
            values[CORRECTION_SCORE] = row.correction
        scores = [self._as_score(row, name, value) for name, value in values.items()]
        records = [record_of(score, now_s=self._clock()) for score in scores]
        await score_tables.insert(connection, records)
        self._scores.counted(records)
        return True

    def _as_score(self, row: ReviewRow, name: str, value: bool | str) -> Score:
        reason = row.note if name == SCORE else None
        return Score(
            f"review/{row.id}", row.trace_id or "", row.call_id, name, value, "human", reason, self._clock(),
            row.by or "",
        )  # fmt: skip


def _found(row: ReviewRow | None, id: str) -> ReviewRow:
    if row is None:
        raise NotFound(f"There is no review '{id[:100]}'.", code="review_not_found")
    return row


def _storable(text: str) -> str:
    """What PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


__all__ = [
    "CLAIM_S", "MAX_LIMIT", "STATES", "VERDICTS", "Decision", "ReviewPage", "ReviewRecord", "ReviewRow",
    "Reviews", "State", "Verdict",
]  # fmt: skip
