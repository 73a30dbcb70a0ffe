"""What Anthropic's answers mean when they go wrong, and that any cut of a recorded stream says the same."""

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
    UpstreamLimited,
    UpstreamRejected,
)
from comporta.pipeline import collect, replay
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Query
from comporta.testing.asking import ask, cut, decode
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.upstream import Step
from comporta.types import Input, Message, Reasoning, Text, Usage

WIRE = Anthropic()
RECORDING = (Path(__file__).parent / "recordings" / "anthropic.sse").read_bytes()


def query(*, stream: bool = False) -> Query:
    return Query("chat", Input(messages=(Message("user", (Text("Hello"),)),)), "claude-haiku-4-5", stream)


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as server:
        yield server


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code", "ours"),
    [
        (400, UpstreamRejected, "upstream_rejected", 400),
        (401, UpstreamCredential, "upstream_credential_refused", 502),
        (402, UpstreamCredential, "upstream_credential_refused", 502),
        (403, UpstreamCredential, "upstream_credential_refused", 502),
        (404, UpstreamRejected, "model_not_found", 404),
        (413, UpstreamRejected, "request_too_large", 413),
        (429, UpstreamLimited, "upstream_rate_limited", 429),
        (500, UpstreamFault, "upstream_fault", 502),
        (529, UpstreamFault, "upstream_overloaded", 502),
    ],
)
async def test_a_status_decides_what_a_failure_means_wire_14(
    fake: FakeAnthropic, status: int, kind: type[UpstreamError], code: str, ours: int
) -> None:
    fake.script(Step(status=status, message="details sk-ant-api03-verysecretkey", headers={"retry-after": "3"}))
    with pytest.raises(kind) as raised:
        await ask(WIRE, query(), fake.url)
    error = raised.value
    assert (error.code, error.status) == (code, ours)
    assert "verysecret" not in error.message
    assert ("details" in error.message) == isinstance(error, UpstreamRejected)
    assert error.retry_after_s == (3.0 if status in (429, 500, 529) else None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("word", "kind", "retryable"),
    [
        ("overloaded_error", UpstreamFault, True),
        ("rate_limit_error", UpstreamLimited, True),
        ("authentication_error", UpstreamCredential, True),
        ("invalid_request_error", UpstreamRejected, False),
        ("an_error_of_tomorrow", UpstreamFault, True),
    ],
)
async def test_an_error_inside_a_200_is_an_error_wire_3(
    fake: FakeAnthropic, stream: bool, word: str, kind: type[UpstreamError], retryable: bool
) -> None:
    fake.script(Step(error_after=4, error=word))
    with pytest.raises(kind) as raised:
        await ask(WIRE, query(stream=stream), fake.url)
    assert raised.value.retryable is retryable


def test_what_came_before_an_error_is_given_out_first() -> None:
    stream = RECORDING[: RECORDING.index(b"event: message_delta")]
    stream += b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
    decoder = WIRE.decoder(query(stream=True))
    assert len(decoder.feed(stream)) > 10
    with pytest.raises(UpstreamFault):
        decoder.end()


@pytest.mark.parametrize("step", [Step(omit_done=True), Step(cut_after=5)])
async def test_a_stream_without_its_end_is_cut_wire_5(fake: FakeAnthropic, step: Step) -> None:
    fake.script(step)
    with pytest.raises(UpstreamCut):
        await ask(WIRE, query(stream=True), fake.url)


def test_a_malformed_frame_is_skipped_and_counted_wire_5() -> None:
    decoder = WIRE.decoder(query(stream=True))
    whole = RECORDING.replace(b"event: ping", b'event: x\ndata: {"type": \n\nevent: y\ndata: [1]\n\nevent: ping')
    events = decoder.feed(whole) + decoder.end()
    assert decoder.malformed == 2
    assert events[-1].last


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"content": 3}'])
def test_a_body_that_is_no_message_is_a_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        WIRE.reply(query(), body)
    assert isinstance(WIRE.fault(502, {}, body), UpstreamFault)


def test_a_plain_answer_without_a_reason_to_stop_is_cut() -> None:
    with pytest.raises(UpstreamCut):
        WIRE.reply(query(), b'{"type": "message", "content": [{"type": "text", "text": "half"}]}')


# ---- recordings -----------------------------------------------------------------------------------------------------


async def test_the_recording_says_what_was_said() -> None:
    reply = await collect(replay(decode(WIRE, query(stream=True), [RECORDING])))
    choice = reply.choices[0]
    assert reply.id == "msg_01Rec" and reply.model == "claude-opus-4-6"
    assert choice.text == "Let me look: “já”\n\ndata: not a frame"
    assert choice.reasoning == (
        Reasoning("The user wants São Paulo’s weather 🌧.", "EqMBCkYIBRgCKkA="),
        Reasoning(encrypted="EmwKAhgBEgy3va3p"),
    )
    assert [(tool.id, tool.name, tool.arguments) for tool in choice.tools] == [
        ("toolu_01A", "weather", '{"city": "São Paulo"}'),
        ("toolu_01B", "clock", "{}"),
    ]
    assert choice.finish == "tool_calls"
    assert reply.usage == Usage(input=21, cached=100, cache_write=5, output=47, reasoning=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(RECORDING)), max_size=40))
def test_any_cut_of_the_bytes_gives_the_same_events_wire_5(places: list[int]) -> None:
    asked = query(stream=True)
    assert decode(WIRE, asked, cut(RECORDING, places)) == decode(WIRE, asked, [RECORDING])
