"""OpenAI's wire towards providers, asked of the fake over a real connection, in any cuts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from comporta.errors import (
    Unsupported,
    UpstreamCredential,
    UpstreamCut,
    UpstreamError,
    UpstreamFault,
    UpstreamFiltered,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from comporta.pipeline import Gathered
from comporta.providers.base import Decoder, Endpoint, Query, Wire
from comporta.providers.openai import OpenAI
from comporta.testing.fake_openai import FakeOpenAI, vector_of
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Event, Image, Input, Message, Reply, Text, Tool, Usage

WIRE = OpenAI("OpenAI", responses=True, completions=True)
USAGE = Usage(input=7, cached=3, output=4, reasoning=2)


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(key="sk-fake", strict=True) as server:
        yield server


def chat(*, raw: bool, stream: bool = True, **changes: Any) -> Query:
    """The same question, as the client's own body or as a translated one."""
    body = {"model": "route", "messages": [{"role": "user", "content": "What is a sluice?"}]}
    given = Input(messages=(Message("user", (Text("What is a sluice?"),)),), wire="openai.chat")
    given = msgspec.structs.replace(given, raw=body if raw else None, **changes)
    return Query("chat", given, "gpt-4o-mini", stream)


def endpoint(fake: FakeOpenAI, **options: Any) -> Endpoint:
    return Endpoint("openai", fake.base_url, "sk-fake", options=options)


async def events_of(fake: FakeOpenAI, query: Query, wire: Wire = WIRE, **options: Any) -> list[Event]:
    request = wire.encode(query, endpoint(fake, **options))
    async with (
        aiohttp.ClientSession() as session,
        session.request(request.method, request.url, data=request.body, headers=request.headers) as response,
    ):
        if response.status >= 300:
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise wire.fault(response.status, headers, await response.read())
        if not query.stream:
            return [wire.reply(query, await response.read())]
        decoder = wire.decoder(query)
        events = []
        async for data in response.content.iter_any():
            events += decoder.feed(data)
        return events + decoder.end()


def collected(events: list[Event]) -> Reply:
    gathered = Gathered()
    for event in events:
        gathered.add(event)
    return gathered.reply()


def fed(query: Query, *frames: Any, end: bool = True, wire: OpenAI = WIRE) -> tuple[list[Event], Decoder]:
    decoder = wire.decoder(query)
    events = []
    for frame in frames:
        data = frame if isinstance(frame, bytes) else b"data: " + msgspec.json.encode(frame) + b"\n\n"
        events += decoder.feed(data)
    return (events + decoder.end() if end else events), decoder


