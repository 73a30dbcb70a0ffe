"""The embedder that a configuration names: this process's own, or any provider's, asked through the gate itself."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import Callable, Sequence

from comporta.embedding.base import Embedder
from comporta.errors import Unavailable
from comporta.gateway.asking import ask
from comporta.pipeline import Call, Next
from comporta.types import Caller, Input

#: The embedder of this process.
LOCAL = "local"


class ProvidersEmbedder:
    """Vectors of `provider/model`, or of a route. Each question is a call: recorded, and paid for as `feature`."""

    #: As many as its first vector has.
    dimensions = 0

    def __init__(self, name: str, pipeline: Callable[[], Next], feature: str) -> None:
        self.name = name
        self._pipeline = pipeline
        self._caller = Caller(key_id=feature, name=f"{feature} embeddings", feature=feature, admin=True)

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector for each text, in order. Raises ComportaError."""
        call = Call(
            kind="embed", input=Input(texts=tuple(texts)), model=self.name, caller=self._caller, door="python",
            depth=1,
        )  # fmt: skip
        vectors = (await ask(self._pipeline(), call)).vectors
        if len(vectors) != len(texts):
            raise Unavailable(
                f"'{self.name}' answered {len(vectors)} vectors to {len(texts)} texts.", code="embedding_unavailable"
            )
        return [_numbers(vector) for vector in vectors]


def _numbers(vector: tuple[float, ...] | str) -> tuple[float, ...]:
    """A vector as numbers; some providers write float32 as base64."""
    return tuple(array("f", b64decode(vector))) if isinstance(vector, str) else vector


def embedder_named(name: str, local: Embedder, pipeline: Callable[[], Next], feature: str = "cache") -> Embedder:
    """`local`, or what is asked under that name."""
    return local if name in (LOCAL, local.name, f"{LOCAL}/{local.name}") else ProvidersEmbedder(name, pipeline, feature)
