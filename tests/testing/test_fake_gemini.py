"""The fake of Gemini satisfies the official SDK, and refuses what the real API refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types

from comporta.testing.fake_gemini import FakeGemini
from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Usage

#: The SDK subclasses aiohttp's session, which aiohttp discourages: nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
FLASH = "gemini-2.5-flash"


@pytest.fixture
async def fake() -> AsyncIterator[FakeGemini]:
    async with FakeGemini() as server:
        yield server


@pytest.fixture
async def sdk(fake: FakeGemini) -> AsyncIterator[Any]:
    client = genai.Client(api_key="AIza-test", http_options=types.HttpOptions(base_url=fake.url))
    async with client.aio as opened:
        yield opened
    client.close()


async def test_the_sdk_reads_a_plain_answer(fake: FakeGemini, sdk: Any) -> None:
    fake.script(Step(text="Good day.", usage=Usage(input=10, cached=4, output=3)))
    answer = await sdk.models.generate_content(model=FLASH, contents="Hello")
    assert answer.text == "Good day."
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.prompt_token_count == 14
    assert answer.usage_metadata.cached_content_token_count == 4


async def test_the_sdk_reads_a_streamed_answer(fake: FakeGemini, sdk: Any) -> None:
    fake.script(Step(text="One two three."))
    stream = await sdk.models.generate_content_stream(model=FLASH, contents="Hello")
    chunks = [chunk async for chunk in stream]
    assert [chunk.text for chunk in chunks] == ["One ", "two ", "three."]
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_sdk_reads_tool_calls(fake: FakeGemini, sdk: Any, streamed: bool) -> None:
    fake.script(Step(tools=(ToolAsk("weather", '{"city": "Porto"}'),)))
    declared = types.FunctionDeclaration(
        name="weather", parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}}
    )
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    if streamed:
        stream = await sdk.models.generate_content_stream(model=FLASH, contents="Weather?", config=config)
        calls = [call async for chunk in stream for call in chunk.function_calls or ()]
    else:
        answer = await sdk.models.generate_content(model=FLASH, contents="Weather?", config=config)
        calls = answer.function_calls
    assert [(call.name, call.args) for call in calls] == [("weather", {"city": "Porto"})]


async def test_the_sdk_sends_images_and_function_responses(fake: FakeGemini, sdk: Any) -> None:
    contents = [
        types.Content(role="user", parts=[types.Part.from_bytes(data=b"png", mime_type="image/png")]),
        types.Content(role="model", parts=[types.Part.from_function_call(name="weather", args={})]),
        types.Content(role="user", parts=[types.Part.from_function_response(name="weather", response={"a": 1})]),
    ]
    assert (await sdk.models.generate_content(model=FLASH, contents=contents)).text


async def test_the_sdk_reads_thoughts_apart_from_text(fake: FakeGemini, sdk: Any) -> None:
    fake.script(Step(text="42.", reasoning="Six times seven."))
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    )
    answer = await sdk.models.generate_content(model=FLASH, contents="6*7", config=config)
    assert answer.text == "42."
    assert answer.candidates[0].content.parts[0].thought is True
    assert answer.usage_metadata.thoughts_token_count == 3


async def test_the_sdk_asks_for_structured_output(fake: FakeGemini, sdk: Any) -> None:
    fake.script(Step(text='{"n": 1}'))
    config = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_json_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
        system_instruction="Be brief.",
        temperature=0.1,
    )
    answer = await sdk.models.generate_content(model=FLASH, contents="n?", config=config)
    assert answer.text == '{"n": 1}'


async def test_the_sdk_embeds_counts_and_lists(fake: FakeGemini, sdk: Any) -> None:
    config = types.EmbedContentConfig(output_dimensionality=4)
    embedded = await sdk.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=config)
    assert [len(vector.values) for vector in embedded.embeddings] == [4, 4]
    assert embedded.embeddings[0].values != embedded.embeddings[1].values
    fake.script(Step(usage=Usage(input=17)))
    assert (await sdk.models.count_tokens(model=FLASH, contents="Hello")).total_tokens == 17
    assert "models/gemini-2.5-flash" in [model.name async for model in await sdk.models.list()]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, errors.ClientError), (403, errors.ClientError), (404, errors.ClientError), (429, errors.ClientError),
     (500, errors.ServerError), (503, errors.ServerError)],
)  # fmt: skip
async def test_the_sdk_raises_its_own_error(
    fake: FakeGemini, sdk: Any, status: int, error: type[errors.APIError]
) -> None:
    fake.default = Step(status=status)
    with pytest.raises(error) as raised:
        await sdk.models.generate_content(model=FLASH, contents="Hello")
    assert raised.value.code == status


CALL: Any = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]}
USER: Any = {"role": "user", "parts": [{"text": "Hello"}]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_tokens": 5}, "maxTokens"),
        ({"contents": []}, "contents"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "role"),
        ({"contents": [{"role": "user", "parts": [{"text": "a", "inlineData": {}}]}]}, "exactly one"),
        ({"contents": [USER, CALL, USER]}, "function responses"),
        ({"generationConfig": {"max_tokens": 5}}, "maxTokens"),
        ({"generationConfig": {"temperature": None}}, "temperature"),
        ({"generationConfig": {"responseJsonSchema": {}}}, "responseMimeType"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "Thinking level"),
        ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "any"}}}, "mode"),
    ],
)
async def test_it_refuses_what_the_real_one_refuses(fake: FakeGemini, change: dict[str, Any], says: str) -> None:
    status, answer = await _post(fake, {"contents": [USER]} | change, f"models/{FLASH}:generateContent")
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert says in answer["error"]["message"]


async def test_it_wants_signed_calls_from_models_that_check_them(fake: FakeGemini) -> None:
    answer: Any = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {}}}]}
    body = {"contents": [USER, CALL, answer]}
    assert (await _post(fake, body, f"models/{FLASH}:generateContent"))[0] == 200
    status, said = await _post(fake, body, "models/gemini-3-pro:generateContent")
    assert status == 400 and "thought_signature" in said["error"]["message"]


async def test_it_refuses_a_key_in_the_url(fake: FakeGemini) -> None:
    assert (await _post(fake, {"contents": [USER]}, f"models/{FLASH}:generateContent?key=AIza"))[0] == 400


async def _post(fake: FakeGemini, body: Any, path: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{fake.url}/v1beta/{path}", json=body, headers={"x-goog-api-key": "k"}) as response,
    ):
        return response.status, await response.json()