def chunk(finish: str | None = None, /, index: int = 0, **delta: Any) -> Any:
    choices = [{"index": index, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": choices}


# ---- a whole chat ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("split", [None, 1, 7])
async def test_text_reasoning_and_usage_come_whole_in_any_cut(
    fake: FakeOpenAI, raw: bool, stream: bool, split: int | None
) -> None:
    """WIRE 5, 28"""
    fake.script(Step(text="A gate é.", reasoning="Hm, well.", usage=USAGE, split_bytes=split))
    events = await events_of(fake, chat(raw=raw, stream=stream))
    reply = collected(events)
    assert reply.text == "A gate é."
    assert reply.choices[0].reasoning[0].text == "Hm, well."
    assert reply.choices[0].finish == "stop"
    assert reply.usage == USAGE
    assert reply.model == "gpt-4o-mini"
    assert (events[0].whole, events[-1].last) == (not stream, stream)


async def test_each_event_holds_the_upstreams_own_json(fake: FakeOpenAI) -> None:
    fake.script(Step(text=("a", "b"), logprobs=True))
    events = await events_of(fake, chat(raw=True))
    frames = [msgspec.json.decode(event.raw) for event in events if event.raw is not None]
    assert [f["choices"][0]["delta"].get("content") for f in frames if f["choices"]] == ["", "a", "b", None]
    assert all(f["system_fingerprint"] == "fp_fake" for f in frames)
    assert all(event.wire == "openai.chat" for event in events)
    assert [event.meaningful for event in events] == [False, True, True, True, False, False]


async def test_usage_is_always_asked_for_on_streams_and_never_on_plain_calls(fake: FakeOpenAI) -> None:
    """WIRE 7"""
    for raw in (True, False):
        for stream in (True, False):
            await events_of(fake, chat(raw=raw, stream=stream))
            body = fake.seen[-1].json
            assert body.get("stream_options") == ({"include_usage": True} if stream else None)
            assert body.get("stream") == (True if stream else None)


async def test_an_upstream_that_refuses_stream_options_is_not_sent_them(fake: FakeOpenAI) -> None:
    """WIRE 7"""
    query = chat(raw=True)
    assert query.input.raw is not None
    query.input.raw["stream_options"] = {"include_usage": True}
    await events_of(fake, query, stream_usage=False)
    assert "stream_options" not in fake.seen[0].json


async def test_the_clients_own_body_travels_untouched_but_for_the_model(fake: FakeOpenAI) -> None:
    """WIRE 20"""
    query = chat(raw=True)
    assert query.input.raw is not None
    query.input.raw.update({"prediction": None, "seed": 3, "verbosity": "low"})
    before = dict(query.input.raw)
    await events_of(fake, query)
    sent = fake.seen[0].json
    assert sent == {**before, "model": "gpt-4o-mini", "stream": True, "stream_options": {"include_usage": True}}
    assert query.input.raw == before


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_come_with_index_id_and_name_once(fake: FakeOpenAI, stream: bool) -> None:
    """WIRE 10, 11"""
    tools = (ToolAsk("weather", '{"city":"Comporta"}'), ToolAsk("time", "{}", "call_b"))
    fake.script(Step(tools=tools))
    events = await events_of(fake, chat(raw=False, stream=stream, tools=(Tool("weather"),)))
    reply = collected(events)
    assert [(t.id, t.name, t.arguments) for t in reply.choices[0].tools] == [
        ("call_fake0", "weather", '{"city":"Comporta"}'),
        ("call_b", "time", "{}"),
    ]
    assert reply.choices[0].finish == "tool_calls"
    pieces = [piece for event in events for delta in event.deltas for piece in delta.tools]
    assert [piece.id for piece in pieces if piece.id] == ["call_fake0", "call_b"]
    assert all(event.raw is not None for event in events if not event.last)


@pytest.mark.parametrize("stream", [True, False])
async def test_choices_refusals_and_logprobs_survive(fake: FakeOpenAI, stream: bool) -> None:
    """WIRE 12"""
    fake.script(Step(text=("a", "b"), logprobs=True), Step(refusal="I will not."))
    query = chat(raw=False, stream=stream, n=2, logprobs=True)
    reply = collected(await events_of(fake, query))
    assert [choice.text for choice in reply.choices] == ["ab", "ab"]
    assert [entry["token"] for entry in (reply.choices[1].logprobs or {})["content"]] == ["a", "b"]
    refused = collected(await events_of(fake, chat(raw=True, stream=stream)))
    assert refused.choices[0].refusal.replace(" ", "") == "Iwillnot."


async def test_images_reach_the_provider_as_data_urls_and_urls(fake: FakeOpenAI) -> None:
    parts = (Text("See"), Image(data="AAAA", media_type="image/png"), Image(url="https://x.org/a.png", detail="low"))
    await events_of(fake, chat(raw=False, messages=(Message("user", parts),)))
    assert [part.get("image_url") for part in fake.seen[0].json["messages"][0]["content"]] == [
        None,
        {"url": "data:image/png;base64,AAAA"},
        {"url": "https://x.org/a.png", "detail": "low"},
    ]


# ---- how streams end ------------------------------------------------------------------------------------------------


async def test_a_missing_terminator_after_the_finish_is_still_a_whole_answer(fake: FakeOpenAI) -> None:
    """WIRE 4"""
    fake.script(Step(text="whole", omit_done=True))
    events = await events_of(fake, chat(raw=True))
    assert collected(events).text == "whole"
    assert events[-1].last and events[-1].deltas == ()


def test_a_stream_without_finish_or_terminator_was_cut() -> None:
    """WIRE 5"""
    with pytest.raises(UpstreamCut):
        fed(chat(raw=True), chunk(content="half"))
    with pytest.raises(UpstreamCut):
        fed(chat(raw=True), chunk(content="a"), chunk("stop"), chunk(index=1, content="b"))
    with pytest.raises(UpstreamCut):
        fed(chat(raw=True))


def test_a_terminator_without_its_blank_line_counts() -> None:
    """WIRE 4, 5"""
    events, _ = fed(chat(raw=True), chunk(content="a"), b"data: [DONE]")
    assert events[-1].last


def test_nothing_after_the_terminator_is_read() -> None:
    events, _ = fed(chat(raw=True), chunk(content="a"), b"data: [DONE]\n\n", chunk(content="b"))
    assert collected(events).text == "a"


async def test_a_malformed_frame_is_skipped_and_counted() -> None:
    """WIRE 5"""
    junk = b'data: {"broken": \n\ndata: <html>\n\ndata: {"choices": 7}\n\ndata:\n\n'
    events, decoder = fed(chat(raw=True), chunk(content="a"), junk, chunk("stop", content="b"))
    assert collected(events).text == "ab"
    assert decoder.malformed == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_inside_a_success_is_an_error(fake: FakeOpenAI, stream: bool) -> None:
    """WIRE 3"""
    fake.script(Step(error_after=2), Step(error_after=0, error="insufficient_quota"))
    with pytest.raises(UpstreamFault):
        await events_of(fake, chat(raw=True, stream=stream))
    with pytest.raises(UpstreamCredential):
        await events_of(fake, chat(raw=True, stream=stream))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"object": "error", "message": "x", "type": "BadRequestError", "code": 400}, UpstreamRejected),
        ({"error": {"object": "error", "message": "x", "code": 429}}, UpstreamLimited),
        ({"error": {"message": "x", "code": 502}, "choices": [{"delta": {}, "finish_reason": "error"}]}, UpstreamFault),
        ({"error": "out of memory"}, UpstreamFault),
        ({"error": {"code": "content_filter"}}, UpstreamFiltered),
        ({"x_groq": {"error": "oops"}, "choices": []}, UpstreamFault),
        ({"choices": [{"index": 0, "delta": {}, "error": {"code": 429}}]}, UpstreamLimited),
    ],
)
def test_each_form_of_an_error_in_a_stream_is_understood(value: Any, kind: type[UpstreamError]) -> None:
    """WIRE 3"""
    with pytest.raises(kind):
        fed(chat(raw=True), chunk(content="a"), value, end=False)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"choices":[]}', b"[]", b'{"choices":"x"}'])
