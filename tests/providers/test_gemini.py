"""The wire of Gemini: the honest fake accepts what it encodes, and its answers are decoded, plain and streamed."""

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
from comporta.providers.base import Endpoint, Query, Wire
from comporta.providers.gemini import Gemini
from comporta.testing.asking import ask
from comporta.testing.fake_gemini import FakeGemini
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

WIRE = Gemini()
ENDPOINT = Endpoint(provider="gemini", base_url="https://api.example", secret="AIza-secret")
PIXEL = base64.b64encode(b"\x89PNG").decode()
HELLO = (Message("user", (Text("Hello"),)),)
WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
CALLED = (
    *HELLO,
    Message("assistant", (ToolCall("call_1", "weather", '{"city": "Porto"}'),)),
    Message("tool", (ToolResult("call_1", (Text("Sun"),)),)),
)


def query(messages: tuple[Message, ...] = HELLO, *, model: str = "gemini-2.5-flash", **fields: Any) -> Query:
    outer = {name: fields.pop(name) for name in ("kind", "stream", "capabilities") if name in fields}
    return Query(kind=outer.pop("kind", "chat"), input=Input(messages=messages, **fields), model=model, **outer)


def body_of(asked: Query) -> Any:
    return msgspec.json.decode(WIRE.encode(asked, ENDPOINT).body)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGemini]:
    async with FakeGemini() as server:
        yield server


# ---- requests -------------------------------------------------------------------------------------------------------


def test_it_is_a_wire() -> None:
    assert isinstance(WIRE, Wire)


def test_what_the_caller_left_out_is_not_sent_wire_20() -> None:
    assert body_of(query()) == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.parametrize(
    ("base", "fields", "url"),
    [
        ("https://a", {}, "https://a/v1beta/models/gemini-2.5-flash:generateContent"),
        (
            "https://a/v1beta/",
            {"stream": True},
            "https://a/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
        ("https://a/v1", {"kind": "count"}, "https://a/v1/models/gemini-2.5-flash:countTokens"),
        ("https://a", {"model": "tunedModels/mine"}, "https://a/v1beta/tunedModels/mine:generateContent"),
    ],
)
def test_the_key_stands_in_a_header_and_never_in_the_url(base: str, fields: dict[str, Any], url: str) -> None:
    request = WIRE.encode(query(**fields), Endpoint("gemini", base, "AIza-secret"))
    assert request.url == url
    assert request.headers["x-goog-api-key"] == "AIza-secret"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ("audio",)}, "modalities"),
        ({"messages": (Message("user", (Other("openai.responses", {"type": "computer"}),)),)}, "messages"),
        ({"tools": (Tool("web", wire="openai.responses", native={"type": "web_search"}),)}, "tools"),
        ({"kind": "embed", "texts": ((1, 2, 3),)}, "input"),
    ],
)
def test_what_it_cannot_do_is_a_400_wire_12(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Unsupported) as raised:
        WIRE.encode(query(**fields), ENDPOINT)
    assert raised.value.param == param


def test_a_result_that_answers_no_call_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="call_7"):
        WIRE.encode(query((*HELLO, Message("tool", (ToolResult("call_7", (Text("x"),)),)))), ENDPOINT)


def test_arguments_that_are_no_json_are_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="call_9"):
        WIRE.encode(query((*HELLO, Message("assistant", (ToolCall("call_9", "weather", "{"),)))), ENDPOINT)


def test_hints_it_cannot_carry_are_dropped_and_reported_wire_20() -> None:
    request = WIRE.encode(
        query(tools=(WEATHER,), parallel_tool_calls=False, reasoning_effort="extreme", extra={"verbosity": "low"}),
        ENDPOINT,
    )
    assert set(request.dropped) == {"parallel_tool_calls", "reasoning_effort", "verbosity"}


