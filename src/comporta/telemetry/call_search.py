"""Calls found by whatever people look for: names, outcomes, cost, latency, judgements, words; the newest first.

Not all of that has an index, and a table may hold millions of calls. So time is searched backwards in slices that
grow, for a bounded while: a page says how far back it looked, and the next one goes on from there.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.telemetry.calls import COLUMNS, SHOWN, CallRow, call_row

#: The first slice, and by how much each is longer than the one before.
_SLICE = datetime.timedelta(hours=1)
_GROWS = 4
#: Nothing is older: records are kept for days, and this bounds a search without `since`.
_OLDEST = datetime.timedelta(days=4000)
#: After so long a page comes back with what it has.
SEARCH_S = 2.5
MAX_LIMIT = 500
_SNIPPET_CHARS = 200
_ID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z")
_ZERO = uuid.UUID(int=0)

#: What was asked last, in whichever way the prompt is kept.
_SNIPPET = sql.SQL(
    "left(coalesce(jsonb_path_query_array(prompt, '$.messages[*] ? (@.role == \"user\").parts[*].text') ->> -1,"
    " jsonb_path_query_array(prompt, '$[*] ? (@.role == \"user\").text') ->> -1, prompt #>> '{{texts,0}}'), {most})"
).format(most=sql.Literal(_SNIPPET_CHARS))
FIND = sql.SQL(
    "select {shown}, {snippet} as snippet from call where started_at >= %s and (started_at, id) < (%s, %s) {where}"
    " order by started_at desc, id desc limit %s"
)
OLDEST = "select min(started_at) from call"
_LOW = "(s.name = 'rating' and s.number <= 2 or s.name <> 'rating' and s.number < 0.5)"
_JUDGED = "exists (select from score s where s.call_id = call.id and s.source in ('user', 'human')"
#: What people and guards said of a call.
JUDGED: Mapping[str, str] = {
    "good": f"{_JUDGED} and s.number is not null and not {_LOW})",
    "bad": f"{_JUDGED} and s.number is not null and {_LOW})",
    "any": f"{_JUDGED})",
    "guard": "exists (select from score s where s.call_id = call.id and s.source = 'guard')",
}
Judged = Literal["good", "bad", "any", "guard"]


class Wanted(Struct, frozen=True):
    """What calls are looked for. `filters` are by names of `calls.COLUMNS`; what is None or empty does not matter.

    `outcome` is an error's code, `ok`, or `failed` for whatever is not ok. `text` stands in prompt or reply, or is
    the id of a call, trace, request, user or session.
    """

    filters: Mapping[str, str] = {}
    outcome: str = ""
    judged: Judged | None = None
    least_microusd: int | None = None
    least_us: int | None = None
    cache: Literal["hit", "miss", ""] = ""
    text: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None


class Found(Struct, frozen=True):
    """A call, and the beginning of what was asked last, as far as content is kept."""

    call: CallRow
    snippet: str | None


class Page(Struct, frozen=True):
    """Calls, the newest first. `next` leads on, None at the end of what there is.

    `searched_to` is set where time ran out: there may be more before it, which `next` goes on to look for.
    """

    found: list[Found]
    next: str | None
    searched_to: datetime.datetime | None = None


async def search(
    database: Database, wanted: Wanted, *, after: str | None = None, limit: int = 50, within_s: float = SEARCH_S
) -> Page:
    """One page. Raises BadRequest for a filter that there is not, Unavailable."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"A page holds 1 to {MAX_LIMIT} calls.", param="limit")
    where, values = _where(wanted)
    now = datetime.datetime.now(datetime.UTC)
    # Clocks of several machines differ: what began a moment from now is there too.
    start = (wanted.until or now + datetime.timedelta(minutes=5), uuid.UUID(int=(1 << 128) - 1))
    place = _place(after) if after else start
    async with database.reading(within_s + 6) as connection:
        floor = await _floor(connection, wanted.since, now)
        look = _Look(connection, FIND.format(shown=SHOWN, snippet=_SNIPPET, where=where), values, floor, within_s)
        return await look.back(place, limit)