def test_a_plain_body_that_is_no_answer_is_a_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        WIRE.reply(chat(raw=True, stream=False), body)


async def test_usage_is_read_wherever_the_upstream_puts_it() -> None:
    """WIRE 7"""
    counts = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    places = [
        [{**chunk(content="a"), "usage": counts}, chunk("stop")],
        [chunk(content="a"), {**chunk("stop"), "usage": counts}],
        [chunk("stop", content="a"), {"choices": [], "usage": counts}],
        [chunk("stop", content="a"), {"choices": [], "x_groq": {"usage": counts}}],
    ]
    for frames in places:
        assert collected(fed(chat(raw=True), *frames)[0]).usage == Usage(input=5, output=2)
    assert collected(fed(chat(raw=True), chunk("stop", content="a"))[0]).usage is None


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "kind", "status"),
    [
        (Step(status=400), UpstreamRejected, 400),
        (Step(status=401), UpstreamCredential, 502),
        (Step(status=402), UpstreamCredential, 502),
        (Step(status=403), UpstreamCredential, 502),
        (Step(status=404), UpstreamRejected, 404),
        (Step(status=408), UpstreamTimeout, 504),
        (Step(status=409), UpstreamLimited, 429),
        (Step(status=422), UpstreamRejected, 422),
        (Step(status=429), UpstreamLimited, 429),
        (Step(status=429, error="insufficient_quota"), UpstreamCredential, 502),
        (Step(status=500), UpstreamFault, 502),
        (Step(status=503), UpstreamFault, 502),
        (Step(status=400, error="content_filter"), UpstreamFiltered, 400),
    ],
)
async def test_a_status_is_the_right_error(
    fake: FakeOpenAI, step: Step, kind: type[UpstreamError], status: int
) -> None:
    """WIRE 14"""
    fake.script(step)
    with pytest.raises(kind) as caught:
        await events_of(fake, chat(raw=True))
    assert type(caught.value) is kind
    assert caught.value.status == status


async def test_too_long_a_context_keeps_its_code(fake: FakeOpenAI) -> None:
    """WIRE 14"""
    fake.script(Step(status=400, error="context_length_exceeded"))
    with pytest.raises(UpstreamRejected) as caught:
        await events_of(fake, chat(raw=True))
    assert (caught.value.code, caught.value.status) == ("context_length_exceeded", 400)
    vllm = WIRE.fault(400, {}, b'{"error":{"message":"too long","param":"input_tokens","code":400}}')
    assert vllm.code == "context_length_exceeded"


async def test_the_wait_an_upstream_asks_for_is_kept(fake: FakeOpenAI) -> None:
    """WIRE 15"""
    fake.script(Step(status=429, headers={"Retry-After": "7"}), Step(status=503, headers={"retry-after-ms": "1500"}))
    for wait_s in (7.0, 1.5):
        with pytest.raises(UpstreamError) as caught:
            await events_of(fake, chat(raw=True))
        assert caught.value.retry_after_s == wait_s


