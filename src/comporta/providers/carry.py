"""What wires share when they put an input into a provider's words: addresses, tool arguments, ids, plain refusals."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from comporta.errors import BadRequest, Unsupported
from comporta.providers.base import Query
from comporta.providers.statuses import UNREADABLE
from comporta.types import JSON, File, Input, Message, Other, Part, Refusal, Text, ToolCall, ToolResult

#: Marks thinking signatures that come from Gemini, so that no other provider is shown one it must refuse.
GEMINI_SIGNATURE = "gemini:"
#: Fields that change what the answer is: to leave them out would be a lie (WIRE 12). Those with a canonical name stand
#: among the further fields where their value is of a kind that only one wire knows.
_BINDING = frozenset(
    {"background", "best_of", "container", "conversation", "echo", "mcp_servers", "previous_response_id", "prompt",
     "response_format", "suffix", "tool_choice", "web_search_options"}
)  # fmt: skip

_ENCODER = msgspec.json.Encoder()


def to_json(value: object) -> bytes:
    return _ENCODER.encode(value)


def address(base_url: str, version: str, path: str) -> str:
    """The URL of `path` below an API version, whether or not the base names a version already."""
    base = base_url.rstrip("/")
    named = base.rpartition("/")[2] in (version, "v1", "v1beta")
    return f"{base}{path}" if named else f"{base}/{version}{path}"


def present(**fields: Any) -> JSON:
    """The fields that have a value: what was left out is not sent as null (WIRE 20)."""
    return {name: value for name, value in fields.items() if value is not None}


def arguments_of(call: ToolCall) -> JSON:
    """A tool call's arguments as the object that these wires want. Raises BadRequest that names the call."""
    if not call.arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(call.arguments)
    except UNREADABLE as error:
        raise BadRequest(
            f"The arguments of tool call {call.id!r} ({call.name}) are not valid JSON: {error}.", param="messages"
        ) from None
    if not isinstance(value, dict):
        raise BadRequest(
            f"The arguments of tool call {call.id!r} ({call.name}) must be a JSON object.", param="messages"
        )
    return value


def made_id(query: Query, *parts: object) -> str:
    """An id for a tool call that the provider gave none: the same for any cuts, another one in each turn."""
    seed = "\x1f".join(str(part) for part in (query.model, len(query.input.messages), *parts))
    return f"call_{blake2b(seed.encode(), digest_size=12).hexdigest()}"


def tool_names(messages: Iterable[Message]) -> dict[str, str]:
    """The name of every tool that was called, by the id of its call."""
    return {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCall)}


def name_for(result: ToolResult, names: dict[str, str]) -> str:
    """The tool whose result this is. Raises BadRequest where no call asked for it."""
    name = names.get(result.id)
    if name is None:
        raise BadRequest(f"The tool result {result.id!r} answers no tool call in the messages.", param="messages")
    return name


def text_of(parts: Iterable[Part]) -> str:
    return "".join(p.text for p in parts if isinstance(p, Text | Refusal))


def plain_text(data: str) -> str:
    """What a base64 text document says. Raises BadRequest where it is no UTF-8 text."""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        raise BadRequest("A text document is not UTF-8 text in base64.", param="messages") from None


def split_system(messages: tuple[Message, ...]) -> tuple[list[Text], list[Message]]:
    """System texts apart from the conversation; a system text alone becomes what the user says.

    Providers with a place of its own for it refuse a request without any turn, which OpenAI's API takes.
    """
    system = [
        part for message in messages if message.role == "system" for part in message.parts if isinstance(part, Text)
    ]
    turns = [message for message in messages if message.role != "system"]
    if not turns and system:
        return [], [Message(role="user", parts=tuple(system))]
    if not turns:
        raise BadRequest("There is no message to answer.", param="messages")
    return system, turns


def can_think(query: Query) -> bool:
    """Whether thinking may be asked for: what the catalogue knows not to think answers 400."""
    return not query.capabilities or "reasoning" in query.capabilities


def no_part(wire: str, part: Part) -> Unsupported:
    """What to say of a part that the wire has no words for."""
    kind = part.value.get("type", "unknown") if isinstance(part, Other) else type(part).__name__.lower()
    return Unsupported(f"{wire} can't take content of the kind {kind!r}.", param="messages")


def no_file(wire: str, part: File) -> Unsupported:
    given = "by a provider's file id" if part.id else "by URL" if part.url else f"as {part.media_type or 'unknown'}"
    return Unsupported(f"{wire} can't take a document {given}.", param="messages")


def no_field(wire: str, field: str, why: str = "") -> Unsupported:
    return Unsupported(f"{wire} can't do `{field}`{why and ': ' + why}.", param=field)


def texts_of(wire: str, input: Input) -> list[str]:
    """The texts to embed. Raises where the client sent token ids, which only their own tokenizer understands."""
    if not input.texts:
        raise BadRequest("There is no text to embed.", param="input")
    for text in input.texts:
        if not isinstance(text, str):
            raise Unsupported(f"{wire} embeds texts, not token ids.", param="input")
    return [text for text in input.texts if isinstance(text, str)]


def leave_out(wire: str, name: str, value: Any, dropped: list[str]) -> None:
    """Note a field that this wire has no place for. Raises Unsupported where the answer would be another without it."""
    if name in _BINDING and not (value in (None, False, "", []) or (name, value) == ("best_of", 1)):
        raise no_field(wire, name)
    if value is not None:
        dropped.append(name)
