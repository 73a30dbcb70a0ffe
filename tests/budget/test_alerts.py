"""Thresholds are told once in a period, however many look, and are never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from budget.conftest import NOON
from comporta.budget import levels as levels_module
from comporta.budget.acts import acts_of
from comporta.budget.alerts import Alerts, notice_of
from comporta.budget.budgets import Budget
from comporta.budget.levels import Levels
from comporta.budget.periods import period_of
from comporta.budget.purses import Purse, purse_of
from comporta.counters.base import Give, Money, Spent, Take
from comporta.counters.memory import Memory
from comporta.errors import Unavailable
from comporta.notify.notice import Notice
from comporta.notify.notifier import Notifier
from comporta.notify.settings import NotifySection
from comporta.store.database import Database

ACTS = acts_of([50, 90], {"at_75": ["team"], "at_100": "switch_to_cheaper_model"})
BUDGET = Budget("b", "engineering", "team", "red", "month", 1000, 0.0, "", acts=ACTS)
BEGIN_S = period_of("month", NOON.timestamp())[0]


class Told:
    """Takes notices, or fails."""

    def __init__(self) -> None:
        self.notices: list[tuple[Notice, Sequence[str] | None]] = []
        self.fails = False

    async def __call__(self, notice: Notice, channels: Sequence[str] | None = None, *, connection: Any = None) -> bool:
        assert connection is not None, "with the row, or not at all"
        if self.fails:
            raise Unavailable("away")
        self.notices.append((notice, channels))
        return True

    @property
    def percents(self) -> list[int]:
        return [notice.facts["threshold"] for notice, _ in self.notices]


async def test_each_threshold_is_told_once_in_a_period_and_again_in_the_next(database: Database) -> None:
    told = Told()
    alerts = Alerts(database, told)
    assert await alerts.fire(BUDGET, BEGIN_S, 499) == []
    assert await alerts.fire(BUDGET, BEGIN_S, 760) == [50, 75]
    assert await alerts.fire(BUDGET, BEGIN_S, 770) == []
    assert await Alerts(database, told).fire(BUDGET, BEGIN_S, 1000) == [90, 100]
    following_s = period_of("month", NOON.timestamp())[1]
    assert await alerts.fire(BUDGET, following_s, 500) == [50]
    assert told.percents == [50, 75, 90, 100, 50]
    assert [channels for _, channels in told.notices[:2]] == [None, ["team"]]
    assert [one.threshold for one in await alerts.passed(BUDGET, BEGIN_S)] == [50, 75, 90, 100]


async def test_of_many_workers_at_once_one_tells(database: Database) -> None:
    told = Told()
    found = await asyncio.gather(*(Alerts(database, told).fire(BUDGET, BEGIN_S, 1000) for _ in range(8)))
    assert sorted(percent for one in found for percent in one) == [50, 75, 90, 100]
    assert sorted(told.percents) == [50, 75, 90, 100]


async def test_what_could_not_be_told_is_told_later(database: Database) -> None:
    told = Told()
    told.fails = True
    alerts = Alerts(database, told)
    with pytest.raises(Unavailable):
        await alerts.fire(BUDGET, BEGIN_S, 600)
    told.fails = False
    assert await alerts.fire(BUDGET, BEGIN_S, 600) == [50]


async def test_users_with_budgets_of_their_own_are_told_of_apart_and_by_a_hash(database: Database) -> None:
    told = Told()
    alerts = Alerts(database, told)
    each = structs.replace(BUDGET, per="user")
    assert await alerts.fire(each, BEGIN_S, 500, "ab" * 32) == [50]
    assert await alerts.fire(each, BEGIN_S, 500, "cd" * 32) == [50]
    assert await alerts.fire(each.of_user("ana"), BEGIN_S, 500, "ab" * 32) == []
    assert "user abababababab" in told.notices[0][0].text


async def test_a_notice_reaches_the_deliveries_of_the_channels_it_names(database: Database) -> None:
    channels = {
        "team": {"type": "slack", "url": "https://hooks.example.com/x"},
        "x": {"type": "slack", "url": "https://hooks.example.com/y"},
    }
    section = NotifySection.model_validate({"channels": channels, "default": ["x"]})
    notifier = Notifier(database, lambda: section, lambda one: None)  # type: ignore[arg-type, return-value]
    acts = acts_of([50], {"at_75": "notify_team"})
    alerts = Alerts(
        database, notifier.send, lambda: "https://costs.example.com", lambda name: name.removeprefix("notify_")
    )
    await alerts.fire(structs.replace(BUDGET, acts=acts), BEGIN_S, 800)
    sent = {one.facts["threshold"]: one for one in (await notifier.list(kind="budget.threshold")).notices}
    assert [one.channel for one in sent[75].deliveries] == ["team"]
    assert [one.channel for one in sent[50].deliveries] == ["x"]
    assert (sent[75].link, sent[75].severity, sent[50].severity) == ("https://costs.example.com", "warning", "info")


def test_a_notice_says_what_was_spent_of_what_and_what_follows() -> None:
    notice = notice_of(structs.replace(BUDGET, limit_microusd=10_000_000_000), ACTS.steps[-1], BEGIN_S, 10_500_000_000)
    assert notice.title == "Budget engineering: 100 % of this month's $10,000.00 are spent"
    assert "2026-11-01 00:00 to 2026-12-01 00:00 UTC for team red, $10,500.00 are spent" in notice.text
    assert "cheaper model" in notice.text
    assert (notice.severity, notice.facts["percent"]) == ("critical", 105)


# ---- levels ---------------------------------------------------------------------------------------------------------


class World:
    def __init__(self) -> None:
        self.now_s = NOON.timestamp()
        self.counters = Memory(clock=lambda: self.now_s)
        self.fired: list[tuple[str, int]] = []
        self.fails = False
        self.levels = Levels(self.counters, self._fire, lambda: self.now_s)
        self.purse = purse_of(BUDGET, self.now_s)

    async def _fire(self, purse: Purse, spent: int) -> None:
        if self.fails:
            raise Unavailable("away")
        self.fired.append((purse.budget.name, spent))

    async def begin(self, spent: int = 0) -> None:
        await self.counters.level((Spent(self.purse.key, spent, self.purse.end_s),))

    def spend(self, cost: int) -> None:
        self.counters.give(Give("c", money=((self.purse.key, cost),)))
        self.levels.settled([self.purse], cost)


async def test_a_threshold_fires_when_what_is_settled_passes_it_and_not_before_nor_again() -> None:
    world = World()
    await world.begin()
    for cost, fired in ((499, 0), (1, 1), (100, 1), (149, 1), (1, 2), (100, 2), (300, 3), (300, 3)):
        world.spend(cost)
        await world.levels.look()
        assert len(world.fired) == fired, cost


async def test_what_another_worker_settled_counts_too() -> None:
    world = World()
    await world.begin()
    world.spend(1)
    world.counters.give(Give("other", money=((world.purse.key, 600),)))
    await world.levels.look()
    assert world.fired == [("engineering", 601)]


async def test_what_is_only_held_fires_nothing() -> None:
    world = World()
    await world.begin()
    await world.counters.take(Take("c", money=(Money(world.purse.key, 1000, 900, world.purse.end_s),)))
    world.spend(1)
    await world.levels.look()
    assert world.fired == []


async def test_a_database_that_is_away_delays_a_threshold_and_loses_none() -> None:
    world = World()
    await world.begin()
    world.fails = True
    world.spend(500)
    await world.levels.look()
    world.fails = False
    await world.levels.look()
    assert world.fired == []
    world.now_s += 6
    await world.levels.look()
    assert world.fired == [("engineering", 500)]


async def test_calls_meet_a_step_as_soon_as_it_is_passed_also_after_a_restart() -> None:
    world = World()
    await world.begin(999)
    assert await world.levels.step(world.purse) is None
    world.spend(1)
    step = await world.levels.step(world.purse)
    assert step is not None
    assert step.does == "switch_to_cheaper_model"
    again = Levels(world.counters, world._fire, lambda: world.now_s)
    assert await again.step(world.purse) == step


async def test_purses_that_were_quiet_are_forgotten_when_there_are_many_and_known_again_when_they_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(levels_module, "_REMEMBERED", 5)
    world = World()
    await world.begin(400)
    world.spend(99)
    await world.levels.look()
    for number in range(20):
        other = purse_of(structs.replace(BUDGET, id=f"b{number}"), world.now_s)
        world.levels.settled([other], 1)
        await world.levels.look()
    assert len(world.levels._held) <= 6 and world.purse.key not in world.levels._held
    world.spend(1)
    await world.levels.look()
    assert world.fired == [("engineering", 500)]


async def test_a_purse_without_steps_is_not_watched() -> None:
    world = World()
    plain = purse_of(structs.replace(BUDGET, acts=acts_of([], {})), world.now_s)
    world.levels.settled([plain], 5000)
    assert not world.levels._held
