"""Counts tokens for providers that don't: by the tokenizer's table, else by an estimate, marked as such in records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from comporta.providers.base import Endpoint, Query
from comporta.text.tokens import Counter
from comporta.types import Event, Image, Input, Reasoning, Refusal, Text, ToolCall, ToolResult, Usage

#: What an image costs on most models, give or take; and the frame around a message.
_IMAGE_TOKENS = 800
_MESSAGE_TOKENS = 4


class Estimate:
    """Answers calls of kind `count`, nothing else."""

    name = "estimate"

    def __init__(self, counter: Counter | None = None) -> None:
        self._counter = counter or Counter()

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        estimated = False

        def count(text: str) -> int:
            nonlocal estimated
            found = self._counter.count(text, query.model)
            estimated = estimated or not found.exact
            return found.tokens

        tokens = tokens_of(query.input, count)
        yield Event(usage=Usage(input=tokens, estimated=estimated), model=query.model, whole=True, last=True)


def tokens_of(given: Input, count: Callable[[str], int]) -> int:
    """How many tokens an input is, give or take; `count` says it of a text."""
    tokens = 3
    for message in given.messages:
        tokens += _MESSAGE_TOKENS + sum(_part(part, count) for part in message.parts)
    for tool in given.tools:
        tokens += count(msgspec.json.encode(tool).decode())
    return tokens


def _part(part: object, count: Callable[[str], int]) -> int:
    if isinstance(part, Text | Reasoning | Refusal):
        return count(part.text)
    if isinstance(part, ToolCall):
        return count(part.name) + count(part.arguments)
    if isinstance(part, ToolResult):
        return sum(_part(inner, count) for inner in part.parts)
    return _IMAGE_TOKENS if isinstance(part, Image) else 0
