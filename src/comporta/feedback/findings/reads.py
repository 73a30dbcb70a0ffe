"""Reads findings, clusters of complaints and weekly trends, for the admin API and the console."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest, NotFound
from comporta.feedback.findings.shapes import (
    STATES,
    Act,
    Cluster,
    Complaint,
    ExampleCall,
    Finding,
    FindingPage,
    State,
    Trend,
)
from comporta.feedback.findings.texts import answer_of, question_of
from comporta.feedback.processing.trends import WeekSums, trend_of
from comporta.store.database import Connection, Database
from comporta.store.fields import in_utc
from comporta.telemetry.score_days import sums

MAX_LIMIT = 200
MOST_WEEKS = 53
#: What findings can be filtered by, and the column behind each.
COLUMNS = {
    "state": "state", "kind": "kind", "measure": "measure", "route": "route", "prompt": "prompt_id",
    "version": "prompt_version",
}  # fmt: skip
#: The trend of how comments sound, beside those of scores.
MOOD = "mood"

_LIST = "select * from finding where true {where} order by found_at desc, id desc limit {limit}"
_ACTS = "select * from finding_act where finding_id = any(%(ids)s) order by action"
_EXAMPLES = """
select e.call_id::text, e.called_at, e.user_id, c.trace_id, c.prompt, c.reply, c.variables
from finding_example e
left join call c on c.started_at = e.called_at and c.id = e.call_id
where e.finding_id = %(id)s order by e.place
"""
_SET = """
update finding set state = %(state)s, by = %(by)s, note = coalesce(%(note)s, note), state_at = now()
where id = %(id)s returning id
"""
_CLUSTERS = """
with mine as (
    select m.* from comment_mood m
    where complaint and at >= %(since)s and at < %(until)s and (%(route)s::text is null or route = %(route)s)
      and (%(prompt)s::text is null or prompt_id = %(prompt)s)
      and (%(version)s::text is null or prompt_version = %(version)s)
), counted as (
    select cluster, count(*) as n, min(at) as first_at, max(at) as last_at,
        array_agg(distinct route) filter (where route is not null) as routes
    from mine where cluster is not null group by cluster
)
select c.id, c.title, c.language, n.n, n.first_at, n.last_at, coalesce(n.routes, '{}') as routes,
    (select count(*) from mine) as complaints
from counted n join complaint_cluster c on c.id = n.cluster
order by n.n desc, c.id limit %(limit)s
"""
_SAID = """
select m.cluster, case when s.kind = 'text' then s.label else s.reason end as label, m.at, m.mood, m.route,
    m.prompt_id, m.prompt_version,
    coalesce(s.call_id, s.reply_call)::text as call_id, s.trace_id
from unnest(%(ids)s::text[]) as wanted (cluster)
cross join lateral (
    select * from comment_mood
    where cluster = wanted.cluster and at >= %(since)s and at < %(until)s
      and (%(route)s::text is null or route = %(route)s)
      and (%(prompt)s::text is null or prompt_id = %(prompt)s)
      and (%(version)s::text is null or prompt_version = %(version)s)
    order by at desc limit %(most)s
) m join score s on (s.owner, s.id, s.name) = (m.owner, m.id, m.name)
order by m.at desc
"""
_WEEKS = sql.SQL("""
select name, date_trunc('week', latest at time zone 'UTC')::date as week, sum(n)::bigint as n, sum(total) as total,
    sum(squares) as squares, bool_and(kind = 'boolean') as bin
from {sums}
where kind <> 'text' and (%(names)s::text[] is null or name = any(%(names)s))
  and (%(route)s::text is null or route = %(route)s)
  and (%(prompt)s::text is null or prompt_id = %(prompt)s)
  and (%(version)s::text is null or prompt_version = %(version)s)
group by 1, 2
union all
select 'mood', date_trunc('week', at at time zone 'UTC')::date, count(*), sum(mood), sum(mood * mood), false
from comment_mood
where at >= %(since)s and (%(names)s::text[] is null or 'mood' = any(%(names)s))
  and (%(route)s::text is null or route = %(route)s)
  and (%(prompt)s::text is null or prompt_id = %(prompt)s)
  and (%(version)s::text is null or prompt_version = %(version)s)
group by 1, 2
order by 1, 2
""")
_TREND = ("name", "kind", "route", "prompt_id", "prompt_version")


async def list_findings(
    database: Database, *, filters: Mapping[str, str] | None = None, since: datetime.datetime | None = None,
    until: datetime.datetime | None = None, after: str | None = None, limit: int = 50,
) -> FindingPage:  # fmt: skip
    """One page, the newest first, without examples. `filters` are names of COLUMNS.

    `since` and `until` are of `found_at`. Raises BadRequest for another filter and for an `after` that is not ours.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"A page holds 1 to {MAX_LIMIT} findings.", param="limit")
    where, values = _where(filters or {}, since, until, after)
    query = sql.SQL(_LIST).format(where=where, limit=sql.Literal(limit + 1))
    async with database.reading() as connection:
        rows = await _rows(connection, query, values)
        acts = await _acts(connection, [row["id"] for row in rows[:limit]])
    found = [_finding(row, acts.get(row["id"], ())) for row in rows[:limit]]
    return FindingPage(found, _cursor(found[-1]) if len(rows) > limit else None)


async def get_finding(database: Database, id: str) -> Finding:
    """One finding with its examples, as far as their calls' content was kept. Raises NotFound."""
    async with database.reading() as connection:
        return await finding(connection, id)


async def finding(connection: Connection, id: str) -> Finding:
    """The same on a connection that is there."""
    rows = await _rows(connection, "select * from finding where id = %(id)s", {"id": id})
    if not rows:
        raise NotFound(f"There is no finding '{id[:100]}'.", code="finding_not_found")
    acts = await _acts(connection, [id])
    examples = await _rows(connection, _EXAMPLES, {"id": id})
    return _finding(rows[0], acts.get(id, ()), tuple(map(_example, examples)))