class _Look:
    """One search backwards through time."""

    def __init__(
        self, connection: Connection, query: sql.Composed, values: Sequence[Any], floor: datetime.datetime,
        within_s: float,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._query = query
        self._values = values
        self._floor = floor
        self._until_s = time.monotonic() + within_s

    async def back(self, place: tuple[datetime.datetime, uuid.UUID], limit: int) -> Page:
        found: list[Found] = []
        length = _SLICE
        while place[0] > self._floor:
            left_s = self._until_s - time.monotonic()
            if left_s < 0.05:
                return Page(found, _written(place), place[0])
            begin = max(self._floor, place[0] - length)
            rows = await self._slice(begin, place, limit + 1 - len(found), left_s)
            if rows is None:
                # Even this slice takes too long: the next try looks at a shorter one.
                if length <= datetime.timedelta(minutes=1):
                    return Page(found, _written(place), place[0])
                length /= 8
                continue
            found += rows
            if len(found) > limit:
                last = found[limit - 1].call
                return Page(found[:limit], _written((last.started_at, uuid.UUID(last.id))))
            place = (begin, _ZERO)
            length *= _GROWS
        return Page(found, None)

    async def _slice(
        self, begin: datetime.datetime, place: tuple[datetime.datetime, uuid.UUID], limit: int, left_s: float
    ) -> list[Found] | None:
        """What a slice holds; None where looking took too long."""
        try:
            async with self._connection.transaction():
                await self._connection.execute(f"set local statement_timeout = {int(left_s * 1000)}".encode())
                cursor = self._connection.cursor(row_factory=dict_row)
                await cursor.execute(self._query, [begin, *place, *self._values, limit])
                return [Found(call_row(row), row["snippet"]) for row in await cursor.fetchall()]
        except psycopg.errors.QueryCanceled:
            return None


async def _floor(
    connection: Connection, since: datetime.datetime | None, now: datetime.datetime
) -> datetime.datetime:  # fmt: skip
    row = await (await connection.execute(OLDEST)).fetchone()
    oldest = row[0] if row is not None and row[0] is not None else now
    return max(since or now - _OLDEST, oldest)


def _where(wanted: Wanted) -> tuple[sql.Composed, list[Any]]:
    parts: list[sql.Composable] = []
    values: list[Any] = []
    for name, value in wanted.filters.items():
        if name not in COLUMNS:
            raise BadRequest(
                f"Calls can't be filtered by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
        parts.append(sql.SQL("{} = %s").format(sql.Identifier(COLUMNS[name])))
        values.append(value)
    if wanted.outcome:
        parts.append(sql.SQL("outcome_class <> 'ok'" if wanted.outcome == "failed" else "outcome = %s"))
        values += [] if wanted.outcome == "failed" else [wanted.outcome]
    for column, least in (("cost_microusd", wanted.least_microusd), ("duration_us", wanted.least_us)):
        if least is not None:
            parts.append(sql.SQL("{} >= %s").format(sql.Identifier(column)))
            values.append(least)
    if wanted.judged:
        parts.append(sql.SQL(JUDGED[wanted.judged]))
    if wanted.cache:
        hit = "(cache like 'hit%%' or cache in ('exact', 'semantic'))"
        parts.append(sql.SQL(hit if wanted.cache == "hit" else f"not {hit}"))
    if wanted.text:
        condition, words = _text(wanted.text)
        parts.append(condition)
        values += words
    return sql.Composed([sql.SQL(" and ") + part for part in parts]), values


def _text(text: str) -> tuple[sql.SQL, list[Any]]:
    """An id is looked up; anything else is looked for in the content."""
    text = text.strip().replace("\0", "")
    if _ID.match(text):
        ids = "(id = %s or trace_id = %s or request_id = %s)"
        return sql.SQL(ids), [uuid.UUID(text), text.replace("-", "").lower(), text]
    # In JSON quotes and line breaks are written with a backslash, and so is the backslash itself.
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    like = "%" + re.sub(r"([\\%_])", r"\\\1", inside) + "%"
    return sql.SQL("(prompt::text ilike %s or reply::text ilike %s or session = %s or user_id = %s)"), [
        like, like, text, text,
    ]  # fmt: skip


def _written(place: tuple[datetime.datetime, uuid.UUID]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(text: str) -> tuple[datetime.datetime, uuid.UUID]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[datetime.datetime, uuid.UUID])
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None
