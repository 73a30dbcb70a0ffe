"""Costs told apart add up to the ledger, to the micro-dollar, whatever the calls were."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budget.conftest import NOON, Ship, put, record
from comporta.budget.costs import CostRow, costs, dimensions_of, month_of, span_of
from comporta.errors import BadRequest, ClientGone
from comporta.gateway.admin.spending import as_csv
from comporta.store.database import Database
from comporta.types import Usage

BEGIN, END = month_of("2026-11")
LEDGER = "select coalesce(sum(cost_microusd), 0)::bigint, coalesce(sum(calls), 0)::bigint from rollup_hour"


async def ledger(database: Database) -> tuple[int, int]:
    async with database.connection() as connection:
        row: Any = await (await connection.execute(LEDGER)).fetchone()
    return int(row[0]), int(row[1])


def cost_of(rows: list[CostRow], **by: str) -> int:
    (found,) = [row.cost_microusd for row in rows if row.by == by]
    return found


@pytest.fixture
async def every_kind(ship: Ship) -> None:
    """Plain, estimated, cancelled, cached, on behalf of another, and without a price."""
    await ship(
        record(101, team="red", feature="search", user="ana", tags={"centre": "a"}),
        record(202, team="red", usage=Usage(input=9, output=1, estimated=True), tags={"centre": "b"}),
        record(303, team="blue", feature="search", error=ClientGone("gone"), user="rui"),
        record(0, team="blue", cache="exact", user="ana"),
        record(7, team=None, feature="search", model="gpt-y", at=NOON + datetime.timedelta(days=1)),
        record(None, team="red", user="ana"),
    )


BY = (
    "team", "team,feature", "model,provider", "route,key", "day", "user", "tag:centre", "team,tag:centre,user",
    "environment", "feature",
)  # fmt: skip


@pytest.mark.usefixtures("every_kind")
async def test_rows_add_up_to_the_ledger_by_whatever_they_are_told_apart(database: Database) -> None:
    cost, calls = await ledger(database)
    assert (cost, calls) == (613, 6)
    for by in BY:
        found = await costs(database, dimensions_of(by), BEGIN, END)
        assert sum(row.cost_microusd for row in found.rows) == found.total.cost_microusd == cost, by
        assert sum(row.calls for row in found.rows) == found.total.calls == calls, by
        assert (found.total.unpriced_calls, found.total.estimated_calls, found.total.cache_hits) == (1, 1, 1)
        assert sum(row.unpriced_calls for row in found.rows) == 1
        assert all(row.kept for row in found.rows), by
        assert found.notes == (), by


@pytest.mark.usefixtures("every_kind")
async def test_each_row_has_what_is_its_own_the_dearest_first(database: Database) -> None:
    found = await costs(database, ("team", "feature"), BEGIN, END)
    assert [row.cost_microusd for row in found.rows] == [303, 202, 101, 7, 0]
    assert cost_of(found.rows, team="", feature="search") == 7
    by_user = (await costs(database, ("user",), BEGIN, END)).rows
    assert (cost_of(by_user, user="ana"), cost_of(by_user, user="rui"), cost_of(by_user, user="")) == (101, 303, 209)
    by_day = (await costs(database, ("day",), BEGIN, END)).rows
    assert (cost_of(by_day, day="2026-11-18"), cost_of(by_day, day="2026-11-19")) == (606, 7)


@pytest.mark.usefixtures("every_kind")
async def test_calls_that_are_no_longer_kept_stand_together_and_it_is_said(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("delete from call where started_at < %s", [NOON + datetime.timedelta(hours=12)])
    found = await costs(database, ("user",), BEGIN, END)
    assert [(row.kept, row.cost_microusd) for row in found.rows] == [(True, 7), (False, 606)]
    assert "can't be told apart by user" in found.notes[0]
    assert found.total.cost_microusd == 613
    assert all(row.kept for row in (await costs(database, ("team",), BEGIN, END)).rows)


@pytest.mark.usefixtures("every_kind")
async def test_more_groups_than_are_listed_stand_together(database: Database) -> None:
    found = await costs(database, ("team", "feature"), BEGIN, END, limit=2)
    assert [(row.kept, row.cost_microusd) for row in found.rows] == [(True, 303), (True, 202), (False, 108)]
    assert "2 dearest" in found.notes[0]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(["a", "b", None]), st.booleans()), max_size=12))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_calls_add_up(database: Database, calls: list[tuple[int, str | None, bool]]) -> None:
    made = [record(cost, team=team, user=team, tags={"t": "x"} if tagged else None) for cost, team, tagged in calls]
    await put(database, *made)
    cost, _ = await ledger(database)
    for by in ("team", "user", "tag:t"):
        found = await costs(database, (by,), BEGIN, END)
        assert sum(row.cost_microusd for row in found.rows) == cost


@pytest.mark.usefixtures("every_kind")
async def test_csv_has_a_line_for_each_row_and_no_formula(database: Database, ship: Ship) -> None:
    await ship(record(9, user="=cmd()"))
    lines = as_csv(await costs(database, ("user",), BEGIN, END)).splitlines()
    assert lines[0] == "user,calls,cache_hits,estimated_calls,unpriced_calls,tokens,cost_microusd,kept"
    assert sum(int(line.split(",")[-2]) for line in lines[1:]) == 622
    assert "'=cmd(),1,0,0,0,15,9,True" in lines


@pytest.mark.parametrize("by", ["planet", "tag:", "team,feature,day,user,key", "tag:" + "x" * 101])
def test_what_costs_cant_be_told_apart_by_is_refused(by: str) -> None:
    with pytest.raises(BadRequest) as caught:
        dimensions_of(by)
    assert caught.value.param == "by"


@pytest.mark.parametrize(
    ("month", "begin", "end", "param"),
    [
        ("2026-13", None, None, "month"),
        ("november", None, None, "month"),
        ("9999-12", None, None, "month"),
        ("2026-11", "2026-11-01", None, "month"),
        (None, "yesterday", None, "from"),
        (None, "2026-11-01T10:30Z", None, "from"),
        (None, "2026-11-03", "2026-11-02", "from"),
    ],
)
def test_a_span_that_is_none_is_refused(month: str | None, begin: str | None, end: str | None, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        span_of(month, begin, end, NOON)
    assert caught.value.param == param


def test_without_a_word_it_is_this_month_and_until_now_where_only_a_begin_is_given() -> None:
    assert span_of(None, None, None, NOON) == (BEGIN, END)
    begin, end = span_of(None, "2026-11-02T01:00+01:00", None, NOON)
    assert (begin.isoformat(), end.isoformat()) == ("2026-11-02T00:00:00+00:00", "2026-11-18T13:00:00+00:00")
