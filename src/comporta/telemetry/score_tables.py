"""The table of scores: how a batch goes in with no effect the second time, finds its calls, and goes when it is old."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct, structs

from comporta.store.database import Connection, Database
from comporta.store.people import HOLD_BACK
from comporta.telemetry.scores import ScoreRecord, call_of_reply

log = structlog.get_logger("comporta.telemetry")

#: A score whose call was not recorded by then is dropped: nobody can tell any more whose it is.
WAIT_S = 86_400.0
_PRUNE_ROWS = 10_000
#: Brought down to so much of what it may take, so that it takes a while to be there again.
_TRIMMED_TO = 0.7

#: The later word counts; whoever says the same again changes nothing.
INSERT = """
insert into score (owner, id, name, at, kind, number, label, source, who, reason, trace_id, call_id, reply_id,
    reply_call)
select coalesce(owner, ''), id, name, to_timestamp(at_s), kind, number, label, source, coalesce(who, ''), reason,
    trace_id, call_id, reply_id, reply_call
from jsonb_to_recordset(%(rows)s::jsonb) as said (
    owner text, id text, name text, at_s float8, kind text, number float8, label text, source text, who text,
    reason text, trace_id text, call_id uuid, reply_id text, reply_call uuid
)
order by 1, 2, 3
on conflict (owner, id, name) do update
set at = excluded.at, kind = excluded.kind, number = excluded.number, label = excluded.label,
    source = excluded.source, who = excluded.who, reason = excluded.reason
where excluded.at >= score.at and (excluded.kind, excluded.number, excluded.label, excluded.source, excluded.reason)
    is distinct from (score.kind, score.number, score.label, score.source, score.reason)
"""
#: What a score learns from its call: column of `score`, column of `call`.
_LEARNT = {
    "call_id": "id", "called_at": "started_at", "trace_id": "trace_id", "route": "route", "variant": "variant",
    "provider": "provider", "model": "model", "key_id": "key_id", "team": "team", "environment": "environment",
    "feature": "feature", "prompt_id": "prompt_id", "prompt_version": "prompt_version",
}  # fmt: skip
_CALL = ", ".join(dict.fromkeys((*_LEARNT.values(), "user_id", "session", "parent_id", "reply_id", "capture", "tags")))


def _named(call_id: str, reply_id: str, reply_call: str, trace_id: str) -> str:
    """Every call that is meant: by its id, else by its reply's, else by its trace; None of them matches nothing."""
    return f"""
        select {_CALL} from call where id = {call_id}
        union all
        select {_CALL} from call where {call_id} is null and reply_id = {reply_id}
        union all
        select {_CALL} from call where {call_id} is null and id = {reply_call}
        union all
        select {_CALL} from call where {call_id} is null and {reply_id} is null and trace_id = {trace_id}
    """


def _may(owner: str) -> str:
    return f"({owner} = '' or coalesce({owner} = 'team/' || team, false) or {owner} = 'key/' || key_id)"


#: Of several calls the latest that nobody made in the course of another one.
_ORDER = "(parent_id is not null), started_at desc limit 1"
_FOUND = f"""
    select {_CALL} from ({_named("w.call_id", "w.reply_id", "w.reply_call", "w.trace_id")}) as named
    where {_may("w.owner")} order by {_ORDER}
"""
CALLED = f"""
    select id::text, trace_id, {_may("%(owner)s::text")} as mine
    from ({_named("%(call_id)s::uuid", "%(reply_id)s::text", "%(reply_call)s::uuid", "%(trace_id)s::text")}) as named
    order by mine desc, {_ORDER}
"""
#: Records that come late are emptied in the same way (`telemetry.anonymous`).
_ERASED = """
    c.capture = 'erased' or exists (
        select from erasure
        where user_sha256 = sha256(convert_to(c.user_id, 'UTF8')) and erasure.at >= c.started_at
    )
"""
_SET = ", ".join(f"{mine} = found.c_{theirs}" for mine, theirs in _LEARNT.items())
JOIN = f"""
with waiting as (
    select taken_at, owner, id, name, kind, trace_id, call_id, reply_id, reply_call from score
    where joined_at is null and taken_at > now() - make_interval(secs => %(wait_s)s)
        and (taken_at, owner, id, name) < (%(taken_at)s, %(owner)s, %(id)s, %(name)s)
    order by taken_at desc, owner desc, id desc, name desc limit %(limit)s
    for update skip locked
), found as (
    select w.owner, w.id, w.name, w.kind, {", ".join(f"c.{one} as c_{one}" for one in _CALL.split(", "))},
        {_ERASED} as erased
    from waiting as w cross join lateral ({_FOUND}) as c
), emptied as (
    delete from score using found
    where (score.owner, score.id, score.name) = (found.owner, found.id, found.name) and erased and found.kind = 'text'
    returning 1
), joined as (
    update score set joined_at = now(), {_SET},
        user_id = case when not erased then c_user_id end,
        session = case when not erased then c_session end,
        reason = case when not erased then reason end,
        who = case when erased then '' else who end
    from found
    where (score.owner, score.id, score.name) = (found.owner, found.id, found.name)
        and not (erased and found.kind = 'text')
    returning score.at, score.name, score.kind, score.number, score.label, found.c_tags as tags
), rolled as (
    insert into rollout_score (rollout, side, stage, at, name, kind, value, label)
    select tags ->> 'rollout', coalesce(tags ->> 'rollout_side', ''), coalesce(tags ->> 'rollout_stage', ''), at, name,
        kind, number, label
    from joined where tags ? 'rollout'
)
select (select count(*) from joined), (select count(*) from waiting), last.* from (
    select taken_at, owner, id, name from waiting order by taken_at, owner, id, name limit 1
) as last
"""

