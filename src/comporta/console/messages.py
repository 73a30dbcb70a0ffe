"""A call's content as a conversation, from whichever way it was kept: in full, as previews, as hashes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

Kind = Literal["text", "think", "refusal", "call", "result", "note"]


class Piece(Struct, frozen=True):
    """A part of a message. `name` is a tool's; `id` ties a tool's result to its call."""

    kind: Kind
    text: str
    name: str = ""
    id: str = ""


class Said(Struct, frozen=True):
    """A message, or one of the answers (`reply`); `finish` says why that ended."""

    role: str
    pieces: tuple[Piece, ...]
    reply: bool = False
    finish: str = ""


def conversation(prompt: Any, reply: Any) -> list[Said]:
    """What was asked and answered, in order. Takes anything: what is of no known shape is shown as JSON."""
    return [*_asked(prompt), *_answered(reply)]


def _asked(prompt: Any) -> Iterator[Said]:
    if isinstance(prompt, Mapping):
        for message in _list(prompt.get("messages")):
            yield _message(message)
        for text in _list(prompt.get("texts")):
            yield Said("user", (Piece("text", text if isinstance(text, str) else _json(text)),))
        return
    for one in _list(prompt):
        yield _short(one)


def _answered(reply: Any) -> Iterator[Said]:
    for choice in _list(reply):
        if not isinstance(choice, Mapping):
            continue
        if "length" in choice:
            yield _short(choice, reply=True)
            continue
        yield Said("assistant", tuple(_choice(choice)), True, str(choice.get("finish") or ""))


def _choice(choice: Mapping[str, Any]) -> Iterator[Piece]:
    for thought in _list(choice.get("reasoning")):
        yield from _piece({"type": "reasoning", **thought} if isinstance(thought, Mapping) else thought)
    if choice.get("text"):
        yield Piece("text", str(choice["text"]))
    if choice.get("refusal"):
        yield Piece("refusal", str(choice["refusal"]))
    for tool in _list(choice.get("tools")):
        yield from _piece({"type": "tool_call", **tool} if isinstance(tool, Mapping) else tool)


def _message(message: Any) -> Said:
    if not isinstance(message, Mapping):
        return Said("user", (Piece("text", _json(message)),))
    pieces = tuple(piece for part in _list(message.get("parts")) for piece in _piece(part))
    return Said(str(message.get("role", "user")), pieces)


def _piece(part: Any) -> Iterator[Piece]:
    if not isinstance(part, Mapping):
        yield Piece("note", _json(part))
        return
    kind = part.get("type")
    if kind == "text":
        yield Piece("text", str(part.get("text", "")))
    elif kind == "refusal":
        yield Piece("refusal", str(part.get("text", "")))
    elif kind == "reasoning":
        yield Piece("think", str(part.get("text") or "…"))
    elif kind == "tool_call":
        yield Piece("call", _pretty(part.get("arguments", "")), str(part.get("name", "")), str(part.get("id", "")))
    elif kind == "tool_result":
        inner = [piece.text for one in _list(part.get("parts")) for piece in _piece(one)]
        yield Piece("result", _pretty("\n".join(inner)), "", str(part.get("id", "")))
    else:
        yield Piece("note", _json(part))


def _short(one: Any, *, reply: bool = False) -> Said:
    """A preview or a hash: what of it is there, and how long it was."""
    if not isinstance(one, Mapping):
        return Said("user", (Piece("note", _json(one)),), reply)
    role = "assistant" if reply else str(one.get("role") or "user")
    length = one.get("length", 0)
    if "sha256" in one:
        return Said(role, (Piece("note", f"{one.get('type', '')} · {length} · sha256 {one['sha256']}"),), reply)
    text = str(one.get("text", ""))
    more = f" … ({length})" if isinstance(length, int) and length > len(text) else ""
    return Said(role, (Piece("text", text + more),), reply)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pretty(text: Any) -> str:
    """JSON text with its lines, any other as it is."""
    try:
        return _json(json.loads(text))
    except (TypeError, ValueError):
        return str(text)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
