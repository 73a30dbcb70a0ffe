"""Puts the week into the database by the code that ships records, and takes a demo away again."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import msgspec

from comporta.app.demo.week import TAG, Week
from comporta.store.database import Connection, Database
from comporta.telemetry import partitions, review_tables, score_tables, tables
from comporta.telemetry.observability import facets

#: Told how much of the work is done, from 0 to 1.
Progress = Callable[[float], None]
_BATCH = 400
#: What calls of a key left behind, and where the key stands in it.
_BY_KEY = (
    "call", "score", "rollup_minute", "rollup_hour", "score_minute", "score_hour", "spent_hour", "trace_span",
    "kept_response", "semantic_entry",
)  # fmt: skip
_KEYS = "select id from virtual_key where tags ? %s"
_HAS = "select exists (select from virtual_key where tags ? %s and revoked_at is null)"
_SPANS = """
delete from span using call
where span.call_id = call.id and span.started_at = call.started_at and call.key_id = any(%s)
"""
#: Sums by one property are made of the rollups; where those are gone nobody makes them anew.
_FACETS = "delete from facet_{unit} where not exists (select from rollup_{unit} r where r.period = facet_{unit}.period)"
_DAYS = """
delete from facet_day as d where not exists (
    select from rollup_hour as r where r.period >= d.period and r.period < d.period + interval '1 day'
)
"""
_REVIEWS = "delete from review where call_id in (select id from call where key_id = any(%s))"
_TOPS = "delete from top_hour where name like 'customer-%%' or name like 'chat-%%' or name like 'console/demo%%'"
_EVENTS = "delete from alert_event where notice_id = 'demo'"
_ALERT = """
insert into alert_event (rule, at, kind, state_before, state, value, calls, reason, silenced, notice_id)
values ('error_rate', to_timestamp(%s), %s, %s, %s, %s, %s, %s, false, 'demo')
"""


async def has_demo(database: Database) -> bool:
    """Whether keys of a demo are in use."""
    async with database.reading() as connection:
        row = await (await connection.execute(_HAS, [TAG])).fetchone()
    return bool(row and row[0])


async def fill(database: Database, week: Week, progress: Progress) -> None:
    """All of it, in batches. Raises Unavailable."""
    days = {datetime.datetime.fromtimestamp(one.started_us / 1e6, datetime.UTC).date() for one in week.calls}
    await partitions.ensure_days(database, days)
    total = len(week.calls) + len(week.scores)
    for start in range(0, len(week.calls), _BATCH):
        async with database.connection() as connection:
            await tables.insert(connection, week.calls[start : start + _BATCH])
        progress(min(start + _BATCH, len(week.calls)) / total)
    for start in range(0, len(week.scores), _BATCH):
        async with database.connection() as connection:
            await score_tables.insert(connection, week.scores[start : start + _BATCH])
            # Those that just came are the newest taken: joined before the next lot comes.
            await score_tables.join(connection, _BATCH * 2)
        progress((len(week.calls) + min(start + _BATCH, len(week.scores))) / total)
    async with database.connection() as connection:
        await connection.execute(review_tables.INSERT, {"rows": msgspec.json.encode(week.reviews).decode()})
        await _alerts(connection, week)


async def _alerts(connection: Connection, week: Week) -> None:
    """What the rule on errors would have told that evening."""
    began, ended = week.outage
    for at_s, kind, before, state, value, reason in (
        (began + 300, "change", "ok", "alert", 0.41, None), (ended + 360, "change", "alert", "ok", 0.012, None),
    ):  # fmt: skip
        await connection.execute(_ALERT, [at_s, kind, before, state, value, 180, reason])


async def take_away(database: Database, progress: Progress) -> int:
    """Everything that hangs on the demo's keys; how many calls went. Raises Unavailable."""
    async with database.connection() as connection:
        ids = [row[0] for row in await (await connection.execute(_KEYS, [TAG])).fetchall()]
    await facets.mark_all(database)
    await _gone(database, _SPANS, [ids])
    await _gone(database, _REVIEWS, [ids])
    calls = 0
    for at, name in enumerate(_BY_KEY):
        gone = await _gone(database, f"delete from {name} where key_id = any(%s)", [ids])
        calls += gone if name == "call" else 0
        progress((at + 1) / len(_BY_KEY))
    for statement in (_TOPS, _EVENTS, _DAYS, *(_FACETS.format(unit=unit) for unit in ("minute", "hour"))):
        await _gone(database, statement, [])
    # What was summed up while rows went, of periods that others have calls in too.
    await facets.mark_all(database)
    return calls


async def _gone(database: Database, statement: str, values: list[object]) -> int:
    async with database.connection() as connection:
        # Put together from names in this module alone.
        return (await connection.execute(statement.encode(), values)).rowcount
