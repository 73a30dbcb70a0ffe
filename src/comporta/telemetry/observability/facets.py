"""Sums by one property of calls at a time, so that figures of millions of calls are read from a few rows.

The job worker makes them of the rollups once a minute or an hour is over. What was not summed up so yet, or got calls
since, is marked stale by whoever wrote it and read from the rollups themselves: figures are the same in any case, and
only slower where no job worker runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from psycopg import sql

from comporta.store.database import Connection, Database
from comporta.telemetry.tables import BUCKETS, DIMENSIONS

#: Properties; an outcome class is told apart in all of them.
FACETS = tuple(name for name in DIMENSIONS if name != "outcome_class")
_SUMS = (
    "calls", "streams", "retries", "cache_hits", "cache_lookups", *(f"{b}_tokens" for b in BUCKETS), "hit_tokens",
    "estimated_calls", "cost_microusd", "unpriced_calls", "unpriced_tokens", "duration_us", "generating_us",
    "retried_calls", "cache_saved_microusd", "tokens_saved_microusd",
)  # fmt: skip
_HISTOGRAMS = ("latency", "first_token")
#: Longer than any batch of records takes to be written: what is older got its mark.
GRACE_S = 300
#: Minutes are asked for over a day at most.
_MINUTES_BACK_S = 2 * 86_400
_HOURS_BACK_S = 400 * 86_400
_AT_ONCE = {"minute": 120, "hour": 24}
EVERY_S = 20.0
_LOCK = "select pg_try_advisory_xact_lock(hashtext('comporta.facets'))"
_REPEATABLE = "set transaction isolation level repeatable read"
#: Marks that came after this transaction's snapshot are not seen and stay, and so does what they stand for.
_TAKE = """
with taken as (
    select distinct period from facet_stale_{unit}
    where period < date_trunc('{unit}', now() - make_interval(secs => %(grace_s)s), 'UTC')
        and period > now() - make_interval(secs => %(back_s)s)
    order by period desc limit %(limit)s
), gone as (
    delete from facet_stale_{unit} where period in (select period from taken)
)
select period from taken
"""
_CLEAR = "delete from facet_{unit} where period = any(%(periods)s)"


def _fill(unit: str) -> str:
    told = ", ".join(f"('{name}', {name})" for name in FACETS)
    key = "facet, value, period, outcome_class"
    split = f"rollup_{unit} cross join lateral (values ('', ''), {told}) as told (facet, value)"

    def histogram(column: str) -> str:
        return f"""
            select {key}, array_agg((bucket << 40) + calls order by bucket) as {column} from (
                select {key}, entry >> 40 as bucket, sum(entry & ((1::bigint << 40) - 1))::bigint as calls
                from {split}, unnest({column}) as entry where period = any(%(periods)s) group by {key}, bucket
            ) as counted group by {key}
        """

    return f"""
        insert into facet_{unit} ({key}, {", ".join(_SUMS)}, {", ".join(_HISTOGRAMS)})
        select {key}, {", ".join(_SUMS)}, coalesce(latency, '{{}}'), coalesce(first_token, '{{}}')
        from (
            select {key}, {", ".join(f"sum({name})::bigint as {name}" for name in _SUMS)}
            from {split} where period = any(%(periods)s) group by {key}
        ) as summed
        left join ({histogram("latency")}) as latencies using ({key})
        left join ({histogram("first_token")}) as firsts using ({key})
    """


def facet_of(columns: Collection[str]) -> str | None:
    """The facet that answers a question about these columns; None where it takes more than one property."""
    asked = set(columns)
    if not asked:
        return ""
    return asked.pop() if len(asked) == 1 and asked <= set(FACETS) else None


def source(unit: str, facet: str | None) -> sql.Composable:
    """What stands behind `from`: a rollup with the columns that a question needs, by way of a facet where it can be.

    It reads the parameters `since` and `until`, so that nothing beyond them is touched.
    """
    rollup = sql.Identifier(f"rollup_{unit}")
    if facet is None:
        return sql.SQL("{} as rolled").format(rollup)
    columns = sql.SQL(", ").join(map(sql.Identifier, ("period", "outcome_class", *_SUMS, *_HISTOGRAMS)))
    value = sql.SQL("value as {}").format(sql.Identifier(facet)) if facet else sql.SQL("value")
    own = sql.SQL("{0} as {0}").format(sql.Identifier(facet)) if facet else sql.SQL("''")
    return sql.SQL("""(
        select {value}, {columns} from {summed} as f
        where facet = {facet} and period >= %(since)s and period < %(until)s
            and not exists (select from {stale} as s where s.period = f.period)
        union all
        select {own}, {columns} from {rollup}
        where period >= %(since)s and period < %(until)s
            and period in (select period from {stale} where period >= %(since)s and period < %(until)s)
    ) as rolled""").format(
        value=value, own=own, columns=columns, summed=sql.Identifier(f"facet_{unit}"), facet=sql.Literal(facet),
        stale=sql.Identifier(f"facet_stale_{unit}"), rollup=rollup,
    )  # fmt: skip


async def refresh(database: Database, *, grace_s: float = GRACE_S) -> int:
    """Sum up what is stale and over; how many minutes and hours that were. One worker at a time does it."""
    made = 0
    for unit, back_s in (("hour", _HOURS_BACK_S), ("minute", _MINUTES_BACK_S)):
        while True:
            async with database.connection() as connection:
                done = await _some(connection, unit, {"grace_s": grace_s, "back_s": back_s, "limit": _AT_ONCE[unit]})
            made += done
            if done < _AT_ONCE[unit]:
                break
            # A backlog is no reason to keep a database busy.
            await asyncio.sleep(0.05)
    return made


async def mark_all(database: Database) -> None:
    """Have everything summed up anew: for whoever wrote rollups by another way than records."""
    async with database.connection() as connection:
        for unit in ("minute", "hour"):
            await connection.execute(f"insert into facet_stale_{unit} select distinct period from rollup_{unit}")


async def _some(connection: Connection, unit: str, values: Mapping[str, Any]) -> int:
    await connection.execute(_REPEATABLE)
    locked = await (await connection.execute(_LOCK)).fetchone()
    if locked is None or not locked[0]:
        return 0
    taken = await (await connection.execute(_TAKE.format(unit=unit), values)).fetchall()
    periods = {"periods": [period for (period,) in taken]}
    if taken:
        await connection.execute(_CLEAR.format(unit=unit), periods)
        await connection.execute(_fill(unit), periods)
    return len(taken)
