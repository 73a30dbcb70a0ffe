"""The official `anthropic` SDK through the gate, any provider behind it."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from comporta.testing.upstream import FakeUpstream, Step, ToolAsk
from comporta.types import Usage
from support.serving import Fakes, Served

PROVIDERS = ("anthropic", "openai", "gemini", "ollama")
TOOL: anthropic.types.ToolParam = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(gate: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as client:
        yield client


def fake_of(fakes: Fakes, provider: str) -> FakeUpstream:
    fake: FakeUpstream = getattr(fakes, provider)
    return fake


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_plain_message_is_answered(client: anthropic.Anthropic, fakes: Fakes, provider: str) -> None:
    fake_of(fakes, provider).script(Step(text="Olá!", usage=Usage(input=9, output=3)), model="am-plain")
    reply = client.messages.create(
        model=f"{provider}/am-plain", max_tokens=64, system="Be brief.", messages=[{"role": "user", "content": "Hi"}]
    )
    assert reply.content[0].type == "text" and reply.content[0].text == "Olá!"
    assert reply.role == "assistant" and reply.stop_reason == "end_turn"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (9, 3)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_streamed_message_has_the_same_text_and_its_usage(
    client: anthropic.Anthropic, fakes: Fakes, provider: str
) -> None:
    """WIRE 26: message_start … message_delta with usage."""
    fake_of(fakes, provider).script(
        Step(text="um dois três", usage=Usage(input=9, output=3), split_bytes=11), model="am-stream"
    )
    with client.messages.stream(
        model=f"{provider}/am-stream", max_tokens=64, messages=[{"role": "user", "content": "Count"}]
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "um dois três"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_tool_use_has_an_object_as_input(
    client: anthropic.Anthropic, fakes: Fakes, provider: str, stream: bool
) -> None:
    """WIRE 26 and 11."""
    model = f"am-tools-{stream}"
    fake_of(fakes, provider).script(
        Step(
            text="Let me look.", tools=(ToolAsk("weather", '{"city": "Faro"}'), ToolAsk("weather", '{"city": "Beja"}'))
        ),
        model=model,
    )
    if stream:
        with client.messages.stream(
            model=f"{provider}/{model}", max_tokens=64, tools=[TOOL], messages=[{"role": "user", "content": "?"}]
        ) as events:
            reply: anthropic.types.Message = events.get_final_message()
    else:
        reply = client.messages.create(
            model=f"{provider}/{model}", max_tokens=64, tools=[TOOL], messages=[{"role": "user", "content": "?"}]
        )
    uses = [block for block in reply.content if block.type == "tool_use"]
    assert [u.input for u in uses] == [{"city": "Faro"}, {"city": "Beja"}]
    assert reply.stop_reason == "tool_use"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_tool_results_go_back(client: anthropic.Anthropic, fakes: Fakes, provider: str) -> None:
    fake_of(fakes, provider).script(Step(text="Sunny."), model="am-results")
    reply = client.messages.create(
        model=f"{provider}/am-results",
        max_tokens=64,
        tools=[TOOL],
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Faro"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "31 degrees"}]},
        ],
    )  # fmt: skip
    assert reply.content[0].type == "text" and reply.content[0].text == "Sunny."


def test_cache_control_version_and_beta_travel(client: anthropic.Anthropic, fakes: Fakes) -> None:
    """WIRE 26."""
    client.messages.create(
        model="anthropic/am-cache",
        max_tokens=64,
        system=[{"type": "text", "text": "Long rules.", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": "Hi"}],
        extra_headers={"anthropic-beta": "files-api-2025-04-14"},
    )
    seen = next(s for s in reversed(fakes.anthropic.seen) if s.json.get("model") == "am-cache")
    assert seen.json["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert seen.headers["anthropic-beta"] == "files-api-2025-04-14"
    assert seen.headers["anthropic-version"]
    assert seen.headers["x-api-key"].startswith("sk-ant-planted")


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini"])
def test_tokens_are_counted(client: anthropic.Anthropic, provider: str) -> None:
    counted = client.messages.count_tokens(
        model=f"{provider}/am-count", messages=[{"role": "user", "content": "How many tokens is this?"}]
    )
    assert counted.input_tokens > 0


def test_thinking_comes_back_with_its_signature(client: anthropic.Anthropic, fakes: Fakes) -> None:
    fakes.anthropic.script(Step(reasoning="Let me think.", text="Done."), model="am-think")
    reply = client.messages.create(
        model="anthropic/am-think", max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": "Hi"}],
    )  # fmt: skip
    kinds = [block.type for block in reply.content]
    assert kinds == ["thinking", "text"]


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.InternalServerError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
    ],
)
def test_the_sdk_raises_its_own_right_class(
    client: anthropic.Anthropic, fakes: Fakes, status: int, raised: type[anthropic.APIStatusError]
) -> None:
    """WIRE 13: Anthropic's envelope for Anthropic's clients."""
    fakes.openai.script(Step(status=status), model=f"am-error-{status}")
    with pytest.raises(raised) as caught:
        client.messages.create(
            model=f"openai/am-error-{status}", max_tokens=64, messages=[{"role": "user", "content": "Hi"}]
        )
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"
    assert set(caught.value.body["error"]) >= {"type", "message"}


def test_a_failure_in_mid_stream_is_an_error_event(client: anthropic.Anthropic, fakes: Fakes) -> None:
    """WIRE 1."""
    fakes.openai.script(Step(text="one two three four", cut_after=3), model="am-cut")
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(
            model="openai/am-cut", max_tokens=64, messages=[{"role": "user", "content": "Count"}]
        ) as stream,
    ):
        for _ in stream:
            pass


def test_models_are_listed_in_anthropics_shape(client: anthropic.Anthropic) -> None:
    assert "support" in {m.id for m in client.models.list()}


async def test_the_async_client_works(gate: Served, fakes: Fakes) -> None:
    fakes.gemini.script(Step(text="pela porta"), model="am-async")
    async with (
        anthropic.AsyncAnthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as client,
        client.messages.stream(
            model="gemini/am-async", max_tokens=64, messages=[{"role": "user", "content": "x"}]
        ) as stream,
    ):
        assert await stream.get_final_text() == "pela porta"
