"""Questions that are asked again in their session: the answer before them did not help, and is scored `follow_up`.

Found from records by the job worker. English questions are compared by meaning as well, others by their words; what
names other numbers, names or opposites is another question. Retries of a call that failed are none, and neither are
the further calls of a program that answers with results of tools.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct

from comporta.cache.agreement.agreeing import agreement, overlap
from comporta.cache.agreement.deciding import decide
from comporta.cache.agreement.question import Question, question_of
from comporta.embedding.base import Embedder
from comporta.errors import Unavailable
from comporta.feedback.findings.texts import asked_of
from comporta.feedback.marks import mark_of, move
from comporta.store.database import Connection, Database
from comporta.telemetry.score_tables import insert
from comporta.telemetry.scores import ScoreRecord

log = structlog.get_logger("comporta.feedback")

WORK = "follow_ups"
#: So much later it is no question asked again, but another day.
WITHIN_S = 1800.0
#: So many earlier questions of a session are looked at.
_BACK = 3
#: So many calls are taken from the database at once, and so often in one round.
_MOST = 2_000
_BATCHES = 20
#: Records come late where the database was away: looked at again, with no effect the second time.
_OVERLAP = datetime.timedelta(minutes=2)
#: Shorter texts are no questions: `yes`, `go on`, `thank you`.
_FEWEST_WORDS = 3
_MOST_WORDS = 200
#: The share of words that both have of those that either has.
_ALIKE = 0.6
#: Below it questions are not compared by meaning: within a session they have their subject in common.
_WORTH_A_LOOK = 0.2
_SURE = 0.92
_MODEL = "all-MiniLM-L6-v2"

FRESH = f"""
with fresh as (
    select id, session, key_id, user_id, route, started_at, prompt, variables from call
    where started_at > %(since)s and started_at <= %(until)s and session is not null and parent_id is null
        and kind = 'chat' and capture in ('full', 'preview') and prompt is not null
    order by started_at limit %(most)s
)
select fresh.id::text, fresh.started_at, fresh.prompt, fresh.variables, before.id::text, before.trace_id,
    before.prompt, before.variables
from fresh left join lateral (
    select id, trace_id, prompt, variables, started_at from call
    where session = fresh.session and started_at < fresh.started_at
        and started_at > fresh.started_at - make_interval(secs => {WITHIN_S})
        and started_at + make_interval(secs => duration_us / 1e6) <= fresh.started_at
        and key_id = fresh.key_id and user_id is not distinct from fresh.user_id
        and route is not distinct from fresh.route and parent_id is null and kind = 'chat'
        and outcome_class = 'ok' and capture in ('full', 'preview') and prompt is not null
    order by started_at desc limit {_BACK}
) as before on true
order by fresh.started_at, before.started_at desc
"""

KNOWN = "select id from score where owner = '' and name = 'follow_up' and id = any(%s)"


class Pair(Struct, frozen=True):
    """A question, and an earlier one of its session with the call that answered it."""

    call_id: str
    asked: str
    earlier_id: str
    trace_id: str
    earlier: str


async def find(
    database: Database, embedder: Embedder | None, clock: Callable[[], float] = time.time, most: int = _MOST
) -> int:
    """Look at the calls since the last time, `most` at once; how many answers were scored. Raises Unavailable."""
    async with database.connection() as connection:
        since, now = await mark_of(connection, WORK)
    since, count = since - _OVERLAP, 0
    for _ in range(_BATCHES):
        async with database.connection() as connection:
            values = {"since": since, "until": now, "most": most}
            rows = await (await connection.execute(FRESH, values)).fetchall()
        found = await _scored(rows, embedder, clock)
        whole = len({row[0] for row in rows}) < most
        since = now if whole else rows[-1][1]
        async with database.connection() as connection:
            count += await _keep(connection, found)
            # Where more is left the next round goes on there, and nowhere before it: it would never get further.
            await move(connection, WORK, since if whole else since + _OVERLAP)
        if whole:
            break
    return count


async def _scored(
    rows: Sequence[Sequence[Any]], embedder: Embedder | None, clock: Callable[[], float]
) -> list[ScoreRecord]:
    found = dict[str, ScoreRecord]()
    for pair in pairs(rows):
        if pair.earlier_id not in found and await again(pair.asked, pair.earlier, embedder):
            found[pair.earlier_id] = _score(pair, clock())
    return list(found.values())


async def _keep(connection: Connection, found: Sequence[ScoreRecord]) -> int:
    """Those that a look before this one did not score."""
    if not found:
        return 0
    known = {row[0] for row in await (await connection.execute(KNOWN, [[one.id for one in found]])).fetchall()}
    new = [one for one in found if one.id not in known]
    if new:
        await insert(connection, new)
    return len(new)


def pairs(rows: Sequence[Sequence[Any]]) -> Iterator[Pair]:
    """Those of which both end with words of a user; what a prompt says around them counts for nothing."""
    for call_id, _, asked, values, earlier_id, trace_id, earlier, earlier_values in rows:
        mine, theirs = last_words(asked), last_words(earlier)
        if mine and theirs:
            mine, theirs = asked_of(mine, values) or "", asked_of(theirs, earlier_values) or ""
            yield Pair(call_id, mine, earlier_id, trace_id, theirs)


def last_words(prompt: Any) -> str:
    """What a recorded prompt ends with, where a user said it; empty where a tool or a model did."""
    messages = prompt.get("messages") if isinstance(prompt, Mapping) else prompt
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, Mapping) or last.get("role") != "user":
        return ""
    if isinstance(last.get("text"), str):
        return str(last["text"])
    texts = (one.get("text") for one in last.get("parts") or () if isinstance(one, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


async def again(asked: str, earlier: str, embedder: Embedder | None) -> bool:
    """Whether it is the same question."""
    mine, theirs = question_of(asked, None), question_of(earlier, None)
    if not all(_FEWEST_WORDS <= len(one.tokens) <= _MOST_WORDS for one in (mine, theirs)):
        return False
    if mine.text == theirs.text:
        return True
    if not agreement(mine, theirs).agrees:
        return False
    shared = overlap(mine, theirs)
    if mine.language != "en" or theirs.language != "en" or embedder is None:
        return shared >= _ALIKE
    return shared >= _WORTH_A_LOOK and await _means_the_same(mine, theirs, asked, earlier, embedder)


async def _means_the_same(mine: Question, theirs: Question, asked: str, earlier: str, embedder: Embedder) -> bool:
    try:
        one, other = await embedder.embed([asked, earlier])
    except Unavailable:
        return overlap(mine, theirs) >= _ALIKE
    alike = sum(a * b for a, b in zip(one, other, strict=True))
    return decide(alike, mine, theirs, _SURE, verifier=_MODEL in embedder.name).hit


def _score(pair: Pair, now_s: float) -> ScoreRecord:
    """Words of a user go into no score: the reason names the call."""
    return ScoreRecord(
        id=f"again-{pair.earlier_id}", name="follow_up", at_s=now_s, kind="boolean", source="behaviour", number=1.0,
        reason=f"asked again by the call {pair.call_id}", who="comporta", trace_id=pair.trace_id,
        call_id=pair.earlier_id,
    )  # fmt: skip
