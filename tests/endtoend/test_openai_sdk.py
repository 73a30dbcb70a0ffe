"""The official `openai` SDK through the gate: every door it has, any provider behind it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import openai
import pytest
from PIL import Image
from pydantic import BaseModel

from comporta.testing.upstream import FakeUpstream, Step, ToolAsk
from comporta.types import Usage
from support.serving import Fakes, Served

#: A model of each provider; every test adds its own ending, so that scripts don't meet.
PROVIDERS = ("openai", "anthropic", "gemini", "ollama")
TOOL: openai.types.chat.ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(gate: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        yield client


def fake_of(fakes: Fakes, provider: str) -> FakeUpstream:
    fake: FakeUpstream = getattr(fakes, provider)
    return fake


def png(width: int = 4, height: int = 4) -> str:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_plain_chat_is_answered(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    fake_of(fakes, provider).script(Step(text="Olá, mundo!", usage=Usage(input=11, output=5)), model="plain")
    answer = client.chat.completions.with_raw_response.create(
        model=f"{provider}/plain", messages=[{"role": "user", "content": "Say hello."}], max_tokens=50
    )
    reply = answer.parse()
    assert reply.choices[0].message.content == "Olá, mundo!"
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 5)
    assert answer.headers["x-comporta-provider"] == provider
    assert answer.headers["x-comporta-model"] == "plain"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_streamed_chat_is_the_same_text_with_usage_when_asked(
    client: openai.OpenAI, fakes: Fakes, provider: str
) -> None:
    fake_of(fakes, provider).script(
        Step(text="one two three four", usage=Usage(input=7, output=4), split_bytes=7), model="streamed"
    )
    chunks = list(
        client.chat.completions.create(
            model=f"{provider}/streamed", messages=[{"role": "user", "content": "Count."}], stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "one two three four"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 11
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_usage_stays_out_of_a_stream_that_did_not_ask(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    """WIRE 7."""
    fake_of(fakes, provider).script(Step(text="a b"), model="nousage")
    stream = client.chat.completions.create(
        model=f"{provider}/nousage", messages=[{"role": "user", "content": "x"}], stream=True
    )
    assert all(c.usage is None and c.choices for c in stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_tools_are_called(client: openai.OpenAI, fakes: Fakes, provider: str, stream: bool) -> None:
    """WIRE 10 and 11."""
    model = f"tools-{stream}"
    fake_of(fakes, provider).script(
        Step(text="", tools=(ToolAsk("weather", '{"city": "Évora"}'), ToolAsk("weather", '{"city": "Faro"}'))),
        model=model,
    )
    with client.chat.completions.stream(
        model=f"{provider}/{model}", messages=[{"role": "user", "content": "Weather?"}], tools=[TOOL],
    ) if stream else _Plain(client, f"{provider}/{model}") as events:  # fmt: skip
        choice = events.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = [call for call in choice.message.tool_calls or [] if call.type == "function"]
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Évora", "Faro"]
    assert len({c.id for c in calls}) == 2 and all(c.id for c in calls)


class _Plain:
    """A plain completion behind the stream's interface, so that one test serves both."""

    def __init__(self, client: openai.OpenAI, model: str) -> None:
        self._reply = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Weather?"}], tools=[TOOL]
        )

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *ending: object) -> None:
        return None

    def get_final_completion(self) -> openai.types.chat.ChatCompletion:
        return self._reply


@pytest.mark.parametrize("provider", PROVIDERS)
def test_tool_results_go_back(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    fake = fake_of(fakes, provider)
    fake.script(Step(text="It is sunny."), model="results")
    reply = client.chat.completions.create(
        model=f"{provider}/results",
        tools=[TOOL],
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Faro"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 31 degrees"},
        ],
    )
    assert reply.choices[0].message.content == "It is sunny."
    assert b"sunny, 31 degrees" in next(s.body for s in reversed(fake.seen) if b"sunny, 31" in s.body)


class City(BaseModel):
    name: str
    people: int


@pytest.mark.parametrize("provider", PROVIDERS)
def test_structured_output_is_parsed(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    fake_of(fakes, provider).script(Step(text='{"name": "Lisboa", "people": 545000}'), model="structured")
    reply = client.chat.completions.parse(
        model=f"{provider}/structured", messages=[{"role": "user", "content": "A city."}], response_format=City
    )
    assert reply.choices[0].message.parsed == City(name="Lisboa", people=545000)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_image_reaches_the_provider(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    fake = fake_of(fakes, provider)
    fake.script(Step(text="A red square."), model="vision")
    image = png()
    reply = client.chat.completions.create(
        model=f"{provider}/vision",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": image}},
                ],
            }
        ],
    )
    assert reply.choices[0].message.content == "A red square."
    assert any(image.split(",")[1].encode() in s.body for s in fake.seen)


