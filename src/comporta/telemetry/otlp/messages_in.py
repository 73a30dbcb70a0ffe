"""What others' spans say of prompts and answers, whatever their dialect, as an `Input` and a `Reply` of ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from comporta.types import (
    JSON,
    Choice,
    Finish,
    Input,
    Message,
    Part,
    Reasoning,
    Reply,
    Role,
    Text,
    ToolCall,
    ToolResult,
)

_ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "ai": "assistant", "model": "assistant", "tool": "tool", "function": "tool",
}  # fmt: skip
_FINISH: Mapping[str, Finish] = {
    "stop": "stop", "end_turn": "stop", "stop_sequence": "stop", "length": "length", "max_tokens": "length",
    "tool_calls": "tool_calls", "tool_call": "tool_calls", "tool_use": "tool_calls", "function_call": "tool_calls",
    "content_filter": "content_filter", "safety": "content_filter",
}  # fmt: skip
#: A list's index in an attribute's name; a larger one is somebody's mistake.
_MOST = 2000


def input_of(attributes: JSON) -> Input | None:
    """What was asked; None where the span does not say."""
    system = _parts_of(_decoded(attributes.get("gen_ai.system_instructions")))
    messages = _first(
        _listed(attributes.get("gen_ai.input.messages")),
        unflattened(attributes, "llm.input_messages.", "message."),
        unflattened(attributes, "gen_ai.prompt."),
        unflattened(attributes, "llm.prompts."),
    )
    asked = [_message(one) for one in messages]
    if not asked and not system:
        asked = [_message({"role": "user", "content": one}) for one in _words(attributes, _IN)]
    if system:
        asked.insert(0, Message("system", system))
    return Input(messages=tuple(asked)) if asked else None


def reply_of(attributes: JSON, finishes: Sequence[str] = ()) -> Reply | None:
    """What was answered; None where the span does not say."""
    messages = _first(
        _listed(attributes.get("gen_ai.output.messages")),
        unflattened(attributes, "llm.output_messages.", "message."),
        unflattened(attributes, "gen_ai.completion."),
        unflattened(attributes, "llm.choices."),
    )
    if not messages:
        messages = [{"role": "assistant", "content": one} for one in _words(attributes, _OUT)]
    choices = [_choice(number, one, finishes) for number, one in enumerate(messages)]
    return Reply(choices=tuple(choices)) if choices else None


def finish_of(word: Any) -> Finish | None:
    """Why an answer ended, in our words; None for a word that is nobody's."""
    return _FINISH.get(str(word).lower()) if word else None


def unflattened(attributes: JSON, prefix: str, inner: str = "") -> list[JSON]:
    """`prefix.0.role`, `prefix.0.content` … as a list of objects. `inner` is taken off the names within."""
    found: dict[int, JSON] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        index, _, rest = name[len(prefix) :].partition(".")
        if index.isdecimal() and int(index) < _MOST and rest:
            _put(found.setdefault(int(index), {}), rest.removeprefix(inner), value)
    return [found[index] for index in sorted(found)]


_IN = ("llm.prompt.preview", "input.value", "traceloop.entity.input")
_OUT = ("output.value", "traceloop.entity.output")


def _words(attributes: JSON, names: Iterable[str]) -> list[str]:
    return [str(attributes[name]) for name in names if attributes.get(name)][:1]


def _first(*lists: list[JSON]) -> list[JSON]:
    return next((one for one in lists if one), [])


def _put(into: JSON, path: str, value: Any) -> None:
    """`tool_calls.0.name` into nested objects; lists become objects with numbers for names."""
    *above, last = path.split(".")
    for name in above[:6]:
        into = into.setdefault(name, {}) if isinstance(into.get(name, {}), dict) else {}
    into[last] = value


def _decoded(value: Any) -> Any:
    """JSON, as PostgreSQL can hold it: half of a pair of surrogates becomes a question mark."""
    if not isinstance(value, str):
        return value
    with contextlib.suppress(msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return msgspec.json.decode(value)
    try:
        whole = json.dumps(json.loads(value), ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.json.decode(whole)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return value


def _listed(value: Any) -> list[JSON]:
    found = _decoded(value)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _message(told: JSON) -> Message:
    role = _ROLES.get(str(told.get("role", "user")).lower(), "user")
    return Message(role, _parts(told, role))


def _choice(number: int, told: JSON, finishes: Sequence[str]) -> Choice:
    parts = _parts(told, "assistant")
    finish = finish_of(told.get("finish_reason") or (finishes[number] if number < len(finishes) else None))
    return Choice(
        index=number,
        text="".join(part.text for part in parts if isinstance(part, Text)),
        reasoning=tuple(part for part in parts if isinstance(part, Reasoning)),
        tools=tuple(part for part in parts if isinstance(part, ToolCall)),
        finish=finish,
    )


def _parts(told: JSON, role: Role) -> tuple[Part, ...]:
    rows = told.get("parts")
    parts = _parts_of(rows) if isinstance(rows, list) else (*_content(told), *_tool_calls(told))
    if role == "tool" and not any(isinstance(part, ToolResult) for part in parts):
        return (ToolResult(str(told.get("tool_call_id") or told.get("id") or ""), parts),)
    return parts


def _content(told: JSON) -> tuple[Part, ...]:
    content = _decoded(told.get("content")) if str(told.get("content", ""))[:1] == "[" else told.get("content")
    if isinstance(content, list):
        return _parts_of(content)
    nested = told.get("contents")
    if content is None and isinstance(nested, dict):
        rows = [_within(row, "message_content") for row in _in_order(nested)]
        return _parts_of([{"type": row.get("type", "text"), "text": row.get("text", "")} for row in rows])
    if content is None or content == "":
        return ()
    return (Text(content if isinstance(content, str) else json.dumps(content)),)


def _parts_of(told: Any) -> tuple[Part, ...]:
    if isinstance(told, str):
        return (Text(told),)
    found = (_part(one) for one in told if isinstance(one, dict)) if isinstance(told, list) else ()
    return tuple(one for one in found if one is not None)


def _part(told: JSON) -> Part | None:
    kind = str(told.get("type", "text"))
    text = told.get("content", told.get("text", ""))
    if kind == "tool_call":
        return _tool_call(told)
    if kind == "tool_call_response":
        return ToolResult(str(told.get("id") or ""), (Text(_written(told.get("response", told.get("result", "")))),))
    if kind in ("reasoning", "thinking"):
        return Reasoning(text=_written(text))
    return Text(_written(text)) if text else None


def _tool_calls(told: JSON) -> tuple[Part, ...]:
    calls = told.get("tool_calls")
    rows = _in_order(calls) if isinstance(calls, dict) else calls if isinstance(calls, list) else []
    return tuple(_tool_call(_within(row, "tool_call")) for row in rows if isinstance(row, dict))


def _within(row: JSON, name: str) -> JSON:
    """What stands below a name where that is an object, else the row itself."""
    found = row.get(name)
    return found if isinstance(found, dict) else row


def _tool_call(told: JSON) -> ToolCall:
    inner = told.get("function")
    function = inner if isinstance(inner, dict) else told
    name = function.get("name") or told.get("name") or ""
    return ToolCall(str(told.get("id") or ""), str(name), _written(function.get("arguments", "")))


def _in_order(rows: JSON) -> list[JSON]:
    numbered = [(int(name), row) for name, row in rows.items() if name.isdecimal() and isinstance(row, dict)]
    return [row for _, row in sorted(numbered, key=lambda one: one[0])]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
