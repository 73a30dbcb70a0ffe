"""Embeddings made on this machine: the model `local/all-minilm-l6-v2` for `/v1/embeddings`. English only."""

from __future__ import annotations

from collections.abc import AsyncIterator

from comporta.embedding.minilm import DIMENSIONS, NAME, MiniLM
from comporta.errors import BadRequest, Unsupported, UpstreamRejected
from comporta.providers.base import Endpoint, Query
from comporta.types import Event, Usage

#: One text after another on one thread: more would keep all others waiting for seconds.
MOST_TEXTS = 512


class LocalEmbedding:
    """The provider `local`: vectors of 384 numbers."""

    name = "local"

    def __init__(self, embedder: MiniLM) -> None:
        self._embedder = embedder

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        """All vectors in one event. Raises Unavailable where the embedding model is not installed."""
        texts = _texts(query)
        counts = await self._embedder.count(texts)
        vectors = await self._embedder.embed(texts)
        usage = Usage(input=sum(counts))
        yield Event(vectors=tuple(vectors), usage=usage, model=query.model, whole=True, last=True)


def _texts(query: Query) -> list[str]:
    """The texts to embed. Raises for what this model can't do."""
    asked = query.input
    if query.model != NAME:
        raise UpstreamRejected(
            f"The provider has no model {query.model!r}; it has {NAME!r}.",
            status=404, code="model_not_found", param="model",
        )  # fmt: skip
    if query.kind != "embed":
        raise Unsupported(f"`{NAME}` makes embeddings only; ask it at /v1/embeddings.", param="model")
    if asked.dimensions not in {None, DIMENSIONS}:
        raise Unsupported(f"`{NAME}` makes vectors of {DIMENSIONS} numbers only.", param="dimensions")
    if not asked.texts:
        raise BadRequest("There is nothing to embed.", param="input")
    if len(asked.texts) > MOST_TEXTS:
        raise BadRequest(f"At most {MOST_TEXTS} texts in one call; these are {len(asked.texts)}.", param="input")
    texts = [text for text in asked.texts if isinstance(text, str)]
    if len(texts) < len(asked.texts):
        raise Unsupported(f"`{NAME}` takes text, not token numbers: its tokens are its own.", param="input")
    return texts
