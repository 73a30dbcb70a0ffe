"""How alike questions must be on each route: in memory for calls, in PostgreSQL for all workers, moved by checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import structlog
from msgspec import Struct

from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.standing import Evidence, moved
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.store.rows import Rows

log = structlog.get_logger("comporta.cache")

TOPIC = "semantic_routes"
SELECT = "select route, threshold, hits, hits_since, why, extract(epoch from changed_at)::float8 from semantic_route"
LOCK = """
insert into semantic_route (route, threshold) values (%(route)s, %(threshold)s)
on conflict (route) do update set threshold = greatest(semantic_route.threshold, excluded.threshold)
returning threshold, extract(epoch from changed_at)::float8, hits_since
"""
CHECK = """
insert into semantic_check (route, confidence, threshold, wrong, source, call_id, entry)
values (%(route)s, %(confidence)s, %(held)s, %(wrong)s, %(source)s, %(call_id)s, %(entry)s)
on conflict (source, call_id) do nothing
"""
#: Hits that this threshold lets through, as far as they were let through when they were checked.
EVIDENCE = """
select count(*) filter (where source = 'shadow'), count(*) filter (where source = 'shadow' and wrong),
       count(*) filter (where source = 'feedback' and wrong and at >= to_timestamp(%(since_s)s))
from semantic_check
where route = %(route)s and confidence >= %(threshold)s and threshold <= %(threshold)s + 1e-9
    and at > now() - interval '90 days'
"""
MOVE = """
update semantic_route set threshold = %(threshold)s, changed_at = clock_timestamp(), why = %(why)s, hits_since = 0
where route = %(route)s
"""
COUNT = """
insert into semantic_route (route, threshold, hits, hits_since)
select route, threshold, hits, hits from unnest(%(routes)s::text[], %(thresholds)s::float8[], %(hits)s::bigint[])
    as counted (route, threshold, hits)
on conflict (route) do update set hits = semantic_route.hits + excluded.hits,
    hits_since = semantic_route.hits_since + excluded.hits_since
"""
FORGET = "delete from semantic_check where at < now() - interval '400 days'"


class RouteRow(Struct, frozen=True):
    """What is known of a route; `hits_since` counts from `changed_at_s`, when the threshold was moved last."""

    route: str
    threshold: float
    hits: int
    hits_since: int
    why: str
    changed_at_s: float


class Check(Struct, frozen=True):
    """What became of a hit that was looked at again: how sure it was, and the threshold under which it was given."""

    route: str
    confidence: float
    held: float
    wrong: bool
    source: Literal["shadow", "feedback"]
    call_id: str
    entry: int


class Thresholds:
    """Reads from memory. `policy_of` gives a route's policy, for the least threshold and the budget."""

    def __init__(self, database: Database, policy_of: Callable[[str], SemanticPolicy | None]) -> None:
        self._database = database
        self._policy_of = policy_of
        self._rows: Rows[RouteRow] = Rows(
            database, topic=TOPIC, select=SELECT, read=lambda row: RouteRow(*row), key=lambda row: row.route
        )
        self.load = self._rows.load
        self._hits: Counter[str] = Counter()

    def of(self, route: str, least: float) -> float:
        """What holds now: what was learnt, and never less than is configured."""
        row = self._rows.held.get(route)
        return least if row is None else max(least, row.threshold)

    def row(self, route: str) -> RouteRow | None:
        return self._rows.held.get(route)

    @property
    def routes(self) -> Sequence[str]:
        return sorted(self._rows.held)

    def hit(self, route: str) -> None:
        """Count a hit; no I/O."""
        self._hits[route] += 1

    async def flush(self) -> None:
        """Write the hits that were counted; they are counted again where that fails."""
        counted, self._hits = self._hits, Counter()
        if not counted:
            return
        routes = list(counted)
        policies = [self._policy_of(route) for route in routes]
        values = {
            "routes": routes, "hits": [counted[route] for route in routes],
            "thresholds": [SemanticPolicy().threshold if one is None else one.threshold for one in policies],
        }  # fmt: skip
        try:
            async with self._database.connection() as connection:
                await connection.execute(COUNT, values)
        except BaseException:
            self._hits.update(counted)
            raise

    async def note(self, check: Check) -> float | None:
        """Keep a check, and move the threshold where it says so; the new one, None where it stays. Once per call."""
        await self.flush()
        return await noted(self._database, check, self._policy_of(check.route))


async def noted(database: Database, check: Check, policy: SemanticPolicy | None) -> float | None:
    """The same, from any process."""
    policy = policy or SemanticPolicy()
    values = {name: getattr(check, name) for name in check.__struct_fields__}
    async with database.connection() as connection:
        values["threshold"] = policy.threshold
        row: Any = await (await connection.execute(LOCK, values)).fetchone()
        if (await connection.execute(CHECK, values)).rowcount == 0:
            return None
        threshold, since_s, hits = row
        evidence = await evidence_at(connection, check.route, threshold, since_s, hits)
        after = moved(threshold, policy.threshold, evidence, policy.budget, wrong=check.wrong)
        if after == threshold:
            return None
        why = f"{check.source}: {evidence.wrong} of {evidence.checked} checks wrong, {evidence.reported} reported"
        await connection.execute(MOVE, {"route": check.route, "threshold": after, "why": why})
        await notify(connection, TOPIC)
    log.info("cache.threshold_moved", route=check.route, before=threshold, now=after, why=why)
    return float(after)


async def evidence_at(
    connection: Connection, route: str, threshold: float, since_s: float, hits: int
) -> Evidence:  # fmt: skip
    """What is known of hits at that threshold."""
    values = {"route": route, "threshold": threshold, "since_s": since_s}
    row: Any = await (await connection.execute(EVIDENCE, values)).fetchone()
    checked, wrong, reported = row
    return Evidence(checked, wrong, reported, hits)
