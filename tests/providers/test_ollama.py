"""The wire of Ollama: the honest fake accepts what it encodes, and its answers are decoded, plain and streamed."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import (
    BadRequest,
    Unsupported,
    UpstreamCredential,
    UpstreamCut,
    UpstreamError,
    UpstreamFault,
    UpstreamLimited,
    UpstreamRejected,
)
from comporta.pipeline import collect, replay
from comporta.providers.base import Endpoint, Query, Wire
from comporta.providers.ollama import Ollama
from comporta.testing.asking import ask, cut, decode
from comporta.testing.fake_ollama import FakeOllama
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import (
    Audio,
    File,
    Image,
    Input,
    Message,
    Other,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)

WIRE = Ollama()
ENDPOINT = Endpoint(provider="ollama", base_url="http://127.0.0.1:11434")
RECORDING = (Path(__file__).parent / "recordings" / "ollama.ndjson").read_bytes()
PIXEL = base64.b64encode(b"\x89PNG").decode()
HELLO = (Message("user", (Text("Hello"),)),)
WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
CALLED = (
    *HELLO,
    Message("assistant", (ToolCall("call_1", "weather", '{"city": "Porto"}'),)),
    Message("tool", (ToolResult("call_1", (Text("Sun"),)),)),
)


def query(messages: tuple[Message, ...] = HELLO, *, model: str = "llama3.2:3b", **fields: Any) -> Query:
    outer = {name: fields.pop(name) for name in ("kind", "stream", "capabilities") if name in fields}
    return Query(kind=outer.pop("kind", "chat"), input=Input(messages=messages, **fields), model=model, **outer)


def body_of(asked: Query) -> Any:
    return msgspec.json.decode(WIRE.encode(asked, ENDPOINT).body)


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as server:
        yield server


# ---- requests -------------------------------------------------------------------------------------------------------


def test_it_is_a_wire() -> None:
    assert isinstance(WIRE, Wire)


def test_what_the_caller_left_out_is_not_sent_wire_20() -> None:
    assert body_of(query()) == {
        "model": "llama3.2:3b",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
    }


@pytest.mark.parametrize("base", ["http://a:1", "http://a:1/", "http://a:1/api", "http://a:1/v1"])
def test_any_usual_address_of_a_server_is_taken(base: str) -> None:
    assert WIRE.encode(query(), Endpoint("ollama", base)).url == "http://a:1/api/chat"
    assert "authorization" not in WIRE.encode(query(), Endpoint("ollama", base)).headers
    assert WIRE.encode(query(), Endpoint("ollama", base, "k")).headers["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ("audio",)}, "modalities"),
        ({"tools": (WEATHER,), "tool_choice": ToolChoice("required")}, "tool_choice"),
        ({"tools": (WEATHER,), "tool_choice": ToolChoice("tool", "weather")}, "tool_choice"),
        ({"messages": (Message("user", (Audio("AAAA", "wav"),)),)}, "messages"),
        ({"messages": (Message("user", (File("AAAA", "application/pdf"),)),)}, "messages"),
        ({"messages": (Message("user", (Image(url="https://example.org/a.png"),)),)}, "messages"),
        ({"messages": (Message("user", (Other("openai.responses", {"type": "computer"}),)),)}, "messages"),
        ({"tools": (Tool("web", wire="openai.responses", native={"type": "web_search"}),)}, "tools"),
        ({"kind": "count"}, "model"),
        ({"kind": "embed", "texts": ((1, 2),)}, "input"),
    ],
)
def test_what_it_cannot_do_is_a_400_wire_12(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Unsupported) as raised:
        WIRE.encode(query(**fields), ENDPOINT)
    assert raised.value.param == param


def test_an_image_by_url_says_what_to_do() -> None:
    with pytest.raises(Unsupported, match="let the gate fetch"):
        WIRE.encode(query((Message("user", (Image(url="https://example.org/a.png"),)),)), ENDPOINT)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ((), "no message"),
        ((*HELLO, Message("assistant", (ToolCall("call_9", "weather", "{"),))), "call_9"),
        ((*HELLO, Message("tool", (ToolResult("call_7", (Text("x"),)),))), "call_7"),
    ],
)
def test_what_is_wrong_is_named(messages: tuple[Message, ...], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        WIRE.encode(query(messages), ENDPOINT)


def test_hints_it_cannot_carry_are_dropped_and_reported_wire_20() -> None:
    request = WIRE.encode(
        query(tools=(WEATHER,), parallel_tool_calls=False, reasoning_budget=100, extra={"verbosity": "low"}), ENDPOINT
    )
    assert set(request.dropped) == {"parallel_tool_calls", "reasoning_budget", "verbosity"}
    assert msgspec.json.decode(request.body)["think"] is True


def test_no_tool_is_shown_where_none_may_be_called() -> None:
    assert "tools" not in body_of(query(tools=(WEATHER,), tool_choice=ToolChoice("none")))


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("medium", "medium"), ("max", "high")]
)
async def test_effort_becomes_think(fake: FakeOllama, effort: str, think: bool | str) -> None:
    await ask(WIRE, query(reasoning_effort=effort), fake.url)
    assert fake.seen[0].json["think"] == think


def test_a_model_known_not_to_think_is_not_asked_to_wire_20() -> None:
    request = WIRE.encode(query(reasoning_effort="low", capabilities=("tools",)), ENDPOINT)
    assert request.dropped == ("reasoning_effort",)
    assert "think" not in msgspec.json.decode(request.body)


# ---- there and back -------------------------------------------------------------------------------------------------

EVERYTHING = query(
    (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("See"), Image(PIXEL, "image/png")), name="ana"),
        Message(
            "assistant",
            (Reasoning("hm"), Text("I look."), ToolCall("c1", "weather", "{}"), ToolCall("c2", "clock", "")),
        ),
        Message("tool", (ToolResult("c1", (Text("Sun"),)), ToolResult("c2", (Text("12"), Image(PIXEL))))),
        Message("user", (Text("So?"),)),
    ),
    tools=(WEATHER, Tool("clock")),
    tool_choice=ToolChoice("auto"),
    stop=("END",),
    temperature=0.5,
    top_p=0.9,
    top_k=40,
    seed=1,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    max_tokens=50,
    extra={"num_ctx": 8192, "keep_alive": "5m", "options": {"min_p": 0.1, "seed": 9}},
)


@pytest.mark.parametrize("stream", [False, True])
async def test_everything_at_once_is_accepted_and_answered(fake: FakeOllama, stream: bool) -> None:
    fake.script(Step(text="It is sunny.", usage=Usage(input=10, output=5)))
    answered = await ask(WIRE, msgspec.structs.replace(EVERYTHING, stream=stream), fake.url)
    assert answered.reply.text == "It is sunny."
    assert answered.reply.choices[0].finish == "stop"
    assert answered.reply.usage == Usage(input=10, output=5)
    assert answered.reply.model == "llama3.2:3b"
    assert answered.events[-1].last
    assert answered.request.dropped == ("messages.name",)
    body = fake.seen[0].json
    assert body["options"] == {
        "min_p": 0.1,
        "seed": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "num_predict": 50,
        "stop": ["END"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "num_ctx": 8192,
    }
    assert body["keep_alive"] == "5m"
    assert body["messages"][1]["images"] == [PIXEL]
    assert body["messages"][2]["thinking"] == "hm"
    assert [(m["role"], m.get("tool_name")) for m in body["messages"][3:5]] == [("tool", "weather"), ("tool", "clock")]


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back_with_stable_ids_wire_10_and_11(fake: FakeOllama, stream: bool) -> None:
    step = Step(
        text="I look.", tools=(ToolAsk("weather", '{"city":"Porto"}', "given"), ToolAsk("clock"), ToolAsk("clock"))
    )
    fake.script(step, step, step)
    asked = query(tools=(WEATHER, Tool("clock")), stream=stream)
    choice = (await ask(WIRE, asked, fake.url)).reply.choices[0]
    assert [(tool.name, tool.arguments) for tool in choice.tools] == [
        ("weather", '{"city":"Porto"}'),
        ("clock", "{}"),
        ("clock", "{}"),
    ]
    assert choice.finish == "tool_calls" and choice.text == "I look."
    ids = [tool.id for tool in choice.tools]
    assert ids[0] == "given" and len(set(ids)) == 3 and all(ids)
    assert [tool.id for tool in (await ask(WIRE, asked, fake.url)).reply.choices[0].tools] == ids
    longer = msgspec.structs.replace(asked, input=msgspec.structs.replace(asked.input, messages=CALLED))
    assert (await ask(WIRE, longer, fake.url)).reply.choices[0].tools[1].id not in ids


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking_comes_back_apart(fake: FakeOllama, stream: bool) -> None:
    fake.script(Step(text="42.", reasoning="Six times seven."))
    choice = (await ask(WIRE, query(reasoning_effort="low", stream=stream), fake.url)).reply.choices[0]
    assert (choice.text, choice.reasoning) == ("42.", (Reasoning("Six times seven."),))


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_come_back_in_canonical_words_wire_12(fake: FakeOllama, stream: bool) -> None:
    fake.script(Step(text="Hi you", logprobs=True))
    logprobs = (
        (await ask(WIRE, query(logprobs=True, top_logprobs=1, stream=stream), fake.url)).reply.choices[0].logprobs
    )
    assert logprobs is not None
    assert [token["token"] for token in logprobs["content"]] == ["Hi ", "you"]
    assert logprobs["content"][1]["top_logprobs"] == [{"token": "you", "logprob": -0.25, "bytes": [121, 111, 117]}]


@pytest.mark.parametrize(
    ("form", "wanted"),
    [(ResponseFormat("json_schema", "answer", SCHEMA), SCHEMA), (ResponseFormat("json_object"), "json")],
)
async def test_structured_output_is_asked_for(fake: FakeOllama, form: ResponseFormat, wanted: Any) -> None:
    fake.script(Step(text='{"n":1}'))
    assert (await ask(WIRE, query(response_format=form), fake.url)).reply.text == '{"n":1}'
    assert fake.seen[0].json["format"] == wanted


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("reason", "finish"), [("stop", "stop"), ("length", "length"), ("unload", "stop")])
async def test_reasons_to_be_done_are_translated(fake: FakeOllama, stream: bool, reason: str, finish: str) -> None:
    fake.script(Step(finish=reason))
    assert (await ask(WIRE, query(stream=stream), fake.url)).reply.choices[0].finish == finish


async def test_texts_are_embedded_in_order_wire_24(fake: FakeOllama) -> None:
    vectors = ((0.5, 0.25), (1.0, 2.0))
    fake.script(Step(vectors=vectors, usage=Usage(input=4)))
    asked = query((), kind="embed", texts=("a", "b"), dimensions=2, model="nomic-embed-text")
    answered = await ask(WIRE, asked, fake.url)
    assert answered.reply.vectors == vectors
    assert answered.reply.usage == Usage(input=4)
    assert fake.seen[0].json == {"model": "nomic-embed-text", "input": ["a", "b"], "dimensions": 2}
    fake.script(Step(vectors=vectors[:1]))
    with pytest.raises(UpstreamFault, match="1 vectors for 2 texts"):
        await ask(WIRE, asked, fake.url)


def test_the_models_are_listed() -> None:
    request = WIRE.listing(ENDPOINT)
    assert request is not None and (request.method, request.url) == ("GET", "http://127.0.0.1:11434/api/tags")
    assert WIRE.models(b'{"models": [{"model": "a:1", "name": "a:1", "size": 1}, {"name": "b"}]}') == ("a:1", "b")
    assert WIRE.models(b'{"models": null}') == ()


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code", "ours"),
    [
        (400, UpstreamRejected, "upstream_rejected", 400),
        (401, UpstreamCredential, "upstream_credential_refused", 502),
        (429, UpstreamLimited, "upstream_rate_limited", 429),
        (500, UpstreamFault, "upstream_fault", 502),
        (503, UpstreamFault, "upstream_overloaded", 502),
    ],
)
async def test_a_status_decides_what_a_failure_means_wire_14(
    fake: FakeOllama, status: int, kind: type[UpstreamError], code: str, ours: int
) -> None:
    fake.script(Step(status=status, message="details"))
    with pytest.raises(kind) as raised:
        await ask(WIRE, query(), fake.url)
    assert (raised.value.code, raised.value.status) == (code, ours)
    assert ("details" in raised.value.message) == isinstance(raised.value, UpstreamRejected)


async def test_a_model_that_is_not_pulled_comes_with_the_command_to_type(fake: FakeOllama) -> None:
    with pytest.raises(UpstreamRejected, match="ollama pull missing:1b") as raised:
        await ask(WIRE, query(model="missing:1b"), fake.url)
    assert (raised.value.status, raised.value.code) == (404, "model_not_found")


async def test_a_server_that_is_no_ollama_is_told_apart(fake: FakeOllama) -> None:
    with pytest.raises(UpstreamRejected, match="base_url") as raised:
        await ask(WIRE, query(), f"{fake.url}/elsewhere")
    assert raised.value.code == "not_found"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_inside_a_200_is_an_error_wire_3(fake: FakeOllama, stream: bool) -> None:
    fake.script(Step(error_after=1))
    with pytest.raises(UpstreamFault) as raised:
        await ask(WIRE, query(stream=stream), fake.url)
    assert "scripted failure" not in raised.value.message


@pytest.mark.parametrize("step", [Step(omit_done=True), Step(cut_after=2)])
async def test_a_stream_that_is_never_done_is_cut_wire_5(fake: FakeOllama, step: Step) -> None:
    fake.script(step)
    with pytest.raises(UpstreamCut):
        await ask(WIRE, query(stream=True), fake.url)


def test_a_plain_answer_that_is_not_done_is_cut() -> None:
    with pytest.raises(UpstreamCut):
        WIRE.reply(query(), b'{"message": {"content": "half"}, "done": false}')


async def test_a_malformed_line_is_skipped_and_counted_wire_5(fake: FakeOllama) -> None:
    fake.script(Step(text="One two.", garbage_after=1))
    assert (await ask(WIRE, query(stream=True), fake.url)).reply.text == "One two."
    decoder = WIRE.decoder(query(stream=True))
    decoder.feed(b'{"message": \n3\n')
    assert decoder.malformed == 2


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"message": 3}'])
def test_a_body_that_is_no_answer_is_a_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        WIRE.reply(query(), body)
    assert isinstance(WIRE.fault(502, {}, body), UpstreamFault)


# ---- recordings -----------------------------------------------------------------------------------------------------


async def test_the_recording_says_what_was_said() -> None:
    reply = await collect(replay(decode(WIRE, query(stream=True), [RECORDING])))
    choice = reply.choices[0]
    assert reply.model == "qwen3:8b"
    assert choice.text == "Let me look.\n\n“já”"
    assert choice.reasoning == (Reasoning("The user wants São Paulo 🌧."),)
    assert [(tool.name, tool.arguments) for tool in choice.tools] == [
        ("weather", '{"city":"São Paulo"}'),
        ("clock", "{}"),
    ]
    assert choice.tools[1].id == "call_given"
    assert choice.finish == "tool_calls"
    assert reply.usage == Usage(input=42, output=17)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(RECORDING)), max_size=40))
def test_any_cut_of_the_bytes_gives_the_same_events_wire_5(places: list[int]) -> None:
    asked = query(stream=True)
    assert decode(WIRE, asked, cut(RECORDING, places)) == decode(WIRE, asked, [RECORDING])
