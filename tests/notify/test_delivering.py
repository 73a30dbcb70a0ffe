"""Delivery: once per event whoever sends it, retried until it is taken, one worker at a time, shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from comporta.errors import BadRequest, NotFound, Unavailable
from comporta.notify import delivering, tables
from comporta.notify.channels import Undelivered
from comporta.notify.delivering import Deliverer, pause_s
from comporta.notify.notice import Notice
from comporta.notify.notifier import Notifier
from comporta.notify.settings import ChannelSection, NotifySection
from comporta.store.database import Database

NOTICE = Notice("event-1", "rollout.rolled_back", "support went back", severity="warning")


class Phone:
    """A channel that fails as often as it is told to, and remembers what it delivered."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.failures: list[Undelivered] = []
        self.slow_s = 0.0
        self.entered = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0

    async def deliver(self, notice: Notice) -> str:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.entered.set()
        try:
            await asyncio.sleep(self.slow_s)
            if self.failures:
                raise self.failures.pop(0)
            self.heard.append(notice.id)
            return "heard"
        finally:
            self.at_once -= 1


def settings_of(*names: str, **more: Any) -> NotifySection:
    channels = {name: {"type": "slack", "url": f"https://{name}.example.com/x"} for name in names}
    for name, extra in more.pop("changed", {}).items():
        channels[name] |= extra
    return NotifySection.model_validate({"channels": channels, **more})


class Wired:
    """A notifier and any number of deliverers over the same phones."""

    def __init__(self, database: Database, settings: NotifySection) -> None:
        self.database = database
        self.settings = settings
        self.phones = {name: Phone() for name in settings.channels}
        self.notifier = Notifier(database, lambda: self.settings, self.channel_of)

    def channel_of(self, section: ChannelSection) -> Phone:
        assert section.url is not None
        return self.phones[section.url.get_secret_value().split("//")[1].split(".")[0]]

    def deliverer(self, **more: Any) -> Deliverer:
        given = {"pause_s": lambda attempts: 0.0, **more}
        return Deliverer(self.database, lambda: self.settings, self.channel_of, **given)


Wire = Callable[..., Wired]


@pytest.fixture
def wire(database: Database) -> Wire:
    return lambda *names, **more: Wired(database, settings_of(*(names or ("ops",)), **more))


@asynccontextmanager
async def running(*deliverers: Deliverer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in deliverers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(look: Callable[[], Awaitable[Any]], within_s: float = 60.0) -> Any:
    async with asyncio.timeout(within_s):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.01)


async def states(wired: Wired) -> dict[str, tuple[str, int, str | None]]:
    page = await wired.notifier.list()
    return {f"{n.id}:{d.channel}": (d.state, d.attempts, d.told) for n in page.notices for d in n.deliveries}


async def ended(wired: Wired) -> Any:
    found = await states(wired)
    return found if found and all(state != "waiting" for state, _, _ in found.values()) else None


async def test_an_event_is_told_once_however_many_send_it(wire: Wire) -> None:
    wired = wire("ops", "team")
    sent = await asyncio.gather(*(wired.notifier.send(NOTICE) for _ in range(8)))
    assert sorted(sent) == [False] * 7 + [True]
    async with running(*(wired.deliverer() for _ in range(3))):
        found = await until(lambda: ended(wired))
    assert found == {"event-1:ops": ("delivered", 1, "heard"), "event-1:team": ("delivered", 1, "heard")}
    assert wired.phones["ops"].heard == wired.phones["team"].heard == ["event-1"]


async def test_what_fails_twice_is_tried_again_and_taken(wire: Wire) -> None:
    wired = wire()
    wired.phones["ops"].failures = [Undelivered("answered 500"), Undelivered("answered 503")]
    await wired.notifier.send(NOTICE)
    deliverer = wired.deliverer()
    async with running(deliverer):
        assert await until(lambda: ended(wired)) == {"event-1:ops": ("delivered", 3, "heard")}
    assert (deliverer.delivered, deliverer.failed) == (1, 2)


async def test_many_workers_share_the_work_and_none_does_it_twice(wire: Wire) -> None:
    wired = wire()
    wired.phones["ops"].slow_s = 0.01
    for n in range(60):
        await wired.notifier.send(Notice(f"e{n}", "k", "t"))
    workers = [wired.deliverer() for _ in range(4)]
    async with running(*workers):
        await until(lambda: ended(wired))
    assert sorted(wired.phones["ops"].heard) == sorted(f"e{n}" for n in range(60))
    assert sum(worker.delivered for worker in workers) == 60 and sum(1 for w in workers if w.delivered) > 1


