"""What the semantic cache holds and how each route stands with its false-hit budget, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from comporta.cache.clearing import CLEAR, ENTRY, TOPIC
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.standing import Promise, standing
from comporta.cache.semantic.thresholds import SELECT, RouteRow, evidence_at
from comporta.store.changes import notify
from comporta.store.database import Database

ENTRIES = """
select route, count(*), count(*) filter (where seeded), sum(octet_length(body) + octet_length(vector) + 300)::bigint
from semantic_entry where expires_at > now() group by route
"""
EXACT = "select count(*), coalesce(sum(octet_length(body)), 0)::bigint from cache_entry where expires_at > now()"
DROP_ENTRY = "delete from semantic_entry where id = %(id)s"
DROP_ANSWER = "delete from semantic_entry where id = %(id)s and not seeded"


class RouteStanding(Struct, frozen=True):
    """A route: what it holds, and what is known of its hits. Without a policy its cache is off now."""

    route: str
    enabled: bool
    entries: int
    seeded: int
    size_bytes: int
    hits: int
    checked: int
    wrong: int
    reported: int
    #: The share of wrong hits is at most this, with 95 % confidence; by Clopper and Pearson.
    bound: float
    budget: float
    threshold: float
    #: The threshold that is configured: it never goes below.
    least: float
    promise: Promise
    missing: int | None
    told: str
    why: str


class Overview(Struct, frozen=True):
    """Both caches as they stand in the database."""

    exact_entries: int
    exact_bytes: int
    routes: list[RouteStanding]


async def overview(
    database: Database, routes: Iterable[str], policy_of: Callable[[str], SemanticPolicy | None]
) -> Overview:
    """Every route that has a semantic cache, or had one. Raises Unavailable."""
    async with database.reading() as connection:
        held = {row[0]: row for row in await (await connection.execute(ENTRIES)).fetchall()}
        known = {row[0]: RouteRow(*row) for row in await (await connection.execute(SELECT)).fetchall()}
        exact = await (await connection.execute(EXACT)).fetchone()
        assert exact is not None, "an aggregate always has a row"
        told = []
        for route in sorted({*held, *known, *(name for name in routes if policy_of(name) is not None)}):
            policy = policy_of(route)
            rules = policy or SemanticPolicy()
            row = known.get(route) or RouteRow(route, rules.threshold, 0, 0, "", 0.0)
            threshold = max(row.threshold, rules.threshold)
            evidence = await evidence_at(connection, route, threshold, row.changed_at_s, row.hits_since)
            stands = standing(evidence, rules.budget)
            _, entries, seeded, size_bytes = held.get(route, (route, 0, 0, 0))
            told.append(
                RouteStanding(
                    route, policy is not None, entries, seeded, size_bytes, row.hits, evidence.checked, evidence.wrong,
                    evidence.reported, stands.bound, rules.budget, threshold, rules.threshold, stands.promise,
                    stands.missing, stands.told, row.why,
                )
            )  # fmt: skip
    return Overview(exact[0], exact[1], told)


async def drop_entry(database: Database, id: int) -> bool:
    """Delete one entry, and tell the workers that may still hold it; whether it was there."""
    return await _dropped(database, DROP_ENTRY, id)


async def drop_answer(database: Database, id: int) -> None:
    """Delete an entry that gave a wrong hit; a seed is somebody's own word, and stays."""
    await _dropped(database, DROP_ANSWER, id)


async def _dropped(database: Database, statement: str, id: int) -> bool:
    async with database.connection() as connection:
        if (await connection.execute(statement.encode(), {"id": id})).rowcount == 0:
            return False
        await connection.execute(CLEAR, {"tags": [f"{ENTRY}{id}"]})
        await notify(connection, TOPIC)
    return True
