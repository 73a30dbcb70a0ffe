"""LangChain's `ChatOpenAI` through the gate."""

from __future__ import annotations

import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Usage
from support.serving import Fakes, Served


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class City(BaseModel):
    """A city."""

    name: str
    people: int


def chat(gate: Served, model: str) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=f"{gate.url}/v1", api_key=SecretStr(gate.key), max_retries=0)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_plain_streamed_tools_and_structured(gate: Served, fakes: Fakes, provider: str) -> None:
    fake = getattr(fakes, provider)
    fake.script(
        Step(text="Olá."),
        Step(text="uma resposta em pedaços", usage=Usage(input=3, output=4)),
        Step(text="", tools=(ToolAsk("weather", '{"city": "Faro"}'),)),
        Step(text='{"name": "Faro", "people": 67000}'),
        model="lc",
    )
    model = chat(gate, f"{provider}/lc")
    assert model.invoke("Say hello.").content == "Olá."
    assert "".join(str(c.content) for c in model.stream("Say more.")) == "uma resposta em pedaços"
    asked = model.bind_tools([weather]).invoke("Weather in Faro?")
    assert [(c["name"], c["args"]) for c in getattr(asked, "tool_calls", [])] == [("weather", {"city": "Faro"})]
    found = model.with_structured_output(City, method="json_schema").invoke("A city.")
    assert found == City(name="Faro", people=67000)
