"""The recording stage: what it notes on every kind of ending, and that it changes nothing of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comporta.errors import BudgetExceeded, ClientGone, UpstreamCut, UpstreamFault
from comporta.pipeline import Call, Next, collect, compose, replay
from comporta.telemetry.capture import Capture
from comporta.telemetry.record import CallRecord
from comporta.telemetry.recorder import Recorder
from comporta.telemetry.scrubbing import Scrubber
from comporta.telemetry.spool import Spool, segments
from comporta.telemetry.spooled import Spooled
from comporta.types import Caller, Delta, Event, Input, Message, Target, Text, ToolDelta, Usage

TARGET = Target("support", "v1", "openai", "gpt-x", credential="main")
STREAM = (
    Event(deltas=(Delta(),), id="r1", model="gpt-x-0613"),
    Event(deltas=(Delta(text="Hello "),)),
    Event(deltas=(Delta(text="there", finish="stop"),)),
    Event(usage=Usage(input=7, output=2), last=True),
)


@pytest.fixture
def recorder(spool: Spool) -> Recorder:
    return Recorder(spool, Capture(Scrubber(["a-known-secret-value"])), lambda call: 42)


def new_call(text: str = "Hi", **more: Any) -> Call:
    input = Input(messages=(Message("user", (Text(text),)),))
    return Call(kind="chat", input=input, model="support", caller=Caller("key-1", team="water"), **more)


def answering(events: Callable[[], AsyncIterator[Event]], target: Target | None = TARGET) -> Next:
    async def last(call: Call) -> AsyncIterator[Event]:
        call.target = target
        return events()

    return last


async def failing(*events: Event, error: BaseException) -> AsyncIterator[Event]:
    for event in events:
        yield event
    raise error


async def ask(recorder: Recorder, last: Next, call: Call | None = None) -> tuple[Call, list[Event]]:
    """As a door does: take all events, close, end."""
    call, got = call or new_call(), []
    error = None
    try:
        async for event in await compose([("record", recorder.stage)], last)(call):
            got.append(event)
    except Exception as failure:
        error = failure if isinstance(failure, UpstreamFault | UpstreamCut | BudgetExceeded) else None
    await call.close_events()
    call.end(error)
    return call, got


def recorded(recorder: Recorder) -> list[CallRecord]:
    return Spooled(recorder.spool.folder).read(1000, 1 << 30).records


async def test_a_stream_passes_untouched_and_is_recorded_before_the_call_has_ended(recorder: Recorder) -> None:
    call, got = await ask(recorder, answering(lambda: replay(STREAM)))
    assert all(a is b for a, b in zip(got, STREAM, strict=True))
    (record,) = recorded(recorder)
    assert (record.outcome, record.outcome_class, record.status) == ("ok", "ok", 200)
    assert (record.reply_id, record.reply_model) == ("r1", "gpt-x-0613")
    assert (record.route, record.credential, record.team) == ("support", "main", "water")
    assert record.usage == Usage(input=7, output=2)
    assert record.cost_microusd == call.cost_microusd == 42
    assert record.first_us is not None and 0 <= record.first_us <= record.duration_us
    assert msgspec.json.decode(record.reply or "") == [{"index": 0, "text": "Hello there", "finish": "stop"}]
    assert [span.name for span in record.spans] == ["record"]


async def test_usage_and_cost_are_known_to_the_endings_of_inner_stages(recorder: Recorder) -> None:
    seen: list[Any] = []

    async def spend(call: Call, next: Next) -> AsyncIterator[Event]:
        call.at_end(lambda call: seen.append((call.usage, call.cost_microusd)))
        return await next(call)

    pipeline = compose([("record", recorder.stage), ("spend", spend)], answering(lambda: replay(STREAM)))
    call = new_call()
    await collect(await pipeline(call))
    await call.close_events()
    call.end()
    assert seen == [(Usage(input=7, output=2), 42)]


async def test_a_call_that_was_stopped_and_goes_on_another_time_is_not_recorded(recorder: Recorder) -> None:
    call = new_call()

    async def stopping(stopped: Call) -> AsyncIterator[Event]:
        recorder.forget(stopped)
        raise UpstreamFault("stopped")

    await ask(recorder, stopping, call)
    assert recorder.in_flight == 0 and recorded(recorder) == []


async def test_a_refusal_is_recorded_with_its_code_and_costs_nothing(recorder: Recorder) -> None:
    async def refuse(call: Call) -> AsyncIterator[Event]:
        raise BudgetExceeded("The budget of team water is used up.")

    await ask(recorder, refuse)
    (record,) = recorded(recorder)
    assert (record.outcome, record.outcome_class, record.status) == ("budget_exceeded", "refused", 402)
    assert record.usage is None
    assert record.cost_microusd is None
    assert record.first_us is None


async def test_an_answer_cut_in_its_middle_keeps_what_came_and_is_billed_by_estimate(recorder: Recorder) -> None:
    await ask(recorder, answering(lambda: failing(*STREAM[:2], error=UpstreamCut("cut"))), new_call("x" * 41))
    (record,) = recorded(recorder)
    assert (record.outcome, record.outcome_class) == ("upstream_cut", "upstream")
    assert record.usage == Usage(input=11, output=2, estimated=True)
    assert record.cost_microusd == 42
    assert "Hello " in (record.reply or "")


async def test_a_failure_before_any_content_is_not_billed(recorder: Recorder) -> None:
    await ask(recorder, answering(lambda: failing(error=UpstreamFault("500"))))
    (record,) = recorded(recorder)
    assert record.usage is None
    assert record.outcome == "upstream_fault"


async def test_a_fault_of_ours_is_internal_and_its_text_is_not_kept(recorder: Recorder) -> None:
    await ask(recorder, answering(lambda: failing(*STREAM[:2], error=KeyError("what a user wrote"))))
    (record,) = recorded(recorder)
    assert (record.outcome_class, record.status) == ("internal", 500)
    assert "what a user wrote" not in str(record)


async def test_a_cancelled_call_is_billed_by_estimate_and_its_door_says_why(recorder: Recorder) -> None:
    async def hang(call: Call) -> AsyncIterator[Event]:
        call.target = TARGET
        call.open_span("request")
        await asyncio.sleep(60)
        raise AssertionError

    call = new_call("x" * 40)
    task = asyncio.ensure_future(compose([("record", recorder.stage)], hang)(call))
    await asyncio.sleep(0)
    assert recorder.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await call.close_events()
    call.end(ClientGone("The client closed the connection."))
    (record,) = recorded(recorder)
    assert (record.outcome, record.status) == ("client_closed", 499)
    assert record.usage == Usage(input=10, estimated=True)
    assert recorder.in_flight == 0


@pytest.mark.parametrize("failed", [0, 1])
async def test_a_call_left_while_no_request_was_under_way_costs_nothing(recorder: Recorder, failed: int) -> None:
    """WIRE 8: in a back-off, or while it waits for a limit towards the provider, nothing is produced."""

    async def backs_off(call: Call) -> AsyncIterator[Event]:
        call.target = TARGET
        for _ in range(failed):
            call.close_span(call.open_span("request"), UpstreamFault("x"))
        await asyncio.sleep(60)
        raise AssertionError

    call = new_call("x" * 40)
    task = asyncio.ensure_future(compose([("record", recorder.stage)], backs_off)(call))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call.end(ClientGone("The client closed the connection."))
    (record,) = recorded(recorder)
    assert (record.outcome, record.usage, record.cost_microusd) == ("client_closed", None, None)


@pytest.mark.parametrize(("taken", "outcome"), [(2, "client_closed"), (3, "ok")])
async def test_an_answer_left_before_its_end_is_the_client_s_doing(
    recorder: Recorder, taken: int, outcome: str
) -> None:
    call = new_call()
    events = await compose([("record", recorder.stage)], answering(lambda: replay(STREAM)))(call)
    for _ in range(taken):
        await anext(events)
    await call.close_events()
    call.end()
    (record,) = recorded(recorder)
    assert record.outcome == outcome
    assert record.usage is not None and record.usage.estimated


async def test_an_answer_without_usage_is_estimated_from_its_bytes(recorder: Recorder) -> None:
    tool = ToolDelta(0, "t", "look", '{"at": 1}')
    event = Event(deltas=(Delta(text="é" * 4, tools=(tool,), finish="tool_calls"),), whole=True)
    await ask(recorder, answering(lambda: replay([event])), new_call("12345678"))
    (record,) = recorded(recorder)
    assert record.usage == Usage(input=2, output=5, estimated=True)


async def test_a_cache_hit_is_free_and_never_estimated(recorder: Recorder) -> None:
    async def hit(call: Call) -> AsyncIterator[Event]:
        call.target, call.cache = TARGET, "hit"
        return replay(STREAM[:3])

    await ask(recorder, hit)
    (record,) = recorded(recorder)
    assert (record.usage, record.cost_microusd, record.cache) == (None, 0, "hit")


async def test_an_unknown_price_stays_unknown(spool: Spool) -> None:
    recorder = Recorder(spool, Capture(Scrubber()))
    await ask(recorder, answering(lambda: replay(STREAM)))
    assert recorded(recorder)[0].cost_microusd is None


async def test_a_long_stream_is_folded_as_it_goes_and_kept_whole(recorder: Recorder) -> None:
    words = [Event(deltas=(Delta(text=f"{n} "),), id="long", model="m") for n in range(1000)]
    await ask(recorder, answering(lambda: replay([*words, STREAM[3]])))
    (record,) = recorded(recorder)
    assert msgspec.json.decode(record.reply or "")[0]["text"] == "".join(f"{n} " for n in range(1000))
    assert record.reply_id == "long"


@pytest.mark.parametrize("mode", ["off", "hashed"])
async def test_where_content_is_not_wanted_none_reaches_the_disk(spool: Spool, mode: Any) -> None:
    recorder = Recorder(spool, Capture(Scrubber(), "full", {"support": mode}), lambda call: 1)
    await ask(recorder, answering(lambda: replay(STREAM)), new_call("very private words"))
    await ask(
        recorder, answering(lambda: failing(*STREAM[:2], error=UpstreamCut("cut"))), new_call("very private words")
    )
    written = b"".join(p.read_bytes() for p in segments(spool.folder))
    assert b"very private" not in written
    assert b"Hello" not in written
    first, second = recorded(recorder)
    assert first.usage == Usage(input=7, output=2)
    assert second.usage == Usage(input=5, output=2, estimated=True)


@pytest.mark.parametrize(("mode", "finish"), [("off", []), ("hashed", ["stop"]), ("preview", ["stop"])])
async def test_what_was_asked_beside_words_is_kept_in_any_mode(spool: Spool, mode: Any, finish: list[str]) -> None:
    recorder = Recorder(spool, Capture(Scrubber(), mode), lambda call: 1)
    call = new_call("Hello")
    call.input = call.input.edit(temperature=0.2, seed=2**70, stop=("private",))
    await ask(recorder, answering(lambda: replay(STREAM)), call)
    (record,) = recorded(recorder)
    noted = dict((record.notes or {})["asked"])
    assert noted.pop("finish", []) == finish
    assert noted == {"temperature": 0.2, "seed": str(2**70)} and record.capture == mode


async def test_secrets_reach_neither_content_nor_any_other_field(recorder: Recorder) -> None:
    secrets = ("sk-planted-0123456789abcdef", "a-known-secret-value", "cmp-planted0123456789abcdef")
    for secret in secrets:
        reply = Event(deltas=(Delta(text=secret[:9]), Delta(text=secret[9:], finish="stop")), whole=True, model=secret)
        call = new_call(f"use {secret}\n", user=secret, session=f"s {secret}", tags={secret: secret})
        call.open_span("request").attributes = {"odd": [secret]}
        await ask(recorder, answering(lambda reply=reply: replay([reply])), call)  # type: ignore[misc]
    written = b"".join(p.read_bytes() for p in segments(recorder.spool.folder))
    for secret in secrets:
        assert secret.encode() not in written
    assert len(recorded(recorder)) == 3
    assert all("[SECRET]" in (r.prompt or "") and "[SECRET]" in (r.reply or "") for r in recorded(recorder))


async def test_what_can_t_be_encoded_costs_the_content_and_not_the_record(recorder: Recorder) -> None:
    call = new_call("lone \ud800 surrogate", user="u\ud800", tags={"t": "x\ud800"})
    call.open_span("odd").attributes = {"object": object()}
    await ask(recorder, answering(lambda: replay(STREAM)), call)
    (record,) = recorded(recorder)
    assert record.capture == "dropped"
    assert record.prompt is None
    assert (record.user, record.tags) == ("u?", {"t": "x?"})
    assert record.usage == Usage(input=7, output=2)


async def test_a_call_that_ended_before_any_stage_is_recorded_once(recorder: Recorder) -> None:
    call = new_call()
    call.at_end(recorder.record)
    call.at_end(recorder.record)
    call.end(BudgetExceeded("no"))
    assert [r.outcome for r in recorded(recorder)] == ["budget_exceeded"]
    assert recorder.in_flight == 0


async def test_a_broken_spool_fails_no_call(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    recorder = Recorder(spool, Capture(Scrubber()))
    spool.close()
    _, got = await ask(recorder, answering(lambda: replay(STREAM)))
    assert len(got) == 4
    assert spool.lost == 1
