"""What becomes of a call's input and answer under guard, streamed or not, whatever the chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.errors import GuardFailed, GuardrailBlocked
from comporta.guardrails.call import MASKS, REFUSED, VERDICTS
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.running import Runner
from comporta.guardrails.stage import Guard
from comporta.pipeline import Call, collect, replay
from comporta.types import Caller, Delta, Event, File, Input, Message, Text, ToolDelta, ToolResult, Usage

from .conftest import MakePolicy


def call_of(*texts: str, stream: bool = True, messages: tuple[Message, ...] | None = None) -> Call:
    said = messages or tuple(Message("user", (Text(text),)) for text in texts)
    return Call(
        kind="chat", input=Input(messages=said, wire="w", raw={"messages": []}), model="m",
        caller=Caller(key_id="k"), stream=stream,
    )  # fmt: skip


def chunks(text: str, sizes: Sequence[int]) -> list[Event]:
    events, at = [], 0
    for size in [*sizes, len(text)]:
        if at < len(text):
            events.append(Event(deltas=(Delta(text=text[at : at + size]),), raw=b"{}", wire="w"))
            at += size
    return [
        *events,
        Event(deltas=(Delta(finish="stop"),), raw=b"{}", wire="w"),
        Event(usage=Usage(input=1, output=2), last=True, raw=b"{}", wire="w"),
    ]


class Model:
    """Answers with given events, and keeps what it was asked."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.asked: list[Input] = []

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        self.asked.append(call.input)
        return replay(self.events)


def stage_of(policy: Any, repairs: Repairs | None = None, told: list[Any] | None = None) -> Guard:
    heard = told if told is not None else []
    return Guard(lambda call: policy, Runner(), lambda c, side, report: heard.append((side, report)),
                 repairs or Repairs(), lambda: "label")  # fmt: skip


async def answer(stage: Guard, call: Call, events: Sequence[Event]) -> tuple[str, list[Event], Model]:
    model = Model(events)
    got = [event async for event in await stage.stage(call, model)]
    return "".join(d.text for e in got for d in e.deltas), got, model


async def test_a_word_in_the_question_blocks_and_no_model_is_asked(policy: MakePolicy) -> None:
    stage, model = stage_of(policy(input=[{"type": "word", "action": "block"}])), Model([])
    with pytest.raises(GuardrailBlocked) as told:
        await stage.stage(call_of("what is the SECRET plan?"), model)
    assert not model.asked
    assert told.value.status == 400
    assert told.value.code == "guardrail_blocked"
    assert "'word'" in told.value.message
    assert "SECRET" not in told.value.message


async def test_a_refusal_stands_in_for_the_error_where_the_policy_words_one(policy: MakePolicy) -> None:
    call = call_of("secret")
    text, _, model = await answer(stage_of(policy(input=["word"], refusal="Sorry, no.")), call, [])
    assert text == "Sorry, no."
    assert call.facts[REFUSED] == "word"
    assert not model.asked


async def test_masks_stand_in_every_part_of_the_input_and_the_clients_own_body_goes(policy: MakePolicy) -> None:
    messages = (
        Message("system", (Text("the secret"),)),
        Message("user", (Text("a secret b"), File(data="x", name="secret.pdf"))),
        Message("tool", (ToolResult(id="1", parts=(Text("secrets!"),)),)),
    )
    call = call_of(messages=messages)
    _, _, model = await answer(stage_of(policy(input=[{"type": "word", "action": "mask"}])), call, chunks("ok", []))
    seen = repr(model.asked[0].messages)
    assert "secret" not in seen
    assert seen.count("[WORD]") == 4
    assert model.asked[0].raw is None


async def test_only_the_last_turns_are_looked_at_where_the_policy_says_so(policy: MakePolicy) -> None:
    messages = (
        Message("user", (Text("secret"),)), Message("assistant", (Text("fine"),)), Message("user", (Text("and now?"),)),
    )  # fmt: skip
    text, _, _ = await answer(
        stage_of(policy(input=["word"], turns="last")), call_of(messages=messages), chunks("ok", [])
    )
    assert text == "ok"
    with pytest.raises(GuardrailBlocked):
        await answer(stage_of(policy(input=["word"])), call_of(messages=messages), [])


