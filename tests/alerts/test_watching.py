"""Rounds over a real database: told once however many look, kept over restarts, silenced, forgotten, unusual."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from comporta.alerts.alerts import Alerts
from comporta.alerts.judging import Baseline, Look
from comporta.alerts.looking import Looking
from comporta.alerts.rules import Rule
from comporta.alerts.unusual import baseline_of, usual
from comporta.alerts.watching import Watch
from comporta.errors import NotFound
from comporta.notify.channels import Channel
from comporta.notify.notice import Notice
from comporta.notify.notifier import Notifier
from comporta.notify.settings import ChannelSection, NotifySection
from comporta.store.database import Connection, Database
from comporta.telemetry.observability import facets
from comporta.telemetry.observability.bounds import Bound

NOW = datetime.datetime(2026, 11, 20, 12, 30, 20, tzinfo=datetime.UTC)
RULE = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), min_calls=5)
_SETTINGS = {"channels": {"ops": {"type": "webhook", "url": "http://ops.example.com/x", "at_least": "warning"}}}
PUT = """
insert into {table} (period, route, variant, provider, model, key_id, team, environment, feature, outcome_class, calls,
    streams, retries, cache_hits, cache_lookups, input_tokens, cached_tokens, cache_write_tokens, audio_in_tokens,
    image_in_tokens, output_tokens, reasoning_tokens, audio_out_tokens, estimated_calls, cost_microusd, unpriced_calls,
    duration_us, latency, first_token)
