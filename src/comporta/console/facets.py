"""What calls can be narrowed to just now: names from the sums by the hour, for lists to choose from."""

from __future__ import annotations

from msgspec import Struct

from comporta.store.database import Database

#: The last two weeks say enough; older names can still be typed into the address.
SELECT = """
with recent as (
    select route, model, prompt_id, key_id, team, outcome_class
    from rollup_hour where period >= now() - interval '14 days'
)
select 'route', route from recent where route <> '' group by 2
union all select 'model', model from recent where model <> '' group by 2
union all select 'prompt', prompt_id from recent where prompt_id <> '' group by 2
union all select 'key', key_id from recent where key_id <> '' group by 2
union all select 'team', team from recent where team <> '' group by 2
order by 1, 2 limit 2000
"""
KEYS = "select id::text, name from virtual_key where id::text = any(%s)"
#: Codes of failures as they were seen lately; failed calls have an index of their own.
OUTCOMES = """
select distinct outcome from (
    select outcome from call where outcome_class <> 'ok' and started_at >= now() - interval '14 days'
    order by started_at desc, id desc limit 2000
) as recent order by 1
"""


class Facets(Struct, frozen=True):
    """Names by kind, in order; keys with their ids."""

    routes: list[str]
    models: list[str]
    prompts: list[str]
    teams: list[str]
    keys: list[tuple[str, str]]
    outcomes: list[str]


async def facets(database: Database) -> Facets:
    """Raises Unavailable."""
    async with database.reading() as connection:
        rows = await (await connection.execute(SELECT)).fetchall()
        known: dict[str, list[str]] = {}
        for kind, name in rows:
            known.setdefault(kind, []).append(name)
        ids = known.get("key", [])
        named = dict(await (await connection.execute(KEYS, [ids])).fetchall())
        outcomes = await (await connection.execute(OUTCOMES)).fetchall()
    return Facets(
        known.get("route", []), known.get("model", []), known.get("prompt", []), known.get("team", []),
        [(id, named.get(id, id)) for id in ids], [row[0] for row in outcomes],
    )  # fmt: skip