async def test_a_guard_that_fails_lets_nothing_through_unless_told_otherwise(policy: MakePolicy) -> None:
    for kind in ("word", "slow_word"):
        with pytest.raises(GuardFailed) as told:
            await answer(stage_of(policy(input=[{"type": kind, "fails": True}])), call_of("x"), [])
        assert told.value.status == 503
        call = call_of("x")
        entry = {"type": kind, "fails": True, "on_failure": "open"}
        assert (await answer(stage_of(policy(input=[entry])), call, chunks("ok", [])))[0] == "ok"
        assert [one.reason for one in call.facts[VERDICTS]] == ["could not say: RuntimeError"]


async def test_a_slow_guard_that_takes_too_long_fails_closed(policy: MakePolicy) -> None:
    with pytest.raises(GuardFailed):
        entry = {"type": "slow_word", "waits_s": 5.0, "timeout": "20ms"}
        await answer(stage_of(policy(input=[entry])), call_of("x"), [])


async def test_what_is_below_the_threshold_passes_and_is_not_told(policy: MakePolicy) -> None:
    call, told = call_of("secret"), list[Any]()
    entry = {"type": "word", "sure": 0.4, "threshold": 0.6}
    assert (await answer(stage_of(policy(input=[entry]), told=told), call, chunks("ok", [])))[0] == "ok"
    assert VERDICTS not in call.facts


async def test_a_warning_is_noted_and_changes_nothing(policy: MakePolicy) -> None:
    call = call_of("secret")
    _, _, model = await answer(stage_of(policy(input=[{"type": "word", "action": "warn"}])), call, chunks("ok", []))
    assert model.asked[0].raw is not None
    (said,) = call.facts[VERDICTS]
    assert (said.guard, said.outcome, said.side, said.place, said.kinds) == ("word", "flag", "input", "user", ("WORD",))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 40), max_size=60), before=st.integers(0, 500), after=st.integers(0, 500))
async def test_a_word_cut_at_any_border_of_a_stream_never_slips_through(
    policy: MakePolicy, sizes: list[int], before: int, after: int
) -> None:
    text = ("lorem ipsum dolor " * 40)[:before] + " secretword " + ("sit amet. " * 60)[:after]
    for kind in ("word", "sentence_word", "whole_word"):
        call = call_of("x")
        said, events, _ = await answer(
            stage_of(policy(output=[{"type": kind, "action": "mask"}])), call, chunks(text, sizes)
        )
        assert said == text.replace("secretword", "[WORD]")
        assert events[-1].last
        assert [one.guard for one in call.facts[VERDICTS]] == [kind]
        with pytest.raises(GuardrailBlocked):
            await answer(stage_of(policy(output=[kind])), call_of("x"), chunks(text, sizes))


async def test_events_that_nothing_changed_keep_what_the_upstream_sent(policy: MakePolicy) -> None:
    text = "All is well here. " * 30
    sent = chunks(text, [7] * 90)
    said, events, _ = await answer(stage_of(policy(output=["word"])), call_of("x"), sent)
    assert said == text
    assert events == sent


async def test_no_more_than_a_window_is_held_back(policy: MakePolicy) -> None:
    given, worst = 0, 0

    async def source() -> AsyncIterator[Event]:
        nonlocal given
        for _ in range(300):
            given += 10
            yield Event(deltas=(Delta(text="word here "),))

    async def next(call: Call) -> AsyncIterator[Event]:
        return source()

    got = 0
    async for event in await stage_of(policy(output=["word"])).stage(call_of("x"), next):
        got += sum(len(d.text) for d in event.deltas)
        if given < 3000:
            worst = max(worst, given - got)
    assert got == 3000
    assert worst < 260