async def test_a_delivery_whose_worker_died_is_made_by_another_when_its_claim_has_run_out(wire: Wire) -> None:
    wired = wire()
    wired.phones["ops"].slow_s = 30.0
    await wired.notifier.send(NOTICE)
    async with running(wired.deliverer(lease_s=0.3)):
        await wired.phones["ops"].entered.wait()
    assert wired.phones["ops"].heard == []
    wired.phones["ops"].slow_s = 0.0
    async with running(wired.deliverer()):
        assert await until(lambda: ended(wired)) == {"event-1:ops": ("delivered", 2, "heard")}


async def test_while_it_is_being_tried_nobody_else_tries_it(wire: Wire) -> None:
    wired = wire()
    wired.phones["ops"].slow_s = 0.3
    await wired.notifier.send(NOTICE)
    async with running(wired.deliverer(), wired.deliverer()):
        await until(lambda: ended(wired))
    assert wired.phones["ops"].most_at_once == 1 and wired.phones["ops"].heard == ["event-1"]


async def test_a_slow_receiver_keeps_nobody_else_waiting(wire: Wire) -> None:
    wired = wire("slow", "quick")
    wired.phones["slow"].slow_s = 30.0
    await wired.notifier.send(NOTICE)
    async with running(deliverer := wired.deliverer()):
        await wired.phones["slow"].entered.wait()
        await wired.notifier.send(Notice("event-2", "k", "t"), ["quick"])
        await deliverer.wake()

        async def both() -> bool:
            return sorted(wired.phones["quick"].heard) == ["event-1", "event-2"]

        assert await until(both)


async def test_it_is_given_up_after_a_while_and_can_be_begun_anew(wire: Wire) -> None:
    wired = wire("ops", "team", give_up_after="1ms")
    wired.phones["ops"].failures = [Undelivered(f"answered {status}") for status in (500, 501, 502)]
    await wired.notifier.send(NOTICE)
    deliverer = wired.deliverer()
    async with running(deliverer):
        found = await until(lambda: ended(wired))
        state, attempts, told = found["event-1:ops"]
        assert state == "failed" and attempts >= 1 and told.startswith("answered 50")
        assert [n.id for n in (await wired.notifier.list(state="failed")).notices] == ["event-1"]
        wired.phones["ops"].failures = []
        await wired.notifier.retry("event-1")
        await deliverer.wake()
        found = await until(lambda: ended(wired))
    assert found["event-1:ops"][0] == "delivered" and wired.phones["team"].heard == ["event-1"]


async def test_what_cant_succeed_is_not_tried_again(wire: Wire) -> None:
    wired = wire()
    wired.phones["ops"].failures = [Undelivered("answered 410", final=True)]
    await wired.notifier.send(NOTICE, ["ops", "nobody"])
    async with running(wired.deliverer()):
        found = await until(lambda: ended(wired))
    assert found == {
        "event-1:ops": ("failed", 1, "answered 410"),
        "event-1:nobody": ("failed", 1, "no channel of this name is configured"),
    }


async def test_a_receiver_that_asks_for_time_gets_it(wire: Wire) -> None:
    wired = wire()
    wired.phones["ops"].failures = [Undelivered("answered 429", retry_after_s=600)]
    await wired.notifier.send(NOTICE)
    deliverer = wired.deliverer()
    assert await deliverer.begin() == 1
    await deliverer.settled()
    [row] = (await wired.notifier.list()).notices
    [one] = row.deliveries
    assert one.state == "waiting" and one.next_at is not None and (one.next_at - row.taken_at).total_seconds() > 590


async def test_an_odd_failure_of_one_stops_no_other(wire: Wire) -> None:
    wired = wire("odd", "ops")
    wired.phones["odd"].failures = [ValueError("https://secret")]  # type: ignore[list-item]
    await wired.notifier.send(NOTICE)
    deliverer = wired.deliverer()
    await deliverer.begin()
    await deliverer.settled()
    found = await states(wired)
    assert found["event-1:odd"] == ("waiting", 1, "failed (ValueError)") and found["event-1:ops"][0] == "delivered"


