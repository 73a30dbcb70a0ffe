"""OpenAI's embeddings on the page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from comporta.gateway.openapi.common import Metadata, Model, Positive, Shape, User

_TOKENS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
_TEXT = {"type": "string", "minLength": 1}
_INPUT = Meta(
    description="A text, several, or tokens.",
    examples=["Where is my parcel?"],
    extra_json_schema={
        "anyOf": [
            _TEXT,
            _TOKENS,
            {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, _TOKENS]}},
        ]
    },
)


class EmbeddingRequest(Shape):
    """Texts to turn into vectors."""

    model: Model
    input: Annotated[Any, _INPUT]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Positive | None = None
    user: User = None
    metadata: Metadata | None = None


class Embedding(Shape):
    """The vector of one text: numbers, or little-endian 32-bit floats in base64."""

    object: Literal["embedding"]
    index: int
    embedding: str | list[float]


class EmbeddingUsage(Shape):
    """Tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Shape):
    """The vectors, in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