@pytest.mark.parametrize("provider", ["openai", "gemini", "ollama", "scripted"])
def test_embeddings_come_in_order_as_the_sdk_decodes_them(client: openai.OpenAI, provider: str) -> None:
    """WIRE 24: base64 is the SDK's default."""
    texts = ["alpha", "beta", "gamma"]
    together = client.embeddings.create(model=f"{provider}/embed", input=texts)
    assert [d.index for d in together.data] == [0, 1, 2]
    alone = client.embeddings.create(model=f"{provider}/embed", input="beta")
    assert alone.data[0].embedding == pytest.approx(together.data[1].embedding, rel=1e-5)
    floats = client.embeddings.create(model=f"{provider}/embed", input="beta", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(alone.data[0].embedding, rel=1e-5)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_responses_door_reaches_any_provider(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    fake_of(fakes, provider).script(Step(text="Bom dia."), Step(text="Boa noite."), model="responses")
    reply = client.responses.create(model=f"{provider}/responses", input="Greet me.", instructions="Be brief.")
    assert reply.output_text == "Bom dia."
    assert reply.status == "completed"
    with client.responses.stream(model=f"{provider}/responses", input="Greet me.") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "Boa noite."


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_completions_door_reaches_any_provider(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    fake_of(fakes, provider).script(Step(text="there was a gate."), Step(text="and a river."), model="completions")
    reply = client.completions.create(model=f"{provider}/completions", prompt="Once upon a time", max_tokens=20)
    assert reply.choices[0].text == "there was a gate."
    chunks = client.completions.create(model=f"{provider}/completions", prompt="Once", max_tokens=20, stream=True)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "and a river."


async def test_the_async_client_works(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="plain"), Step(text="in pieces"), model="async")
    async with openai.AsyncOpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        reply = await client.chat.completions.create(model="openai/async", messages=[{"role": "user", "content": "x"}])
        assert reply.choices[0].message.content == "plain"
        stream = await client.chat.completions.create(
            model="openai/async", messages=[{"role": "user", "content": "x"}], stream=True
        )
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "in pieces"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "error", "raised", "code"),
    [
        (400, "context_length_exceeded", openai.BadRequestError, "context_length_exceeded"),
        (401, None, openai.InternalServerError, "upstream_credential_refused"),
        (403, None, openai.InternalServerError, "upstream_credential_refused"),
        (404, "model_not_found", openai.NotFoundError, None),
        (422, None, openai.UnprocessableEntityError, None),
        (429, None, openai.RateLimitError, "upstream_rate_limited"),
        (500, None, openai.InternalServerError, "upstream_fault"),
        (503, None, openai.InternalServerError, "upstream_overloaded"),
    ],
)
def test_the_sdk_raises_its_own_right_class(
    client: openai.OpenAI, fakes: Fakes, status: int, error: str | None, raised: type[openai.APIStatusError],
    code: str | None, stream: bool,
) -> None:  # fmt: skip
    """WIRE 13 and 14: OpenAI's envelope, real statuses, an upstream 401 is our 502."""
    fakes.openai.script(Step(status=status, error=error), model=f"error-{status}-{stream}")
    with pytest.raises(raised) as caught:
        client.chat.completions.create(
            model=f"openai/error-{status}-{stream}", messages=[{"role": "user", "content": "x"}], stream=stream
        )
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    if code is not None:
        assert caught.value.code == code


def test_retry_after_is_forwarded(client: openai.OpenAI, fakes: Fakes) -> None:
    """WIRE 15."""
    fakes.openai.script(Step(status=429, headers={"Retry-After": "7"}), model="limited")
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="openai/limited", messages=[{"role": "user", "content": "x"}])
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_wrong_key_is_401_and_a_missing_model_404(gate: Served, client: openai.OpenAI) -> None:
    """WIRE 14."""
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key="cmp-wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.models.list()
        assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="suport", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    assert "support" in missing.value.message


def test_an_unreachable_provider_is_502(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="nobody/x", messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_unreachable"


def test_models_are_listed(client: openai.OpenAI) -> None:
    """WIRE 25."""
    names = {m.id for m in client.models.list()}
    assert {"support", "think"} <= names
    assert client.models.retrieve("support").id == "support"


def test_a_route_answers_with_its_variants_defaults(client: openai.OpenAI, fakes: Fakes) -> None:
    client.chat.completions.create(model="support", messages=[{"role": "user", "content": "x"}])
    client.chat.completions.create(model="support", messages=[{"role": "user", "content": "x"}], temperature=0.9)
    seen = [s.json for s in fakes.openai.seen if s.json.get("model") == "support-a"]
    assert [s["temperature"] for s in seen[-2:]] == [0.3, 0.9]
