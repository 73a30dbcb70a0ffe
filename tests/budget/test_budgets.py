"""Budgets as rows, and the periods they count in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.budget.budgets import Budget, Budgets
from comporta.budget.periods import PERIODS, Period, period_of
from comporta.errors import BadRequest, Conflict, NotFound
from comporta.store.changes import Changes
from comporta.store.database import Database

GOOD: dict[str, Any] = {
    "name": "support a month", "scope": "team", "value": "support", "period": "month", "limit_microusd": 10_000_000_000,
}  # fmt: skip


@pytest.fixture
async def budgets(database: Database) -> Budgets:
    made = Budgets(database)
    await made.load()
    return made


async def test_a_budget_is_made_read_changed_and_deleted(budgets: Budgets, database: Database) -> None:
    made = await budgets.create(**GOOD, by="alice")
    assert (made.name, made.scope, made.value, made.created_by) == ("support a month", "team", "support", "alice")
    other = Budgets(database)
    await other.load()
    assert other.list() == budgets.list()
    assert other.get(made.id).limit_microusd == 10_000_000_000
    changed = await other.update(made.id, limit_microusd=5, period="day")
    assert (changed.limit_microusd, changed.period, changed.name) == (5, "day", "support a month")
    await budgets.load()
    assert budgets.get(made.id).limit_microusd == 5
    await budgets.delete(made.id)
    assert budgets.list() == []


async def test_a_budget_for_all_calls_has_no_value(budgets: Budgets) -> None:
    made = await budgets.create(name="all", scope="all", period="hour", limit_microusd=1)
    assert made.value is None
    narrowed = await budgets.update(made.id, scope="team", value="red")
    assert (narrowed.scope, narrowed.value) == ("team", "red")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"limit_microusd": 0}, "limit_microusd"),
        ({"limit_microusd": -1}, "limit_microusd"),
        ({"limit_microusd": float("nan")}, "limit_microusd"),
        ({"limit_microusd": 10.5}, "limit_microusd"),
        ({"limit_microusd": True}, "limit_microusd"),
        ({"limit_microusd": "10"}, "limit_microusd"),
        ({"limit_microusd": 10**15 + 1}, "limit_microusd"),
        ({"scope": "planet"}, "scope"),
        ({"scope": ["team"]}, "scope"),
        ({"scope": "all"}, "value"),
        ({"value": None}, "value"),
        ({"value": "a\nb"}, "value"),
        ({"period": "year"}, "period"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_mistake_names_its_field_and_makes_no_budget(
    budgets: Budgets, wrong: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await budgets.create(**GOOD | wrong)
    assert caught.value.param == param
    await budgets.load()
    assert budgets.list() == []


async def test_an_update_is_checked_as_a_whole(budgets: Budgets) -> None:
    made = await budgets.create(**GOOD)
    with pytest.raises(BadRequest):
        await budgets.update(made.id, scope="all")
    with pytest.raises(BadRequest):
        await budgets.update(made.id, limit_microusd=0)
    await budgets.load()
    assert budgets.get(made.id) == made


async def test_two_budgets_never_share_a_name(budgets: Budgets) -> None:
    await budgets.create(**GOOD)
    with pytest.raises(Conflict, match="support a month"):
        await budgets.create(**GOOD)


async def test_an_unknown_budget_is_not_found(budgets: Budgets) -> None:
    with pytest.raises(NotFound):
        budgets.get("nope")
    with pytest.raises(NotFound):
        await budgets.delete("nope")
    with pytest.raises(NotFound):
        await budgets.update("nope", limit_microusd=5)


async def test_a_change_is_announced_to_other_workers(budgets: Budgets, database: Database) -> None:
    heard = asyncio.Event()
    loaded = 0

    async def load() -> None:
        nonlocal loaded
        loaded += 1
        if loaded > 1:
            heard.set()

    changes = Changes(database.dsn)
    changes.subscribe(Budgets.topic, load)
    task = asyncio.create_task(changes.run())
    try:
        async with asyncio.timeout(60):
            while not loaded:  # noqa: ASYNC110  the listener's doing
                await asyncio.sleep(0.005)
        await budgets.create(**GOOD)
        async with asyncio.timeout(25):
            await heard.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_was_spent_is_asked_for_the_running_period(database: Database) -> None:
    asked: list[tuple[str, float, float]] = []

    async def spent(budget: Budget, begin_s: float, end_s: float) -> int:
        asked.append((budget.name, begin_s, end_s))
        return 1234

    now_s = datetime(2026, 2, 17, 13, 45, tzinfo=UTC).timestamp()
    with_records, without = Budgets(database, spent=spent), Budgets(database)
    budget = await with_records.create(**GOOD)
    assert await with_records.spent(budget, now_s) == 1234
    begin_s, end_s = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (2, 3))
    assert asked == [("support a month", begin_s, end_s)]
    assert await without.spent(budget, now_s) is None


@pytest.mark.parametrize(
    ("period", "begin", "end"),
    [
        ("hour", (2026, 12, 31, 23), (2027, 1, 1, 0)),
        ("day", (2026, 12, 31), (2027, 1, 1)),
        ("week", (2026, 12, 28), (2027, 1, 4)),
        ("month", (2026, 12, 1), (2027, 1, 1)),
    ],
)
def test_a_period_may_cross_the_year(period: Period, begin: tuple[int, ...], end: tuple[int, ...]) -> None:
    now_s = datetime(2026, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC).timestamp()
    expected = tuple(datetime(*edge, tzinfo=UTC).timestamp() for edge in (begin, end))  # type: ignore[misc,arg-type]
    assert period_of(period, now_s) == expected


@given(st.sampled_from(PERIODS), st.floats(0, 4e9))
def test_every_moment_lies_in_exactly_one_period(period: Period, now_s: float) -> None:
    begin_s, end_s = period_of(period, now_s)
    assert begin_s <= now_s < end_s
    assert period_of(period, end_s)[0] == end_s
    assert period_of(period, begin_s) == (begin_s, end_s)
