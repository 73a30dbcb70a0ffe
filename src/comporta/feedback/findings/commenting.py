"""A round over comments: how each sounds, which complaints are alike, and which of those grow; and versions gone worse.

Comments stay in `score` alone: what is kept here beside them is a number, a language and the cluster's name.
"""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import structlog
from psycopg import sql
from psycopg.types.json import Jsonb

from comporta.errors import ComportaError
from comporta.feedback.drift.changes import Floats
from comporta.feedback.findings import tables
from comporta.feedback.findings.shapes import ILL, Action, Kind
from comporta.feedback.findings.tables import New, id_of, rows
from comporta.feedback.processing.anomalies import Anomaly, VersionSums, worse
from comporta.feedback.processing.clusters import Group, Known, grouped
from comporta.feedback.processing.moods import Moods
from comporta.stats.intervals import binomial_tail
from comporta.store.database import Connection, Database
from comporta.telemetry.score_days import sums

log = structlog.get_logger("comporta.findings")

_DAYS = 30
_MOST = 1_500
_BATCH = 2_000
#: A cluster grows where its last week holds more of its four weeks than chance has in one of so many looks.
_GROWN = 1e-4
_FEWEST_GROWN = 8
_SETTLED_S = 10

ALONE = "select pg_try_advisory_xact_lock(hashtext('comporta.comments'))"
#: What users wrote: comments, and reasons they gave with other judgements.
NEW = """
select s.owner, s.id, s.name, s.at, coalesce(case when s.kind = 'text' then s.label else s.reason end, '') as said,
    s.route, s.prompt_id, s.prompt_version, s.joined_at,
    exists (
        select from score t where t.owner = s.owner and t.who = s.who
            and ((t.call_id is not null and t.call_id = s.call_id)
                or (t.trace_id is not null and t.trace_id = s.trace_id))
            and ((t.name = 'thumbs' and t.number = 0) or (t.name = 'rating' and t.number <= 2))
    ) as disliked
from score s
where s.joined_at is not null and s.source = 'user' and s.at > now() - make_interval(days => %(days)s)
  and ((s.name = 'comment' and s.kind = 'text') or (s.kind <> 'text' and s.reason is not null))
  and not exists (select from comment_mood m where (m.owner, m.id, m.name) = (s.owner, s.id, s.name))
order by s.at desc limit %(limit)s
"""
PUT_MOOD = """
insert into comment_mood (owner, id, name, at, route, prompt_id, prompt_version, language, mood, complaint)
values (%(owner)s, %(id)s, %(name)s, %(at)s, %(route)s, %(prompt_id)s, %(prompt_version)s, %(language)s, %(mood)s,
    %(complaint)s)
on conflict (owner, id, name) do nothing
"""
#: Those of scores that were erased or are too old.
GONE = """
delete from comment_mood m
where not exists (select from score s where (s.owner, s.id, s.name) = (m.owner, m.id, m.name))
"""
GONE_CLUSTERS = """
delete from complaint_cluster c where last_at < now() - interval '90 days'
   or not exists (select from comment_mood m where m.cluster = c.id)
"""
COMPLAINTS = """
select m.owner, m.id, m.name, m.at, m.route, m.prompt_id, m.prompt_version, m.cluster,
    coalesce(case when s.kind = 'text' then s.label else s.reason end, '') as said,
    coalesce(s.call_id, s.reply_call)::text as call_id
from comment_mood m join score s on (s.owner, s.id, s.name) = (m.owner, m.id, m.name)
where m.complaint and m.language = any(%(languages)s) and m.at > now() - make_interval(days => %(days)s)
order by m.at desc limit %(most)s
"""
KNOWN = "select id, title, terms from complaint_cluster where language = any(%(languages)s)"
PUT_CLUSTER = """
insert into complaint_cluster (id, title, language, terms, complaints, first_at, last_at)
values (%(id)s, %(title)s, %(language)s, %(terms)s, %(complaints)s, %(first)s, %(last)s)
on conflict (id) do update set terms = excluded.terms, complaints = excluded.complaints,
    first_at = least(complaint_cluster.first_at, excluded.first_at), last_at = excluded.last_at, made_at = now()
"""
ASSIGN = """
update comment_mood m set cluster = said.cluster
from jsonb_to_recordset(%(rows)s) as said (owner text, id text, name text, cluster text)
where (m.owner, m.id, m.name) = (said.owner, said.id, said.name) and m.cluster is distinct from said.cluster
"""
VERSIONS = sql.SQL("""
select route, prompt_id, prompt_version, name, sum(n)::bigint as n, sum(total) as total, sum(squares) as squares,
    bool_and(kind = 'boolean') as bin, min(began) as began
from {sums}
where kind <> 'text' and prompt_id is not null and route is not null
  and source <> 'guard' and name <> 'dwell_ms' and name not like '%%\\_value'
group by 1, 2, 3, 4
""")
_COMPARED = ("route", "prompt_id", "prompt_version", "name", "kind", "source")
WORST = """
select coalesce(call_id, reply_call)::text as id from score
where route = %(route)s and prompt_id = %(prompt)s and prompt_version = %(version)s and name = %(name)s
  and number is not null and coalesce(call_id, reply_call) is not null
order by case when %(ill)s then -number else number end, at desc limit 5
"""

