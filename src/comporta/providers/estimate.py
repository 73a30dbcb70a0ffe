"""Counts tokens for providers that don't: an estimate from the text's bytes, marked as such in records."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from comporta.providers.base import Endpoint, Query
from comporta.text.tokens import estimate_tokens
from comporta.types import Event, Image, Input, Reasoning, Refusal, Text, ToolCall, ToolResult, Usage

#: What an image costs on most models, give or take; and the frame around a message.
_IMAGE_TOKENS = 800
_MESSAGE_TOKENS = 4


class Estimate:
    """Answers calls of kind `count`, nothing else."""

    name = "estimate"

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        yield Event(usage=Usage(input=tokens_of(query.input), estimated=True), model=query.model, whole=True, last=True)


def tokens_of(given: Input) -> int:
    """Roughly how many tokens an input is."""
    count = 3
    for message in given.messages:
        count += _MESSAGE_TOKENS + sum(_part(part) for part in message.parts)
    for tool in given.tools:
        count += estimate_tokens(msgspec.json.encode(tool).decode())
    return count


def _part(part: object) -> int:
    if isinstance(part, Text | Reasoning | Refusal):
        return estimate_tokens(part.text)
    if isinstance(part, ToolCall):
        return estimate_tokens(part.name) + estimate_tokens(part.arguments)
    if isinstance(part, ToolResult):
        return sum(_part(inner) for inner in part.parts)
    return _IMAGE_TOKENS if isinstance(part, Image) else 0