async def test_an_answer_blocked_before_it_began_is_a_refusal_and_later_an_error(policy: MakePolicy) -> None:
    stage = stage_of(policy(output=["word"], refusal="No."))
    assert (await answer(stage, call_of("x"), chunks("the secret", [4])))[0] == "No."
    got = []
    with pytest.raises(GuardrailBlocked):
        async for event in await stage.stage(call_of("x"), Model(chunks("fine words. " * 60 + "secret", [10] * 80))):
            got.append(event)
    assert got
    assert "secret" not in repr(got)


async def test_arguments_of_a_tool_call_are_looked_at_whole(policy: MakePolicy) -> None:
    events = [
        Event(deltas=(Delta(tools=(ToolDelta(0, "c", "f", '{"q": "sec'),)),)),
        Event(deltas=(Delta(tools=(ToolDelta(0, arguments='ret"}'),)),)),
        Event(deltas=(Delta(finish="tool_calls"),)),
        Event(last=True),
    ]
    _, got, _ = await answer(stage_of(policy(output=[{"type": "word", "action": "mask"}])), call_of("x"), events)
    reply = await collect(replay(got))
    assert reply.choices[0].tools[0].arguments == '{"q": "[WORD]"}'
    with pytest.raises(GuardrailBlocked):
        await answer(stage_of(policy(output=["word"])), call_of("x"), events)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 30), max_size=40))
async def test_masks_lead_back_to_the_clients_own_values_wherever_chunks_are_cut(
    policy: MakePolicy, sizes: list[int]
) -> None:
    call = call_of("my secretA and secretB")
    stage = stage_of(policy(input=[{"type": "word", "action": "mask"}], unmask=True))
    said, _, model = await answer(stage, call, chunks("Of [WORD_1], [WORD_2] and [WORD_9] I say [WORD_1].", sizes))
    assert "secret" not in repr(model.asked)
    assert said == "Of secretA, secretB and [WORD_9] I say secretA."
    assert call.facts[MASKS].again(said) == "Of [WORD_1], [WORD_2] and [WORD_9] I say [WORD_1]."


async def test_a_mask_that_stood_in_the_question_is_nobodys_value(policy: MakePolicy) -> None:
    call = call_of("[WORD_1] and secretA")
    stage = stage_of(policy(input=[{"type": "word", "action": "mask"}], unmask=True))
    assert (await answer(stage, call, chunks("[WORD_1] [WORD_2]", [])))[0] == "[WORD_1] secretA"


async def test_watching_passes_everything_and_tells_what_was_there(policy: MakePolicy) -> None:
    call = call_of("x")
    events = chunks("the secret", [3, 3])
    said, got, _ = await answer(stage_of(policy(output=["word"], stream="observe")), call, events)
    assert (said, got) == ("the secret", events)
    assert [one.outcome for one in call.facts[VERDICTS]] == ["block"]


async def test_an_answer_is_written_anew_once_and_checked_again(policy: MakePolicy) -> None:
    asked: list[str] = []

    async def reword(call: Call, text: str, why: str) -> str | None:
        asked.append(why)
        return "still secret" if "hopeless" in text else "something else"

    rewriting = policy(output=[{"type": "word", "action": "rewrite"}])
    said, _, _ = await answer(stage_of(rewriting, Repairs(reword)), call_of("x"), chunks("a secret", [2, 2]))
    assert said == "a [WORD]"
    assert not asked


async def test_a_text_longer_than_a_window_is_found_in_wherever_the_word_stands(policy: MakePolicy) -> None:
    for at in (0, 3_390, 3_995, 4_000, 7_000, 12_000):
        text = ("x " * 6_000)[:at] + " secretword " + "y " * 3_000
        _, _, model = await answer(
            stage_of(policy(input=[{"type": "word", "action": "mask"}])), call_of(text), chunks("ok", [])
        )
        asked = model.asked[0].messages[0].parts[0]
        assert isinstance(asked, Text)
        assert asked.text == text.replace("secretword", "[WORD]")
