"""Sums by one property of calls at a time, so that figures of millions of calls are read from a few rows.

The job worker makes them of the rollups once a minute or an hour is over, and of the hours once a day is. What was not
summed up so yet, or got calls since, is marked stale by whoever wrote it and read one step finer (see `sources`):
figures are the same in any case, and only slower where no job worker runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from comporta.store.database import Connection, Database
from comporta.telemetry.observability.sources import ADDED, FACETS, HISTOGRAMS, Unit

#: Longer than any batch of records takes to be written: what is older got its mark.
GRACE_S = 300
#: Minutes are asked for over a day at most.
_MINUTES_BACK_S = 2 * 86_400
_HOURS_BACK_S = 400 * 86_400
#: Units in the order in which they are made, how far back, and how many at once. A day is made of its hours.
_UNITS: tuple[tuple[Unit, float, int], ...] = (
    ("hour", _HOURS_BACK_S, 24), ("day", _HOURS_BACK_S, 10), ("minute", _MINUTES_BACK_S, 120),
)  # fmt: skip
EVERY_S = 20.0
_LOCK = "select pg_try_advisory_xact_lock(hashtext('comporta.facets'))"
_REPEATABLE = "set transaction isolation level repeatable read"
#: Marks that came after this transaction's snapshot are not seen and stay, and so does what they stand for.
_TAKE = """
with taken as (
    select distinct period from facet_stale_{unit} as stale
    where period < date_trunc('{unit}', now() - make_interval(secs => %(grace_s)s), 'UTC')
        and period > now() - make_interval(secs => %(back_s)s) {ready}
    order by period desc limit %(limit)s
), gone as (
    delete from facet_stale_{unit} where period in (select period from taken)
)
select period from taken
"""
#: A day is made once all of its hours are.
_HOURS_MADE = """and not exists (
    select from facet_stale_hour as s where s.period >= stale.period and s.period < stale.period + interval '1 day'
)"""
_CLEAR = "delete from facet_{unit} where facet = any(%(facets)s) and period = any(%(periods)s)"
_KEY = "facet, value, period, outcome_class"
_TOLD = ", ".join(f"('{name}', {name})" for name in FACETS)
_PLAIN = ", ".join((*ADDED, *HISTOGRAMS))
#: What a unit's sums are made of, with the columns of the key.
_MADE_OF: dict[Unit, str] = {
    **{
        unit: f"""
            select facet, value, period, outcome_class, {_PLAIN}
            from rollup_{unit} cross join lateral (values ('', ''), {_TOLD}) as told (facet, value)
            where period = any(%(periods)s)
        """
        for unit in ("minute", "hour")
    },
    # By facet and day, so that each is looked up by the key.
    "day": f"""
        select f.facet, value, day as period, outcome_class, {_PLAIN}
        from unnest(%(facets)s::text[]) as one (name) cross join unnest(%(periods)s::timestamptz[]) as day
        join facet_hour as f on f.facet = one.name and f.period >= day and f.period < day + interval '1 day'
    """,
}  # fmt: skip


def _fill(unit: Unit) -> str:
    def histogram(column: str) -> str:
        return f"""
            select {_KEY}, array_agg((bucket << 40) + calls order by bucket) as {column} from (
                select {_KEY}, entry >> 40 as bucket, sum(entry & ((1::bigint << 40) - 1))::bigint as calls
                from made_of, unnest({column}) as entry group by {_KEY}, bucket
            ) as counted group by {_KEY}
        """

    return f"""
        with made_of as not materialized ({_MADE_OF[unit]})
        insert into facet_{unit} ({_KEY}, {", ".join(ADDED)}, {", ".join(HISTOGRAMS)})
        select {_KEY}, {", ".join(ADDED)}, coalesce(latency, '{{}}'), coalesce(first_token, '{{}}')
        from (
            select {_KEY}, {", ".join(f"sum({name})::bigint as {name}" for name in ADDED)}
            from made_of group by {_KEY}
        ) as summed
        left join ({histogram("latency")}) as latencies using ({_KEY})
        left join ({histogram("first_token")}) as firsts using ({_KEY})
    """


async def refresh(database: Database, *, grace_s: float = GRACE_S) -> int:
    """Sum up what is stale and over; how many minutes, hours and days that were. One worker at a time does it."""
    made = 0
    for unit, back_s, at_once in _UNITS:
        while True:
            async with database.connection() as connection:
                done = await _some(connection, unit, {"grace_s": grace_s, "back_s": back_s, "limit": at_once})
            made += done
            if done < at_once:
                break
            # A backlog is no reason to keep a database busy.
            await asyncio.sleep(0.05)
    return made


async def mark_all(database: Database) -> None:
    """Have everything summed up anew: for whoever wrote rollups by another way than records. Hours mark their days."""
    async with database.connection() as connection:
        for unit in ("minute", "hour"):
            await connection.execute(f"insert into facet_stale_{unit} select distinct period from rollup_{unit}")


async def _some(connection: Connection, unit: Unit, values: Mapping[str, Any]) -> int:
    await connection.execute(_REPEATABLE)
    locked = await (await connection.execute(_LOCK)).fetchone()
    if locked is None or not locked[0]:
        return 0
    take = _TAKE.format(unit=unit, ready=_HOURS_MADE if unit == "day" else "")
    taken = await (await connection.execute(take, values)).fetchall()
    what = {"periods": [period for (period,) in taken], "facets": ["", *FACETS]}
    if taken:
        await connection.execute(_CLEAR.format(unit=unit), what)
        await connection.execute(_fill(unit), what)
    return len(taken)
