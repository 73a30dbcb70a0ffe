"""What a client gets for a prompt: rendered by the gate, or made of what stands in the program for bad times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from comporta.errors import Unavailable

#: `gate`: just asked; `cache`: asked a moment ago; `stale`: asked longer ago; `fallback`: the program's own.
Source = Literal["gate", "cache", "stale", "fallback"]

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Rendered:
    """A prompt with its values in it, in the words of OpenAI's chat completions."""

    id: str
    version: str | None
    messages: Sequence[Mapping[str, Any]]
    model: str | None = None
    label: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    response_format: Mapping[str, Any] | None = None
    #: Temperature, limits and the like.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: Source = "gate"

    @property
    def body(self) -> dict[str, Any]:
        """All of it as arguments of a chat completion: `client.chat.completions.create(**prompt.body)`."""
        said: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(one) for one in self.messages],
            "tools": [dict(one) for one in self.tools],
            "response_format": self.response_format,
        }
        return {**self.parameters, **{name: value for name, value in said.items() if value}}


@dataclass(frozen=True)
class Fallback:
    """What a program says itself while the gate can't be asked. `{name}` in a text stands for a value.

    Values are put in once and never read as places themselves.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def rendered(self, id: str, values: Mapping[str, Any]) -> Rendered:
        messages = [
            {name: _filled(said, values) if isinstance(said, str) else said for name, said in one.items()}
            for one in self.messages
        ]
        return Rendered(id, None, messages, self.model, parameters=self.parameters, source="fallback")


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda match: str(values.get(match[1], match[0])), text)


def read(answer: Any) -> Rendered:
    """The gate's answer. Raises Unavailable for what is none."""
    try:
        return Rendered(
            id=answer["id"],
            version=answer["version"],
            messages=tuple(answer["messages"]),
            model=answer.get("model"),
            label=answer.get("label"),
            tools=tuple(answer.get("tools") or ()),
            response_format=answer.get("response_format"),
            parameters=answer.get("parameters") or {},
            metadata=answer.get("metadata") or {},
        )
    except (AttributeError, KeyError, TypeError):
        raise Unavailable("What answered is no gate's prompt: is the URL right?") from None