def test_results_are_told_as_values_and_errors_as_errors() -> None:
    def told(result: ToolResult) -> Any:
        return body_of(query((*CALLED[:2], Message("tool", (result,)))))["contents"][2]["parts"]

    assert told(ToolResult("call_1", (Text('{"sun": true}'),)))[0]["functionResponse"] == {
        "id": "call_1",
        "name": "weather",
        "response": {"output": {"sun": True}},
    }
    assert told(ToolResult("call_1", (Text("no"),), is_error=True))[0]["functionResponse"]["response"] == {
        "error": "no"
    }
    assert told(ToolResult("call_1", (Image(PIXEL, "image/png"),)))[1] == {
        "inlineData": {"mimeType": "image/png", "data": PIXEL}
    }


@pytest.mark.parametrize(
    ("model", "fields", "wanted"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 2048, "includeThoughts": True}),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-3-pro", {"reasoning_effort": "high"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-pro", {"reasoning_effort": "none"}, {"thinkingLevel": "LOW", "includeThoughts": False}),
        ("gemini-3-flash", {"reasoning_effort": "none"}, {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        ("gemini-3-pro", {"reasoning_budget": 500}, {"thinkingBudget": 500, "includeThoughts": True}),
    ],
)
async def test_effort_becomes_thinking_as_each_model_takes_it(
    fake: FakeGemini, model: str, fields: dict[str, Any], wanted: dict[str, Any]
) -> None:
    await ask(WIRE, query(model=model, **fields), fake.url)
    assert fake.seen[0].json["generationConfig"]["thinkingConfig"] == wanted


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro"])
@pytest.mark.parametrize("signature", [None, "gemini:c2ln", "anthropics"])
async def test_signatures_go_back_on_the_call_where_they_are_checked(
    fake: FakeGemini, model: str, signature: str | None
) -> None:
    """Most clients can't carry a signature: models that check it are shown the documented stand-in."""
    called = (
        *HELLO,
        Message(
            "assistant",
            (
                Reasoning("I should look.", signature),
                Text("Let me see."),
                ToolCall("call_1", "weather", "{}"),
                ToolCall("call_2", "weather", "{}"),
            ),
        ),
        Message("tool", (ToolResult("call_1", (Text("Sun"),)), ToolResult("call_2", (Text("Sun"),)))),
    )
    await ask(WIRE, query(called, model=model, tools=(WEATHER,)), fake.url)
    parts = fake.seen[0].json["contents"][1]["parts"]
    assert parts[0] == {"text": "Let me see."}
    stand_in = "skip_thought_signature_validator" if model == "gemini-3-pro" else None
    assert parts[1].get("thoughtSignature") == ("c2ln" if signature == "gemini:c2ln" else stand_in)
    assert "thoughtSignature" not in parts[2]


def test_a_model_known_not_to_think_is_not_asked_to_wire_20() -> None:
    request = WIRE.encode(query(reasoning_effort="low", capabilities=("tools",)), ENDPOINT)
    assert request.dropped == ("reasoning_effort",)
    assert "generationConfig" not in msgspec.json.decode(request.body)


# ---- there and back -------------------------------------------------------------------------------------------------