Embed = Callable[[Sequence[str]], Awaitable[Floats]]


class Commenting:
    """Goes over comments. `wanted` are `feedback_system.processing`'s words; `model` embeds English comments."""

    def __init__(
        self, database: Database, wanted: Collection[str], actions: Callable[[Kind], Sequence[Action]],
        model: Embed | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._wanted = wanted
        self._actions = actions
        self._model = model
        self._moods = Moods()

    async def round(self) -> int:
        """One round, of one worker at a time; how many findings are new. Raises Unavailable."""
        async with self._database.connection() as connection:
            ours = await (await connection.execute(ALONE)).fetchone()
            if ours is None or not ours[0]:
                return 0
            found = 0
            await connection.execute(GONE)
            if {"sentiment_analysis", "clustering"} & set(self._wanted):
                await self._hear(connection)
            if "clustering" in self._wanted:
                found += await self._cluster(connection, ("en",), self._model)
                found += await self._cluster(connection, ("pt",), None)
                found += await self._cluster(connection, ("es",), None)
            await connection.execute(GONE_CLUSTERS)
            if "anomaly_detection" in self._wanted:
                found += await self._compare_versions(connection)
            return found

    async def _hear(self, connection: Connection) -> None:
        new = await rows(connection, NEW, {"days": _DAYS, "limit": _BATCH})
        told = await asyncio.to_thread(lambda: [self._moods.of(row["said"]) for row in new])
        values = [
            row | {"language": mood.language, "mood": mood.score, "complaint": mood.complains or row["disliked"]}
            for row, mood in zip(new, told, strict=True)
        ]
        async with connection.cursor() as cursor:
            await cursor.executemany(PUT_MOOD, values)

    async def _cluster(self, connection: Connection, languages: tuple[str, ...], model: Embed | None) -> int:
        asked = {"languages": list(languages), "days": _DAYS, "most": _MOST}
        said = await rows(connection, COMPLAINTS, asked)
        known = [Known(**row) for row in await rows(connection, KNOWN, asked)]
        texts = [row["said"] for row in said]
        vectors = await _vectors(model, texts)
        groups = await asyncio.to_thread(grouped, texts, vectors, known)
        await self._assign(connection, languages[0], said, groups)
        found = 0
        for group in groups:
            new = _grown(group, [said[at] for at in group.places])
            if new is not None:
                found += await tables.put(connection, new, self._actions("complaints"))
        return found

    async def _assign(
        self, connection: Connection, language: str, said: Sequence[dict[str, Any]], groups: Sequence[Group]
    ) -> None:
        cluster_of = {at: group.id for group in groups for at in group.places}
        for group in groups:
            times = [said[at]["at"] for at in group.places]
            values = {
                "id": group.id, "title": group.title[:200], "language": language, "terms": Jsonb(group.terms),
                "complaints": len(times), "first": min(times), "last": max(times),
            }  # fmt: skip
            await connection.execute(PUT_CLUSTER, values)
        changed = [
            {"owner": row["owner"], "id": row["id"], "name": row["name"], "cluster": cluster_of.get(at)}
            for at, row in enumerate(said)
        ]
        await connection.execute(ASSIGN, {"rows": Jsonb(changed)})

    async def _compare_versions(self, connection: Connection) -> int:
        found = 0
        compared = [
            VersionSums(
                row["route"], row["prompt_id"], row["prompt_version"], row["name"], row["n"], row["total"],
                row["squares"], row["bin"], row["began"], row["name"] in ILL,
            )
            for row in await version_sums(connection)
        ]  # fmt: skip
        for one in worse(compared):
            found += await tables.put(connection, await self._anomaly(connection, one), self._actions("anomaly"))
        return found

    async def _anomaly(self, connection: Connection, one: Anomaly) -> New:
        now, before = one.now, one.before
        values = {
            "route": now.route, "prompt": now.prompt, "version": now.version, "name": now.name, "ill": now.ill,
        }  # fmt: skip
        examples = [row["id"] for row in await rows(connection, WORST, values)]
        title = (
            f"Route {now.route}: {now.prompt}@{now.version} is worse than {before.version}: {now.name} "
            f"{'rose' if now.ill else 'fell'} from {before.mean:.3g} to {now.mean:.3g}"
        )
        return New(
            id=id_of("anomaly", now.route, now.prompt, now.version, now.name), kind="anomaly", measure=now.name,
            title=title, route=now.route, prompt_id=now.prompt, prompt_version=now.version, since=now.began,
            size=one.size, before=before.mean, after=now.mean, low=one.low, high=one.high, n_before=before.n,
            n_after=now.n, facts={"unit": "points", "than": before.version}, examples=tuple(examples),
        )  # fmt: skip


async def version_sums(connection: Connection) -> list[dict[str, Any]]:
    """The scores of each prompt version on each route in the last 30 days, summed up by name."""
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=_DAYS)
    return await rows(connection, VERSIONS.format(sums=sums(_COMPARED, since)))


