"""What a call needs of a model: capabilities read off the call itself, in our words, and what models have of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from comporta.providers.catalogue import OUR_CAPABILITIES, ModelFacts
from comporta.routing.task.names import plain
from comporta.types import Audio, File, Image, Input, Part, ToolResult

LONG_CONTEXT: Final = "long_context"
#: From so many tokens on a model's context is long.
LONG_TOKENS: Final = 100_000
OURS: Final = frozenset({*OUR_CAPABILITIES, LONG_CONTEXT})

#: Other words for ours.
_SAME: Final[Mapping[str, str]] = MappingProxyType({
    "images": "vision", "image": "vision", "function_calling": "tools", "tool_use": "tools", "functions": "tools",
    "json": "json_schema", "structured_output": "json_schema", "structured_outputs": "json_schema",
    "json_mode": "json_schema", "thinking": "reasoning", "long": LONG_CONTEXT, "large_context": LONG_CONTEXT,
    "documents": "pdf",
})  # fmt: skip


def our_word(capability: str) -> str:
    """A capability in our word for it; the operator's own words stay as they are."""
    word = plain(capability)
    return _SAME.get(word, word)


def needs_of(given: Input) -> frozenset[str]:
    """What the call itself asks for: images, tools, a JSON schema, audio, documents."""
    found = set(_of_parts(part for message in given.messages for part in message.parts))
    if given.tools:
        found.add("tools")
    if given.response_format is not None and given.response_format.kind == "json_schema":
        found.add("json_schema")
    if "audio" in given.modalities:
        found.add("audio_out")
    return frozenset(found)


def _of_parts(parts: Iterable[Part]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, Image):
            yield "vision"
        elif isinstance(part, Audio):
            yield "audio"
        elif isinstance(part, File):
            yield "pdf"
        elif isinstance(part, ToolResult):
            yield from _of_parts(part.parts)


def has(facts: ModelFacts) -> frozenset[str]:
    """What a model can do, as far as is known."""
    long = (LONG_CONTEXT,) if (facts.context or 0) >= LONG_TOKENS else ()
    return frozenset([*map(our_word, facts.capabilities), *long])


def lacks(facts: ModelFacts, wanted: frozenset[str], vouched: frozenset[str] = frozenset()) -> list[str]:
    """What is known to be missing. Of a model that nothing is known of nothing is.

    `vouched` are words that no model of the configuration says of itself: whoever named the model for the task says
    them by that.
    """
    found = has(facts)
    told = bool(found & (OURS - {LONG_CONTEXT}))
    missing = wanted - found - vouched
    return sorted(
        word for word in missing if word not in OURS or (facts.context is not None if word == LONG_CONTEXT else told)
    )
