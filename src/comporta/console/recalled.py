"""What the semantic cache gave again lately, and which of its answers were found wrong: read for the console."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import Struct

from comporta.store.database import Database

#: The likeness of so many of the latest hits is shown.
MOST_LIKENESSES = 2000
#: Each of these bounds opens a bucket, the last ends at 1.
BOUNDS = (0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.96, 0.98, 0.99)
LIKENESSES = """
select (notes #>> '{cache,similarity}')::float8 from call
where cache = 'semantic' and started_at >= %(since)s and started_at < %(until)s
order by started_at desc, id desc limit %(most)s
"""
HITS = """
select id::text, trace_id, started_at, route, prompt, reply, notes -> 'cache' from call
where cache = 'semantic' and started_at >= %(since)s and started_at < %(until)s
order by started_at desc, id desc limit %(most)s
"""
#: Of both caches, without what was asked and answered; so many at a time.
GIVEN = """
select started_at, id::text, cache, trace_id, route, model, prompt_id, prompt_version, key_name, team, user_id,
    session, notes -> 'cache' from call
where cache in ('exact', 'semantic') and started_at >= %(since)s and started_at < %(until)s
    and (%(at)s::timestamptz is null or (started_at, id) < (%(at)s::timestamptz, %(id)s::uuid))
order by started_at desc, id desc limit %(most)s
"""
GIVEN_HEAD = (
    "started_at", "id", "cache", "trace_id", "route", "model", "prompt", "prompt_version", "key", "team", "user",
    "session", "similarity", "saved_usd", "seeded",
)  # fmt: skip
_BATCH = 1000
WRONG = """
select c.at, c.route, c.confidence, c.threshold, c.source, c.call_id::text,
    (select trace_id from call where call.id = c.call_id limit 1)
from semantic_check as c where c.wrong order by c.id desc limit %(most)s
"""


class Hit(Struct, frozen=True):
    """An answer given again; `prompt` and `reply` as far as they are kept."""

    call_id: str
    trace_id: str
    at: datetime.datetime
    route: str | None
    prompt: Any
    reply: Any
    similarity: float | None
    saved_microusd: int | None
    entry: int | None
    seeded: bool


class Wrong(Struct, frozen=True):
    """A hit that was wrong: found by an answer made afresh (`shadow`), or told by somebody (`feedback`)."""

    at: datetime.datetime
    route: str
    confidence: float
    threshold: float
    source: str
    call_id: str
    trace_id: str | None


async def hits(database: Database, since: datetime.datetime, until: datetime.datetime, most: int) -> list[Hit]:
    """The newest first. Raises Unavailable."""
    async with database.reading() as connection:
        rows = await (
            await connection.execute(HITS, {"since": since, "until": until, "most": most})
        ).fetchall()  # fmt: skip
    return [_hit(*row) for row in rows]


def _hit(id: str, trace: str, at: datetime.datetime, route: str | None, prompt: Any, reply: Any, note: Any) -> Hit:
    told = note if isinstance(note, dict) else {}
    return Hit(
        id, trace, at, route, prompt, reply, told.get("similarity"), told.get("saved_microusd"), told.get("entry"),
        bool(told.get("seeded")),
    )  # fmt: skip


async def given(
    database: Database, since: datetime.datetime, until: datetime.datetime, most: int, *, batch: int = _BATCH
) -> AsyncIterator[Sequence[object]]:  # fmt: skip
    """Rows under GIVEN_HEAD of all calls that a cache answered, the newest first. Raises Unavailable."""
    values: dict[str, Any] = {"since": since, "until": until, "at": None, "id": None}
    for sent in range(0, most, batch):
        wanted = min(batch, most - sent)
        async with database.reading() as connection:
            rows = await (await connection.execute(GIVEN, {**values, "most": wanted})).fetchall()
        for *told, note in rows:
            yield _given(told, note if isinstance(note, dict) else {})
        if len(rows) < wanted:
            return
        values |= {"at": rows[-1][0], "id": rows[-1][1]}


def _given(told: Sequence[Any], note: dict[str, Any]) -> Sequence[object]:
    saved = note.get("saved_microusd")
    return [
        told[0].isoformat(), *told[1:], note.get("similarity"), None if saved is None else saved / 1e6,
        bool(note.get("seeded")),
    ]  # fmt: skip


async def likenesses(database: Database, since: datetime.datetime, until: datetime.datetime) -> list[int]:
    """How many of the latest hits fell below the first of BOUNDS, between each two, and above the last."""
    counts = [0] * (len(BOUNDS) + 1)
    values = {"since": since, "until": until, "most": MOST_LIKENESSES}
    async with database.reading() as connection:
        for (value,) in await (await connection.execute(LIKENESSES, values)).fetchall():
            if value is not None:
                counts[sum(value >= bound for bound in BOUNDS)] += 1
    return counts


async def wrong(database: Database, most: int) -> list[Wrong]:
    """The newest first. Raises Unavailable."""
    async with database.reading() as connection:
        rows = await (await connection.execute(WRONG, {"most": most})).fetchall()
    return [Wrong(*row) for row in rows]