async def test_a_database_that_goes_away_while_it_is_delivered_has_nothing_delivered_twice(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired = wire()
    monkeypatch.setattr(delivering, "_SETTLE_PAUSE_S", 0.01)
    await wired.notifier.send(NOTICE)
    deliverer = wired.deliverer()
    reading, refusals = wired.database.reading, [Unavailable("away")] * 5

    @asynccontextmanager
    async def away(*arguments: Any) -> AsyncIterator[Any]:
        if wired.phones["ops"].heard and refusals:
            raise refusals.pop()
        async with reading(*arguments) as connection:
            yield connection

    monkeypatch.setattr(wired.database, "reading", away)
    async with running(deliverer):
        await until(lambda: ended_anyhow(wired))
    assert wired.phones["ops"].heard == ["event-1"] and not refusals


async def ended_anyhow(wired: Wired) -> Any:
    with contextlib.suppress(Unavailable):
        return await ended(wired)


async def test_with_a_transaction_a_notice_stands_or_falls_with_what_it_tells(wire: Wire) -> None:
    wired = wire()
    with contextlib.suppress(RuntimeError):
        async with wired.database.connection() as connection:
            assert await wired.notifier.send(NOTICE, connection=connection)
            raise RuntimeError("what was decided did not hold")
    assert (await wired.notifier.list()).notices == []
    async with wired.database.connection() as connection:
        assert await wired.notifier.send(NOTICE, connection=connection)
    assert [n.id for n in (await wired.notifier.list()).notices] == ["event-1"]


async def test_who_wants_only_what_is_severe_gets_only_that(wire: Wire) -> None:
    wired = wire("ops", "pager", changed={"pager": {"at_least": "critical"}})
    await wired.notifier.send(NOTICE)
    await wired.notifier.send(Notice("event-2", "k", "t", severity="critical"))
    assert set(await states(wired)) == {"event-1:ops", "event-2:ops", "event-2:pager"}


async def test_without_a_channel_a_notice_is_shown_and_nothing_more(wire: Wire) -> None:
    wired = wire("ops", "team", default=["team"])
    await wired.notifier.send(NOTICE)
    await wired.notifier.send(Notice("event-2", "k", "t"), [])
    assert set(await states(wired)) == {"event-1:team"}
    assert [n.id for n in (await wired.notifier.list()).notices] == ["event-2", "event-1"]


async def test_a_test_tells_at_once_how_it_went(wire: Wire) -> None:
    wired = wire()
    assert (await wired.notifier.test("ops")).state == "delivered"
    wired.phones["ops"].failures = [Undelivered("answered 403")]
    failed = await wired.notifier.test("ops")
    assert (failed.state, failed.told) == ("failed", "answered 403")
    assert sorted(state for state, _, _ in (await states(wired)).values()) == ["delivered", "failed"]
    with pytest.raises(NotFound, match="there is ops"):
        await wired.notifier.test("pager")


async def test_pages_of_notices_follow_each_other(wire: Wire) -> None:
    wired = wire()
    for n in range(7):
        await wired.notifier.send(Notice(f"e{n}", "odd" if n % 2 else "even", "t"))
    first = await wired.notifier.list(limit=4)
    second = await wired.notifier.list(limit=4, after=first.next)
    assert [n.id for n in (*first.notices, *second.notices)] == [f"e{n}" for n in reversed(range(7))]
    assert second.next is None
    assert [n.id for n in (await wired.notifier.list(kind="odd")).notices] == ["e5", "e3", "e1"]
    with pytest.raises(BadRequest):
        await wired.notifier.list(after="nonsense")
    with pytest.raises(NotFound):
        await wired.notifier.one("never-sent")


async def test_old_notices_go_with_their_deliveries(wire: Wire, database: Database) -> None:
    wired = wire()
    await wired.notifier.send(NOTICE)
    await tables.prune(database, 3600)
    assert len(await states(wired)) == 1
    await tables.prune(database, -1)
    assert await states(wired) == {}


def test_pauses_grow_and_are_bounded() -> None:
    assert all(0.75 <= pause_s(1) <= 1.25 for _ in range(20))
    assert all(6 <= pause_s(4) <= 10 for _ in range(20))
    assert all(pause_s(n) <= 1125 for n in (10, 100, 10_000))
