"""What is done with the semantic cache by the clock: the old goes, and what people say of hits is heard."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from comporta.cache.clearing import FORGET as FORGET_CLEARED
from comporta.cache.semantic.overview import drop_answer
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.thresholds import FORGET, Check, noted
from comporta.store.database import Database

log = structlog.get_logger("comporta.cache")

EXPIRED = "delete from semantic_entry where expires_at <= now()"
#: Seeds are what somebody wrote: they go last.
SURPLUS = """
delete from semantic_entry where id in (
    select id from (
        select id, row_number() over newest as place,
               sum(octet_length(body) + octet_length(vector) + 300) over newest as total
        from semantic_entry window newest as (order by seeded desc, stored_at desc, id desc)
    ) as counted where place > %(entries)s or total > %(bytes)s
)
"""
#: Scores that say a semantic hit was wrong, and were not heard before.
REPORTED = """
select distinct on (call.id) call.id::text, call.route, (call.notes #>> '{cache,confidence}')::float8,
       (call.notes #>> '{cache,entry}')::bigint
from score join call on call.id = score.call_id and call.started_at > now() - interval '30 days'
where score.at > now() - interval '3 days' and score.joined_at is not null
    and call.cache = 'semantic' and call.route is not null
    and call.notes #>> '{cache,confidence}' is not null
    and (score.name = 'wrong_answer' and (score.number > 0 or score.number is null and score.label <> '')
         or score.name = 'thumbs' and score.number = 0)
    and not exists (
        select from semantic_check where source = 'feedback' and semantic_check.call_id = call.id
    )
limit 200
"""
_KEPT_CLEARINGS_S = 100 * 86_400.0


async def sweep(database: Database, entries: int, max_bytes: int) -> int:
    """Delete what has expired, and the oldest beyond both bounds; how many went."""
    async with database.connection() as connection:
        gone = (await connection.execute(EXPIRED)).rowcount
        gone += (await connection.execute(SURPLUS, {"entries": entries, "bytes": max_bytes})).rowcount
        await connection.execute(FORGET)
        await connection.execute(FORGET_CLEARED, {"seconds": _KEPT_CLEARINGS_S})
    return gone


async def hear(database: Database, policy_of: Callable[[str], SemanticPolicy | None]) -> int:
    """Take a thumb down and `wrong_answer` on a semantic hit as a wrong hit, whose entry goes; how many there were."""
    async with database.connection() as connection:
        rows = await (await connection.execute(REPORTED)).fetchall()
    for call_id, route, confidence, entry in rows:
        policy = policy_of(route)
        held = min(confidence, SemanticPolicy().threshold if policy is None else policy.threshold)
        await noted(database, Check(route, confidence, held, True, "feedback", call_id, entry), policy)
        await drop_answer(database, entry)
    return len(rows)
