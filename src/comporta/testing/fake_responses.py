"""The Responses API of the fake OpenAI: one object, or its stream of named events."""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec

from comporta.testing.upstream import Answer, Seen, Step, ToolAsk, frame
from comporta.types import JSON

_CREATED: Final = 1_700_000_000


def answer(seen: Seen, step: Step) -> Answer:
    """A response, or its events."""
    if seen.json.get("input") is None and seen.json.get("prompt") is None:
        error = {"message": "Missing required parameter: 'input'.", "type": "invalid_request_error"}
        error |= {"param": "input", "code": "missing_required_parameter"}
        return Answer(status=400, body=msgspec.json.encode({"error": error}))
    items = _items(step)
    whole = _response(seen, step, items, _status(step))
    if not seen.json.get("stream"):
        return Answer(body=msgspec.json.encode(whole))
    stream = _Stream()
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    stream.say("response.created", response=begun)
    stream.say("response.in_progress", response=begun)
    for place, item in enumerate(items):
        _say_item(stream, place, item, step)
    stream.say("response.incomplete" if whole["status"] == "incomplete" else "response.completed", response=whole)
    failed = {**begun, "status": "failed", "error": {"code": step.error or "server_error", "message": step.message}}
    if step.omit_done:
        stream.frames.pop()
    return Answer(
        content_type="text/event-stream",
        frames=stream.frames,
        error=_framed("response.failed", len(stream.frames), response=failed),
        garbage=b'event: response.output_text.delta\ndata: {"type":"response.output_\n\n',
    )


def _framed(kind: str, number: int, **fields: Any) -> bytes:
    return frame({"type": kind, "sequence_number": number, **fields}, kind)


class _Stream:
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def say(self, kind: str, **fields: Any) -> None:
        self.frames.append(_framed(kind, len(self.frames), **fields))


def _status(step: Step) -> str:
    return "incomplete" if step.finish in ("length", "content_filter") else "completed"


def _response(seen: Seen, step: Step, items: list[JSON], status: str) -> JSON:
    body = seen.json
    reason = "max_output_tokens" if step.finish == "length" else "content_filter"
    return {
        "id": f"resp_fake{zlib.crc32(seen.body)}",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": step.model or body["model"],
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if step.omit_usage else _usage(seen, step),
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _usage(seen: Seen, step: Step) -> JSON:
    usage = step.usage_for(seen)
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _items(step: Step) -> list[JSON]:
    items: list[JSON] = []
    if step.reasoning:
        summary = [{"type": "summary_text", "text": step.whole_reasoning}]
        items.append({"id": "rs_fake", "type": "reasoning", "summary": summary})
    if not step.tools or isinstance(step.text, tuple):
        part = (
            {"type": "refusal", "refusal": step.refusal}
            if step.refusal
            else {"type": "output_text", "text": step.whole_text, "annotations": [], "logprobs": []}
        )
        message = {"id": "msg_fake", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    items += [_call(tool, place) for place, tool in enumerate(step.tools)]
    return items


def _call(tool: ToolAsk, place: int) -> JSON:
    return {
        "id": f"fc_fake{place}",
        "type": "function_call",
        "status": "completed",
        "arguments": tool.arguments,
        "call_id": tool.id or f"call_fake{place}",
        "name": tool.name,
    }


def _say_item(stream: _Stream, place: int, item: JSON, step: Step) -> None:
    empty = {"content": [], "summary": [], "arguments": ""}
    begun = {**item, **{name: value for name, value in empty.items() if name in item}}
    if "status" in item:
        begun["status"] = "in_progress"
    stream.say("response.output_item.added", output_index=place, item=begun)
    at = {"item_id": item["id"], "output_index": place}
    if item["type"] == "reasoning":
        _say_summary(stream, {**at, "summary_index": 0}, step)
    elif item["type"] == "message":
        _say_message(stream, {**at, "content_index": 0}, item["content"][0], step)
    else:
        arguments = item["arguments"]
        for start in range(0, len(arguments), 7):
            stream.say("response.function_call_arguments.delta", **at, delta=arguments[start : start + 7])
        stream.say("response.function_call_arguments.done", **at, arguments=arguments, name=item["name"])
    stream.say("response.output_item.done", output_index=place, item=item)


def _say_summary(stream: _Stream, at: JSON, step: Step) -> None:
    whole = {"type": "summary_text", "text": step.whole_reasoning}
    stream.say("response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
    for token in step.reasoning_tokens:
        stream.say("response.reasoning_summary_text.delta", **at, delta=token)
    stream.say("response.reasoning_summary_text.done", **at, text=step.whole_reasoning)
    stream.say("response.reasoning_summary_part.done", **at, part=whole)


def _say_message(stream: _Stream, at: JSON, part: JSON, step: Step) -> None:
    kind = part["type"]
    empty = {**part, "refusal": ""} if kind == "refusal" else {**part, "text": ""}
    stream.say("response.content_part.added", **at, part=empty)
    if kind == "refusal":
        stream.say("response.refusal.delta", **at, delta=step.refusal)
        stream.say("response.refusal.done", **at, refusal=step.refusal)
    else:
        for token in step.tokens:
            stream.say("response.output_text.delta", **at, delta=token, logprobs=[])
        stream.say("response.output_text.done", **at, text=step.whole_text, logprobs=[])
    stream.say("response.content_part.done", **at, part=part)
