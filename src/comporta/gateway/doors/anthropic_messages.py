"""Anthropic's messages and token counts as clients speak them: `POST /v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comporta.errors import ComportaError, Unsupported
from comporta.gateway.doors.anthropic_reading import NAME, messages, system, thinking, tool_choice, tools, user_of
from comporta.gateway.doors.anthropic_stream import MessageStream
from comporta.gateway.doors.anthropic_writing import envelope, message
from comporta.gateway.doors.base import Parsed, Stream
from comporta.gateway.doors.prompted import is_ours, model_of, speaks_for_itself
from comporta.gateway.doors.reading import (
    Fields,
    body_of,
    fields_of,
    flag,
    integer,
    missing,
    number,
    obj,
    option,
    session_of,
    stops,
)
from comporta.gateway.doors.writing import encode
from comporta.pipeline import Call
from comporta.types import JSON, Input, Kind, Reply

FIELDS: Fields = {
    "messages": ("messages", messages),
    "tools": ("tools", tools),
    "max_tokens": ("max_tokens", integer(0)),
    "temperature": ("temperature", number(0, 1)),
    "top_p": ("top_p", number(0, 1)),
    "top_k": ("top_k", integer(0)),
    "stop_sequences": ("stop", stops),
    "metadata": ("metadata", obj),
}
SKIP = frozenset({"model", "stream", "system", "tool_choice", "thinking", "output_config"})


class AnthropicMessages:
    """The door for messages."""

    name = NAME
    path = "/v1/messages"

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        raw = body_of(body)
        if raw.get("max_tokens") is None and not is_ours(raw.get("prompt")):
            # A prompt of ours may say it.
            raise missing("max_tokens")
        return _parsed(raw, "chat")

    def reply(self, call: Call, reply: Reply) -> bytes:
        return message(call, reply)

    def stream(self, call: Call) -> MessageStream:
        return MessageStream(call)

    def error(self, error: ComportaError) -> bytes:
        return envelope(error)


class AnthropicCountTokens:
    """The door for counts of tokens: the same body, answered with one number. Its input is of the messages' wire."""

    name = "anthropic.count_tokens"
    path = "/v1/messages/count_tokens"

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        return _parsed(body_of(body), "count")

    def reply(self, call: Call, reply: Reply) -> bytes:
        if reply.raw is not None and reply.wire == NAME:
            return reply.raw
        return encode({"input_tokens": reply.usage.prompt if reply.usage is not None else 0})

    def stream(self, call: Call) -> Stream:
        raise Unsupported("a count of tokens can't be streamed", param="stream")

    def error(self, error: ComportaError) -> bytes:
        return envelope(error)


def _parsed(raw: JSON, kind: Kind) -> Parsed:
    model = model_of(raw)
    stream = kind == "chat" and (option(raw, "stream", "", flag) or False)
    found = _fields(raw)
    metadata: JSON = found.get("metadata", {})
    session, user = session_of(metadata), user_of(metadata)
    if user is not None:
        found["user"] = user
        # Elsewhere `metadata` is for the caller's own notes; who asks has a field of its own.
        found["metadata"] = {k: v for k, v in metadata.items() if k != "user_id"} or None
    return Parsed(
        input=Input(wire=NAME, raw=raw, **found), model=model, stream=stream, user=user, session=session, kind=kind
    )


def _fields(raw: JSON) -> dict[str, Any]:
    stored = "prompt" in raw and speaks_for_itself(raw) and is_ours(raw["prompt"]) and not raw.get("messages")
    found = fields_of(raw, FIELDS, SKIP | {"messages"} if stored else SKIP)
    if "messages" not in found and not stored:
        raise missing("messages")
    if raw.get("system") is not None:
        said = system(raw["system"], "system")
        found["messages"] = (*(() if said is None else (said,)), *found.get("messages", ()))
    if raw.get("tool_choice") is not None:
        found |= tool_choice(raw["tool_choice"], "tool_choice")
    if raw.get("thinking") is not None or raw.get("output_config") is not None:
        settings = thinking(raw)
        extra = found.get("extra", {}) | settings.pop("extra", {})
        found |= settings | ({"extra": extra} if extra else {})
    if found.get("top_k") == 0:
        del found["top_k"]
    return found
