"""What was spent under a budget, by every kind of owner, summed from what calls left behind."""

from __future__ import annotations

import datetime

import pytest

from budget.conftest import NOON, Ship, record
from comporta.budget.budgets import Budget
from comporta.budget.ledger import by_hour, prune, spent_by_users, spent_from, users_from
from comporta.budget.outlook import outlook_of
from comporta.budget.periods import period_of
from comporta.store.database import Database
from comporta.store.people import digest_of

MONTH = period_of("month", NOON.timestamp())
HOUR = datetime.timedelta(hours=1)


def budget(scope: str = "all", value: str | None = None, **more: object) -> Budget:
    return Budget("b", "b", scope, value, "month", 1000, 0.0, "", **more)  # type: ignore[arg-type]


@pytest.fixture
async def spent_by_many(ship: Ship) -> None:
    await ship(
        record(1, team="red", environment="prod", user="ana", tags={"centre": "a"}),
        record(10, team="red", environment="dev", user="ana", tags={"centre": "b"}),
        record(100, team="blue", environment="prod", user="rui", tags={"centre": "a", "x": "y"}),
        record(1000, team="red", environment="prod"),
        record(None, team="red", user="ana"),
        record(10_000, team="red", user="ana", at=NOON - datetime.timedelta(days=31)),
    )


ASKED = [
    (budget(), 1111),
    (budget("team", "red"), 1011),
    (budget("team", "red", also={"environment": "prod"}), 1001),
    (budget("tag", "centre=a"), 101),
    (budget("tag", "centre=a", also={"team": "blue"}), 100),
    (budget("tag", "centre=nothing"), 0),
    (budget("user", "ana"), 11),
    (budget("user", "ana", also={"tag": "centre=b"}), 10),
    (budget("key", "key-1", also={"environment": "dev"}), 10),
    (budget(per="user"), 100),
    (budget("team", "red", per="user"), 11),
    (budget("team", "red", per="user").of_user("ana"), 11),
]


@pytest.mark.usefixtures("spent_by_many")
async def test_every_kind_of_owner_is_summed_exactly(database: Database) -> None:
    for asked, expected in ASKED:
        assert await spent_from(database)(asked, *MONTH) == expected, asked


@pytest.mark.usefixtures("spent_by_many")
async def test_many_users_are_summed_at_once_each_by_its_hash(database: Database) -> None:
    ana, rui, nobody = (digest_of(user).hex() for user in ("ana", "rui", "nobody"))
    spent = spent_by_users(database)
    assert await spent(budget(per="user"), *MONTH, [ana, rui, nobody]) == {ana: 11, rui: 100}
    assert await spent(budget("team", "red", per="user"), *MONTH, [ana, rui]) == {ana: 11}
    assert await spent(budget(per="user"), *MONTH, [rui]) == {rui: 100}


@pytest.mark.usefixtures("spent_by_many")
async def test_users_who_spent_enough_are_found_by_their_hash_alone(database: Database) -> None:
    found = await users_from(database, budget(per="user"), *MONTH, 11)
    assert found == [(digest_of("rui").hex(), 100), (digest_of("ana").hex(), 11)]
    assert await users_from(database, budget(per="user"), *MONTH, 101) == []


async def test_the_same_batch_twice_is_counted_once_and_batches_add_up(database: Database, ship: Ship) -> None:
    one, other = record(7, user="ana"), record(5, user="ana")
    await ship(one)
    await ship(one, other)
    assert await spent_from(database)(budget("user", "ana"), *MONTH) == 12


async def test_hours_are_told_apart_and_an_outlook_reads_them(database: Database, ship: Ship) -> None:
    await ship(*(record(60, at=NOON - HOUR * number) for number in range(10)))
    found = await by_hour(database, budget(), *MONTH)
    assert found == [((NOON - HOUR * number).timestamp(), 60) for number in reversed(range(10))]
    outlook = await outlook_of(database, budget(), (NOON + HOUR).timestamp())
    assert outlook.spent_microusd == 600
    assert outlook.forecast.basis == "hours"  # type: ignore[union-attr]


async def test_old_hours_go_and_those_of_a_running_period_stay(database: Database, ship: Ship) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    await ship(record(7, user="ana", at=now))
    async with database.connection() as connection:
        await connection.execute("insert into spent_hour select now() - interval '101 days', key_id, team, environment,"
                                 " feature, user_sha256, tags_md5, tags, 1 from spent_hour")  # fmt: skip
    await prune(database)
    async with database.connection() as connection:
        rows = await (await connection.execute("select cost_microusd from spent_hour")).fetchall()
    assert rows == [(7,)]
