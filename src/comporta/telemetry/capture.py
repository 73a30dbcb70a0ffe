"""What is kept of a call's content: all of it, its beginnings, its hashes, or nothing, as the route says."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from comporta.telemetry.scrubbing import Scrubber
from comporta.types import (
    JSON,
    Audio,
    Choice,
    File,
    Image,
    Input,
    Other,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    ToolResult,
)

Mode = Literal["full", "preview", "hashed", "off"]

PREVIEW_CHARS = 200
#: A secret may straddle the cut: so much text beyond it is scrubbed before cutting.
_BEYOND_CHARS = 4096
_BLOB_CHARS = 1024
_BLOB = re.compile(r"(?:data:([^,;]{0,100})[^,]{0,200},)?[A-Za-z0-9+/_=-]+\Z")

_encode = msgspec.json.Encoder().encode


class Hash(Struct, frozen=True, omit_defaults=True):
    """A part of which only length (characters of text, bytes of what is inline) and SHA-256 are kept."""

    type: str
    length: int
    sha256: str
    role: str | None = None


class Preview(Struct, frozen=True, omit_defaults=True):
    """The beginning of a message or choice, and how long its text is in all."""

    text: str
    length: int
    role: str | None = None


class Kept(Struct, frozen=True):
    """What of one call may be kept, where somebody who looked at it says less than its route.

    `mode`: no more than that. `reply` and `values` take out of the answer's and of the values' texts what is not to
    be kept.
    """

    mode: Mode = "full"
    reply: Callable[[str], str] | None = None
    values: Callable[[str], str] | None = None


HASHED = Kept("hashed")
#: In a call's facts: the mode of the call that it is made on behalf of. No more than that is kept of it.
KEEP = "keep_mode"
_LESS: tuple[Mode, ...] = ("full", "preview", "hashed", "off")


def least(one: Mode, other: Mode) -> Mode:
    """The mode that keeps less."""
    return max(one, other, key=_LESS.index)


def without(reply: Reply, clean: Callable[[str], str]) -> Reply:
    """An answer with every text cleaned; what can't be is left out."""
    choices = tuple(
        structs.replace(
            one, text=clean(one.text), refusal=clean(one.refusal), logprobs=None, extra=None,
            reasoning=tuple(Reasoning(clean(part.text)) for part in one.reasoning),
            tools=tuple(structs.replace(tool, arguments=clean(tool.arguments)) for tool in one.tools),
        )
        for one in reply.choices
    )  # fmt: skip
    return structs.replace(reply, choices=choices, raw=None, wire="")


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """JSON with every text cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: cleaned(one, clean) for key, one in value.items()}
    return [cleaned(one, clean) for one in value] if isinstance(value, list | tuple) else value


#: What a call asks a model for beside words: kept in any mode.
PARAMETERS = (
    "max_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort",
)  # fmt: skip
_LONGEST_PARAMETER = 40
#: Among a call's notes, where these parameters stand.
ASKED = "asked"


def parameters_of(input: Input, reply: Reply | None) -> JSON:
    """The parameters that a client gave, and why the answer's choices ended (`finish`): nothing of what was said."""
    found: JSON = {name: _plain(value) for name in PARAMETERS if (value := getattr(input, name)) is not None}
    if input.n != 1:
        found["n"] = input.n
    if input.response_format is not None:
        found["response_format"] = {"kind": input.response_format.kind}
    finish = [choice.finish for choice in reply.choices if choice.finish] if reply is not None else []
    short = {name: value for name, value in found.items() if len(str(value)) <= _LONGEST_PARAMETER}
    return {**short, "finish": finish} if finish else short


def _plain(value: Any) -> Any:
    """A number as records can hold it: a seed may have more digits than any column."""
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value


class Capture:
    """Turns content into what may be kept of it, as JSON text. `routes` override the `default` mode by route name."""

    def __init__(self, scrubber: Scrubber, default: Mode = "full", routes: Mapping[str, Mode] | None = None) -> None:
        self.scrubber = scrubber
        self._default: Mode = default
        self._routes = dict(routes or {})

    def mode(self, route: str) -> Mode:
        return self._routes.get(route, self._default)

    def prompt(self, input: Input, mode: Mode) -> str | None:
        """What was asked; in mode `full` an `Input` without what was inline in it, so that it can be read back."""
        if mode == "off":
            return None
        if mode == "full":
            return _encode(_full(input)).decode()
        if mode == "hashed":
            return _encode(_hashes(input)).decode()
        return _encode(self._previews(input)).decode()

    def reply(self, reply: Reply, mode: Mode) -> str | None:
        """What was answered; vectors are never kept."""
        if mode == "off" or not reply.choices:
            return None
        if mode == "full":
            return _encode([_full_choice(c) for c in reply.choices]).decode()
        if mode == "hashed":
            return _encode([h for c in reply.choices for h in _hashed_parts(None, _parts_of(c))]).decode()
        return _encode([self._preview(None, _text_of(_parts_of(c))) for c in reply.choices]).decode()

    def variables(self, values: Mapping[str, Any], mode: Mode) -> str | None:
        """The values that a prompt was filled with, by their names."""
        if mode == "off" or not values:
            return None
        if mode == "full":
            return _encode(_lean(values)).decode()
        texts = {name: v if isinstance(v, str) else _encode(_lean(v)).decode() for name, v in values.items()}
        if mode == "hashed":
            return _encode({name: _hash("text", text, None) for name, text in texts.items()}).decode()
        return _encode({name: self._preview(None, text) for name, text in texts.items()}).decode()

    def _previews(self, input: Input) -> list[Preview]:
        messages = [self._preview(m.role, _text_of(m.parts)) for m in input.messages]
        return messages + [self._preview("user", t) for t in input.texts if isinstance(t, str)]

    def _preview(self, role: str | None, text: str) -> Preview:
        start = self.scrubber.scrub(text[: PREVIEW_CHARS + _BEYOND_CHARS])
        return Preview(start[:PREVIEW_CHARS], len(text), role)


