"""The fake OpenAI satisfies OpenAI's own SDK, pointed straight at it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from comporta.testing.fake_openai import FakeOpenAI, vector_of
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Usage

ASK: Any = [{"role": "user", "content": "What is a sluice?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(key="sk-fake") as server:
        yield server


@pytest.fixture
async def client(fake: FakeOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=fake.base_url, api_key="sk-fake", max_retries=0) as sdk:
        yield sdk


async def test_a_plain_chat_is_answered(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Step(text="A gate.", reasoning="Hm.", usage=Usage(input=5, cached=4, output=2, reasoning=3)))
    reply = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert reply.choices[0].message.content == "A gate."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None and reply.usage.prompt_tokens == 9 and reply.usage.completion_tokens == 5
    assert reply.usage.prompt_tokens_details is not None and reply.usage.prompt_tokens_details.cached_tokens == 4
    assert fake.seen[0].json["messages"] == ASK


async def test_a_streamed_chat_gives_its_tokens_and_usage_only_when_asked(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    fake.script(Step(text=("A ", "gate.")), Step(text=("A ", "gate.")))
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
    chunks = [chunk async for chunk in stream]
    assert [c.choices[0].delta.content for c in chunks] == ["", "A ", "gate.", None]
    assert chunks[-1].choices[0].finish_reason == "stop"
    counted = await client.chat.completions.create(
        model="gpt-4o-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    last = [chunk async for chunk in counted][-1]
    assert last.choices == [] and last.usage is not None and last.usage.completion_tokens == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_come_whole_and_in_pieces(fake: FakeOpenAI, client: AsyncOpenAI, stream: bool) -> None:
    """WIRE 11"""
    arguments = '{"city":"Comporta"}'
    fake.script(Step(tools=(ToolAsk("weather", arguments), ToolAsk("weather", "{}"))))
    if stream:
        async with client.chat.completions.stream(model="gpt-4o-mini", messages=ASK, tools=TOOLS) as events:
            reply: Any = await events.get_final_completion()
    else:
        reply = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK, tools=TOOLS)
    assert reply.choices[0].finish_reason == "tool_calls"
    calls = reply.choices[0].message.tool_calls
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("call_fake0", "weather", arguments),
        ("call_fake1", "weather", "{}"),
    ]


async def test_structured_output_is_parsed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    class City(BaseModel):
        name: str

    fake.script(Step(text='{"name": "Comporta"}'))
    reply = await client.chat.completions.parse(model="gpt-4o-mini", messages=ASK, response_format=City)
    assert reply.choices[0].message.parsed == City(name="Comporta")
    assert fake.seen[0].json["response_format"]["type"] == "json_schema"


async def test_images_are_accepted_and_broken_ones_refused(client: AsyncOpenAI) -> None:
    def ask(url: str) -> Any:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    for url in ("https://example.com/a.png", "data:image/png;base64,AAAA"):
        reply = await client.chat.completions.create(model="gpt-4o-mini", messages=ask(url))
        assert reply.choices[0].message.content
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="gpt-4o-mini", messages=ask("file:///etc/passwd"))


async def test_several_choices_and_logprobs_are_given(client: AsyncOpenAI) -> None:
    """WIRE 12"""
    stream = await client.chat.completions.create(model="m", messages=ASK, n=2, logprobs=True, stream=True)
    texts = {0: "", 1: ""}
    seen = 0
    async for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        seen += len((choice.logprobs.content or []) if choice.logprobs else [])
    assert texts[0] == texts[1] == "Hello there, my friend."
    assert seen == 8


async def test_a_refusal_is_given(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Step(refusal="I will not."))
    reply = await client.chat.completions.create(model="m", messages=ASK)
    assert (reply.choices[0].message.content, reply.choices[0].message.refusal) == (None, "I will not.")


@pytest.mark.parametrize("encoding", ["float", "base64", None])
async def test_embeddings_come_in_order_in_either_form(client: AsyncOpenAI, encoding: Any) -> None:
    """WIRE 24"""
    more = {} if encoding is None else {"encoding_format": encoding}
    reply = await client.embeddings.create(model="e", input=["one", "two"], dimensions=16, **more)
    for text, row in zip(("one", "two"), reply.data, strict=True):
        vector: Any = row.embedding
        if encoding == "base64":
            assert isinstance(vector, str)
        else:
            assert vector == pytest.approx(vector_of(text, 16), abs=1e-6)


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    assert [m.id async for m in client.models.list()] == ["gpt-4o-mini", "text-embedding-3-small"]


async def test_text_completions_are_answered(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Step(text="a gate"), Step(text="a gate"))
    reply = await client.completions.create(model="m", prompt="A sluice is")
    assert reply.choices[0].text == "a gate"
    stream = await client.completions.create(model="m", prompt="A sluice is", stream=True)
    assert "".join([c.choices[0].text async for c in stream]) == "a gate"


async def test_responses_are_answered(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Step(text="A gate.", reasoning="Hm."), Step(tools=(ToolAsk("weather", '{"a": 1}'),)))
    reply = await client.responses.create(model="m", input="What is a sluice?")
    assert (reply.status, reply.output_text) == ("completed", "A gate.")
    called = await client.responses.create(model="m", input="And the weather?")
    assert called.output[0].type == "function_call" and called.output[0].arguments == '{"a": 1}'


async def test_responses_stream_their_events(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    step = Step(text="A gate.", reasoning="Hm.", tools=())
    fake.script(step, Step(tools=(ToolAsk("weather", '{"a": 1}'),)), Step(text="A", finish="length"))
    for expected in ("completed", "completed", "incomplete"):
        async with client.responses.stream(model="m", input="Q") as events:
            kinds = [event.type async for event in events]
        assert kinds[0] == "response.created" and kinds[-1] == f"response.{expected}"
    async with client.responses.stream(model="m", input="Q") as events:
        async for event in events:
            if event.type == "response.completed":
                assert event.response.output_text == "Hello there, my friend."


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Step(status=400), openai.BadRequestError),
        (Step(status=401), openai.AuthenticationError),
        (Step(status=403), openai.PermissionDeniedError),
        (Step(status=404), openai.NotFoundError),
        (Step(status=409), openai.ConflictError),
        (Step(status=422), openai.UnprocessableEntityError),
        (Step(status=429), openai.RateLimitError),
        (Step(status=500), openai.InternalServerError),
        (Step(status=503), openai.InternalServerError),
        (Step(drop=True), openai.APIConnectionError),
        (Step(delay_s=5), openai.APITimeoutError),
    ],
)
async def test_each_failure_raises_the_sdks_own_class(
    fake: FakeOpenAI, client: AsyncOpenAI, step: Step, error: type[Exception]
) -> None:
    fake.script(step)
    with pytest.raises(error):
        await client.chat.completions.create(model="m", messages=ASK, timeout=0.2)


async def test_an_error_in_mid_stream_raises_and_a_cut_breaks_the_connection(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    """WIRE 1, 3"""
    fake.script(Step(error_after=2), Step(cut_after=2))
    with pytest.raises(openai.APIError, match="scripted failure"):
        async for _ in await client.chat.completions.create(model="m", messages=ASK, stream=True):
            pass
    with pytest.raises(openai.APIConnectionError):
        async for _ in await client.chat.completions.create(model="m", messages=ASK, stream=True):
            pass


async def test_a_slow_script_takes_its_time(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Step(text=("a", "b"), delay_s=0.05, first_delay_s=0.05, token_delay_s=0.05))
    began_s = time.monotonic()
    stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
    assert time.monotonic() - began_s >= 0.05
    assert len([c async for c in stream]) == 4
    assert time.monotonic() - began_s >= 0.25


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ASK, "stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": ASK, "top_k": 4}, "top_k"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
    ],
)
async def test_what_openai_refuses_the_fake_refuses_with_the_field(body: dict[str, Any], param: str) -> None:
    async with FakeOpenAI(strict=True) as fake, AsyncOpenAI(base_url=fake.base_url, api_key="k") as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.post("/chat/completions", body={"model": "m", **body}, cast_to=object)
        assert caught.value.param == param


async def test_a_wrong_key_is_refused(fake: FakeOpenAI) -> None:
    async with AsyncOpenAI(base_url=fake.base_url, api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