def test_the_upstreams_words_are_told_only_for_the_callers_own_mistakes_and_without_keys() -> None:
    key = "sk-proj-" + "a1B2c3D4" * 6
    body = msgspec.json.encode({"error": {"message": f"Bad tool. Your key {key} is ok.", "param": "tools[0]"}})
    told = WIRE.fault(400, {}, body)
    assert "Bad tool" in told.message and told.param == "tools[0]"
    assert "a1B2c3D4" not in told.message
    for status in (401, 403, 429, 500, 503):
        assert "Bad tool" not in WIRE.fault(status, {}, body).message


@pytest.mark.parametrize(
    "body", [b"", b"<html>oops</html>", b"[1]", b'"x"', b'{"error": 5}', b'{"detail":[{"msg":"x"}]}']
)
def test_an_error_body_of_any_kind_is_survived(body: bytes) -> None:
    assert isinstance(WIRE.fault(400, {}, body), UpstreamRejected)
    assert isinstance(WIRE.fault(502, {}, body), UpstreamFault)


def test_counting_tokens_is_not_in_this_wire() -> None:
    with pytest.raises(Unsupported):
        WIRE.encode(Query("count", Input(), "m"), Endpoint("openai", "https://api.openai.com/v1"))


# ---- embeddings, completions, models --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [None, "base64", "float"])
@pytest.mark.parametrize("raw", [True, False])
async def test_embeddings_come_in_order(fake: FakeOpenAI, encoding: str | None, raw: bool) -> None:
    """WIRE 24"""
    body: Any = {"model": "route", "input": ["one", "two"], "dimensions": 4}
    if encoding:
        body["encoding_format"] = encoding
    given = Input(texts=("one", "two"), dimensions=4, wire="openai.embeddings", raw=body if raw else None)
    (event,) = await events_of(fake, Query("embed", given, "text-embedding-3-small"))
    assert event.whole and event.wire == "openai.embeddings" and event.model == "text-embedding-3-small"
    assert event.usage is not None and event.usage.input > 0
    assert fake.seen[0].json["dimensions"] == 4
    if raw and encoding == "base64":
        assert all(isinstance(vector, str) for vector in event.vectors)
    else:
        assert event.vectors == (vector_of("one", 4), vector_of("two", 4))


def test_vectors_out_of_order_are_put_right_and_missing_ones_are_a_fault() -> None:
    """WIRE 24"""
    query = Query("embed", Input(texts=("one", "two"), wire="openai.embeddings", raw={"input": ["one", "two"]}), "m")
    rows = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    event = WIRE.reply(query, msgspec.json.encode({"data": rows}))
    assert (event.vectors, event.raw) == (((1.0,), (2.0,)), None)
    with pytest.raises(UpstreamFault, match="1 embeddings for 2 texts"):
        WIRE.reply(query, msgspec.json.encode({"data": rows[:1]}))
    with pytest.raises(UpstreamRejected):
        WIRE.reply(query, b'{"error": {"code": 400, "message": "x"}}')


@pytest.mark.parametrize("stream", [True, False])
async def test_text_completions_are_native_where_the_row_has_them(fake: FakeOpenAI, stream: bool) -> None:
    fake.script(Step(text="a gate", usage=Usage(input=3, output=2)))
    raw = {"model": "route", "prompt": "A sluice is", "suffix": "."}
    given = Input(messages=(Message("user", (Text("A sluice is"),)),), wire="openai.completions", raw=raw)
    query = Query("chat", given, "gpt-3.5-turbo-instruct", stream)
    events = await events_of(fake, query)
    assert fake.seen[0].path == "/v1/completions" and fake.seen[0].json["suffix"] == "."
    reply = collected(events)
    assert (reply.text, reply.choices[0].finish, reply.usage) == ("a gate", "stop", Usage(input=3, output=2))
    assert all(event.wire == "openai.completions" for event in events)
    fake.script(Step(text="a gate"))
    assert collected(await events_of(fake, query, OpenAI())).text == "a gate"
    assert fake.seen[1].path == "/v1/chat/completions"


async def test_models_are_listed(fake: FakeOpenAI) -> None:
    request = WIRE.listing(endpoint(fake))
    assert request is not None and request.method == "GET"
    async with aiohttp.ClientSession() as session, session.get(request.url, headers=request.headers) as response:
        assert WIRE.models(await response.read()) == ("gpt-4o-mini", "text-embedding-3-small")
    assert WIRE.listing(endpoint(fake, listing=False)) is None
    assert WIRE.models(b'[{"id": "a"}, {"name": "b"}, 3]') == ("a", "b")
    with pytest.raises(UpstreamFault):
        WIRE.models(b"<html>")
