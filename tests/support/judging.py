"""A judge that answers by script, and what tests of assertions write them with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from textwrap import dedent
from typing import Any

import pytest

from comporta.config.parsing import parse
from comporta.config.tree import Node
from comporta.errors import ComportaError, ConfigError
from comporta.evaluation.assertions import assertion, read_assertions
from comporta.evaluation.base import Answer, Assertion, JudgeModel, Outcome, Tools
from comporta.pipeline import Call
from comporta.prompts.reading import Reading
from comporta.types import Choice, Reply, ToolCall

Said = str | dict[str, Any] | ComportaError


class ScriptedJudge:
    """Answers one after another, or by a function of the call; keeps every call that was made."""

    def __init__(self, said: Iterable[Said] | Callable[[Call], Said], cost_microusd: int | None = 100) -> None:
        self._said = said if callable(said) else iter(said)
        self._cost_microusd = cost_microusd
        self.calls: list[Call] = []

    async def ask(self, call: Call) -> Reply:
        self.calls.append(call)
        said = self._said(call) if callable(self._said) else next(self._said)
        if isinstance(said, ComportaError):
            raise said
        call.cost_microusd = self._cost_microusd
        text = said if isinstance(said, str) else json.dumps(said)
        return Reply(choices=(Choice(0, text, finish="stop"),))

    def tools(self, repeats: int = 1) -> Tools:
        return Tools(ask=self.ask, judge=JudgeModel("judge-model", repeats))


def texts_of(call: Call) -> list[str]:
    """What a judge was told, message by message."""
    return [message.text for message in call.input.messages]


def answer(output: str = "", **more: Any) -> Answer:
    return Answer(**{"input": "Where is my order?", "output": output, **more})


def called(name: str, **arguments: Any) -> ToolCall:
    return ToolCall("call_1", name, json.dumps(arguments))


async def outcome(
    kind: str, value: Any, output: str | Answer = "", tools: Tools | None = None, **options: Any
) -> Outcome:
    """What comes of one assertion on one answer."""
    given = output if isinstance(output, Answer) else answer(output)
    return await assertion(kind, value, **options)(given, tools or Tools())


async def passes(kind: str, value: Any, output: str | Answer, **options: Any) -> bool:
    found = await outcome(kind, value, output, **options)
    assert found.error is None and found.passed is not None and found.reason, found
    return found.passed


async def error(kind: str, value: Any, output: str | Answer = "", tools: Tools | None = None, **options: Any) -> str:
    """Why an assertion could not be judged."""
    found = await outcome(kind, value, output, tools, **options)
    assert found.error is not None and found.passed is None, found
    return found.error


def tree(text: str) -> Node:
    found, mistakes = parse(dedent(text), "tests/support.yaml")
    assert found is not None and not mistakes
    return found


def read(text: str) -> tuple[Assertion, ...]:
    """The assertions of a file that says `assert: …`."""
    reading = Reading(tree(text))
    found = read_assertions(reading, ("assert",))
    assert not reading.mistakes, reading.mistakes
    return found


def mistakes(text: str) -> list[str]:
    reading = Reading(tree(text))
    read_assertions(reading, ("assert",))
    return [str(one) for one in reading.mistakes]


def refused(kind: str, value: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        assertion(kind, value, **options)
    return caught.value.message
