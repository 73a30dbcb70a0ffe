"""What people who are bound to teams may read: tables by their own names, with the rows of their teams alone.

A page reads the same database by the same statements for everybody. For somebody who is bound to teams it is reached by
connections of their own, on which the names of tables are those of views: of every table that stands here the rows of
their teams, and of any other nothing at all, not even that it is there. What a page asks for that was forgotten here
fails, and shows nobody anything.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql

from comporta.store.database import Connection, Database

#: Connections for all people who are bound to teams; none where nobody is.
_POOL = 4
#: Asked for once in a statement, as the subquery that it is, and not for every row.
_MINE = "any((select array(select jsonb_array_elements_text(current_setting('comporta.teams')::jsonb)))::text[])"
_OWN = f"select * from {{schema}}.{{table}} where team = {_MINE}"
_NOTHING = "select * from {schema}.{table} where false"
#: Sums by one property are of all teams; where they are called stale, figures are read from the rollups, which know it.
_STALE = "select distinct period from {schema}.{rollup}"
#: What each table is to them. Words of complaints that are alike, findings and releases are of nobody's team.
VIEWS: Mapping[str, str] = {
    **dict.fromkeys(
        ("call", "trace_span", "score", "problem", "virtual_key", "spent_hour", "rollup_minute", "rollup_hour",
         "score_minute", "score_hour", "score_day"),
        _OWN,
    ),
    "span": "select one.* from {schema}.span as one where exists (select from {schema}.call as own"
    f" where own.started_at = one.started_at and own.id = one.call_id and own.team = {_MINE})",
    "comment_mood": "select one.* from {schema}.comment_mood as one where exists (select from {schema}.score as own"
    f" where own.owner = one.owner and own.id = one.id and own.name = one.name and own.team = {_MINE})",
    "score_stale_day": "select * from {schema}.{table}",
    "facet_stale_minute": _STALE.replace("{rollup}", "rollup_minute"),
    "facet_stale_hour": _STALE.replace("{rollup}", "rollup_hour"),
    "facet_stale_day": "select distinct date_trunc('day', period, 'UTC') as period from {schema}.rollup_hour",
    **dict.fromkeys(
        ("facet_minute", "facet_hour", "facet_day", "top_hour", "complaint_cluster", "finding", "finding_act",
         "finding_example", "prompt_deploy", "rollout", "rollout_event", "alert_event"),
        _NOTHING,
    ),
}  # fmt: skip
_SCHEMA = "select current_schema()"
_BEGIN = "set transaction read only"
#: No query: whoever reads may still say how the transaction is isolated.
_TEAMS = sql.SQL("set local comporta.teams = {}")


class TeamDatabases:
    """The database as people who are bound to teams see it."""

    def __init__(self, dsn: str) -> None:
        self._wide = Database(dsn, min_size=0, max_size=_POOL, prepare=_put_views)

    async def close(self) -> None:
        await self._wide.close()

    def of(self, teams: tuple[str, ...]) -> Database:
        """With these teams' rows, to read."""
        return _Narrow(self._wide, teams)


class _Narrow(Database):
    """Every transaction begins with whose it is, and ends with that."""

    def __init__(self, wide: Database, teams: tuple[str, ...]) -> None:
        super().__init__(wide.dsn)
        self._wide = wide
        self._told = json.dumps(teams)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self._wide.connection() as connection:
            await connection.execute(_BEGIN)
            await connection.execute(_TEAMS.format(sql.Literal(self._told)))
            yield connection


async def _put_views(connection: Connection) -> None:
    """Of this connection alone, so that no migration meets them; nothing else is found by its name from then on."""
    async with connection.transaction():
        row = await (await connection.execute(_SCHEMA)).fetchone()
        schema = sql.Identifier(row[0] if row is not None else "public")
        for table, query in VIEWS.items():
            name = sql.Identifier(table)
            seen = sql.SQL(query).format(schema=schema, table=name)
            await connection.execute(sql.SQL("create temp view {} as {}").format(name, seen))
        await connection.execute("set search_path = pg_temp")


def _budgets(answer: Any, teams: tuple[str, ...]) -> Any:
    """Those of their teams, without what others' are called."""
    mine = [one for one in answer.get("data", []) if one.get("scope") == "team" and one.get("value") in teams]
    return {"data": mine}


#: What of the gate they may hear, and which part of its answer; anything else is refused.
ANSWERS: Mapping[tuple[str, str], Callable[[Any, tuple[str, ...]], Any]] = {("GET", "/admin/budgets"): _budgets}
