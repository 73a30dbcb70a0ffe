"""Which budgets a caller falls under: remembered while nothing changes, told anew as soon as anything does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from comporta.budget import purses as module
from comporta.budget.budgets import Budget
from comporta.budget.purses import Purses
from comporta.counters.memory import Memory
from comporta.store.people import digest_of
from comporta.types import Caller

HOUR_S = 3600
NOON_S = 1_700_000_000 // 86_400 * 86_400 + 12 * HOUR_S


class FakeBudgets:
    def __init__(self) -> None:
        self.all: dict[str, Budget] = {}

    def put(self, name: str, scope: Any = "all", value: str | None = None, period: Any = "hour") -> None:
        self.all = {**self.all, name: Budget(name, name, scope, value, period, 100, 0.0, "")}


class World:
    def __init__(self) -> None:
        self.now_s = float(NOON_S)
        self.budgets = FakeBudgets()
        self.counters = Memory(clock=lambda: self.now_s)
        self.purses = Purses(
            self.budgets, self.counters, self._nothing, self._by_users, self._nothing, lambda: self.now_s  # type: ignore[arg-type]
        )  # fmt: skip
        self.asked: list[int] = []

    async def _nothing(self, *_: object) -> int:
        return 0

    async def _by_users(self, budget: Budget, begin_s: float, end_s: float, users: Sequence[str]) -> dict[str, int]:
        assert (budget.per, end_s - begin_s) == ("user", HOUR_S)
        self.asked.append(len(users))
        return {digest_of("u7").hex(): 70} if digest_of("u7").hex() in users else {}

    def names(self, caller: Caller) -> list[str]:
        return [purse.budget.name for purse in self.purses.of(caller)]


def test_a_caller_falls_under_all_that_name_it_however_often_it_asks() -> None:
    world, caller = World(), Caller("k", name="backend", team="t", feature="f")
    for name, scope, value in (("all", "all", None), ("k", "key", "k"), ("by name", "key", "backend")):
        world.budgets.put(name, scope, value)
    world.budgets.put("t", "team", "t")
    world.budgets.put("others", "team", "other")
    for _ in range(3):
        assert sorted(world.names(caller)) == ["all", "by name", "k", "t"]


def test_a_period_that_ends_has_another_purse_and_the_others_stay() -> None:
    world, caller = World(), Caller("k")
    world.budgets.put("hourly")
    world.budgets.put("daily", period="day")
    first = world.purses.of(caller)
    world.now_s += HOUR_S - 1
    assert world.purses.of(caller) == first
    world.now_s += 1
    hourly, daily = world.purses.of(caller)
    assert hourly.begin_s == first[0].end_s and hourly.key != first[0].key
    assert daily == first[1]


def test_a_budget_made_or_a_key_moved_to_another_team_counts_at_the_next_call() -> None:
    world = World()
    world.budgets.put("red", "team", "red")
    assert world.names(Caller("k", team="red")) == ["red"]
    assert world.names(Caller("k", team="blue")) == []
    world.budgets.put("blue", "team", "blue")
    assert world.names(Caller("k", team="blue")) == ["blue"]


def test_callers_that_come_and_go_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    world = World()
    world.budgets.put("all")
    for number in range(50):
        assert world.names(Caller(f"k{number}")) == ["all"]
    assert len(world.purses._carried) == 10


def test_a_budget_of_several_conditions_concerns_calls_that_meet_all_of_them() -> None:
    world = World()
    both = Budget("both", "both", "team", "t", "hour", 100, 0.0, "", {"environment": "prod", "tag": "centre=a"})
    world.budgets.all = {"both": both}
    assert world.names(Caller("k", team="t", environment="prod", tags={"centre": "a"})) == ["both"]
    for other in (
        Caller("k1", team="t", environment="prod"),
        Caller("k2", team="t", tags={"centre": "a"}),
        Caller("k3", team="x", environment="prod", tags={"centre": "a"}),
    ):
        assert world.names(other) == []


def test_a_budget_for_a_tag_concerns_calls_that_bear_it() -> None:
    world = World()
    world.budgets.put("tagged", "tag", "centre=a")
    assert world.names(Caller("k", tags={"centre": "a"})) == ["tagged"]
    assert world.names(Caller("k", tags={"centre": "b"})) == []


def test_each_user_has_a_purse_of_its_own_and_calls_of_nobody_have_none() -> None:
    world, caller = World(), Caller("k", team="t")
    each = Budget("each", "each", "team", "t", "hour", 100, 0.0, "", per="user")
    world.budgets.all = {"each": each, "bob": Budget("bob", "bob", "user", "bob", "hour", 100, 0.0, "")}
    ana, bob = world.purses.of(caller, "ana"), world.purses.of(caller, "bob")
    assert [purse.budget.name for purse in ana] == ["each"]
    assert [purse.budget.name for purse in bob] == ["each", "bob"]
    assert ana[0].key != bob[0].key
    assert ana[0].user_sha256 and "ana" not in ana[0].key
    assert world.purses.of(caller, "ana")[0] is ana[0]
    assert world.purses.of(caller) == []
    assert world.purses.of(Caller("x", team="other"), "ana") == []


async def test_many_users_are_levelled_by_few_questions_to_the_ledger() -> None:
    world, caller = World(), Caller("k")
    world.budgets.all = {"each": Budget("each", "each", "all", None, "hour", 100, 0.0, "", per="user")}
    purses = {user: world.purses.of(caller, user)[0] for user in (f"u{number}" for number in range(2_500))}
    await world.purses.level_all()
    assert sorted(world.asked) == [500, 1_000, 1_000]
    spent = {user: await world.counters.money(purses[user].key) for user in ("u7", "u8", "u2499")}
    assert {user: money and money[0] for user, money in spent.items()} == {"u7": 70, "u8": 0, "u2499": 0}
    world.now_s += HOUR_S
    await world.purses.level_all()
    assert len(world.asked) == 3, "their period is over"


def test_the_same_key_with_other_tags_falls_under_other_budgets() -> None:
    world = World()
    world.budgets.put("search", "feature", "search")
    one, other = Caller("k", feature="search"), Caller("k", feature="chat")
    for _ in range(2):
        assert (world.names(one), world.names(other)) == (["search"], [])