def _full(input: Input) -> Input:
    messages = input.messages
    for message in messages:
        if _holds_blob(message.parts):
            messages = tuple(structs.replace(m, parts=_lean_parts(m.parts)) for m in messages)
            break
    if input.extra:
        return structs.replace(input, raw=None, messages=messages, extra=_lean(input.extra))
    return structs.replace(input, raw=None, messages=messages)


def _full_choice(choice: Choice) -> Choice:
    return structs.replace(choice, extra=_lean(choice.extra)) if choice.extra else choice


def _holds_blob(parts: tuple[Part, ...]) -> bool:
    # A plain loop over classes: this runs for every message of every call.
    for part in parts:  # noqa: SIM110
        if part.__class__ is not Text and part.__class__ is not ToolCall:
            return True
    return False


def _lean_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(_lean_part(p) for p in parts)


def _lean_part(part: Part) -> Part:
    """The part with what is inline in it replaced by a note. No wire can send the note, so a replay can't lie."""
    if isinstance(part, ToolResult):
        return structs.replace(part, parts=_lean_parts(part.parts))
    if isinstance(part, Other):
        return structs.replace(part, value=_lean(part.value))
    if isinstance(part, Image | Audio | File) and part.data is not None:
        return Other("omitted", {"kind": _kind(part), **_omitted(_media_type(part), part.data)})
    return part


def _lean(value: Any) -> Any:
    """JSON without long base64 texts: wires that keep a provider's own parts hold images and sound there."""
    if isinstance(value, str) and len(value) >= _BLOB_CHARS:
        found = _BLOB.match(value)
        return _omitted(found.group(1), value.rpartition(",")[2]) if found else value
    if isinstance(value, dict):
        return {k: _lean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_lean(v) for v in value]
    return value


def _omitted(media_type: str | None, data: str) -> dict[str, Any]:
    content = _decoded(data)
    return {"media_type": media_type, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _decoded(data: str) -> bytes:
    try:
        return binascii.a2b_base64(data)
    except ValueError:
        return data.encode("utf-8", "replace")


def _kind(part: Part) -> str:
    return part.__class__.__name__.lower()


def _media_type(part: Image | Audio | File) -> str | None:
    return f"audio/{part.format}" if isinstance(part, Audio) else part.media_type


def _parts_of(choice: Choice) -> tuple[Part, ...]:
    """A choice as the parts of a message; choices that hold nothing of a kind have no part of it."""
    parts: list[Part] = [*choice.reasoning]
    if choice.text:
        parts.append(Text(choice.text))
    if choice.refusal:
        parts.append(Refusal(choice.refusal))
    return (*parts, *choice.tools)


def _text_of(parts: tuple[Part, ...]) -> str:
    """All that can be read in a message, thinking excepted."""
    return " ".join(_words(p) for p in parts if not isinstance(p, Reasoning | Image | Audio | File | Other))


def _words(part: Part) -> str:
    if isinstance(part, ToolResult):
        return _text_of(part.parts)
    if isinstance(part, ToolCall):
        return f"{part.name}({part.arguments})"
    return part.text if isinstance(part, Text | Refusal) else ""


def _hashes(input: Input) -> list[Hash]:
    parts = [h for m in input.messages for h in _hashed_parts(m.role, m.parts)]
    texts = [t if isinstance(t, str) else _encode(t).decode() for t in input.texts]
    return parts + [_hash("text", t, "user") for t in texts]


def _hashed_parts(role: str | None, parts: tuple[Part, ...]) -> list[Hash]:
    return [_hashed(role, p) for p in parts]


def _hashed(role: str | None, part: Part) -> Hash:
    if isinstance(part, Text | Refusal):
        return _hash(_kind(part), part.text, role)
    if isinstance(part, Image | Audio | File) and part.data is not None:
        content = _decoded(part.data)
        return Hash(_kind(part), len(content), hashlib.sha256(content).hexdigest(), role)
    if isinstance(part, ToolCall):
        return _hash("toolcall", part.arguments, role)
    return _hash(_kind(part), _encode(part).decode(), role)


def _hash(type: str, text: str, role: str | None) -> Hash:
    return Hash(type, len(text), hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), role)


def size_of(input: Input) -> int:
    """Bytes of text that a model is given to read, for an estimate of tokens."""
    size = sum(_size_of_parts(m.parts) for m in input.messages)
    size += sum(len(t.encode("utf-8", "replace")) if isinstance(t, str) else 4 * len(t) for t in input.texts)
    return size + (len(_encode(input.tools)) if input.tools else 0)


def _size_of_parts(parts: tuple[Part, ...]) -> int:
    return sum(len(_words(p).encode("utf-8", "replace")) for p in parts)
