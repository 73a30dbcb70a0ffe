"""What turns texts into vectors, for whoever needs it: cache, retrieval, the offline model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """Texts to vectors of length one, so that a dot product is their likeness."""

    #: Vectors of different names can't be compared: it belongs into the key of whatever stores them.
    name: str
    dimensions: int

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector for each text, in order."""
