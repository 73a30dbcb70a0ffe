"""A target for prompt tests that answers by a plain function, and counts what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

from comporta.evaluation.base import Tools
from comporta.evaluation.composing import Version
from comporta.evaluation.reading_suite import load_suite_bytes
from comporta.evaluation.suite import Suite
from comporta.evaluation.targets import Sent
from comporta.pipeline import Call
from comporta.prompts.folder import load_bytes
from comporta.prompts.values import Guardrails
from comporta.types import JSON, Choice, Reply, ToolCall, Usage

Answers = Callable[[str, str], Any]


class Answering:
    """Asks `says(system, user)`: a text, a mapping (sent as JSON), a ToolCall, a Reply, or an error to raise."""

    def __init__(
        self, says: Answers, *, cost_microusd: int | None = 10, judges: Any = None, delay_s: float = 0
    ) -> None:
        self._says = says
        self._cost_microusd = cost_microusd
        self._judges = judges
        self._delay_s = delay_s
        self.asked: list[JSON] = []
        self.judged: list[Call] = []
        self.guardrails: list[Guardrails | None] = []
        self.most_at_once = 0
        self._at_once = 0

    async def send(self, body: JSON, timeout_s: float | None = None, guardrails: Guardrails | None = None) -> Sent:
        self.asked.append(body)
        self.guardrails.append(guardrails)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self._delay_s)
        self._at_once -= 1
        texts = {one["role"]: one["content"] for one in body["messages"]}
        said = self._says(texts.get("system", ""), texts.get("user", ""))
        if isinstance(said, Exception):
            raise said
        return Sent(reply(said), 0.25, self._cost_microusd, body["model"])

    async def ask(self, call: Call) -> Reply:
        self.judged.append(call)
        call.cost_microusd = 5
        said = self._judges(call) if callable(self._judges) else self._judges
        return reply(said)


def reply(said: Any) -> Reply:
    """A text, a mapping as JSON, or a tool call as a model's reply."""
    if isinstance(said, Reply):
        return said
    if isinstance(said, ToolCall):
        return Reply(choices=(Choice(0, tools=(said,), finish="tool_calls"),))
    text = said if isinstance(said, str) else json.dumps(said)
    return Reply(model="fake", choices=(Choice(0, text, finish="stop"),), usage=Usage(input=3, output=4))


def suite(text: str, name: str = "prompts/tests/support.yaml") -> Suite:
    """The suite of a file's text."""
    return load_suite_bytes(dedent(text).encode(), name)


def version(text: str = "", *, at: str = "1.0.0", system: str = "Help.", model: str | None = "m") -> Version:
    """A version of a prompt whose user says `message`."""
    head = f"id: support\nversion: {at}\nsystem_prompt: {system}\nuser_prompt_template: '{{message}}'\n"
    more = text or "variables: [message]\n"
    return Version(load_bytes((head + dedent(more)).encode(), "support.yaml", guards=True).get("support"), model=model)


def tools(target: Answering, folder: Path | None = None) -> Tools:
    return Tools(ask=target.ask, folder=folder)
