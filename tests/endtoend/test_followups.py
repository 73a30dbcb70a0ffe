"""Conversations by id, by the official `openai` SDK through a running gate: native and translated providers."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from comporta.testing.upstream import Step, ToolAsk
from support.serving import Fakes, Served

WEATHER: openai.types.responses.FunctionToolParam = {
    "type": "function", "name": "weather", "description": "The weather in a city.", "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}  # fmt: skip


@pytest.fixture
def client(gate: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "ollama"])
def test_a_conversation_goes_on_by_id_at_every_provider(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    """WIRE 27."""
    fake, model = getattr(fakes, provider), "followed"
    fake.script(Step(text="Olá, Ana."), Step(text="Ana."), model=model)
    first = client.responses.create(model=f"{provider}/{model}", input="I am Ana.", instructions="Be brief.")
    second = client.responses.create(
        model=f"{provider}/{model}", input="Who am I?", previous_response_id=first.id, stream=False
    )
    assert second.output_text == "Ana." and second.previous_response_id == first.id
    sent = fake.seen[-1]
    if provider == "openai":
        assert sent.json["previous_response_id"] == first.id
    else:
        body = sent.body.decode()
        places = [body.index(text) for text in ("I am Ana.", "Ana.", "Who am I?")]
        assert places == sorted(places) and "Be brief." not in body
        assert first.model_dump()["store"] is True


def test_a_streamed_conversation_with_tools_goes_on_by_id(client: openai.OpenAI, fakes: Fakes) -> None:
    """WIRE 27."""
    fakes.anthropic.script(
        Step(text="", tools=(ToolAsk("weather", '{"city": "Faro"}'),)), Step(text="Sunny in Faro."), model="follow-tool"
    )
    with client.responses.stream(model="anthropic/follow-tool", input="Weather?", tools=[WEATHER]) as events:
        first = events.get_final_response()
    call = next(item for item in first.output if item.type == "function_call")
    with client.responses.stream(
        model="anthropic/follow-tool", tools=[WEATHER], previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "21 °C"}],
    ) as events:  # fmt: skip
        second = events.get_final_response()
    assert second.output_text == "Sunny in Faro."
    assert [m["role"] for m in fakes.anthropic.seen[-1].json["messages"]] == ["user", "assistant", "user"]


def test_a_kept_response_is_retrieved_listed_and_deleted(client: openai.OpenAI, fakes: Fakes) -> None:
    fakes.anthropic.script(Step(text="Kept."), model="follow-kept")
    given = client.responses.create(model="anthropic/follow-kept", input="Keep this.")
    assert client.responses.retrieve(given.id).output_text == "Kept."
    [item] = client.responses.input_items.list(given.id)
    assert item.type == "message" and item.role == "user"
    client.responses.delete(given.id)
    with pytest.raises(openai.NotFoundError) as gone:
        client.responses.retrieve(given.id)
    assert gone.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="anthropic/follow-kept", input="On.", previous_response_id=given.id)


def test_a_followup_where_content_is_not_kept_says_why(client: openai.OpenAI, fakes: Fakes) -> None:
    first = client.responses.create(model="hashed", input="Hello.")
    again = client.responses.create(model="hashed", input="On.", previous_response_id=first.id)
    assert again.previous_response_id == first.id, "what its own provider keeps is not the gate's to keep"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="hashed", input="On.", previous_response_id="resp_never")


def test_other_methods_are_told_what_there_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as failure:
        client.put("/responses/resp_1", cast_to=object)
    assert failure.value.status_code == 405
    assert failure.value.response.headers["allow"] == "GET, DELETE"