PRUNE = """
delete from score where ctid in (select ctid from score where at < %(before)s limit %(limit)s)
"""
DROP_UNJOINED = """
delete from score where joined_at is null and taken_at < now() - make_interval(secs => %(wait_s)s)
"""
SIZE = "select pg_total_relation_size('score')"
CUT = "select percentile_disc(%(share)s) within group (order by at) from score"
#: Emptied and filled again rather than deleted from: deleted rows give nothing back to the disk. The table stays, since
#: views of people who are bound to teams hang on it. New scores wait in the spool.
REWRITE = (
    "lock table score in access exclusive mode",
    "create temp table score_kept on commit drop as select * from score where at >= %(cut)s",
    "alter table score disable trigger user",
    "truncate score",
    "insert into score select * from score_kept",
    "alter table score enable trigger user",
    "insert into score_stale_day select distinct day from score_day where day <= (%(cut)s at time zone 'UTC')::date",
)


class Place(Struct, frozen=True):
    """Where a look at the waiting scores stopped; it goes from the newest to the oldest."""

    taken_at: datetime.datetime
    owner: str = ""
    id: str = ""
    name: str = ""


class Joined(Struct, frozen=True):
    """How many scores found their call, and where to look on; None at the end."""

    found: int
    next: Place | None


class Called(Struct, frozen=True):
    """The call that something is said of, and whether whoever says it may."""

    call_id: str
    trace_id: str
    mine: bool


async def called(
    connection: Connection, owner: str, trace_id: str | None, call_id: str | None, reply_id: str | None
) -> Called | None:
    """The call that is meant, one's own before others'; None where it is not recorded (yet)."""
    values = {
        "owner": owner, "trace_id": trace_id, "call_id": call_id, "reply_id": reply_id,
        "reply_call": call_of_reply(reply_id) if reply_id else None,
    }  # fmt: skip
    row: Any = await (await connection.execute(CALLED, values)).fetchone()
    return None if row is None else Called(*row)


async def insert(connection: Connection, records: Sequence[ScoreRecord]) -> None:
    """Put scores in. Of the same score said twice in one batch the later word counts."""
    latest: dict[tuple[str, str, str], ScoreRecord] = {}
    for record in records:
        place = (record.owner, record.id, record.name)
        if place not in latest or record.at_s >= latest[place].at_s:
            latest[place] = record
    await connection.execute(INSERT, {"rows": msgspec.json.encode(list(latest.values())).decode()})


async def join(connection: Connection, limit: int, after: Place | None = None, within_s: float = WAIT_S) -> Joined:
    """Let scores that came within so many seconds learn of their calls, the newest first, `limit` at a time.

    What is of somebody erased meanwhile is emptied before anybody sees it.
    """
    place = after or Place(datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC))
    values = {"wait_s": min(within_s, WAIT_S), "limit": limit, **structs.asdict(place)}
    await connection.execute(HOLD_BACK)
    row: Any = await (await connection.execute(JOIN, values)).fetchone()
    if row is None:
        return Joined(0, None)
    return Joined(int(row[0]), Place(*row[2:]) if row[1] == limit else None)


async def prune(database: Database, keep_days: float) -> int:
    """Drop the scores that are older, and those that waited for a call in vain; how many went."""
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=keep_days)
    gone = 0
    while True:
        async with database.connection() as connection:
            cursor = await connection.execute(PRUNE, {"before": before, "limit": _PRUNE_ROWS})
        gone += cursor.rowcount
        if cursor.rowcount < _PRUNE_ROWS:
            break
    async with database.connection() as connection:
        cursor = await connection.execute(DROP_UNJOINED, {"wait_s": WAIT_S})
    if cursor.rowcount:
        log.warning("scores_without_call", dropped=cursor.rowcount, waited_s=WAIT_S)
    return gone + cursor.rowcount


async def keep_within(database: Database, max_bytes: int) -> bool:
    """Drop the oldest scores where they take more on the disk, indexes included; whether that was so."""
    async with database.connection() as connection:
        await connection.execute("set local lock_timeout = '5s'")
        row = await (await connection.execute(SIZE)).fetchone()
        size = int(row[0]) if row is not None else 0
        if size <= max_bytes:
            return False
        share = 1 - max_bytes * _TRIMMED_TO / size
        cut = await (await connection.execute(CUT, {"share": share})).fetchone()
        if cut is None or cut[0] is None:
            return False
        for statement in REWRITE:
            await connection.execute(statement, {"cut": cut[0]} if "%(cut)s" in statement else None)
    log.warning("scores_over_their_size", bytes=size, max_bytes=max_bytes, kept_from=cut[0].isoformat())
    return True
