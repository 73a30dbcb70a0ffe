"""The wire of Anthropic: the honest fake accepts what it encodes, and its answers are decoded, plain and streamed."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from comporta.errors import (
    BadRequest,
    Unsupported,
    UpstreamFault,
)
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Endpoint, Query, Wire
from comporta.testing.asking import ask
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import (
    Audio,
    File,
    Image,
    Input,
    Message,
    Other,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)

WIRE = Anthropic()
ENDPOINT = Endpoint(provider="anthropic", base_url="https://api.example", secret="sk-ant-secret")
PIXEL = base64.b64encode(b"\x89PNG").decode()
HELLO = (Message("user", (Text("Hello"),)),)
WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CALLED = (
    *HELLO,
    Message("assistant", (ToolCall("toolu_1", "weather", '{"city": "Porto"}'),)),
    Message("tool", (ToolResult("toolu_1", (Text("Sun"),)),)),
)


def query(messages: tuple[Message, ...] = HELLO, *, model: str = "claude-haiku-4-5", **fields: Any) -> Query:
    outer = {
        name: fields.pop(name) for name in ("kind", "stream", "headers", "capabilities", "max_output") if name in fields
    }
    return Query(kind=outer.pop("kind", "chat"), input=Input(messages=messages, **fields), model=model, **outer)


def body_of(asked: Query) -> Any:
    return msgspec.json.decode(WIRE.encode(asked, ENDPOINT).body)


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as server:
        yield server


# ---- requests -------------------------------------------------------------------------------------------------------


def test_it_is_a_wire() -> None:
    assert isinstance(WIRE, Wire)


def test_what_the_caller_left_out_is_not_sent_wire_20() -> None:
    assert body_of(query()) == {
        "model": "claude-haiku-4-5",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "max_tokens": 4096,
    }


def test_max_tokens_is_the_callers_then_the_models_then_a_default() -> None:
    assert body_of(query(max_tokens=7, max_output=99))["max_tokens"] == 7
    assert body_of(query(max_output=99))["max_tokens"] == 99


def test_the_secret_stands_in_a_header_and_versions_pass_wire_26() -> None:
    request = WIRE.encode(
        query(headers={"anthropic-version": "2026-10-21", "anthropic-beta": "files-api-2025-04-14"}), ENDPOINT
    )
    assert request.url == "https://api.example/v1/messages"
    assert request.headers["x-api-key"] == "sk-ant-secret"
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["anthropic-beta"] == "files-api-2025-04-14"
    assert WIRE.encode(query(), ENDPOINT).headers["anthropic-version"] == "2023-06-01"


def test_the_same_wire_passes_untouched_with_another_model_wire_26() -> None:
    raw = {
        "model": "support",
        "max_tokens": 5,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}
        ],
        "unheard_of": {"x": None},
    }
    asked = query(wire="anthropic.messages", raw=raw, stream=True)
    assert body_of(asked) == {**raw, "model": "claude-haiku-4-5", "stream": True}
    assert raw["model"] == "support"


def test_system_texts_move_out_and_neighbours_merge() -> None:
    body = body_of(
        query(
            (
                Message("system", (Text("Be brief."),)),
                Message("user", (Text("One"),)),
                Message("user", (Text("Two"), Text("  "))),
                Message("assistant", (Refusal("No."),)),
                Message("system", (Text("Be kind."),)),
                Message("user", (Text("Three"),)),
            )
        )
    )
    assert body["system"] == "Be brief.\n\nBe kind."
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [block["text"] for block in body["messages"][0]["content"]] == ["One", "Two"]


def test_cache_control_is_kept_everywhere_wire_26() -> None:
    mark = {"type": "ephemeral"}
    body = body_of(
        query(
            (
                Message("system", (Text("S", mark),)),
                Message("user", (Text("U", mark), Image(PIXEL, "image/png", cache_control=mark))),
            ),
            tools=(Tool("t", parameters={}, cache_control=mark),),
        )
    )
    assert body["system"] == [{"type": "text", "text": "S", "cache_control": mark}]
    assert [block["cache_control"] for block in body["messages"][0]["content"]] == [mark, mark]
    assert body["tools"][0]["cache_control"] == mark


def test_tool_results_come_first_and_arguments_are_objects_wire_26() -> None:
    said = Message("user", (Text("Before"), ToolResult("toolu_1", (Text("Sun"),))))
    mixed = body_of(query((*CALLED[:2], said)))
    assert [block["type"] for block in mixed["messages"][2]["content"]] == ["tool_result", "text"]
    body = body_of(query((*CALLED, Message("user", (Text("And now?"),)))))
    assert body["messages"][1]["content"][0]["input"] == {"city": "Porto"}
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize("arguments", ['{"city": ', "[1]", '"Porto"'])
def test_arguments_that_are_no_object_are_refused_by_name(arguments: str) -> None:
    messages = (*HELLO, Message("assistant", (ToolCall("call_9", "weather", arguments),)))
    with pytest.raises(BadRequest, match="call_9") as raised:
        WIRE.encode(query(messages), ENDPOINT)
    assert raised.value.status == 400 and raised.value.param == "messages"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ("text", "audio")}, "modalities"),
        ({"messages": (Message("user", (Audio("AAAA", "wav"),)),)}, "messages"),
        ({"messages": (Message("user", (Other("openai.responses", {"type": "computer"}),)),)}, "messages"),
        ({"tools": (Tool("web", wire="openai.responses", native={"type": "web_search"}),)}, "tools"),
        ({"kind": "embed"}, "model"),
    ],
)
def test_what_it_cannot_do_is_a_400_wire_12(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Unsupported) as raised:
        WIRE.encode(query(**fields), ENDPOINT)
    assert raised.value.param == param


def test_hints_it_cannot_carry_are_dropped_and_reported_wire_20() -> None:
    request = WIRE.encode(
        query(seed=1, presence_penalty=0.5, frequency_penalty=0.5, temperature=1.5, extra={"verbosity": "low"}),
        ENDPOINT,
    )
    assert set(request.dropped) == {"seed", "presence_penalty", "frequency_penalty", "temperature", "verbosity"}
    assert "verbosity" not in msgspec.json.decode(request.body)


def test_newer_models_and_the_newer_api_get_no_sampling_wire_20() -> None:
    for asked in (
        query(model="claude-opus-5-5", temperature=0.2),
        query(temperature=0.2, headers={"anthropic-version": "2026-10-21"}),
    ):
        request = WIRE.encode(asked, ENDPOINT)
        assert request.dropped == ("temperature",)
        assert "temperature" not in msgspec.json.decode(request.body)
    assert body_of(query(temperature=0.2))["temperature"] == 0.2


def test_its_own_fields_pass_from_any_door() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert body_of(query(extra={"thinking": thinking}))["thinking"] == thinking


@pytest.mark.parametrize(
    ("model", "effort", "wanted"),
    [
        ("claude-haiku-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("claude-3-7-sonnet", "high", {"thinking": {"type": "enabled", "budget_tokens": 16384}}),
        ("claude-opus-4-6", "xhigh", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (
            "claude-sonnet-5-5",
            "medium",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "medium"}},
        ),
        ("claude-haiku-4-5", "none", {}),
    ],
)
async def test_effort_becomes_thinking_as_each_model_takes_it(
    fake: FakeAnthropic, model: str, effort: str, wanted: dict[str, Any]
) -> None:
    await ask(WIRE, query(model=model, reasoning_effort=effort), fake.url)
    body = fake.seen[0].json
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == wanted


@pytest.mark.parametrize(
    "asked",
    [
        query(CALLED, reasoning_effort="low", tools=(WEATHER,)),
        query(reasoning_effort="low", tools=(WEATHER,), tool_choice=ToolChoice("required")),
        query(reasoning_effort="low", max_tokens=500),
        query((*HELLO, Message("assistant", (Text("So, "),))), reasoning_effort="low"),
    ],
)
async def test_thinking_that_the_api_would_refuse_is_left_out_and_reported_wire_20(
    fake: FakeAnthropic, asked: Query
) -> None:
    answered = await ask(WIRE, asked, fake.url)
    assert "reasoning_effort" in answered.request.dropped
    assert "thinking" not in fake.seen[0].json


async def test_a_small_limit_halves_the_budget(fake: FakeAnthropic) -> None:
    await ask(WIRE, query(reasoning_effort="high", max_tokens=4000, temperature=0.5), fake.url)
    assert fake.seen[0].json["thinking"] == {"type": "enabled", "budget_tokens": 2000}


def test_a_model_known_not_to_think_is_not_asked_to_wire_20() -> None:
    request = WIRE.encode(query(reasoning_effort="low", capabilities=("tools",)), ENDPOINT)
    assert request.dropped == ("reasoning_effort",)
    assert "thinking" not in msgspec.json.decode(request.body)


# ---- there and back -------------------------------------------------------------------------------------------------

EVERYTHING = query(
    (
        Message("system", (Text("Be brief."),)),
        Message("assistant", (Text("Hello, I am here."),)),
        Message(
            "user",
            (
                Text("See"),
                Image(PIXEL, "image/png"),
                Image(url="https://example.org/a.png"),
                File(PIXEL, "application/pdf", name="a.pdf"),
                File(base64.b64encode("olá".encode()).decode(), "text/plain"),
            ),
            name="ana",
        ),
        Message(
            "assistant",
            (
                Reasoning("hm", "c2ln"),
                Reasoning(encrypted="c2VhbGVk"),
                Reasoning("other model's"),
                Reasoning("x", "gemini:abc"),
                Text("I look."),
                ToolCall("call 1/a", "weather", '{"city": "Porto"}'),
                ToolCall("call_2", "weather", ""),
            ),
        ),
        Message("tool", (ToolResult("call 1/a", (Text("Sun"), Image(PIXEL, "image/png"))),)),
        Message("tool", (ToolResult("call_2", (Text("no such city"),), is_error=True),)),
        Message("user", (Text("So?"),)),
    ),
    tools=(WEATHER, Tool("clock")),
    tool_choice=ToolChoice("auto"),
    parallel_tool_calls=False,
    stop=("END", "\n"),
    user="u-1",
    top_p=0.9,
    max_tokens=50,
)


@pytest.mark.parametrize("stream", [False, True])
async def test_everything_at_once_is_accepted_and_answered(fake: FakeAnthropic, stream: bool) -> None:
    fake.script(Step(text="It is sunny.", usage=Usage(input=10, cached=3, cache_write=2, output=5)))
    answered = await ask(WIRE, msgspec.structs.replace(EVERYTHING, stream=stream), fake.url)
    assert answered.reply.text == "It is sunny."
    assert answered.reply.choices[0].finish == "stop"
    assert answered.reply.usage == Usage(input=10, cached=3, cache_write=2, output=5)
    assert answered.reply.model == "claude-haiku-4-5"
    assert answered.events[-1].last
    assert set(answered.request.dropped) == {"stop", "messages.name"}
    body = fake.seen[0].json
    assert body["messages"][0]["role"] == "user"
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    thoughts = [b for m in body["messages"] for b in m["content"] if b["type"].endswith("thinking")]
    assert thoughts == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back_whole_wire_10_and_11(fake: FakeAnthropic, stream: bool) -> None:
    fake.script(Step(text="I look.", tools=(ToolAsk("weather", '{"city":"Porto"}', "toolu_1"), ToolAsk("clock"))))
    answered = await ask(WIRE, query(tools=(WEATHER, Tool("clock")), stream=stream), fake.url)
    choice = answered.reply.choices[0]
    assert [(tool.id, tool.name, tool.arguments) for tool in choice.tools] == [
        ("toolu_1", "weather", '{"city":"Porto"}'),
        ("toolu_fake1", "clock", "{}"),
    ]
    assert choice.finish == "tool_calls"
    pieces = [piece for event in answered.events for delta in event.deltas for piece in delta.tools]
    assert {piece.index for piece in pieces} == {0, 1}
    assert [piece.name for piece in pieces if piece.name] == ["weather", "clock"]


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking_comes_back_with_its_signature(fake: FakeAnthropic, stream: bool) -> None:
    fake.script(Step(text="42.", reasoning="Six times seven.", usage=Usage(input=1, output=2, reasoning=3)))
    answered = await ask(WIRE, query(reasoning_effort="low", stream=stream), fake.url)
    thought = answered.reply.choices[0].reasoning[0]
    assert thought.text == "Six times seven." and thought.signature
    assert answered.reply.usage == Usage(input=1, output=2, reasoning=3)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-3-5-sonnet", "deepseek-chat"])
async def test_structured_output_comes_back_as_text(fake: FakeAnthropic, stream: bool, model: str) -> None:
    fake.script(Step(text='{"n":1}'))
    form = ResponseFormat("json_schema", "answer", SCHEMA, strict=True)
    answered = await ask(WIRE, query(model=model, response_format=form, stream=stream), fake.url)
    assert answered.reply.text == '{"n":1}'
    assert answered.reply.choices[0].finish == "stop"
    assert answered.reply.choices[0].tools == ()
    native = "output_config" in fake.seen[0].json
    assert native == (model == "claude-haiku-4-5")
    if not native:
        assert all(event.raw is None for event in answered.events)


async def test_the_catalogue_decides_over_the_name_where_it_speaks(fake: FakeAnthropic) -> None:
    form = ResponseFormat("json_schema", "answer", SCHEMA)
    await ask(WIRE, query(response_format=form, capabilities=("tools",)), fake.url)
    await ask(WIRE, query(model="own", response_format=form, capabilities=("json_schema",)), fake.url)
    assert ["output_config" in seen.json for seen in fake.seen] == [False, True]


@pytest.mark.parametrize("stream", [False, True])
async def test_json_mode_leaves_the_callers_tools_callable(fake: FakeAnthropic, stream: bool) -> None:
    form = ResponseFormat("json_object")
    fake.script(Step(tools=(ToolAsk("weather", "{}", "toolu_1"),)))
    answered = await ask(WIRE, query(response_format=form, tools=(WEATHER,), stream=stream), fake.url)
    assert answered.reply.choices[0].tools[0].name == "weather"
    assert answered.reply.choices[0].finish == "tool_calls"
    fake.script(Step(text='{"a":true}'))
    answered = await ask(WIRE, query(response_format=form, stream=stream), fake.url)
    assert (answered.reply.text, answered.reply.choices[0].finish) == ('{"a":true}', "stop")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("model_context_window_exceeded", "length"),
        ("a_reason_of_tomorrow", "stop"),
    ],
)
async def test_reasons_to_stop_are_translated(fake: FakeAnthropic, stream: bool, reason: str, finish: str) -> None:
    fake.script(Step(finish=reason))
    answered = await ask(WIRE, query(stop=("END",), stream=stream), fake.url)
    assert answered.reply.choices[0].finish == finish
    assert answered.reply.choices[0].stop_sequence == ("END" if reason == "stop_sequence" else None)


async def test_tokens_are_counted(fake: FakeAnthropic) -> None:
    fake.script(Step(usage=Usage(input=17)))
    asked = msgspec.structs.replace(EVERYTHING, kind="count")
    answered = await ask(WIRE, asked, fake.url)
    assert answered.request.url.endswith("/v1/messages/count_tokens")
    assert answered.reply.usage == Usage(input=17)
    assert answered.reply.raw == b'{"input_tokens":17}'


async def test_the_models_are_listed(fake: FakeAnthropic) -> None:
    request = WIRE.listing(Endpoint("anthropic", f"{fake.url}/v1/", "k"))
    assert request is not None and request.method == "GET" and request.url == f"{fake.url}/v1/models?limit=1000"
    assert WIRE.models(b'{"data": [{"id": "claude-a"}, {"id": "claude-b", "more": 1}], "has_more": false}') == (
        "claude-a",
        "claude-b",
    )
    with pytest.raises(UpstreamFault):
        WIRE.models(b"<html>")


async def test_raw_frames_reach_a_client_of_the_same_wire_untouched(fake: FakeAnthropic) -> None:
    raw = {"model": "x", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    answered = await ask(WIRE, query(wire="anthropic.messages", raw=raw, stream=True), fake.url)
    names = [event.name for event in answered.events]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert names[-2:] == ["message_delta", "message_stop"]
    assert all(event.wire == "anthropic.messages" and event.raw for event in answered.events)
    assert [event.last for event in answered.events].index(True) == len(names) - 1
    assert [event.meaningful for event in answered.events[:3]] == [False, False, False]