async def set_state(database: Database, id: str, state: State, by: str, note: str | None = None) -> Finding:
    """Say that one was seen, is over, or is open again. Raises NotFound, BadRequest."""
    if state not in STATES:
        raise BadRequest(f"state must be one of {', '.join(STATES)}.", param="state")
    async with database.connection() as connection:
        await connection.execute(_SET, {"id": id, "state": state, "by": by, "note": note})
        return await finding(connection, id)


async def clusters(
    database: Database, *, route: str | None = None, prompt: str | None = None, version: str | None = None,
    since: datetime.datetime | None = None, until: datetime.datetime | None = None, limit: int = 20, examples: int = 3,
) -> list[Cluster]:  # fmt: skip
    """Complaints that are alike, the most frequent first; of the last 30 days where no `since` is given.

    Each has up to `examples` of its latest comments, as they were said. Raises BadRequest.
    """
    if not 1 <= limit <= MAX_LIMIT or not 0 <= examples <= 50:
        raise BadRequest(f"Ask for 1 to {MAX_LIMIT} clusters of up to 50 examples.", param="limit")
    now = datetime.datetime.now(datetime.UTC)
    values = {
        "route": route, "prompt": prompt, "version": version, "limit": limit, "most": examples,
        "since": in_utc(since) or now - datetime.timedelta(days=30), "until": in_utc(until) or now,
    }  # fmt: skip
    async with database.reading() as connection:
        rows = await _rows(connection, _CLUSTERS, values)
        said = await _rows(connection, _SAID, values | {"ids": [row["id"] for row in rows]})
    return [_cluster(row, [one for one in said if one["cluster"] == row["id"]]) for row in rows]


async def trends(
    database: Database, *, names: Sequence[str] | None = None, route: str | None = None, prompt: str | None = None,
    version: str | None = None, weeks: int = 12,
) -> list[Trend]:  # fmt: skip
    """Every score that is a number or true/false, and `mood`, by week (Monday, UTC); of these `names` where given.

    Raises BadRequest for more than 53 weeks.
    """
    if not 1 <= weeks <= MOST_WEEKS:
        raise BadRequest(f"Trends are of 1 to {MOST_WEEKS} weeks.", param="weeks")
    today = datetime.datetime.now(datetime.UTC).date()
    monday = today - datetime.timedelta(days=today.weekday(), weeks=weeks - 1)
    since = datetime.datetime.combine(monday, datetime.time(), datetime.UTC)
    values = {
        "since": since, "route": route, "prompt": prompt, "version": version,
        "names": None if names is None else list(names),
    }  # fmt: skip
    async with database.reading() as connection:
        rows = await _rows(connection, _WEEKS.format(sums=sums(_TREND, since)), values)
    by_name: dict[str, list[WeekSums]] = {}
    for row in rows:
        week = WeekSums(row["week"], row["n"], row["total"], row["squares"], row["bin"])
        by_name.setdefault(row["name"], []).append(week)
    return [trend_of(name, weeks_of) for name, weeks_of in by_name.items()]


async def _rows(connection: Connection, query: Any, values: Any) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    return await (await cursor.execute(query, values)).fetchall()


async def _acts(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Act, ...]]:
    told: dict[str, tuple[Act, ...]] = {}
    for row in await _rows(connection, _ACTS, {"ids": list(ids)}):
        act = Act(row["action"], row["state"], row["attempts"], row["told"], row["at"])
        told[row["finding_id"]] = (*told.get(row["finding_id"], ()), act)
    return told


def _finding(row: Mapping[str, Any], acts: tuple[Act, ...], examples: tuple[ExampleCall, ...] = ()) -> Finding:
    return Finding(**row, acts=acts, examples=examples)


def _example(row: Mapping[str, Any]) -> ExampleCall:
    return ExampleCall(
        row["call_id"], row["called_at"], row["trace_id"], row["user_id"], question_of(row["prompt"], row["variables"]),
        answer_of(row["reply"]),
    )  # fmt: skip


def _cluster(row: Mapping[str, Any], said: Sequence[Mapping[str, Any]]) -> Cluster:
    examples = tuple(
        Complaint(
            one["label"] or "", one["at"], one["mood"], one["route"], one["prompt_id"], one["prompt_version"],
            one["call_id"], one["trace_id"],
        )
        for one in said
    )  # fmt: skip
    return Cluster(
        row["id"], row["title"], row["language"], row["n"], row["n"] / max(1, row["complaints"]), row["first_at"],
        row["last_at"], tuple(sorted(row["routes"])), examples,
    )  # fmt: skip


def _where(
    filters: Mapping[str, str], since: datetime.datetime | None, until: datetime.datetime | None, after: str | None
) -> tuple[sql.Composed, list[Any]]:
    where, values = sql.Composed([]), list[Any]()
    for name, value in filters.items():
        if name not in COLUMNS:
            raise BadRequest(
                f"Findings can't be filtered by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
        where += sql.SQL(" and {} = %s").format(sql.Identifier(COLUMNS[name]))
        values.append(value)
    for text, at in ((" and found_at >= %s", since), (" and found_at < %s", until)):
        if at is not None:
            where += sql.SQL(text)
            values.append(in_utc(at))
    if after is not None:
        where += sql.SQL(" and (found_at, id) < (%s, %s)")
        values += _after(after)
    return where, values


def _cursor(last: Finding) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((last.found_at, last.id))).decode()


def _after(text: str) -> list[Any]:
    try:
        return list(msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[datetime.datetime, str]))
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None
