"""A call under suspicion goes on with less: a lower temperature, fewer tokens, no tools, another model."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from comporta.types import Input, ToolCall, ToolChoice

Number = TypeVar("Number", int, float)


class Restriction(Struct, frozen=True, forbid_unknown_fields=True):
    """What a call keeps to where a guard with `action: restrict` found something; None is left as it is."""

    #: At most.
    temperature: float | None = None
    #: At most.
    max_tokens: int | None = None
    #: False takes all tools away.
    tools: bool = True
    #: Asked in place of the call's own: a route, a registered model or `provider/model`.
    model: str | None = None

    def __bool__(self) -> bool:
        return self != Restriction()

    def also(self, other: Restriction) -> Restriction:
        """Both together; of two models the first."""
        return Restriction(
            _least(self.temperature, other.temperature), _least(self.max_tokens, other.max_tokens),
            self.tools and other.tools, self.model or other.model,
        )  # fmt: skip

    def on(self, input: Input) -> Input:
        """The input as it goes on."""
        limited = input.edit(
            temperature=_least(self.temperature, input.temperature),
            max_tokens=_least(self.max_tokens, input.max_tokens),
        )
        return limited if self.tools else _without_tools(limited)


def _least(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _without_tools(input: Input) -> Input:
    if any(isinstance(part, ToolCall) for message in input.messages for part in message.parts):
        # Providers want the tools named that the conversation has used.
        return input.edit(tool_choice=ToolChoice("none"))
    return input.edit(tools=(), tool_choice=None, parallel_tool_calls=None)
