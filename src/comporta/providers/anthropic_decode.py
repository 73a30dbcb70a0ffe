"""Turns the answers of Anthropic's Messages API into events: plain bodies, streams, token counts and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault
from comporta.providers.anthropic_encode import JSON_TOOL, NATIVE, json_tool
from comporta.providers.base import Query
from comporta.providers.carry import to_json
from comporta.providers.framing import Frame, Frames
from comporta.providers.reading import Reading
from comporta.providers.statuses import UNREADABLE, decoded, fault_for
from comporta.types import Delta, Event, Finish, ToolDelta, Usage

_FINISHES: Final[dict[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
#: The status that an error inside a 200 would have had.
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Details(Struct, frozen=True, gc=False):
    thinking_tokens: int | None = None


class _Usage(Struct, frozen=True, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Details | None = None


class _Block(Struct, frozen=True):
    """A content block; fields that other kinds of blocks use in their own ways stay loosely typed."""

    type: str = ""
    text: Any = None
    thinking: Any = None
    signature: Any = None
    data: Any = None
    id: Any = None
    name: Any = None
    input: Any = None


class _Delta(Struct, frozen=True):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    content: tuple[_Block, ...] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Usage | None = None
    type: str = ""
    error: Any = None


class _Frame(Struct, frozen=True):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


class _Count(Struct, frozen=True):
    input_tokens: int | None = None


_FRAME: Final = msgspec.json.Decoder(_Frame)
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_COUNT: Final = msgspec.json.Decoder(_Count)
_NOTHING: Final = _Usage()


def usage_of(last: _Usage, first: _Usage = _NOTHING) -> Usage:
    """Disjoint buckets (WIRE 28): the API's input excludes what was cached, its output includes thinking.

    Figures that the end of a stream leaves out stand in its beginning.
    """

    def figure(name: str) -> int:
        value: int | None = getattr(last, name)
        return (value if value is not None else getattr(first, name)) or 0

    details = last.output_tokens_details or first.output_tokens_details
    thinking = (details.thinking_tokens if details else None) or 0
    return Usage(
        input=figure("input_tokens"),
        cached=figure("cache_read_input_tokens"),
        cache_write=figure("cache_creation_input_tokens"),
        output=max(0, figure("output_tokens") - thinking),
        reasoning=thinking,
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


# ---- errors ---------------------------------------------------------------------------------------------------------


def error_of(status: int, headers: Mapping[str, str], error: object) -> UpstreamError:
    """The failure that an error object (`type`, `message`) stands for; the status decides, then the type."""
    fields = error if isinstance(error, dict) else {}
    kind = fields.get("type")
    inside = status < 400
    if inside:
        status = _STATUSES.get(kind, 500) if isinstance(kind, str) else 500
    code = "model_not_found" if kind == "not_found_error" else None
    return fault_for("Anthropic", status, headers, fields.get("message"), code=code)


def fault(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    value = decoded(body)
    return error_of(status, headers, value.get("error") if isinstance(value, dict) else None)


# ---- plain ----------------------------------------------------------------------------------------------------------


def reply(query: Query, body: bytes) -> Event:
    """A plain body as one event. Raises UpstreamError for an error in it, or for what can't be read."""
    if query.kind == "count":
        return _counted(body)
    try:
        message = _MESSAGE.decode(body)
    except UNREADABLE:
        raise UpstreamFault("Anthropic answered with something other than a message.") from None
    if message.type == "error" or message.error is not None:
        raise error_of(200, {}, message.error)
    if message.stop_reason is None:
        raise UpstreamCut("Anthropic's answer has no stop reason: it is not complete.")
    unwrap = json_tool(query)
    return Event(
        deltas=_choice(message, unwrap=unwrap),
        usage=usage_of(message.usage) if message.usage else None,
        id=message.id,
        model=message.model,
        wire=NATIVE,
        raw=None if unwrap else body,
        whole=True,
        last=True,
    )


def _counted(body: bytes) -> Event:
    try:
        tokens = _COUNT.decode(body).input_tokens
    except UNREADABLE:
        tokens = None
    if tokens is None:
        raise UpstreamFault("Anthropic answered with something other than a count of tokens.")
    return Event(usage=Usage(input=tokens), wire=NATIVE, raw=body, whole=True, last=True)


def _choice(message: _Message, *, unwrap: bool) -> tuple[Delta, ...]:
    """The one choice of a message; each further block of thinking takes a delta of its own, in order."""
    text: list[str] = []
    tools: list[ToolDelta] = []
    thoughts: list[Delta] = []
    for block in message.content or ():
        if block.type == "text":
            text.append(_word(block.text) or "")
        elif block.type == "tool_use" and unwrap and block.name == JSON_TOOL:
            text.append(to_json(block.input or {}).decode())
        elif block.type == "tool_use":
            arguments = to_json(block.input if block.input is not None else {}).decode()
            tools.append(ToolDelta(len(tools), _word(block.id), _word(block.name), arguments))
        elif block.type == "thinking":
            thoughts.append(Delta(reasoning=_word(block.thinking) or "", signature=_word(block.signature)))
        elif block.type == "redacted_thinking":
            thoughts.append(Delta(encrypted=_word(block.data)))
    last = thoughts.pop() if thoughts else Delta()
    whole = msgspec.structs.replace(
        last,
        text="".join(text),
        tools=tuple(tools),
        finish=_finish(message.stop_reason, unwrapped=unwrap and not tools),
        stop_sequence=message.stop_sequence,
    )
    return (*thoughts, whole)


