"""The Responses API towards providers that have it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault, UpstreamLimited, UpstreamRejected
from comporta.pipeline import Gathered
from comporta.providers.base import Endpoint, Query
from comporta.providers.openai import OpenAI
from comporta.testing import fake_responses
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Seen, Step, ToolAsk
from comporta.types import Event, Input, Message, Reply, Text, Usage

WIRE = OpenAI("OpenAI", responses=True)
USAGE = Usage(input=7, cached=3, output=4, reasoning=2)
RAW: Any = {"model": "route", "input": "What is a sluice?", "previous_response_id": "resp_0", "include": []}


def query(stream: bool, raw: Any = RAW) -> Query:
    message = Message("user", (Text("What is a sluice?"),))
    return Query("chat", Input(messages=(message,), wire="openai.responses", raw=raw), "gpt-4o-mini", stream)


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


async def events_of(fake: FakeOpenAI, stream: bool, wire: OpenAI = WIRE, raw: Any = RAW) -> list[Event]:
    asked = query(stream, raw)
    request = wire.encode(asked, Endpoint("openai", fake.base_url, "k"))
    async with (
        aiohttp.ClientSession() as session,
        session.post(request.url, data=request.body, headers=request.headers) as response,
    ):
        if not stream:
            return [wire.reply(asked, await response.read())]
        decoder = wire.decoder(asked)
        events = []
        async for data in response.content.iter_any():
            events += decoder.feed(data)
        return events + decoder.end()


def collected(events: list[Event]) -> Reply:
    gathered = Gathered()
    for event in events:
        gathered.add(event)
    return gathered.reply()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_native_response_keeps_its_own_words(fake: FakeOpenAI, stream: bool) -> None:
    """WIRE 27"""
    fake.script(Step(text="A gate.", reasoning="Hm.", usage=USAGE))
    events = await events_of(fake, stream)
    assert fake.seen[0].path == "/v1/responses"
    assert fake.seen[0].json == {**RAW, "model": "gpt-4o-mini", **({"stream": True} if stream else {})}
    reply = collected(events)
    assert (reply.text, reply.choices[0].reasoning[0].text) == ("A gate.", "Hm.")
    assert (reply.choices[0].finish, reply.usage, reply.model) == ("stop", USAGE, "gpt-4o-mini")
    assert reply.id is not None and reply.id.startswith("resp_")
    assert all(event.wire == "openai.responses" and event.raw is not None for event in events)
    if stream:
        assert (events[0].name, events[-1].name) == ("response.created", "response.completed")
        assert events[-1].last and not events[0].meaningful


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_have_an_index_space_of_their_own(fake: FakeOpenAI, stream: bool) -> None:
    """WIRE 11"""
    fake.script(Step(reasoning="Hm.", tools=(ToolAsk("f", '{"a": 1}'), ToolAsk("g", "{}"))))
    events = await events_of(fake, stream)
    reply = collected(events)
    assert [(t.id, t.name, t.arguments) for t in reply.choices[0].tools] == [
        ("call_fake0", "f", '{"a": 1}'),
        ("call_fake1", "g", "{}"),
    ]
    assert reply.choices[0].finish == "tool_calls"
    assert {piece.index for event in events for delta in event.deltas for piece in delta.tools} == {0, 1}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_incomplete_response_is_not_a_stop(fake: FakeOpenAI, stream: bool, reason: str) -> None:
    """WIRE 27"""
    fake.script(Step(text="A", finish=reason))
    assert collected(await events_of(fake, stream)).choices[0].finish == reason


async def test_a_refusal_is_read(fake: FakeOpenAI) -> None:
    fake.script(Step(refusal="No."), Step(refusal="No."))
    for stream in (True, False):
        assert collected(await events_of(fake, stream)).choices[0].refusal == "No."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", UpstreamFault),
        ("rate_limit_exceeded", UpstreamLimited),
        ("invalid_prompt", UpstreamRejected),
        ("image_too_large", UpstreamRejected),
    ],
)
async def test_a_failed_response_is_an_error(fake: FakeOpenAI, code: str, kind: type[UpstreamError]) -> None:
    """WIRE 27"""
    fake.script(Step(error_after=4, error=code))
    with pytest.raises(kind):
        await events_of(fake, True)
    failed = {"id": "r", "status": "failed", "output": [], "error": {"code": code, "message": "x"}}
    with pytest.raises(kind):
        WIRE.reply(query(False), msgspec.json.encode(failed))


def test_an_error_event_is_an_error() -> None:
    """WIRE 3"""
    decoder = WIRE.decoder(query(True))
    with pytest.raises(UpstreamLimited):
        decoder.feed(b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"x"}\n\n')


async def test_a_stream_without_its_last_event_was_cut(fake: FakeOpenAI) -> None:
    """WIRE 5, 27"""
    fake.script(Step(omit_done=True))
    with pytest.raises(UpstreamCut):
        await events_of(fake, True)
    with pytest.raises(UpstreamCut):
        WIRE.reply(query(False), b'{"id": "r", "status": "cancelled", "output": []}')


async def test_a_malformed_event_is_skipped(fake: FakeOpenAI) -> None:
    """WIRE 5"""
    fake.script(Step(text="A gate.", garbage_after=5))
    assert collected(await events_of(fake, True)).text == "A gate."


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"choices":[]}'])
def test_a_plain_body_that_is_no_response_is_a_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        WIRE.reply(query(False), body)


def test_a_response_in_the_background_has_no_finish_yet() -> None:
    event = WIRE.reply(query(False), b'{"id": "r", "status": "queued", "output": []}')
    assert event.deltas[0].finish is None and event.raw is not None


@pytest.mark.parametrize("wire", [OpenAI(responses=False), WIRE])
async def test_without_the_native_api_or_the_own_body_the_chat_api_answers(fake: FakeOpenAI, wire: OpenAI) -> None:
    raw = None if wire is WIRE else RAW
    assert collected(await events_of(fake, True, wire, raw)).text == "Hello there, my friend."
    assert fake.seen[0].path == "/v1/chat/completions"


def recorded() -> bytes:
    seen = Seen.__new__(Seen)
    seen.json = {"model": "m", "input": "é", "stream": True}
    seen.body = b"x" * 40
    answer = fake_responses.answer(seen, Step(text=("Ah ", "é☃"), reasoning="Hm hm", tools=(ToolAsk("f", '{"a":1}'),)))
    return b"".join(answer.frames or ())


STREAM = recorded()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cut_of_a_streams_bytes_gives_the_same_events(places: list[int]) -> None:
    """WIRE 5"""

    def fed(edges: list[int]) -> list[Event]:
        decoder = WIRE.decoder(query(True))
        pairs = itertools.pairwise(edges)
        return [event for a, b in pairs for event in decoder.feed(STREAM[a:b])] + decoder.end()

    assert fed([0, *sorted(places), len(STREAM)]) == fed([0, len(STREAM)])


def test_thinking_of_another_provider_s_model_is_left_out_and_its_own_goes_along() -> None:
    """WIRE 27: OpenAI refuses what it did not seal itself."""
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    foreign = [
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "signature:Eq"},
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed:x"},
        {"type": "reasoning", "id": f"rs_{'0a' * 16}_0", "summary": [{"type": "summary_text", "text": "Hm."}]},
    ]
    said = {"role": "user", "content": "Go on."}

    def sent(items: Any) -> Any:
        raw = {"model": "route", "input": items}
        request = WIRE.encode(query(False, raw), Endpoint("openai", "http://x/v1", "k"))
        return msgspec.json.decode(request.body)["input"]

    assert sent([foreign[0], own, *foreign[1:], said]) == [own, said]
    assert sent([own, said]) == [own, said]
