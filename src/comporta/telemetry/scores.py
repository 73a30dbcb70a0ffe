"""Scores on their way into the table: checked, counted and kept on this machine's disk before anybody waits for them.

`Scores.add` is a local act: it asks no database, so that a stage, a judge or a door may score in passing. Shipping and
the joining of a score with its call are in `score_shipping`.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, structs

from comporta.errors import BadRequest
from comporta.pipeline import new_id
from comporta.telemetry.score_spool import ScoreSpool
from comporta.types import Score, Source

MAX_NAME_CHARS = 100
#: Of a text value, and of a reason.
MAX_TEXT_CHARS = 10_000
MAX_ID_CHARS = 256
#: Names are the callers' own: so many are told apart in `/metrics`.
MAX_NAMES = 100
OTHER = "other"
SOURCES: tuple[Source, ...] = ("user", "human", "judge", "code", "guard", "behaviour")
#: The namespace of ids that the gate itself and administrators give.
OURS = ""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/\-]*\Z")
_OWN_ID = re.compile(r"(?:chatcmpl-|cmpl-|msg_|resp_)([0-9a-f]{32})\Z")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")


class ScoreRecord(Struct, frozen=True, omit_defaults=True):
    """A score as it is spooled; `owner` is the namespace of its id and says which calls it may be joined with."""

    id: str
    name: str
    at_s: float
    #: One of the three: number, boolean (as 1 or 0), text.
    kind: str
    source: Source
    number: float | None = None
    label: str | None = None
    reason: str | None = None
    who: str = ""
    owner: str = OURS
    trace_id: str | None = None
    call_id: str | None = None
    #: The id of the reply that it was said of, and the call that such an id was made from where we made it.
    reply_id: str | None = None
    reply_call: str | None = None


def is_name(text: str) -> bool:
    """Whether a score may be called so."""
    return len(text) <= MAX_NAME_CHARS and _NAME.match(text) is not None


def owner_of(key_id: str, team: str | None, admin: bool) -> str:
    """Whose ids a caller's scores have: a team's keys share theirs, and so may score each other's calls."""
    if admin:
        return OURS
    return f"team/{team}" if team is not None else f"key/{key_id}"


def call_of_reply(reply_id: str) -> str | None:
    """The call whose id a door made a reply's id from; None where a provider made it."""
    found = _OWN_ID.match(reply_id)
    if found is None:
        return None
    text = found[1]
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def record_of(score: Score, *, owner: str = OURS, reply_id: str | None = None, now_s: float) -> ScoreRecord:
    """A score as it is kept. Raises BadRequest, naming the field, for what can't be kept."""
    score = _checked(score)
    value = score.value
    is_text = isinstance(value, str)
    return ScoreRecord(
        id=score.id or new_id(),
        name=score.name,
        at_s=score.at_s or now_s,
        kind="text" if is_text else "boolean" if isinstance(value, bool) else "number",
        source=score.source,
        number=None if isinstance(value, str) else float(value),
        label=_storable(value) if isinstance(value, str) else None,
        reason=_storable(score.reason)[:MAX_TEXT_CHARS] if score.reason else None,
        who=_storable(score.who)[:MAX_ID_CHARS],
        owner=owner,
        trace_id=_storable(score.trace_id)[:MAX_ID_CHARS] or None,
        call_id=score.call_id,
        reply_id=_storable(reply_id)[:MAX_ID_CHARS] if reply_id else None,
        reply_call=call_of_reply(reply_id) if reply_id else None,
    )


