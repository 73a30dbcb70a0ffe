"""Recorded calls read back from the database: page by page, in order, as the caches saw them."""

from __future__ import annotations

import datetime

import pytest

from comporta.app.simulating.recorded import Recorded, Window, count, pages
from comporta.app.simulating.recorded_traffic import window_of
from comporta.cache.key import key_of
from comporta.errors import BadRequest, UpstreamFault
from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.telemetry.capture import Capture, Mode
from comporta.telemetry.partitions import ensure_days
from comporta.telemetry.record import PROMPTED, CallRecord, Prompted, record_of
from comporta.telemetry.scrubbing import Scrubber
from comporta.telemetry.shipping import insert_batch
from comporta.types import Caller, Choice, Input, Message, Reply, Target, Text, ToolCall, Usage

NOON = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(minutes=30)
ASKED = Input(messages=(Message("user", (Text("Hello?"),)),), temperature=1.0, extra={"x": [1, {"b": 2, "a": 1.5}]})
TARGET = Target("faq", "openai/big", "openai", "big", credential="one")


def call_at(second: float, **more: object) -> Call:
    given = {"kind": "chat", "input": ASKED, "model": "faq", "caller": Caller("k", team="t"), "door": "openai.chat"}
    call = Call(**{**given, **more}, started_s=NOON.timestamp() + second)  # type: ignore[arg-type]
    call.target, call.usage, call.cost_microusd = TARGET, Usage(input=10, output=5), 77
    return call


def record(call: Call, mode: Mode = "full", cache: str = "bypass") -> CallRecord:
    capture = Capture(Scrubber())
    call.cache = cache
    tools = (ToolCall("1", "look", "{}"),)
    reply = Reply(choices=(Choice(0, "Hi.", tools=tools, finish="tool_calls"),))
    return record_of(
        call, capture=mode, prompt=capture.prompt(call.input, mode), reply=capture.reply(reply, mode),
        variables='{"name": "Ana"}' if PROMPTED in call.facts else None,
    )  # fmt: skip


async def read(database: Database, window: Window) -> list[Recorded]:
    return [one async for page in pages(database, window) for one in page]


async def insert(database: Database, records: list[CallRecord]) -> None:
    await ensure_days(database, {NOON.date(), (NOON + datetime.timedelta(days=1)).date()})
    await insert_batch(database, records)


def window(*routes: str) -> Window:
    return Window(NOON, NOON + datetime.timedelta(minutes=20), routes)


async def test_a_call_reads_back_as_the_caches_saw_it(database: Database) -> None:
    call = call_at(1, stream=True, user="ana", session="s", tags={"when": "night"})
    call.facts[PROMPTED] = Prompted("support", "1.2.0", "production", None, {"name": "Ana"})
    await insert(database, [record(call)])
    (found,) = await read(database, window())
    assert (found.asked, found.is_complete, found.full_microusd) == (ASKED, True, 77)
    assert found.choices[0].tools and found.tags == {"when": "night"}
    assert found.prompted == Prompted("support", "1.2.0", "production", None, {"name": "Ana"})
    again = found.call(TARGET, ASKED)
    call.facts["prompt_version"] = "support@1.2.0"
    assert key_of(again) == key_of(call) is not None


async def test_what_is_not_kept_whole_has_no_prompt(database: Database) -> None:
    modes: tuple[Mode, ...] = ("preview", "hashed", "off")
    await insert(database, [record(call_at(at), mode) for at, mode in enumerate(modes)])
    found = await read(database, window())
    assert len(found) == 3 and all(one.asked is None and not one.choices for one in found)


async def test_hits_count_at_what_they_saved_and_failures_are_told_apart(database: Database) -> None:
    hit, failed, refused = call_at(1), call_at(2), call_at(3)
    hit.note("cache", kind="semantic", saved_microusd=55)
    hit.cost_microusd = 0
    failed.error = UpstreamFault("gone")
    refused.target = None
    await insert(database, [record(hit, cache="semantic"), record(failed), record(refused)])
    first, second, third = await read(database, window())
    assert (first.hit, first.full_microusd, first.paid_microusd) == ("semantic", 55, 0)
    assert second.reached and not second.whole and not second.is_complete
    assert third.target is None


async def test_pages_follow_each_other_without_gap_or_double(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comporta.app.simulating.recorded._PAGE", 7)
    calls = [call_at(at // 3, model=f"m{at}") for at in range(40)]
    other = call_at(5)
    other.target = Target("other", "v", "openai", "big")
    late = call_at(1_300)
    count_only = call_at(6, kind="count")
    await insert(database, [record(one) for one in (*calls, other, late, count_only)])
    found = await read(database, window())
    assert sorted(one.id for one in found) == sorted(one.id for one in (*calls, other))
    assert [one.at_s for one in found] == sorted(one.at_s for one in found)
    assert await count(database, window()) == 41
    assert {one.target.route for one in await read(database, window("other")) if one.target} == {"other"}
    assert await read(database, window("nobody")) == []


def test_a_window_is_so_far_back_or_between_two_times() -> None:
    back = window_of("24h", None)
    assert back.until - back.since == datetime.timedelta(hours=24)
    days = window_of("2026-11-01", "2026-11-08T12:00")
    assert days.since == datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    assert days.until == datetime.datetime(2026, 11, 8, 12, tzinfo=datetime.UTC)
    ended = window_of("7d", "2026-11-08")
    assert ended.since == datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    with pytest.raises(BadRequest, match="before it begins"):
        window_of("2026-11-08", "2026-11-01")