EVERYTHING = query(
    (
        Message("system", (Text("Be brief."),)),
        Message(
            "user",
            (
                Text("See"),
                Image(PIXEL, "image/png"),
                Image(url="https://example.org/a.png?x=1"),
                File(PIXEL, "application/pdf", name="a.pdf"),
                File(id="files/abc", media_type="application/pdf"),
                Audio(PIXEL, "wav"),
            ),
            name="ana",
        ),
        Message(
            "assistant",
            (Reasoning("hm"), Text("I look."), ToolCall("c1", "weather", "{}"), ToolCall("c2", "clock", "")),
        ),
        Message("tool", (ToolResult("c1", (Text("Sun"), Image(PIXEL, "image/png"))),)),
        Message("tool", (ToolResult("c2", (Text("[1, 2]"),), is_error=True),)),
        Message("user", (Text("So?"),)),
    ),
    tools=(WEATHER, Tool("clock"), Tool("google", wire="gemini", native={"googleSearch": {}})),
    tool_choice=ToolChoice("tool", "weather"),
    stop=("END",),
    temperature=1.5,
    top_p=0.9,
    top_k=40,
    seed=1,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    max_tokens=50,
    extra={"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
)


@pytest.mark.parametrize("stream", [False, True])
async def test_everything_at_once_is_accepted_and_answered(fake: FakeGemini, stream: bool) -> None:
    usage = Usage(input=10, cached=3, audio_in=4, image_in=5, output=6, reasoning=7)
    fake.script(Step(text="It is sunny.", usage=usage))
    answered = await ask(WIRE, msgspec.structs.replace(EVERYTHING, stream=stream), fake.url)
    assert answered.reply.text == "It is sunny."
    assert answered.reply.choices[0].finish == "stop"
    assert answered.reply.usage == usage
    assert answered.reply.model == "gemini-2.5-flash"
    assert answered.events[-1].last
    assert answered.request.dropped == ("messages.name",)
    body = fake.seen[0].json
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    assert body["contents"][0]["parts"][2] == {
        "fileData": {"fileUri": "https://example.org/a.png?x=1", "mimeType": "image/png"}
    }
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == WEATHER.parameters
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back_with_ids_wire_10_and_11(fake: FakeGemini, stream: bool) -> None:
    step = Step(
        text="I look.", tools=(ToolAsk("weather", '{"city":"Porto"}', "given"), ToolAsk("clock"), ToolAsk("clock"))
    )
    fake.script(step, step)
    asked = query(tools=(WEATHER, Tool("clock")), stream=stream)
    answered = await ask(WIRE, asked, fake.url)
    choice = answered.reply.choices[0]
    assert [(tool.name, tool.arguments) for tool in choice.tools] == [
        ("weather", '{"city":"Porto"}'),
        ("clock", "{}"),
        ("clock", "{}"),
    ]
    assert choice.finish == "tool_calls" and choice.text == "I look."
    ids = [tool.id for tool in choice.tools]
    assert ids[0] == "given" and len(set(ids)) == 3 and all(ids)
    longer = msgspec.structs.replace(asked, input=msgspec.structs.replace(asked.input, messages=CALLED))
    later = (await ask(WIRE, longer, fake.url)).reply.choices[0].tools
    assert later[1].id not in ids


@pytest.mark.parametrize("stream", [False, True])
async def test_a_signed_call_survives_a_round_trip(fake: FakeGemini, stream: bool) -> None:
    fake.script(Step(text="I look.", reasoning="Hm.", tools=(ToolAsk("weather"),)))
    asked = query(model="gemini-3-pro", tools=(WEATHER,), stream=stream)
    choice = (await ask(WIRE, asked, fake.url)).reply.choices[0]
    assert choice.reasoning[0].text == "Hm."
    signed = Message("assistant", (*choice.reasoning, Text(choice.text), *choice.tools))
    result = Message("tool", (ToolResult(choice.tools[0].id, (Text("Sun"),)),))
    await ask(WIRE, query((*HELLO, signed, result), model="gemini-3-pro", tools=(WEATHER,)), fake.url)
    parts = fake.seen[1].json["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, "c2lnbmVkLWJ5LXRoZS1mYWtl"]


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_come_back_apart(fake: FakeGemini, stream: bool) -> None:
    fake.script(Step(text="42.", reasoning="Six times seven.", usage=Usage(input=1, output=2, reasoning=3)))
    answered = await ask(WIRE, query(reasoning_effort="low", stream=stream), fake.url)
    choice = answered.reply.choices[0]
    assert choice.text == "42."
    assert [thought.text for thought in choice.reasoning] == ["Six times seven."]
    assert answered.reply.usage == Usage(input=1, output=2, reasoning=3)


@pytest.mark.parametrize("stream", [False, True])
async def test_several_answers_stay_apart_wire_12(fake: FakeGemini, stream: bool) -> None:
    fake.script(Step(text="One two."))
    answered = await ask(WIRE, query(n=2, stream=stream), fake.url)
    assert [(choice.index, choice.text, choice.finish) for choice in answered.reply.choices] == [
        (0, "One two.", "stop"),
        (1, "One two.", "stop"),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_come_back_in_canonical_words_wire_12(fake: FakeGemini, stream: bool) -> None:
    fake.script(Step(text="Hi you", logprobs=True))
    answered = await ask(WIRE, query(logprobs=True, top_logprobs=1, stream=stream), fake.url)
    logprobs = answered.reply.choices[0].logprobs
    assert logprobs is not None
    assert logprobs["content"][0] == {
        "token": "Hi ",
        "logprob": -0.25,
        "bytes": [72, 105, 32],
        "top_logprobs": [{"token": "Hi ", "logprob": -0.25, "bytes": [72, 105, 32]}],
    }


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (
            ResponseFormat("json_schema", "answer", SCHEMA),
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
        (ResponseFormat("json_object"), {"responseMimeType": "application/json"}),
    ],
)
async def test_structured_output_is_asked_for(fake: FakeGemini, form: ResponseFormat, wanted: dict[str, Any]) -> None:
    fake.script(Step(text='{"n":1}'))
    answered = await ask(WIRE, query(response_format=form), fake.url)
    assert answered.reply.text == '{"n":1}'
    assert fake.seen[0].json["generationConfig"] == wanted


def test_made_images_come_back_as_data_urls() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    body = {"candidates": [{"content": {"parts": [{"text": "Here"}, part]}, "finishReason": "STOP"}]}
    asked = query(modalities=("text", "image"))
    assert body_of(asked)["generationConfig"] == {"responseModalities": ["TEXT", "IMAGE"]}
    event = WIRE.reply(asked, msgspec.json.encode(body))
    assert event.deltas[0].extra == {
        "images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("OTHER", "content_filter"),
        ("A_REASON_OF_TOMORROW", "stop"),
    ],
)
async def test_reasons_to_finish_are_translated(fake: FakeGemini, stream: bool, reason: str, finish: str) -> None:
    fake.script(Step(finish=reason))
    answered = await ask(WIRE, query(stream=stream), fake.url)
    assert answered.reply.choices[0].finish == finish


async def test_tokens_are_counted_with_system_text_and_tools(fake: FakeGemini) -> None:
    fake.script(Step(usage=Usage(input=17)))
    answered = await ask(WIRE, msgspec.structs.replace(EVERYTHING, kind="count"), fake.url)
    assert answered.reply.usage == Usage(input=17)
    asked = fake.seen[0].json["generateContentRequest"]
    assert {"systemInstruction", "tools", "contents"} <= set(asked)


async def test_texts_are_embedded_in_order_wire_24(fake: FakeGemini) -> None:
    vectors = ((0.5, 0.25), (1.0, 2.0))
    fake.script(Step(vectors=vectors))
    asked = query((), kind="embed", texts=("a", "b"), dimensions=2, model="gemini-embedding-001")
    answered = await ask(WIRE, asked, fake.url)
    assert answered.reply.vectors == vectors
    assert [request["outputDimensionality"] for request in fake.seen[0].json["requests"]] == [2, 2]
    fake.script(Step(vectors=vectors[:1]))
    with pytest.raises(UpstreamFault, match="1 vectors for 2 texts"):
        await ask(WIRE, asked, fake.url)


def test_the_models_are_listed() -> None:
    request = WIRE.listing(ENDPOINT)
    assert request is not None and request.url == "https://api.example/v1beta/models?pageSize=1000"
    assert request.headers["x-goog-api-key"] == "AIza-secret"
    assert WIRE.models(b'{"models": [{"name": "models/gemini-a", "x": 1}], "nextPageToken": ""}') == ("gemini-a",)
