"""The texts of a call's input, each with its place, and the input with other texts in their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from comporta.guardrails.base import Place
from comporta.guardrails.inside import data_of, text_of, texts_in, with_texts_in
from comporta.guardrails.looking import Text
from comporta.guardrails.running import Piece
from comporta.types import File, Input, Message, Other, Part, Refusal, ToolCall, ToolResult
from comporta.types import Text as TextPart

#: Marks a message as retrieved text: the stage that retrieves gives it this name.
PASSAGE = "comporta_passage"
#: Of a file, what stands in it; its name has the place of the file itself.
_INSIDE = "inside"
_PLACES: Mapping[str, Place] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
}  # fmt: skip


def pieces_of(input: Input, turns: str = "all") -> tuple[Piece, ...]:
    """Every text of an input. With `turns="last"`, of the conversation only what came after the last answer."""
    messages = input.messages
    first = _first_new(messages) if turns == "last" else 0
    found = [
        piece
        for at, message in enumerate(messages)
        if at >= first or message.role in ("system", "developer")
        for piece in _of_message(message, at)
    ]
    found += [Piece(Text(text), "user", ("texts", at)) for at, text in enumerate(input.texts) if isinstance(text, str)]
    return tuple(found)


def _first_new(messages: tuple[Message, ...]) -> int:
    last = len(messages)
    # Words put into the model's mouth at the end are no answer: what stands before them was never looked at.
    while last and messages[last - 1].role == "assistant":
        last -= 1
    return next((at + 1 for at in range(last - 1, -1, -1) if messages[at].role == "assistant"), 0)


def _of_message(message: Message, at: int) -> Iterator[Piece]:
    place: Place = "passage" if message.name == PASSAGE else _PLACES.get(message.role, "user")
    for number, part in enumerate(message.parts):
        yield from _of_part(part, place, (at, number))


def _of_part(part: Part, place: Place, where: tuple[int, ...]) -> Iterator[Piece]:
    if isinstance(part, TextPart | Refusal):
        yield Piece(Text(part.text), place, where)
    elif isinstance(part, ToolCall):
        yield Piece(Text(part.arguments), "assistant", where)
    elif isinstance(part, ToolResult):
        for number, inner in enumerate(part.parts):
            yield from _of_part(inner, "tool", (*where, number))
    elif isinstance(part, File):
        if part.name:
            yield Piece(Text(part.name), "name", where)
        text = text_of(part)
        if text is not None:
            yield Piece(Text(text), "passage" if place == "user" else place, (*where, _INSIDE))
    elif isinstance(part, Other):
        for path, text in texts_in(part.value):
            yield Piece(Text(text), "passage" if place == "user" else place, (*where, *path))


def with_texts(input: Input, texts: Mapping[tuple[int | str, ...], str]) -> Input:
    """The input with other texts in some places; the client's own body goes, since it says what is not to be said."""
    if not texts:
        return input
    messages = tuple(_message(message, at, texts) for at, message in enumerate(input.messages))
    plain = tuple(texts.get(("texts", at), text) for at, text in enumerate(input.texts))
    return input.edit(messages=messages, texts=plain)


def _message(message: Message, at: int, texts: Mapping[tuple[int | str, ...], str]) -> Message:
    parts = tuple(_part(part, (at, number), texts) for number, part in enumerate(message.parts))
    changed = any(new is not old for new, old in zip(parts, message.parts, strict=True))
    return structs.replace(message, parts=parts) if changed else message


def _part(part: Any, where: tuple[int, ...], texts: Mapping[tuple[int | str, ...], str]) -> Any:
    if isinstance(part, Other):
        size = len(where)
        own = {place[size:]: text for place, text in texts.items() if place[:size] == where}
        return structs.replace(part, value=with_texts_in(part.value, own)) if own else part
    if isinstance(part, File) and (inside := texts.get((*where, _INSIDE))) is not None:
        part = structs.replace(part, data=data_of(inside))
    if isinstance(part, ToolResult):
        inner = tuple(_part(one, (*where, number), texts) for number, one in enumerate(part.parts))
        changed = any(new is not old for new, old in zip(inner, part.parts, strict=True))
        return structs.replace(part, parts=inner) if changed else part
    text = texts.get(where)
    if text is None:
        return part
    if isinstance(part, ToolCall):
        return structs.replace(part, arguments=text)
    if isinstance(part, File):
        return structs.replace(part, name=text)
    return structs.replace(part, text=text)


def last_question(input: Input) -> str:
    """The user's last words."""
    for message in reversed(input.messages):
        if message.role == "user" and message.name != PASSAGE:
            return "\n".join(part.text for part in message.parts if isinstance(part, TextPart))
    return ""


def passages_of(input: Input) -> tuple[str, ...]:
    """What an answer should rest on: retrieved passages and what tools gave."""
    found = [piece.text.raw for piece in pieces_of(input) if piece.place in ("passage", "tool")]
    return tuple(text for text in found if text.strip())


def system_of(input: Input) -> str:
    """The instructions of the system, put together."""
    return "\n".join(piece.text.raw for piece in pieces_of(input) if piece.place == "system")