def _finish(reason: str | None, *, unwrapped: bool) -> Finish | None:
    if reason is None:
        return None
    finish = _FINISHES.get(reason, "stop")
    return "stop" if unwrapped and finish == "tool_calls" else finish


# ---- streams --------------------------------------------------------------------------------------------------------


class Decoder(Reading[Frame]):
    """One streamed answer."""

    __slots__ = ("_ended", "_open", "_tools", "_unwrap", "_usage")

    def __init__(self, query: Query) -> None:
        super().__init__(Frames())
        self._unwrap = json_tool(query)
        self._usage = _NOTHING
        #: Tool calls by the index of their content block: their own index, and whether arguments came yet.
        self._open: dict[int, tuple[int | None, bool]] = {}
        self._tools = 0
        self._ended = False

    def _close(self) -> list[Event]:
        if not self._ended:
            raise UpstreamCut("Anthropic's stream ended before message_stop.")
        return []

    def _event(self, piece: Frame) -> Event | None:
        if self._ended or not piece.data:
            return None
        value = _FRAME.decode(piece.data)
        kind = value.type or piece.name
        raw = None if self._unwrap else piece.data
        if kind == "content_block_delta":
            return self._with(self._delta(value), kind, raw)
        if kind == "error" or value.error is not None:
            raise error_of(200, {}, value.error)
        return self._structure(kind, value, raw)

    def _structure(self, kind: str | None, value: _Frame, raw: bytes | None) -> Event | None:
        """The frames around the content: begin and end of message and blocks."""
        if kind == "message_start":
            message = value.message or _Message()
            self._usage = message.usage or self._usage
            usage = usage_of(message.usage) if message.usage else None
            return Event(usage=usage, id=message.id, model=message.model, wire=NATIVE, raw=raw, name=kind)
        if kind == "content_block_start":
            return self._with(self._start(value), kind, raw)
        if kind == "content_block_stop":
            return self._with(self._stop(value), kind, raw)
        if kind == "message_delta":
            return self._finished(value, raw)
        if kind == "message_stop":
            self._ended = True
            return Event(wire=NATIVE, raw=raw, name=kind, last=True)
        return Event(wire=NATIVE, raw=raw, name=kind) if raw is not None else None

    @staticmethod
    def _with(delta: Delta | None, kind: str, raw: bytes | None) -> Event:
        return Event(deltas=() if delta is None else (delta,), wire=NATIVE, raw=raw, name=kind)

    def _start(self, value: _Frame) -> Delta | None:
        block = value.content_block or _Block()
        if block.type == "tool_use":
            return self._start_tool(value.index, block)
        if block.type == "text":
            return Delta(text=text) if (text := _word(block.text)) else None
        if block.type == "thinking":
            thought, signature = _word(block.thinking), _word(block.signature)
            return Delta(reasoning=thought or "", signature=signature) if thought or signature else None
        if block.type == "redacted_thinking":
            return Delta(encrypted=_word(block.data))
        return None

    def _start_tool(self, index: int, block: _Block) -> Delta | None:
        arguments = to_json(block.input).decode() if block.input else ""
        if self._unwrap and block.name == JSON_TOOL:
            self._open[index] = (None, bool(arguments))
            return Delta(text=arguments) if arguments else None
        number = self._tools
        self._tools += 1
        self._open[index] = (number, bool(arguments))
        return Delta(tools=(ToolDelta(number, _word(block.id), _word(block.name), arguments),))

    def _delta(self, value: _Frame) -> Delta | None:
        delta = value.delta
        if delta is None:
            return None
        if delta.type == "text_delta":
            return Delta(text=delta.text or "")
        if delta.type == "input_json_delta":
            return self._arguments(value.index, delta.partial_json or "")
        if delta.type == "thinking_delta":
            return Delta(reasoning=delta.thinking or "")
        if delta.type == "signature_delta":
            return Delta(signature=delta.signature)
        return None

    def _arguments(self, index: int, piece: str) -> Delta | None:
        tool = self._open.get(index)
        if tool is None or not piece:
            return None
        number, _ = tool
        self._open[index] = (number, True)
        return Delta(text=piece) if number is None else Delta(tools=(ToolDelta(number, arguments=piece),))

    def _stop(self, value: _Frame) -> Delta | None:
        """A tool that takes nothing gets no arguments at all; its callers expect an empty object."""
        tool = self._open.pop(value.index, None)
        if tool is None or tool[1]:
            return None
        return Delta(text="{}") if tool[0] is None else Delta(tools=(ToolDelta(tool[0], arguments="{}"),))

    def _finished(self, value: _Frame, raw: bytes | None) -> Event:
        delta = value.delta or _Delta()
        finish = _finish(delta.stop_reason, unwrapped=self._unwrap and not self._tools)
        usage = usage_of(value.usage, self._usage) if value.usage else None
        deltas = (Delta(finish=finish, stop_sequence=delta.stop_sequence),) if finish else ()
        return Event(deltas=deltas, usage=usage, wire=NATIVE, raw=raw, name="message_delta")
