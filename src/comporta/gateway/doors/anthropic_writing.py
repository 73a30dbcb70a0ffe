"""Writing Anthropic's messages: one whole object, usage, stop reasons and the error envelope."""

from __future__ import annotations

from typing import Any

import msgspec

from comporta.errors import ComportaError
from comporta.gateway.doors.anthropic_reading import NAME
from comporta.gateway.doors.writing import encode, kept_id, model_of
from comporta.pipeline import Call
from comporta.types import JSON, Choice, Finish, Reply, ToolCall, Usage

PREFIX = "msg_"

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def envelope(error: ComportaError) -> bytes:
    """Anthropic's error envelope (WIRE 13); its types follow from the status."""
    kind = _TYPES.get(error.status) or ("api_error" if error.status >= 500 else "invalid_request_error")
    body: JSON = {"type": kind, "message": error.message}
    return encode({"type": "error", "error": body if error.details is None else body | {"details": error.details}})


def message(call: Call, reply: Reply) -> bytes:
    """A whole message; the upstream's own bytes where they are in this wire."""
    if reply.raw is not None and reply.wire == NAME:
        return reply.raw
    choice = reply.choices[0] if reply.choices else Choice(0)
    refused = bool(choice.refusal)
    body = head(kept_id(PREFIX, call, reply.id), model_of(call, reply.model), usage_of(reply.usage or Usage()))
    body["content"] = _content(choice)
    body["stop_reason"] = stop_reason(choice.finish, choice.stop_sequence, tools=bool(choice.tools), refused=refused)
    body["stop_sequence"] = choice.stop_sequence
    return encode(body)


def head(identity: str, model: str, usage: JSON) -> JSON:
    """A message before it says anything."""
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _content(choice: Choice) -> list[JSON]:
    blocks: list[JSON] = []
    for thought in choice.reasoning:
        if thought.text or thought.signature:
            blocks.append({"type": "thinking", "thinking": thought.text, "signature": thought.signature or ""})
        if thought.encrypted is not None:
            blocks.append({"type": "redacted_thinking", "data": thought.encrypted})
    if choice.text or choice.refusal:
        blocks.append({"type": "text", "text": choice.text + choice.refusal})
    blocks.extend({"type": "tool_use", "id": t.id, "name": t.name, "input": _input(t)} for t in choice.tools)
    return blocks


def _input(tool: ToolCall) -> Any:
    """The arguments as the object that clients expect (WIRE 26); text that is none is kept under one name."""
    if not tool.arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(tool.arguments)
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": tool.arguments}
    return value if isinstance(value, dict) else {"arguments": tool.arguments}


def usage_of(usage: Usage) -> JSON:
    """Anthropic's counts: input without what was cached, output with thinking (WIRE 28)."""
    counts: JSON = {
        "input_tokens": usage.input + usage.audio_in + usage.image_in,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }
    if usage.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts


_REASONS: dict[Finish, str] = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def stop_reason(finish: Finish | None, stop_sequence: str | None, *, tools: bool, refused: bool) -> str:
    """Why the answer ended, in Anthropic's words."""
    if finish is not None and finish != "stop":
        return _REASONS[finish]
    if tools:
        return "tool_use"
    if refused:
        return "refusal"
    return "end_turn" if stop_sequence is None else "stop_sequence"
