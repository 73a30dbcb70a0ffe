"""What has been spent under a budget, summed from the hourly figures: periods begin and end at full hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from comporta.budget.budgets import Budget, Spent, SpentByUsers
from comporta.store.database import Connection, Database
from comporta.store.people import digest_of

_COLUMNS = {"team": "team", "environment": "environment", "feature": "feature"}
_SUM = sql.SQL(
    "select coalesce(sum(cost_microusd), 0)::bigint from {table}"
    " where period >= to_timestamp(%s) and period < to_timestamp(%s) {whose}"
)
_HOURS = sql.SQL(
    "select extract(epoch from period)::float8, sum(cost_microusd)::bigint from {table}"
    " where period >= to_timestamp(%s) and period < to_timestamp(%s) {whose} group by 1 order by 1"
)
_USERS = sql.SQL(
    "select encode(user_sha256, 'hex'), sum(cost_microusd)::bigint from spent_hour"
    " where period >= to_timestamp(%s) and period < to_timestamp(%s) and user_sha256 <> '' {whose}"
    " group by 1 having sum(cost_microusd) >= %s order by 2 desc limit %s"
)
_OF_USERS = sql.SQL(
    "select encode(user_sha256, 'hex'), sum(cost_microusd)::bigint from spent_hour"
    " where period >= to_timestamp(%s) and period < to_timestamp(%s) and user_sha256 <> '' {whose}"
    " and user_sha256 = any(%s) group by 1"
)
#: The configuration may call a key by its name.
_WHOSE_KEY = sql.SQL("and key_id in (select %s::text union select id from virtual_key where name = %s)")
#: Calls that others told of did not pass the gate, and no budget could have held them; `spent_hour` has none of them.
_PASSED = sql.SQL("and route <> '(external)'")
_WHOSE_TAG = sql.SQL("and tags ->> %s = %s")
_WHOSE_USER = sql.SQL("and user_sha256 = %s")
_WHOSE = sql.SQL("and {} = %s")
_KEPT_DAYS = 100
_PRUNE = "delete from spent_hour where period < now() - make_interval(days => %s)"
_PRUNE_ALERTS = "delete from budget_alert where begins_at < now() - interval '400 days'"


def spent_from(database: Database) -> Spent:
    """Sums priced calls; one whose price nobody knows adds nothing. Of a budget per user: who spent most."""

    async def spent(budget: Budget, begin_s: float, end_s: float) -> int:
        async with database.connection() as connection:
            if budget.per is not None:
                first = await _users(connection, budget, begin_s, end_s, 0, 1)
                return first[0][1] if first else 0
            statement, values = _asked(_SUM, budget, begin_s, end_s)
            row = await (await connection.execute(statement, values)).fetchone()
        return int(row[0]) if row else 0

    return spent


def spent_by_users(database: Database) -> SpentByUsers:
    """Sums of many users at once, asked for and told by the hash that stands for each."""

    async def spent(budget: Budget, begin_s: float, end_s: float, users: Sequence[str]) -> Mapping[str, int]:
        whose, values = _whose(budget)
        asked = [begin_s, end_s, *values, [bytes.fromhex(user) for user in users]]
        async with database.connection() as connection:
            rows = await (await connection.execute(_OF_USERS.format(whose=whose), asked)).fetchall()
        return {str(digest): int(cost) for digest, cost in rows}

    return spent


async def by_hour(database: Database, budget: Budget, begin_s: float, end_s: float) -> list[tuple[float, int]]:
    """Micro-dollars spent under a budget by the hour it begins in; hours without spending are left out."""
    statement, values = _asked(_HOURS, budget, begin_s, end_s)
    async with database.reading() as connection:
        rows = await (await connection.execute(statement, values)).fetchall()
    return [(float(at_s), int(cost)) for at_s, cost in rows]


async def users_from(
    database: Database, budget: Budget, begin_s: float, end_s: float, least_microusd: int, limit: int = 1000
) -> list[tuple[str, int]]:
    """Users (the hash that stands for each) who spent so much under a budget per user, those who spent most first."""
    async with database.reading() as connection:
        return await _users(connection, budget, begin_s, end_s, least_microusd, limit)


async def prune(database: Database) -> None:
    """Drop what no running period and no forecast needs."""
    async with database.connection() as connection:
        await connection.execute(_PRUNE, [_KEPT_DAYS])
        await connection.execute(_PRUNE_ALERTS)


async def _users(
    connection: Connection, budget: Budget, begin_s: float, end_s: float, least_microusd: int, limit: int
) -> list[tuple[str, int]]:
    whose, values = _whose(budget)
    statement = _USERS.format(whose=whose)
    rows = await (await connection.execute(statement, [begin_s, end_s, *values, least_microusd, limit])).fetchall()
    return [(str(digest), int(cost)) for digest, cost in rows]


def _asked(what: sql.SQL, budget: Budget, begin_s: float, end_s: float) -> tuple[sql.Composed, list[Any]]:
    finely = budget.per is not None or any(scope in ("user", "tag") for scope, _ in budget.conditions)
    whose, values = _whose(budget)
    if finely:
        return what.format(table=sql.Identifier("spent_hour"), whose=whose), [begin_s, end_s, *values]
    passed = sql.SQL(" ").join([_PASSED, whose])
    return what.format(table=sql.Identifier("rollup_hour"), whose=passed), [begin_s, end_s, *values]


def _whose(budget: Budget) -> tuple[sql.Composable, list[Any]]:
    parts: list[sql.Composable] = []
    values: list[Any] = []
    for scope, value in budget.conditions:
        if scope == "key":
            parts.append(_WHOSE_KEY)
            values += [value, value]
        elif scope == "tag":
            name, _, said = value.partition("=")
            parts.append(_WHOSE_TAG)
            values += [name, said]
        elif scope == "user":
            parts.append(_WHOSE_USER)
            values.append(digest_of(value))
        else:
            parts.append(_WHOSE.format(sql.Identifier(_COLUMNS[scope])))
            values.append(value)
    return sql.SQL(" ").join(parts), values
