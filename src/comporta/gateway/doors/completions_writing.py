"""Writing OpenAI's old text completions: one whole object, or chunks of a stream."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from comporta.errors import ComportaError
from comporta.gateway.doors.writing import (
    DONE,
    cost_usd,
    encode,
    error_body,
    frame,
    kept_id,
    model_of,
    openai_usage,
    own_id,
    shallow,
    usage_in,
)
from comporta.pipeline import Call
from comporta.types import JSON, Delta, Event, Finish, Reply, Usage

NAME = "openai.completions"
PREFIX = "cmpl-"


def completion(call: Call, reply: Reply) -> bytes:
    """A whole text completion; the upstream's own bytes where they are in this wire."""
    if reply.raw is not None and reply.wire == NAME:
        return reply.raw
    body: JSON = {
        "id": kept_id(PREFIX, call, reply.id),
        "object": "text_completion",
        "created": int(call.started_s),
        "model": model_of(call, reply.model),
        "choices": [
            _choice(c.index, c.text + c.refusal, c.logprobs, _finish(c.finish or "stop")) for c in reply.choices
        ],
    }
    if reply.usage is not None:
        body["usage"] = openai_usage(reply.usage)
    return encode(body)


def _choice(index: int, text: str, logprobs: JSON | None, finish: str | None) -> JSON:
    return {"text": text, "index": index, "logprobs": _logprobs(logprobs), "finish_reason": finish}


def _finish(finish: Finish) -> str:
    """The wire has no tools."""
    return "stop" if finish == "tool_calls" else finish


def _logprobs(given: JSON | None) -> JSON | None:
    """Chat's list of tokens in the columns of this wire."""
    if given is None or "tokens" in given:
        return given
    entries: list[JSON] = given.get("content") or []
    offsets, at = [], 0
    for entry in entries:
        offsets.append(at)
        at += len(entry.get("token", ""))
    return {
        "tokens": [entry.get("token", "") for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [
            {top.get("token", ""): top.get("logprob") for top in entry.get("top_logprobs") or ()} for entry in entries
        ],
        "text_offset": offsets,
    }


class CompletionStream:
    """One streamed text completion. Usage waits for the end; everything else goes out as it comes."""

    __slots__ = ("_call", "_head", "_model", "_usage", "_usage_raw")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._head: JSON | None = None
        self._usage: Usage | None = None
        self._usage_raw: Raw | None = None

    def event(self, event: Event) -> bytes:
        raw = event.raw
        if raw is None or event.wire != NAME or event.whole:
            return self._write(event)
        if self._head is None:
            self._head = self._opening(event.id or own_id(PREFIX, self._call), event.model)
        if b'"usage"' not in raw:
            return frame(raw)
        fields: dict[str, Any] = shallow(raw)
        fields.pop("usage", None)
        if event.usage is not None:
            self._usage, self._usage_raw = event.usage, usage_in(raw)
        return frame(encode(fields)) if event.deltas or event.usage is None else b""

    def end(self) -> bytes:
        usage = self._usage or self._call.usage
        if not self._call.include_usage or usage is None:
            return DONE
        counts: dict[str, Any] = shallow(self._usage_raw) if self._usage_raw is not None else openai_usage(usage)
        cost = cost_usd(self._call)
        if cost is not None:
            counts["cost"] = cost
        head = self._head or self._opening(own_id(PREFIX, self._call), None)
        return frame(encode(head | {"choices": [], "usage": counts})) + DONE

    def error(self, error: ComportaError) -> bytes:
        return frame(encode({"error": error_body(error)})) + DONE

    def _opening(self, identity: str, model: str | None) -> JSON:
        return {
            "id": identity,
            "object": "text_completion",
            "created": int(self._call.started_s),
            "model": model_of(self._call, model),
        }

    def _write(self, event: Event) -> bytes:
        if self._head is None:
            self._head = self._opening(kept_id(PREFIX, self._call, event.id), event.model)
        if event.usage is not None:
            self._usage, self._usage_raw = event.usage, None
        return b"".join([self._delta(self._head, delta) for delta in event.deltas])

    @staticmethod
    def _delta(head: JSON, delta: Delta) -> bytes:
        """Thinking and tools have no place in this wire."""
        text = delta.text + delta.refusal
        if not text and delta.finish is None and delta.logprobs is None:
            return b""
        finish = None if delta.finish is None else _finish(delta.finish)
        return frame(encode(head | {"choices": [_choice(delta.index, text, delta.logprobs, finish)]}))