def _checked(score: Score) -> Score:
    if not is_name(score.name):
        raise BadRequest(
            f"A score's name has 1 to {MAX_NAME_CHARS} letters, digits and `_ . : / -`, and begins with a letter or a "
            "digit.",
            param="name",
        )
    if score.source not in SOURCES:
        raise BadRequest(f"source must be one of {', '.join(SOURCES)}.", param="source")
    if isinstance(score.value, str):
        if not 0 < len(score.value) <= MAX_TEXT_CHARS:
            raise BadRequest(f"A score's text has 1 to {MAX_TEXT_CHARS} characters.", param="value")
    elif not isinstance(score.value, bool | int | float) or not math.isfinite(score.value):
        raise BadRequest("A score's value is a finite number, true, false, or a text.", param="value")
    if score.call_id is not None and not _UUID.match(score.call_id):
        raise BadRequest("call_id must be a call's id, as `x-comporta-call` tells it.", param="call_id")
    if len(score.id) > MAX_ID_CHARS or "\0" in score.id:
        raise BadRequest(f"A score's id has up to {MAX_ID_CHARS} characters.", param="id")
    return structs.replace(score, id=_storable(score.id))


def _storable(text: str) -> str:
    """What PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class Tally(Struct):
    """What was counted of one name and source; `sum` of numbers and of trues."""

    count: int = 0
    sum: float = 0.0


class Scores:
    """Takes scores. `add` writes to the local spool and returns; nothing is waited for.

    A score of the same owner, id and name is the same score: sent again it changes nothing, and with another value the
    later one counts.
    """

    def __init__(
        self, spool: ScoreSpool, *, clean: Callable[[str], str] = str, clock: Callable[[], float] = time.time
    ) -> None:
        """`clean` takes secrets out of texts, as they are taken out of records."""
        self._spool = spool
        self._clean = clean
        self._clock = clock
        self._tallies: dict[tuple[str, Source], Tally] = {}

    def add(self, score: Score, *, owner: str = OURS, reply_id: str | None = None) -> bool:
        """Keep a score; False where there is no room on the disk for it. Raises BadRequest for one that is none.

        It must name what it judges: `trace_id`, `call_id`, or the `reply_id` that a client got. An empty id is replaced
        by one of ours, and no time by now.
        """
        return self.add_all([score], owner=owner, reply_id=reply_id) is not None

    def add_all(
        self, scores: Sequence[Score], *, owner: str = OURS, reply_id: str | None = None
    ) -> tuple[str, ...] | None:
        """Keep several, or none where one of them is none (BadRequest); their ids, None where there is no room."""
        now_s = self._clock()
        records = [self._record(score, owner, reply_id, now_s) for score in scores]
        for record in records:
            if not self._spool.append(record):
                return None
            self._count(record)
        return tuple(record.id for record in records)

    def _record(self, score: Score, owner: str, reply_id: str | None, now_s: float) -> ScoreRecord:
        if not (score.trace_id or score.call_id or reply_id):
            raise BadRequest("Say what is scored: a trace, a call, or the id of a reply.", param="trace_id")
        record = record_of(score, owner=owner, reply_id=reply_id, now_s=now_s)
        if record.label is None and record.reason is None:
            return record
        return structs.replace(
            record,
            label=self._clean(record.label) if record.label is not None else None,
            reason=self._clean(record.reason) if record.reason is not None else None,
        )

    def counted(self, records: Sequence[ScoreRecord]) -> None:
        """Count scores that went into the table by another way: beside a decision, in one transaction with it."""
        for record in records:
            self._count(record)

    def figures(self) -> Mapping[str, float]:
        """Totals for `/metrics`: `score_count:<source>:<name>` and `score_sum:…`, of scores taken by this process."""
        told: dict[str, float] = {"scores_lost": self._spool.lost}
        for (name, source), tally in self._tallies.items():
            told[f"score_count:{source}:{name}"] = tally.count
            told[f"score_sum:{source}:{name}"] = tally.sum
        return told

    def _count(self, record: ScoreRecord) -> None:
        place = (record.name, record.source)
        tally = self._tallies.get(place)
        if tally is None:
            if len(self._tallies) >= MAX_NAMES:
                place = (OTHER, record.source)
            tally = self._tallies.setdefault(place, Tally())
        tally.count += 1
        tally.sum += record.number or 0.0
