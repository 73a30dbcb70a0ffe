"""OpenAI's old text completions as clients speak them: `POST /v1/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comporta.errors import BadRequest, ComportaError
from comporta.gateway.doors.base import Parsed
from comporta.gateway.doors.completions_writing import NAME, CompletionStream, completion
from comporta.gateway.doors.openai_chat import wants_usage
from comporta.gateway.doors.reading import (
    Fields,
    array,
    body_of,
    field,
    fields_of,
    flag,
    integer,
    missing,
    number,
    obj,
    option,
    session_of,
    stops,
    whole_number,
    word,
    wrong,
)
from comporta.gateway.doors.writing import openai_error
from comporta.pipeline import Call
from comporta.types import Input, Message, Reply, Text

FIELDS: Fields = {
    "max_tokens": ("max_tokens", integer(0)),
    "temperature": ("temperature", number(0, 2)),
    "top_p": ("top_p", number(0, 1)),
    "top_k": ("top_k", integer(-1)),
    "stop": ("stop", stops),
    "seed": ("seed", whole_number),
    "n": ("n", integer(1, 128)),
    "presence_penalty": ("presence_penalty", number(-2, 2)),
    "frequency_penalty": ("frequency_penalty", number(-2, 2)),
    "logprobs": ("top_logprobs", integer(0, 20)),
    "logit_bias": ("logit_bias", obj),
    "user": ("user", word),
    "metadata": ("metadata", obj),
}
SKIP = frozenset({"model", "stream", "stream_options", "prompt"})


class OpenAICompletions:
    """The door for text completions."""

    name = NAME
    path = "/v1/completions"

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        raw = body_of(body)
        model = field(raw, "model", "", word)
        stream = option(raw, "stream", "", flag) or False
        found = fields_of(raw, FIELDS, SKIP)
        if raw.get("prompt") is None:
            raise missing("prompt")
        found["messages"] = prompts(raw["prompt"], "prompt")
        if len(found["messages"]) != 1:
            # Several prompts, or tokens: only this wire has words for them, so others can tell and refuse.
            found.setdefault("extra", {})["prompt"] = raw["prompt"]
        if "top_logprobs" in found:
            found["logprobs"] = True
        if found.get("top_k", 1) < 1:
            del found["top_k"]
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

    def stream(self, call: Call) -> CompletionStream:
        return CompletionStream(call)

    def error(self, error: ComportaError) -> bytes:
        return openai_error(error)


def prompts(value: Any, path: str) -> tuple[Message, ...]:
    """Each prompt as something the user says. Arrays of tokens mean nothing to other wires and become no message."""
    if type(value) is str:
        return (Message("user", (Text(value),)),)
    if type(value) is not list:
        raise wrong(path, "a string or an array", value)
    if not value:
        raise BadRequest(f"{path} must hold at least one prompt", param=path)
    if type(value[0]) is str:
        return tuple([Message("user", (Text(_prompt(item, f"{path}[{i}]")),)) for i, item in enumerate(value)])
    if type(value[0]) is list:
        for i, item in enumerate(value):
            _tokens(array(item, f"{path}[{i}]"), f"{path}[{i}]")
    else:
        _tokens(value, path)
    return ()


def _prompt(value: Any, path: str) -> str:
    if type(value) is not str:
        raise wrong(path, "a string like the first prompt", value)
    return value


def _tokens(value: list[Any], path: str) -> None:
    for i, token in enumerate(value):
        if type(token) is not int or token < 0:
            raise BadRequest(f"{path}[{i}] must be a token, an integer of 0 or more", param=f"{path}[{i}]")