values (date_trunc('{unit}', %s, 'UTC'), %s, '', '', '', '', '', '', '', %s, %s, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    %s, 0, 0, '{{}}', '{{}}')
on conflict do nothing
"""


async def no_present() -> dict[str, float | None]:
    return {"open_breakers": 2.0}


class World:
    """A database with figures in it, a clock, and any number of workers that look."""

    def __init__(self, database: Database, rules: Sequence[Rule] = (RULE,)) -> None:
        self.database = database
        self.rules = rules
        self.now = NOW
        section = NotifySection.model_validate(_SETTINGS)
        self.notifier = Notifier(database, lambda: section, _never)
        self.alerts = Alerts(database, lambda: self.rules, no_present, lambda: self.notifier)

    def worker(self, database: Database | None = None) -> Watch:
        async def send(notice: Notice, channels: Sequence[str] | None, connection: Connection) -> object:
            return await self.notifier.send(notice, channels, connection=connection)

        database = database or self.database
        return Watch(
            database, lambda: self.rules, Looking(database, no_present), send, clock=lambda: self.now.timestamp(),
            every_s=lambda: 0.0,
        )  # fmt: skip

    async def calls(self, good: int = 0, bad: int = 0, *, back: float = 0.0, unit: str = "minute") -> None:
        """So many calls, so many minutes ago."""
        at = self.now - datetime.timedelta(minutes=back)
        query = PUT.format(table=f"rollup_{unit}", unit=unit)
        async with self.database.connection() as connection:
            for outcome, count in (("ok", good), ("upstream", bad)):
                if count:
                    await connection.execute(query, [at, "support", outcome, count, count * 1_000_000])
        # Nobody has summed it up by property.
        await facets.mark_all(self.database)

    async def look(self, minutes: float = 0.0) -> None:
        self.now += datetime.timedelta(minutes=minutes)
        assert await self.worker().round()

    async def told(self) -> list[tuple[str, str]]:
        page = await self.notifier.list(limit=200)
        return [(one.kind, one.severity) for one in reversed(page.notices)]


def _never(section: ChannelSection) -> Channel:
    raise AssertionError("nobody delivers here")


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_an_event_is_told_when_it_begins_and_when_it_is_over(world: World) -> None:
    await world.calls(good=95, bad=5)
    await world.look()
    assert await world.told() == []
    world.now += datetime.timedelta(minutes=10)
    await world.calls(good=5, bad=5)
    await world.look()
    await world.look(1)
    assert await world.told() == [("alert.raised", "critical")]
    await world.look(10)
    await world.look(6)
    assert await world.told() == [("alert.raised", "critical"), ("alert.recovered", "critical")]
    first = (await world.notifier.list()).notices[-1]
    assert first.title == "Alert: errors (error_rate 50%)"
    assert first.facts["alert"] == "> 10%" and first.facts["calls"] == 10 and first.facts["window"] == "5m"
    history = (await world.alerts.history("errors")).events
    assert [(one.kind, one.state_before, one.state) for one in history] == [
        ("alert.recovered", "alert", "ok"), ("alert.raised", "ok", "alert"),
    ]  # fmt: skip
    assert history[0].deliveries[0].channel == "ops", "whoever heard of it hears that it is over"


async def test_however_many_look_at_once_people_are_told_once(world: World, database_dsn: str) -> None:
    await world.calls(bad=10)
    async with Database(database_dsn) as other:
        workers = [world.worker(), world.worker(other), world.worker(), world.worker(other)]
        for _ in range(3):
            await asyncio.gather(*(one.round() for one in workers))
    assert await world.told() == [("alert.raised", "critical")]


async def test_a_round_is_one_workers_until_the_next_is_due(world: World) -> None:
    watch = Watch(world.database, lambda: (), Looking(world.database, no_present), _no_send, every_s=lambda: 60.0)
    assert await watch.round()
    assert not await watch.round()


async def _no_send(notice: Notice, channels: Sequence[str] | None, connection: Connection) -> object:
    raise RuntimeError("the worker died here")


async def test_a_worker_that_dies_in_the_middle_leaves_the_event_to_the_next(world: World) -> None:
    await world.calls(bad=10)
    clock: Callable[[], float] = world.now.timestamp
    dying = Watch(
        world.database, lambda: world.rules, Looking(world.database, no_present), _no_send, clock=clock,
        every_s=lambda: 0.0,
    )  # fmt: skip
    with pytest.raises(RuntimeError):
        await dying.round()
    assert (await world.alerts.list())[0].state == "waiting"
    await world.look()
    assert await world.told() == [("alert.raised", "critical")]


async def test_silence_tells_nobody_and_what_outlasts_it_is_told_then(world: World) -> None:
    silence = await world.alerts.silence("errors", 3600.0, by="ana", reason="moving")
    async with world.database.connection() as connection:
        ends = NOW + datetime.timedelta(minutes=2)
        await connection.execute("update alert_silence set ends_at = %s", [ends])
    await world.calls(bad=10)
    await world.look()
    assert await world.told() == []
    assert [one.silenced for one in (await world.alerts.history()).events] == [True]
    await world.look(3)
    assert await world.told() == [("alert.raised", "critical")]
    assert silence.made_by == "ana" and silence.reason == "moving"


async def test_a_silence_can_be_ended_and_wants_a_rule_that_there_is(world: World) -> None:
    await world.alerts.silence("errors", 60.0, by="ana")
    assert (await world.alerts.list())[0].silenced is not None
    assert await world.alerts.unsilence("errors") and not await world.alerts.unsilence("errors")
    with pytest.raises(NotFound, match="did you mean 'errors'"):
        await world.alerts.silence("eror", 60.0, by="ana")


async def test_a_test_says_what_a_look_means_and_changes_nothing(world: World) -> None:
    await world.calls(bad=10)
    found = await Alerts(
        world.database, lambda: [msgspec.structs.replace(RULE, window_s=10 * 365 * 86_400.0, min_calls=1)], no_present,
        lambda: world.notifier,
    ).test("errors")  # fmt: skip
    assert found.level in ("alert", "ok") and found.threshold == "alert > 10%"
    assert [one.channel for one in found.deliveries] == ["ops"]
    assert [kind for kind, _ in await world.told()] == ["alert.test"]
    assert (await world.alerts.list())[0].state == "waiting"


async def test_a_rule_that_is_gone_is_forgotten(world: World) -> None:
    await world.calls(bad=10)
    await world.look()
    world.rules = ()
    await world.look(1)
    world.rules = (RULE,)
    assert (await world.alerts.list())[0].state == "waiting"


async def test_a_rule_that_cannot_be_looked_at_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rules = (Rule("broken", "error_rate", 300.0, alert=Bound(">", 0.1)), RULE)
    await world.calls(bad=10)
    whole = Looking.look

    async def breaks(self: Looking, rule: Rule, *more: Any) -> Look:
        if rule.name == "broken":
            raise psycopg.errors.QueryCanceled("too slow")
        return await whole(self, rule, *more)

    monkeypatch.setattr(Looking, "look", breaks)
    await world.look()
    assert await world.told() == [("alert.raised", "critical")]
    broken = {view.name: view for view in await world.alerts.list()}["broken"]
    assert broken.state == "ok" and "could not be looked at (QueryCanceled)" in str(broken.reason)


async def test_states_of_now_are_asked_of_the_gate(database: Database) -> None:
    world = World(database, [Rule("breakers", "open_breakers", 300.0, alert=Bound(">", 1.0))])
    await world.look()
    assert await world.told() == [("alert.raised", "critical")]


def test_a_wild_week_moves_neither_the_usual_nor_its_spread() -> None:
    found = baseline_of([10.0, 11.0, 9.0, 10.0, 12.0, 1000.0], 6)
    assert found.median == 10.5 and found.spread < 2.0
    assert baseline_of([100.0] * 6, 6).spread == 5.0, "what never moved may move a little"


async def test_the_usual_is_that_of_the_same_hour_in_the_weeks_before(world: World) -> None:
    rule = Rule("odd", "calls", 3600.0, unusual=5.0)
    world.rules = (rule,)
    minutes_a_week = 7 * 24 * 60
    for week in (1, 2, 3):
        for hour in (-60, 0, 60):
            await world.calls(good=100 + week, back=week * minutes_a_week + hour + 30, unit="hour")
        await world.calls(good=5, back=week * minutes_a_week + 12 * 60, unit="hour")
    await world.calls(good=7, back=4 * minutes_a_week, unit="hour")
    found = await usual(world.database, rule, world.now)
    assert isinstance(found, Baseline) and found.median == pytest.approx(102.0) and found.weeks == 3
    await world.calls(good=500, back=1)
    await world.look()
    assert await world.told() == [("alert.raised", "critical")]
    assert "above what is usual" in str((await world.alerts.list())[0].reason)


async def test_without_two_weeks_nobody_is_told_and_the_rule_says_why(world: World) -> None:
    world.rules = (Rule("odd", "calls", 3600.0, unusual=5.0),)
    await world.calls(good=1, back=7 * 24 * 60 + 120, unit="hour")
    await world.calls(good=500, back=1)
    await world.look()
    assert await world.told() == []
    assert "2 weeks at least" in str((await world.alerts.list())[0].reason)