async def _vectors(model: Embed | None, texts: Sequence[str]) -> Floats | None:
    """The model's vectors; words alone where it fails or there is none."""
    if model is None or not texts:
        return None
    try:
        return await model(texts)
    except ComportaError as error:
        log.warning("findings.model_away", reason=error.message)
        return None


def _grown(group: Group, said: Sequence[dict[str, Any]]) -> New | None:
    """A complaint that is new or grows: most of its four weeks lie in the last one."""
    now = datetime.datetime.now(datetime.UTC)
    week, month = now - datetime.timedelta(days=7), now - datetime.timedelta(days=28)
    latest = [row for row in said if row["at"] >= week]
    all_ = sum(row["at"] >= month for row in said)
    if len(latest) < _FEWEST_GROWN or binomial_tail(len(latest), all_, 0.25) > _GROWN:
        return None
    before = (all_ - len(latest)) / 3
    reach = 1.959964 * math.sqrt(len(latest) + before / 3)
    most = max(latest, key=lambda row: sum(row["route"] == other["route"] for other in latest))
    # Once for each week of its growing, however often it is looked at.
    id = id_of("complaints", group.id, now.date().isocalendar()[:2])
    return New(
        id=id, kind="complaints", measure=group.id, title=f"More complaints: {group.title[:150]}",
        route=most["route"], prompt_id=most["prompt_id"], prompt_version=most["prompt_version"],
        since=min(row["at"] for row in latest), size=len(latest) - before, before=before, after=float(len(latest)),
        low=len(latest) - before - reach, high=len(latest) - before + reach, n_before=all_ - len(latest),
        n_after=len(latest), facts={"unit": "complaints a week", "cluster": group.id},
        examples=tuple(row["call_id"] for row in latest if row["call_id"])[:5],
    )  # fmt: skip
