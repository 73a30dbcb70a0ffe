"""What Gemini's answers mean when they go wrong, and that any cut of a recorded stream says the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import (
    UpstreamCredential,
    UpstreamCut,
    UpstreamError,
    UpstreamFault,
    UpstreamFiltered,
    UpstreamLimited,
    UpstreamRejected,
)
from comporta.pipeline import collect, replay
from comporta.providers.base import Query
from comporta.providers.gemini import Gemini
from comporta.testing.asking import ask, cut, decode
from comporta.testing.fake_gemini import FakeGemini
from comporta.testing.upstream import Step
from comporta.types import Input, Message, Reasoning, Text, Usage

WIRE = Gemini()
RECORDING = (Path(__file__).parent / "recordings" / "gemini.sse").read_bytes()


def query(*, stream: bool = False) -> Query:
    return Query("chat", Input(messages=(Message("user", (Text("Hello"),)),)), "gemini-2.5-flash", stream)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGemini]:
    async with FakeGemini() as server:
        yield server


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code", "ours"),
    [
        (400, UpstreamRejected, "upstream_rejected", 400),
        (401, UpstreamCredential, "upstream_credential_refused", 502),
        (403, UpstreamCredential, "upstream_credential_refused", 502),
        (404, UpstreamRejected, "model_not_found", 404),
        (429, UpstreamLimited, "upstream_rate_limited", 429),
        (500, UpstreamFault, "upstream_fault", 502),
        (503, UpstreamFault, "upstream_overloaded", 502),
    ],
)
async def test_a_status_decides_what_a_failure_means_wire_14(
    fake: FakeGemini, status: int, kind: type[UpstreamError], code: str, ours: int
) -> None:
    fake.script(Step(status=status, message="details AIzaSyVerySecret"))
    with pytest.raises(kind) as raised:
        await ask(WIRE, query(), fake.url)
    assert (raised.value.code, raised.value.status) == (code, ours)
    assert "VerySecret" not in raised.value.message
    assert ("details" in raised.value.message) == isinstance(raised.value, UpstreamRejected)
    assert raised.value.retry_after_s == (7.0 if status == 429 else None)


async def test_a_wrong_key_answered_with_400_is_our_fault_wire_14(fake: FakeGemini) -> None:
    fake.script(Step(status=400, error="API_KEY_INVALID"))
    with pytest.raises(UpstreamCredential):
        await ask(WIRE, query(), fake.url)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("word", "kind"),
    [("UNAVAILABLE", UpstreamFault), ("RESOURCE_EXHAUSTED", UpstreamLimited), ("INVALID_ARGUMENT", UpstreamRejected)],
)
async def test_an_error_inside_a_200_is_an_error_wire_3(
    fake: FakeGemini, stream: bool, word: str, kind: type[UpstreamError]
) -> None:
    fake.script(Step(error_after=1, error=word))
    with pytest.raises(kind):
        await ask(WIRE, query(stream=stream), fake.url)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_prompt_is_a_refusal_and_not_an_empty_answer(fake: FakeGemini, stream: bool) -> None:
    body = b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}'
    fake.script(Step(body=b"data: " + body + b"\n\n" if stream else body))
    with pytest.raises(UpstreamFiltered, match="SAFETY") as raised:
        await ask(WIRE, query(stream=stream), fake.url)
    assert raised.value.status == 400 and not raised.value.retryable


@pytest.mark.parametrize("stream", [False, True])
async def test_a_broken_function_call_can_be_asked_again(fake: FakeGemini, stream: bool) -> None:
    fake.script(Step(finish="MALFORMED_FUNCTION_CALL"))
    with pytest.raises(UpstreamFault) as raised:
        await ask(WIRE, query(stream=stream), fake.url)
    assert raised.value.retryable


@pytest.mark.parametrize("step", [Step(omit_done=True), Step(cut_after=2), Step(body=b"")])
async def test_a_stream_without_a_reason_to_finish_is_cut_wire_5(fake: FakeGemini, step: Step) -> None:
    fake.script(step)
    with pytest.raises(UpstreamCut):
        await ask(WIRE, query(stream=True), fake.url)


def test_a_malformed_frame_is_skipped_and_counted_wire_5() -> None:
    decoder = WIRE.decoder(query(stream=True))
    events = decoder.feed(b'data: {"candidates": \n\ndata: 3\n\n' + RECORDING) + decoder.end()
    assert decoder.malformed == 2
    assert events[-1].last


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"candidates": 3}'])
def test_a_body_that_is_no_answer_is_a_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        WIRE.reply(query(), body)
    assert isinstance(WIRE.fault(502, {}, body), UpstreamFault)


# ---- recordings -----------------------------------------------------------------------------------------------------


async def test_the_recording_says_what_was_said() -> None:
    reply = await collect(replay(decode(WIRE, query(stream=True), [RECORDING])))
    choice = reply.choices[0]
    assert reply.id == "rEc0rd1ng" and reply.model == "gemini-2.5-flash"
    assert choice.text == "Let me look.\n\n"
    assert choice.reasoning == (Reasoning("**Thinking** about São Paulo 🌧", "gemini:EqMBCkYIBRgCKkA="),)
    assert [(tool.name, tool.arguments) for tool in choice.tools] == [
        ("weather", '{"city":"São Paulo"}'),
        ("clock", "{}"),
    ]
    assert choice.finish == "tool_calls"
    assert reply.usage == Usage(input=10, cached=100, image_in=10, output=30, reasoning=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(RECORDING)), max_size=40))
def test_any_cut_of_the_bytes_gives_the_same_events_wire_5(places: list[int]) -> None:
    asked = query(stream=True)
    assert decode(WIRE, asked, cut(RECORDING, places)) == decode(WIRE, asked, [RECORDING])
