"""What budgets hold of a user goes, and what was spent stays."""

from __future__ import annotations

from budget.conftest import NOON, Ship, record
from comporta.budget.budgets import Budget, Budgets
from comporta.budget.ledger import spent_from
from comporta.budget.people import SpendingOf
from comporta.budget.periods import period_of
from comporta.store.database import Database
from comporta.store.people import person_of

MONTH = period_of("month", NOON.timestamp())


def budget(scope: str, value: str) -> Budget:
    return Budget("f", "in the file", scope, value, "month", 1, 0.0, "comporta.yaml line 7")  # type: ignore[arg-type]


async def test_a_users_spending_is_told_then_merged_with_what_nobody_spent(database: Database, ship: Ship) -> None:
    await ship(record(5, user="ana"), record(7, user=None, tags={"t": "x"}), record(11, user="ana", tags={"t": "x"}))
    budgets = Budgets(database)
    await budgets.create(name="hers", scope="user", value="ana", period="month", limit_microusd=9)
    await budgets.create(name="team", scope="team", value="red", period="month", limit_microusd=9)
    holding = SpendingOf(database, lambda: [budget("user", "ana"), budget("user", "rui")])
    ana = person_of("ana")
    page = await holding.page(ana, None, 50)
    assert sorted(row["spent"]["cost_microusd"] for row in page.rows if "spent" in row) == [5, 11]
    assert [row["budget"]["name"] for row in page.rows if "budget" in row] == ["hers", "in the file"]

    removed = await holding.erase(ana, None)
    assert removed.count == 1
    assert removed.left == ("comporta.yaml line 7 names this user in the budget 'in the file'. Take it out there.",)
    assert (await holding.erase(ana, None)).count == 0
    await budgets.load()
    assert [one.name for one in budgets.list()] == ["team"]
    spent = spent_from(database)
    assert await spent(budget("user", "ana"), *MONTH) == 0
    assert await spent(budget("tag", "t=x"), *MONTH) == 18
    assert await spent(budget("team", "red"), *MONTH) == 23
    assert [row for row in (await holding.page(ana, None, 50)).rows if "spent" in row] == []
