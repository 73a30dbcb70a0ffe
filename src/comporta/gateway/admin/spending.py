"""What has been spent under a budget, summed from the hourly figures: periods begin and end at full hours."""

from __future__ import annotations

from psycopg import sql

from comporta.budget.budgets import Budget, Spent
from comporta.store.database import Database

_COLUMNS = {"key": "key_id", "team": "team", "environment": "environment", "feature": "feature"}
_SUM = sql.SQL(
    "select coalesce(sum(cost_microusd), 0)::bigint from rollup_hour"
    " where period >= to_timestamp(%s) and period < to_timestamp(%s) {whose}"
)
_WHOSE = sql.SQL("and {} = %s")
#: The configuration may call a key by its name.
_WHOSE_KEY = sql.SQL("and key_id in (select %s::text union select id from virtual_key where name = %s)")


def spent_from(database: Database) -> Spent:
    """Sums priced calls; one whose price nobody knows adds nothing."""

    async def spent(budget: Budget, begin_s: float, end_s: float) -> int:
        column = _COLUMNS.get(budget.scope)
        whose = _WHOSE.format(sql.Identifier(column)) if column else sql.SQL("")
        values = [begin_s, end_s, *([budget.value] if column else [])]
        if budget.scope == "key":
            whose = _WHOSE_KEY
            values.append(budget.value)
        async with database.connection() as connection:
            row = await (await connection.execute(_SUM.format(whose=whose), values)).fetchone()
        return int(row[0]) if row else 0

    return spent
