"""What budgets hold of a user: what it spent by the hour, under a hash, and budgets that name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from psycopg.rows import dict_row

from comporta.budget.budgets import TOPIC, Budget
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.store.people import Page, Person, Removed
from comporta.types import JSON

PAGE = """
select period, key_id, team, environment, feature, tags, cost_microusd from spent_hour where user_sha256 = %(digest)s
order by period, key_id, team, environment, feature, tags_md5 offset %(offset)s limit %(limit)s
"""
NAMING = """
select id, name, scope, value, also, period, limit_microusd from budget
where (scope = 'user' and value = %(name)s) or also ->> 'user' = %(name)s order by created_at, id
"""
#: The sums stay: budgets of teams and tags are counted from them.
MERGE = """
with theirs as (delete from spent_hour where user_sha256 = %(digest)s returning *)
insert into spent_hour (period, key_id, team, environment, feature, user_sha256, tags_md5, tags, cost_microusd)
select period, key_id, team, environment, feature, '', tags_md5, tags, sum(cost_microusd) from theirs
group by period, key_id, team, environment, feature, tags_md5, tags
on conflict (period, key_id, team, environment, feature, user_sha256, tags_md5)
    do update set cost_microusd = spent_hour.cost_microusd + excluded.cost_microusd
"""
#: Who is over its budget and erased begins anew.
DROP = "delete from budget where (scope = 'user' and value = %(name)s) or also ->> 'user' = %(name)s"
DROP_ALERTS = "delete from budget_alert where whose = encode(%(digest)s, 'hex')"


class SpendingOf:
    """The tables `spent_hour`, `budget_alert` and `budget`. `declared` gives the configuration's budgets."""

    kind = "spending"

    def __init__(self, database: Database, declared: Callable[[], Sequence[Budget]]) -> None:
        self._database = database
        self._declared = declared

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        offset = int(after) if after is not None and after.isdecimal() else 0
        values = {"digest": person.digest, "name": person.name, "offset": offset, "limit": limit}
        async with self._database.reading() as connection:
            hours = await _rows(connection, PAGE, values)
            budgets = await _rows(connection, NAMING, values) if not offset else []
        in_file: list[JSON] = [
            {"name": one.name, "where": one.created_by} for one in self._naming(person) if not offset
        ]
        rows = [
            *({"spent": _plain(row)} for row in hours),
            *({"budget": row} for row in (*budgets, *in_file)),
        ]
        return Page(rows, str(offset + limit) if len(hours) == limit else None)

    async def erase(self, person: Person, after: str | None) -> Removed:
        values = {"digest": person.digest, "name": person.name}
        async with self._database.connection() as connection:
            await connection.execute(MERGE, values)
            dropped = await connection.execute(DROP, values)
            await connection.execute(DROP_ALERTS, values)
            if dropped.rowcount:
                await notify(connection, TOPIC)
        # What was spent stays spent, by nobody.
        left = [f"{one.created_by} names this user in the budget '{one.name}'." for one in self._naming(person)]
        return Removed(dropped.rowcount, left=tuple(f"{text} Take it out there." for text in left))

    def _naming(self, person: Person) -> list[Budget]:
        return [one for one in self._declared() if ("user", person.name) in one.conditions]


async def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> list[JSON]:
    cursor = connection.cursor(row_factory=dict_row)
    return await (await cursor.execute(statement.encode(), values)).fetchall()


def _plain(row: JSON) -> JSON:
    return {**row, "period": row["period"].isoformat()}
