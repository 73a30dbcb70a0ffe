"""The body that each wire's fake streams for one rich answer, and the plain one, as bytes: what any cut is tried on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from msgspec import Struct

from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.openai_completions import OpenAICompletions
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Endpoint, Query, Wire
from comporta.providers.gemini import Gemini
from comporta.providers.ollama import Ollama
from comporta.providers.openai import OpenAI
from comporta.testing.upstream import Step, ToolAsk, fake_for
from comporta.types import JSON, Input, Message, Text, Usage

RICH = Step(
    text=("Açúcar ", "e ", "café ☕", "\n\ndata: {}\n\n", "fim."), reasoning="Hm, hm.",
    tools=(ToolAsk("f", '{"a": "é"}'), ToolAsk("g", '{"b": [1, 2]}')), usage=Usage(input=5, output=9, reasoning=2),
)  # fmt: skip
#: What a wire that knows neither tools nor thinking can say.
SIMPLE = Step(text=RICH.text, usage=Usage(input=5, output=9))
ASKED: JSON = {"model": "m", "messages": [{"role": "user", "content": "Olá"}]}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("f", "g")
]


class Spoken(Struct, frozen=True):
    """A wire, what was asked of it, and what its provider sent."""

    name: str
    wire: Wire
    query: Query
    body: bytes


def _input(door: Any, body: JSON) -> Input:
    found: Input = door.parse(json.dumps(body).encode(), {}).input
    return found


def _cases(stream: bool) -> list[tuple[str, str, Wire, Input, Step]]:
    chat = {**ASKED, "tools": TOOLS, "stream": stream}
    plain = Input(messages=(Message("user", (Text("Olá"),)),))
    tools = _input(OpenAIChat(), chat)
    foreign = tools.edit() if tools.raw is not None else tools
    two = _input(OpenAIChat(), {**ASKED, "n": 2, "stream": stream})
    completions = _input(OpenAICompletions(), {"model": "m", "prompt": "Olá", "stream": stream})
    texts = _input(OpenAICompletions(), {"model": "m", "prompt": "Olá", "n": 2, "stream": stream})
    responses = _input(OpenAIResponses(), {"model": "m", "input": "Olá", "stream": stream})
    return [
        ("openai chat", "openai", OpenAI(), tools, RICH),
        ("openai chat, two choices", "openai", OpenAI(), two, SIMPLE),
        ("openai completions", "openai", OpenAI(completions=True), completions, SIMPLE),
        ("openai completions, two choices", "openai", OpenAI(completions=True), texts, SIMPLE),
        ("openai responses", "openai", OpenAI(responses=True), responses, RICH),
        ("anthropic", "anthropic", Anthropic(), foreign, RICH),
        ("gemini", "gemini", Gemini(), foreign, RICH),
        ("ollama", "ollama", Ollama(), foreign, RICH),
        ("ollama, simple", "ollama", Ollama(), plain, SIMPLE),
    ]


async def _recorded(stream: bool) -> list[Spoken]:
    found = []
    async with aiohttp.ClientSession() as session:
        for name, fake, wire, asked, step in _cases(stream):
            async with fake_for(fake)(step) as server:
                base_url = server.url + ("/v1" if fake == "openai" else "")
                query = Query("chat", asked, "m", stream)
                request = wire.encode(query, Endpoint(fake, base_url, "test-key"))
                async with session.post(request.url, data=request.body, headers=request.headers) as response:
                    body = await response.read()
                    assert response.status == 200, (name, body)
            found.append(Spoken(name, wire, query, body))
    return found


def streams() -> list[Spoken]:
    """A streamed body of every wire."""
    return asyncio.run(_recorded(True))


def plains() -> list[Spoken]:
    """A plain body of every wire."""
    return asyncio.run(_recorded(False))
