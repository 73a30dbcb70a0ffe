"""OpenAI's embeddings: batches in order, as numbers or as base64 (WIRE 24)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.providers.base import Query
from comporta.providers.carry import present
from comporta.providers.openai_encode import refuse
from comporta.providers.openai_fault import fault_inside, unreadable
from comporta.providers.openai_usage import usage_of
from comporta.providers.statuses import UNREADABLE, decoded
from comporta.types import JSON, Event

NAME: Final = "openai.embeddings"


class Vector(Struct):
    embedding: str | tuple[float, ...]
    index: int | None = None


class Vectors(Struct):
    data: list[Vector] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None
    object: str | None = None


_decode = msgspec.json.Decoder(Vectors).decode


def body_of(query: Query, options: JSON) -> tuple[JSON, tuple[str, ...]]:
    """The request's body, and what it could not carry."""
    given = query.input
    refuse(given, options.get("unsupported", ()))
    if given.raw is not None and given.wire == NAME:
        body = {**given.raw, "model": query.model}
    else:
        body = present(
            model=query.model, input=list(given.texts), dimensions=given.dimensions, user=given.user
        )  # fmt: skip
        body = {**given.extra, **body} if given.wire in ("", NAME) else body
    if not options.get("embedding_base64", True):
        body.pop("encoding_format", None)
    dropped = tuple(name for name in options.get("drop", ()) if body.pop(name, None) is not None)
    return body, dropped


def reply_of(query: Query, body: bytes, title: str) -> Event:
    """The vectors in the order of the texts. Raises UpstreamFault where there are not as many."""
    try:
        whole = _decode(body)
    except UNREADABLE:
        whole = Vectors()
    if whole.data is None:
        value = decoded(body)
        if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
            raise fault_inside(title, value)
        raise unreadable(title, "a body without embeddings")
    if query.input.texts and len(whole.data) != len(query.input.texts):
        raise unreadable(title, f"{len(whole.data)} embeddings for {len(query.input.texts)} texts")
    places = [place if vector.index is None else vector.index for place, vector in enumerate(whole.data)]
    ordered = all(place == index for place, index in enumerate(places))
    pairs = sorted(zip(places, whole.data, strict=True), key=lambda pair: pair[0])
    vectors = tuple(vector.embedding for _, vector in pairs)
    raw = body if ordered and _as_asked(query, vectors) else None
    return Event(
        usage=usage_of(whole.usage), model=whole.model, wire=NAME, raw=raw, whole=True, vectors=vectors
    )  # fmt: skip


def _as_asked(query: Query, vectors: tuple[tuple[float, ...] | str, ...]) -> bool:
    """Whether the vectors are in the form the client asked for; where not, its door writes them anew."""
    raw = query.input.raw or {}
    kind = str if raw.get("encoding_format") == "base64" else tuple
    return all(isinstance(vector, kind) for vector in vectors)
