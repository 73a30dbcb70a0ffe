"""OpenAI's Responses API as clients speak it: `POST /v1/responses`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comporta.errors import ComportaError
from comporta.gateway.doors.base import Parsed
from comporta.gateway.doors.prompted import model_of, speaks_for_itself
from comporta.gateway.doors.reading import (
    Fields,
    array,
    body_of,
    fields_of,
    flag,
    integer,
    missing,
    number,
    obj,
    option,
    session_of,
    text,
    word,
)
from comporta.gateway.doors.responses_reading import (
    NAME,
    messages,
    reasoning_settings,
    text_settings,
    tool_choice,
    tools,
)
from comporta.gateway.doors.responses_stream import ResponseStream
from comporta.gateway.doors.responses_writing import response
from comporta.gateway.doors.writing import openai_error
from comporta.pipeline import Call
from comporta.types import JSON, Input, Message, Reply, Text

FIELDS: Fields = {
    "input": ("messages", messages),
    "tools": ("tools", tools),
    "tool_choice": ("tool_choice", tool_choice),
    "parallel_tool_calls": ("parallel_tool_calls", flag),
    "max_output_tokens": ("max_tokens", integer(1)),
    "temperature": ("temperature", number(0, 2)),
    "top_p": ("top_p", number(0, 1)),
    "top_logprobs": ("top_logprobs", integer(0, 20)),
    "user": ("user", word),
    "metadata": ("metadata", obj),
}
SKIP = frozenset({"model", "stream", "stream_options", "instructions", "text", "reasoning"})
#: With one of these the conversation so far is at the provider, and there may be nothing to add.
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
_LOGPROBS = "message.output_text.logprobs"


class OpenAIResponses:
    """The door for responses."""

    name = NAME
    path = "/v1/responses"

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        raw = body_of(body)
        model = model_of(raw)
        stream = option(raw, "stream", "", flag) or False
        found = _fields(raw)
        return Parsed(
            input=Input(wire=NAME, raw=raw, **found),
            model=model,
            stream=stream,
            user=found.get("user"),
            session=session_of(found.get("metadata")),
        )

    def reply(self, call: Call, reply: Reply) -> bytes:
        return response(call, reply)

    def stream(self, call: Call) -> ResponseStream:
        return ResponseStream(call)

    def error(self, error: ComportaError) -> bytes:
        return openai_error(error)


def _fields(raw: JSON) -> dict[str, Any]:
    stored = "prompt" in raw and speaks_for_itself(raw) and not raw.get("input")
    found = fields_of(raw, FIELDS, SKIP | {"input"} if stored else SKIP)
    extra: JSON = found.get("extra", {})
    if "messages" not in found and not any(extra.get(name) for name in _ELSEWHERE):
        raise missing("input")
    instructions = option(raw, "instructions", "", text)
    if instructions:
        found["messages"] = (Message("system", (Text(instructions),)), *found.get("messages", ()))
    if raw.get("text") is not None:
        text_settings(raw["text"], found, extra)
    if raw.get("reasoning") is not None:
        reasoning_settings(raw["reasoning"], found, extra)
    if "tool_choice" in found and found["tool_choice"] is None:
        del found["tool_choice"]
        extra["tool_choice"] = raw["tool_choice"]
    _include(raw, found, extra)
    option(raw, "store", "", flag)
    identifier = option(raw, "safety_identifier", "", text)
    if identifier and "user" not in found:
        found["user"] = word(identifier, "safety_identifier")
    if extra:
        found["extra"] = extra
    return found


def _include(raw: JSON, found: dict[str, Any], extra: JSON) -> None:
    """Log probabilities are asked for among the things to include."""
    wanted = option(raw, "include", "", array) or []
    if _LOGPROBS in wanted:
        found["logprobs"] = True
        rest = [name for name in wanted if name != _LOGPROBS]
        extra.pop("include")
        if rest:
            extra["include"] = rest
