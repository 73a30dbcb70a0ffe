"""The fake of Ollama satisfies the official client, and refuses what the real server refuses."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ollama
import pytest

from comporta.testing.fake_ollama import FakeOllama
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Usage

LLAMA = "llama3.2:3b"
HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as server:
        yield server


@pytest.fixture
async def sdk(fake: FakeOllama) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=fake.url) as client:
        yield client


async def test_the_client_reads_a_plain_answer(fake: FakeOllama, sdk: ollama.AsyncClient) -> None:
    fake.script(Step(text="Good day.", usage=Usage(input=10, output=3)))
    answer = await sdk.chat(LLAMA, HELLO, options={"temperature": 0.1, "num_predict": 20, "stop": ["x"]})
    assert answer.message.content == "Good day."
    assert (answer.done, answer.done_reason, answer.prompt_eval_count, answer.eval_count) == (True, "stop", 10, 3)


async def test_the_client_reads_a_streamed_answer(fake: FakeOllama, sdk: ollama.AsyncClient) -> None:
    fake.script(Step(text="One two three."))
    lines = [line async for line in await sdk.chat(LLAMA, HELLO, stream=True)]
    assert [line.message.content for line in lines] == ["One ", "two ", "three.", ""]
    assert [line.done for line in lines] == [False, False, False, True]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_client_reads_tool_calls(fake: FakeOllama, sdk: ollama.AsyncClient, streamed: bool) -> None:
    fake.script(Step(tools=(ToolAsk("weather", '{"city": "Porto"}'),)))
    if streamed:
        lines = [line async for line in await sdk.chat(LLAMA, HELLO, tools=[WEATHER], stream=True)]
    else:
        lines = [await sdk.chat(LLAMA, HELLO, tools=[WEATHER])]
    calls = [call.function for line in lines for call in line.message.tool_calls or ()]
    assert [(call.name, dict(call.arguments)) for call in calls] == [("weather", {"city": "Porto"})]


async def test_the_client_sends_images_results_and_thinks(fake: FakeOllama, sdk: ollama.AsyncClient) -> None:
    fake.script(Step(text="A cat.", reasoning="It has whiskers."))
    messages: Any = [
        {"role": "user", "content": "What?", "images": [base64.b64encode(b"png").decode()]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {}}}]},
        {"role": "tool", "content": "Sun", "tool_name": "weather"},
    ]
    answer = await sdk.chat(LLAMA, messages, think=True, format={"type": "object"})
    assert (answer.message.content, answer.message.thinking) == ("A cat.", "It has whiskers.")


async def test_the_client_embeds_and_lists(fake: FakeOllama, sdk: ollama.AsyncClient) -> None:
    embedded = await sdk.embed("nomic-embed-text", ["a", "b"], dimensions=4)
    assert [len(vector) for vector in embedded.embeddings] == [4, 4]
    assert LLAMA in [model.model for model in (await sdk.list()).models]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_the_client_raises_its_own_error(fake: FakeOllama, sdk: ollama.AsyncClient, status: int) -> None:
    fake.script(Step(status=status))
    with pytest.raises(ollama.ResponseError) as raised:
        await sdk.chat(LLAMA, HELLO)
    assert raised.value.status_code == status


async def test_the_client_is_told_of_models_that_are_not_pulled(fake: FakeOllama, sdk: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="not found") as raised:
        await sdk.chat("missing:1b", HELLO)
    assert raised.value.status_code == 404


async def test_the_client_sees_an_error_inside_a_stream(fake: FakeOllama, sdk: ollama.AsyncClient) -> None:
    fake.script(Step(text="One two three.", error_after=1))
    with pytest.raises(ollama.ResponseError, match="scripted failure"):
        async for _ in await sdk.chat(LLAMA, HELLO, stream=True):
            pass


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_tokens": 5}, "max_tokens"),
        ({"messages": [{"role": "developer", "content": "a"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "content"),
        ({"messages": [{"role": "user", "content": "a", "images": ["data:image/png;base64,AAAA"]}]}, "base64"),
        ({"messages": [{"role": "user", "content": "a", "images": ["https://example.org/a.png"]}]}, "base64"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]}]},
            "arguments",
        ),
        ({"options": {"max_tokens": 5}}, "max_tokens"),
        ({"options": {"num_predict": 1.5}}, "num_predict"),
        ({"format": {"type": "object"}, "think": "extreme"}, "think"),
        ({"tools": [{"name": "weather"}]}, "type"),
    ],
)
async def test_it_refuses_what_the_real_one_refuses(fake: FakeOllama, change: dict[str, Any], says: str) -> None:
    body = {"model": LLAMA, "messages": HELLO} | change
    async with aiohttp.ClientSession() as session, session.post(f"{fake.url}/api/chat", json=body) as response:
        answer = await response.json()
    assert response.status == 400
    assert says in answer["error"]
