"""OpenAI's chat completions as clients speak them: `POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comporta.errors import ComportaError
from comporta.gateway.doors.base import Parsed
from comporta.gateway.doors.chat_reading import (
    NAME,
    function_call,
    functions,
    messages,
    response_format,
    tool_choice,
    tools,
)
from comporta.gateway.doors.chat_writing import ChatStream, completion
from comporta.gateway.doors.prompted import model_of, speaks_for_itself
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
    text,
    whole_number,
    word,
    words,
)
from comporta.gateway.doors.writing import openai_error
from comporta.pipeline import Call
from comporta.types import JSON, Input, Reply

FIELDS: Fields = {
    "messages": ("messages", messages),
    "tools": ("tools", tools),
    "functions": ("tools", functions),
    "tool_choice": ("tool_choice", tool_choice),
    "function_call": ("tool_choice", function_call),
    "parallel_tool_calls": ("parallel_tool_calls", flag),
    "response_format": ("response_format", response_format),
    "max_tokens": ("max_tokens", integer(1)),
    "max_completion_tokens": ("max_tokens", integer(1)),
    "temperature": ("temperature", number(0, 2)),
    "top_p": ("top_p", number(0, 1)),
    "top_k": ("top_k", integer(-1)),
    "stop": ("stop", stops),
    "seed": ("seed", whole_number),
    "n": ("n", integer(1, 128)),
    "presence_penalty": ("presence_penalty", number(-2, 2)),
    "frequency_penalty": ("frequency_penalty", number(-2, 2)),
    "logprobs": ("logprobs", flag),
    "top_logprobs": ("top_logprobs", integer(0, 20)),
    "logit_bias": ("logit_bias", obj),
    "reasoning_effort": ("reasoning_effort", word),
    "modalities": ("modalities", words),
    "user": ("user", word),
    "metadata": ("metadata", obj),
}
SKIP = frozenset({"model", "stream", "stream_options"})


class OpenAIChat:
    """The door for chat completions."""

    name = NAME
    path = "/v1/chat/completions"

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        raw = body_of(body)
        model = model_of(raw)
        stream = option(raw, "stream", "", flag) or False
        stored = "prompt" in raw and speaks_for_itself(raw) and not raw.get("messages")
        found = fields_of(raw, FIELDS, SKIP | {"messages"} if stored else SKIP)
        if "messages" not in found and not stored:
            raise missing("messages")
        _settle(raw, found)
        return Parsed(
            input=Input(wire=NAME, raw=raw, **found),
            model=model,
            stream=stream,
            include_usage=wants_usage(raw) and stream,
            user=found.get("user"),
            session=session_of(found.get("metadata")),
        )

    def reply(self, call: Call, reply: Reply) -> bytes:
        return completion(call, reply)

    def stream(self, call: Call) -> ChatStream:
        return ChatStream(call)

    def error(self, error: ComportaError) -> bytes:
        return openai_error(error)


def wants_usage(raw: JSON) -> bool:
    """Whether the client asked for usage in its stream (WIRE 7)."""
    options = option(raw, "stream_options", "", obj)
    return bool(options and option(options, "include_usage", "stream_options", flag))


def _settle(raw: JSON, found: dict[str, Any]) -> None:
    """Where two fields mean one thing the newer wins; values without a canonical form stay in `extra`."""
    for name in ("tool_choice", "response_format"):
        if name in found and found[name] is None:
            del found[name]
            found.setdefault("extra", {})[name] = raw[name]
    if "max_tokens" in found and raw.get("max_completion_tokens") is not None:
        found["max_tokens"] = whole_number(raw["max_completion_tokens"], "max_completion_tokens")
    if found.get("top_k", 1) < 1:
        del found["top_k"]
    if raw.get("functions") is not None and raw.get("tools") is not None:
        found["tools"] = tools(raw["tools"], "tools") + functions(raw["functions"], "functions")
    identifier = option(raw, "safety_identifier", "", text)
    if identifier and "user" not in found:
        found["user"] = word(identifier, "safety_identifier")
