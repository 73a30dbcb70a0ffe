"""Writing what all doors write: frames of a stream, error envelopes, identities, usage in OpenAI's counts."""

from __future__ import annotations

from typing import Any

import msgspec

from comporta.errors import ComportaError
from comporta.pipeline import Call
from comporta.types import JSON, Usage

encode = msgspec.json.Encoder().encode
#: One level of an object, its values left as the very bytes that came: numbers keep their spelling.
shallow = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
DONE = b"data: [DONE]\n\n"


def frame(raw: bytes) -> bytes:
    """A JSON text as one SSE frame. Line ends can only be white space between tokens there."""
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"data: " + raw + b"\n\n"


def named_frame(name: str, raw: bytes) -> bytes:
    """The same with an event name."""
    return b"event: " + name.encode() + b"\n" + frame(raw)


def own_id(prefix: str, call: Call) -> str:
    """An identity for the answer, made from the call's."""
    return prefix + call.id.replace("-", "")


def kept_id(prefix: str, call: Call, given: str | None) -> str:
    """The upstream's identity where it is one of this wire's, else our own."""
    return given if given is not None and given.startswith(prefix) else own_id(prefix, call)


def model_of(call: Call, given: str | None) -> str:
    """The model that answered, not the one that failed (WIRE 22)."""
    return given or call.reply_model or (call.target.model if call.target is not None else call.model)


def error_body(error: ComportaError) -> JSON:
    """OpenAI's error object; what is absent is JSON null (WIRE 13)."""
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return body if error.details is None else body | {"details": error.details}


def openai_error(error: ComportaError) -> bytes:
    return encode({"error": error_body(error)})


def openai_usage(usage: Usage) -> JSON:
    """OpenAI's counts include cached and reasoning tokens, ours are disjoint (WIRE 28)."""
    prompt: dict[str, Any] = {"cached_tokens": usage.cached, "audio_tokens": usage.audio_in}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    if usage.image_in:
        prompt["image_tokens"] = usage.image_in
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out},
    }


def cost_usd(call: Call) -> float | None:
    """What the call cost, in dollars, where it is known."""
    return None if call.cost_microusd is None else call.cost_microusd / 1_000_000


def usage_in(raw: bytes) -> msgspec.Raw | None:
    """The usage object of a frame as it stands; None where there is none or null."""
    usage = shallow(raw).get("usage")
    return None if usage is None or bytes(usage) == b"null" else usage


def priced(usage: msgspec.Raw | None, cost: float) -> JSON:
    """An upstream's own usage with the cost in it."""
    return (shallow(usage) if usage is not None else {}) | {"cost": cost}


def is_whole(pieces: list[str]) -> bool:
    """Whether the arguments of a tool call are complete JSON: then nothing more can come."""
    if not pieces or not pieces[-1].endswith("}"):
        return False
    try:
        msgspec.json.decode("".join(pieces))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
