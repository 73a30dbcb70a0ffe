"""OpenAI's embeddings as clients speak them: `POST /v1/embeddings` (WIRE 24)."""

from __future__ import annotations

import sys
from array import array as packed
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from comporta.errors import BadRequest, ComportaError, Unsupported, UpstreamFault
from comporta.gateway.doors.base import Parsed, Stream
from comporta.gateway.doors.reading import (
    Fields,
    body_of,
    field,
    fields_of,
    integer,
    missing,
    obj,
    session_of,
    word,
    wrong,
)
from comporta.gateway.doors.writing import encode, model_of, openai_error
from comporta.pipeline import Call
from comporta.types import Input, Reply, Usage

NAME = "openai.embeddings"

Text = str | tuple[int, ...]
Vector = tuple[float, ...] | str


def texts(value: Any, path: str) -> tuple[Text, ...]:
    """One text, several, one array of tokens, or several of those."""
    if type(value) is str:
        return (_text(value, path),)
    if type(value) is not list:
        raise wrong(path, "a string or an array", value)
    if not value:
        raise BadRequest(f"{path} must hold at least one text", param=path)
    if type(value[0]) is int:
        return (_tokens(value, path),)
    return tuple([_item(item, f"{path}[{i}]") for i, item in enumerate(value)])


def _item(item: Any, path: str) -> Text:
    if type(item) is str:
        return _text(item, path)
    if type(item) is list:
        return _tokens(item, path)
    raise wrong(path, "a string or an array of tokens", item)


def _text(value: str, path: str) -> str:
    if not value:
        raise BadRequest(f"{path} must not be an empty string", param=path)
    return value


def _tokens(value: list[Any], path: str) -> tuple[int, ...]:
    if not value:
        raise BadRequest(f"{path} must hold at least one token", param=path)
    for i, token in enumerate(value):
        if type(token) is not int or token < 0:
            raise BadRequest(f"{path}[{i}] must be a token, an integer of 0 or more", param=f"{path}[{i}]")
    return tuple(value)


FIELDS: Fields = {
    "input": ("texts", texts),
    "dimensions": ("dimensions", integer(1)),
    "user": ("user", word),
    "metadata": ("metadata", obj),
}
SKIP = frozenset({"model", "stream"})


class OpenAIEmbeddings:
    """The door for embeddings."""

    name = NAME
    path = "/v1/embeddings"

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        raw = body_of(body)
        model = field(raw, "model", "", word)
        found = fields_of(raw, FIELDS, SKIP)
        if "texts" not in found:
            raise missing("input")
        if raw.get("encoding_format") not in (None, "float", "base64"):
            raise BadRequest("encoding_format must be float or base64", param="encoding_format")
        return Parsed(
            input=Input(wire=NAME, raw=raw, **found),
            model=model,
            user=found.get("user"),
            session=session_of(found.get("metadata")),
            kind="embed",
        )

    def reply(self, call: Call, reply: Reply) -> bytes:
        """The vectors in the form that was asked for, whatever form they came in."""
        wanted = str if call.input.extra.get("encoding_format") == "base64" else tuple
        if reply.raw is not None and reply.wire == NAME and all(isinstance(v, wanted) for v in reply.vectors):
            return reply.raw
        form = _as_text if wanted is str else _as_numbers
        usage = reply.usage or call.usage or Usage()
        return encode(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": i, "embedding": form(vector)}
                    for i, vector in enumerate(reply.vectors)
                ],
                "model": model_of(call, reply.model),
                "usage": {"prompt_tokens": usage.prompt, "total_tokens": usage.total},
            }
        )

    def stream(self, call: Call) -> Stream:
        raise Unsupported("embeddings can't be streamed", param="stream")

    def error(self, error: ComportaError) -> bytes:
        return openai_error(error)


def _as_text(vector: Vector) -> str:
    """Little-endian 32-bit floats in base64."""
    if isinstance(vector, str):
        return vector
    numbers = packed("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def _as_numbers(vector: Vector) -> list[float] | tuple[float, ...]:
    if not isinstance(vector, str):
        return vector
    try:
        numbers = packed("f", b64decode(vector, validate=True))
    except ValueError:
        raise UpstreamFault("the provider sent an embedding that is no base64 of 32-bit floats") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
