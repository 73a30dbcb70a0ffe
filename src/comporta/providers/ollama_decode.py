"""Turns the answers of Ollama's own API into events: JSON lines, plain bodies, vectors and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault, UpstreamRejected
from comporta.providers.base import Query
from comporta.providers.carry import made_id, to_json
from comporta.providers.framing import Lines
from comporta.providers.ollama_encode import NATIVE
from comporta.providers.reading import Reading
from comporta.providers.statuses import UNREADABLE, decoded, fault_for, said
from comporta.types import JSON, Delta, Event, Finish, ToolDelta, Usage

#: A model's name as Ollama quotes it, to be put into the command that mends it; no decision hangs on it.
_QUOTED: Final = re.compile(r"""model ["']([\w./:\-]+)["']""")


class _Function(Struct, frozen=True):
    name: str | None = None
    arguments: Any = None


class _ToolCall(Struct, frozen=True):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, frozen=True):
    content: str | None = None
    thinking: str | None = None
    tool_calls: tuple[_ToolCall, ...] | None = None


class _Line(Struct, frozen=True):
    model: str | None = None
    message: _Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: Any = None
    error: Any = None


class _Vectors(Struct, frozen=True):
    model: str | None = None
    embeddings: tuple[tuple[float, ...], ...] | None = None
    prompt_eval_count: int | None = None
    error: Any = None


_LINE: Final = msgspec.json.Decoder(_Line)
_VECTORS: Final = msgspec.json.Decoder(_Vectors)


# ---- errors ---------------------------------------------------------------------------------------------------------


def fault(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    value = decoded(body)
    text = value.get("error") if isinstance(value, dict) else None
    if status != 404:
        return fault_for("Ollama", status, headers, text)
    if not isinstance(text, str):
        return UpstreamRejected(
            "There is no Ollama API at this address: check the provider's base_url.", status=404, code="not_found"
        )
    named = _QUOTED.search(text)
    command = f"ollama pull {named.group(1) if named else '<model>'}"
    return UpstreamRejected(
        f"Ollama has no such model ({said(text)}). Fetch it with: {command}", status=404, code="model_not_found"
    )


def _inside() -> UpstreamFault:
    return UpstreamFault("Ollama reported an error inside its answer.")


# ---- plain ----------------------------------------------------------------------------------------------------------


def reply(query: Query, body: bytes) -> Event:
    """A plain body as one event. Raises UpstreamError for an error in it, or for what can't be read."""
    try:
        if query.kind == "embed":
            return _embedded(query, body)
        line = _LINE.decode(body)
    except UNREADABLE:
        raise UpstreamFault("Ollama answered with something that is no answer of its API.") from None
    event = _Reader(query).event(line, body)
    if not line.done:
        raise UpstreamCut("Ollama's answer is not marked as done: it is not complete.")
    return msgspec.structs.replace(event, whole=True)


def _embedded(query: Query, body: bytes) -> Event:
    found = _VECTORS.decode(body)
    if found.error is not None:
        raise _inside()
    vectors = found.embeddings or ()
    if len(vectors) != len(query.input.texts):
        raise UpstreamFault(f"Ollama gave {len(vectors)} vectors for {len(query.input.texts)} texts.")
    usage = None if found.prompt_eval_count is None else Usage(input=found.prompt_eval_count)
    return Event(vectors=vectors, usage=usage, model=found.model, wire=NATIVE, raw=body, whole=True, last=True)


# ---- what one line says ---------------------------------------------------------------------------------------------


class _Reader:
    """Reads the lines of one answer and counts its tool calls."""

    __slots__ = ("_calls", "_query")

    def __init__(self, query: Query) -> None:
        self._query = query
        self._calls = 0

    def event(self, line: _Line, raw: bytes) -> Event:
        if line.error is not None:
            raise _inside()
        message = line.message or _Message()
        tools = tuple(self._tool(call) for call in message.tool_calls or ())
        delta = Delta(
            text=message.content or "",
            reasoning=message.thinking or "",
            tools=tools,
            finish=self._finish(line),
            logprobs=_logprobs(line.logprobs),
        )
        says = delta.meaningful or delta.logprobs is not None
        return Event(
            deltas=(delta,) if says else (),
            usage=_usage(line),
            model=line.model,
            wire=NATIVE,
            raw=raw,
            last=bool(line.done),
        )

    def _tool(self, call: _ToolCall) -> ToolDelta:
        """A whole call: Ollama doesn't stream arguments, and mostly gives no id, so one is made that stays the same."""
        number = self._calls
        self._calls += 1
        function = call.function or _Function()
        arguments = to_json(function.arguments if isinstance(function.arguments, dict) else {}).decode()
        name = function.name or ""
        return ToolDelta(number, call.id or made_id(self._query, number, name, arguments), name, arguments)

    def _finish(self, line: _Line) -> Finish | None:
        if not line.done:
            return None
        if line.done_reason == "length":
            return "length"
        return "tool_calls" if self._calls else "stop"


def _usage(line: _Line) -> Usage | None:
    """Figures stand in the last line; it leaves out those of a prompt that its cache held whole."""
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    return Usage(input=line.prompt_eval_count or 0, output=line.eval_count or 0)


def _logprobs(values: object) -> JSON | None:
    if not isinstance(values, list) or not values:
        return None
    return {"content": [_token(v, top=True) for v in values if isinstance(v, dict)]}


def _token(value: JSON, *, top: bool = False) -> JSON:
    token = str(value.get("token", ""))
    result: JSON = {
        "token": token,
        "logprob": value.get("logprob", 0.0),
        "bytes": value.get("bytes") or list(token.encode()),
    }
    if top:
        result["top_logprobs"] = [_token(inner) for inner in value.get("top_logprobs") or []]
    return result


# ---- streams --------------------------------------------------------------------------------------------------------


class Decoder(Reading[bytes]):
    """One streamed answer."""

    __slots__ = ("_done", "_reader")

    def __init__(self, query: Query) -> None:
        super().__init__(Lines())
        self._reader = _Reader(query)
        self._done = False

    def _event(self, piece: bytes) -> Event | None:
        if self._done:
            return None
        event = self._reader.event(_LINE.decode(piece), piece)
        self._done = event.last
        return event

    def _close(self) -> list[Event]:
        if not self._done:
            raise UpstreamCut("Ollama's stream ended before a line that is done.")
        return []
