"""The key of a call: a digest of everything that may change its answer, and of whose answer it is (WIRE 30)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import structs

from comporta.pipeline import Call
from comporta.types import JSON, Input

#: Where the `prompt` stage leaves the version of the prompt it rendered, in `call.facts`.
PROMPT_FACT = "prompt_version"
#: Counts up when keys or entries change their form, so that old entries are not found any more.
_FORM = 2
DIGEST_BYTES = 32

#: Fields of a body that say who asks and how the answer travels, not what it is. `model` stands in the target.
IGNORED = frozenset(
    {"model", "stream", "stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key",
     "prompt_cache_retention"}
)  # fmt: skip
#: What a client says to the cache itself.
OWN_HEADERS = frozenset({"cache-control", "x-comporta-cache", "x-comporta-cache-tags", "x-comporta-task"})
#: Fields that tie an answer to something that changes elsewhere, or that make one of lasting effect.
STATEFUL = ("conversation", "background")
#: Beyond it, whole floats have no neighbours of their own.
_EXACT = 2.0**53

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


def key_of(call: Call) -> bytes | None:
    """The key; None for a call whose answer can't be one that was given before.

    A plain and a streamed answer have keys of their own, so that each is given again in its own form, nothing lost.
    """
    target, asked, caller = call.target, call.input, call.caller
    if target is None:
        return None
    body = asked.raw if asked.raw is not None else asked.extra
    for name in STATEFUL:
        if body.get(name):
            return None
    try:
        return blake2b(
            _encode(
                (
                    _FORM,
                    ("team", caller.team) if caller.team is not None else ("key", caller.key_id),
                    (target.route, target.provider, target.model, target.params),
                    (call.kind, call.door, call.stream, asked.wire),
                    call.facts.get(PROMPT_FACT),
                    _headers(call.headers),
                    _written(asked) if asked.raw is None else _own(asked.raw),
                )
            ),
            digest_size=DIGEST_BYTES,
        ).digest()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        # A body that has no canonical JSON (lone surrogates, numbers beyond any) has no key.
        return None


def _headers(headers: Mapping[str, str]) -> JSON | None:
    """The client's headers that reach the provider."""
    if not headers or (len(headers) == 1 and "cache-control" in headers):
        return None
    return {name: value for name, value in headers.items() if name not in OWN_HEADERS} or None


def _own(raw: JSON) -> JSON:
    """The client's body, without what doesn't matter and in one of several equal spellings."""
    body = {
        name: _same(value) if value.__class__ is float else value for name, value in raw.items() if name not in IGNORED
    }
    messages = raw.get("messages")
    if type(messages) is list:
        for item in messages:
            # Most say what they say in one text, and there is nothing to be made equal.
            if item.__class__ is not dict or item.get("content").__class__ is list:
                body["messages"] = [_message(item) for item in messages]
                break
    options = raw.get("stream_options")
    if type(options) is dict and (rest := {k: v for k, v in options.items() if k != "include_usage"}):
        body["stream_options"] = rest
    return body


def _same(value: float) -> float:
    """A number in one spelling, whether or not it was written with a fraction."""
    if value.is_integer() and -_EXACT < value < _EXACT:
        return int(value)
    return value


def _message(item: Any) -> Any:
    """A message whose content is a single text part says the same as one with that text."""
    content = item.get("content") if type(item) is dict else None
    if type(content) is not list or len(content) != 1:
        return item
    part = content[0]
    if type(part) is dict and len(part) == 2 and part.get("type") == "text" and type(part.get("text")) is str:
        return {**item, "content": part["text"]}
    return item


def _written(asked: Input) -> tuple[Any, ...]:
    """An input that a stage has changed: its canonical form is all that a provider gets to see."""
    extra = {name: value for name, value in asked.extra.items() if name not in IGNORED}
    return ("canonical", structs.replace(asked, user=None, metadata=None, extra=extra))
