"""The fake of Anthropic satisfies the official SDK, and refuses what the real API refuses."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import pytest

from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Usage

PIXEL = base64.b64encode(b"\x89PNG not really").decode()
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def sdk(fake: FakeAnthropic) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=fake.url, api_key="sk-ant-test", max_retries=0) as client:
        yield client


async def test_the_sdk_reads_a_plain_answer(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    fake.script(Step(text="Good day.", usage=Usage(input=10, cached=4, output=3)))
    message = await sdk.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=HELLO)
    assert message.content[0].type == "text" and message.content[0].text == "Good day."
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (10, 4)


async def test_the_sdk_reads_a_streamed_answer(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    fake.script(Step(text="One two three."))
    async with sdk.messages.stream(model="claude-haiku-4-5", max_tokens=50, messages=HELLO) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert texts == ["One ", "two ", "three."]
    assert message.stop_reason == "end_turn" and message.usage.output_tokens == 3


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_sdk_reads_tool_calls(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic, streamed: bool) -> None:
    fake.script(Step(text="Let me see.", tools=(ToolAsk("weather", '{"city": "Porto"}', "toolu_1"),)))
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO, "tools": [WEATHER]}
    if streamed:
        async with sdk.messages.stream(**asked) as stream:
            message: Any = await stream.get_final_message()
    else:
        message = await sdk.messages.create(**asked)
    call = message.content[1]
    assert (call.type, call.id, call.name, call.input) == ("tool_use", "toolu_1", "weather", {"city": "Porto"})
    assert message.stop_reason == "tool_use"


async def test_the_sdk_sends_images_and_tool_results(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages: Any = [
        {"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}]},
    ]
    message = await sdk.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=messages, tools=[WEATHER])
    assert message.type == "message"


async def test_the_sdk_reads_thinking(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    fake.script(Step(text="42.", reasoning="Six times seven."))
    async with sdk.messages.stream(
        model="claude-haiku-4-5", max_tokens=4000, messages=HELLO, thinking={"type": "enabled", "budget_tokens": 2000}
    ) as stream:
        message = await stream.get_final_message()
    thought = message.content[0]
    assert thought.type == "thinking" and thought.thinking == "Six times seven." and thought.signature
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 3


async def test_the_sdk_asks_for_structured_output(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    fake.script(Step(text='{"n": 1}'))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    message = await sdk.messages.create(
        model="claude-haiku-4-5",
        max_tokens=50,
        messages=HELLO,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].type == "text" and message.content[0].text == '{"n": 1}'


async def test_the_sdk_counts_tokens_and_lists_models(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    fake.script(Step(usage=Usage(input=17)))
    counted = await sdk.messages.count_tokens(model="claude-haiku-4-5", messages=HELLO)
    assert counted.input_tokens == 17
    assert "claude-haiku-4-5" in [model.id async for model in sdk.models.list()]
    with pytest.raises(anthropic.NotFoundError):
        await sdk.models.retrieve("claude-1")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
async def test_the_sdk_raises_its_own_error(
    fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    fake.script(Step(status=status))
    with pytest.raises(error) as raised:
        await sdk.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=HELLO)
    assert raised.value.status_code == status


async def test_the_sdk_sees_an_error_inside_a_stream(fake: FakeAnthropic, sdk: anthropic.AsyncAnthropic) -> None:
    fake.script(Step(text="One two three.", error_after=4))
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        async with sdk.messages.stream(model="claude-haiku-4-5", max_tokens=50, messages=HELLO) as stream:
            await stream.get_final_message()


SCHEMA_OPEN = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
TOOL_USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "first message"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "So: "}]}, "trailing whitespace"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "text"),
        ({"messages": [*HELLO, {"role": "assistant", "content": [{**TOOL_USE, "input": "{}"}]}]}, "input"),
        ({"messages": [*HELLO, {"role": "assistant", "content": [TOOL_USE]}, *HELLO]}, "without tool_result"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}]},
            "unexpected tool_use_id",
        ),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both"),
        ({"stop_sequences": ["\n"]}, "stop_sequences"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "budget_tokens"),
        ({"output_config": SCHEMA_OPEN}, "additionalProperties"),
        ({"system": ""}, "system"),
        ({"model": "claude-opus-4-8", "temperature": 0.5}, "deprecated"),
        (
            {"model": "claude-opus-5", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "thinking.type.enabled",
        ),
    ],
)
async def test_it_refuses_what_the_real_one_refuses(fake: FakeAnthropic, change: dict[str, Any], says: str) -> None:
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO} | change
    body = {name: value for name, value in body.items() if value is not None}
    status, answer = await _post(fake, body, {"anthropic-version": "2023-06-01", "x-api-key": "k"})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert says in answer["error"]["message"]


async def test_the_newer_version_of_the_api_knows_no_sampling(fake: FakeAnthropic) -> None:
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO, "temperature": 0.5}
    assert (await _post(fake, body, {"anthropic-version": "2023-06-01", "x-api-key": "k"}))[0] == 200
    assert (await _post(fake, body, {"anthropic-version": "2026-10-21", "x-api-key": "k"}))[0] == 400


async def test_it_wants_a_version_and_a_key(fake: FakeAnthropic) -> None:
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO}
    assert (await _post(fake, body, {"x-api-key": "k"}))[0] == 400
    assert (await _post(fake, body, {"anthropic-version": "2023-06-01"}))[0] == 401


async def _post(fake: FakeAnthropic, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{fake.url}/v1/messages", json=body, headers=headers) as response,
    ):
        return response.status, await response.json()
