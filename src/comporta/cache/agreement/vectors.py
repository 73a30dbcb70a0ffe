"""How near single words are in meaning: a table of short vectors, one for each of the embedder's whole words.

Made by `tools/train_agreement.py` from all-MiniLM-L6-v2 (Apache 2.0): each word embedded alone, brought down to 64
numbers of eight bits. Read at the first use, once a process: 1.4 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

#: What a word weighs that is not in the table: it is rare, and so says most.
_RARE = 1.0


class Words:
    """The table: `weight` of a word (rare ones weigh more), and how near each of some is to its nearest of others."""

    def __init__(self, words: Sequence[str], vectors: Any, weights: Any) -> None:
        self._at = {word: i for i, word in enumerate(words)}
        self._vectors = vectors
        self._weights = weights

    def __contains__(self, word: str) -> bool:
        return word in self._at

    def weight(self, word: str) -> float:
        at = self._at.get(word)
        return _RARE if at is None else float(self._weights[at])

    def nearest(self, words: Sequence[str], others: Sequence[str]) -> list[float]:
        """For each word the likeness of its nearest of the others, from 0 to 1; unknown words are near to none."""
        mine, theirs = [self._at.get(word, -1) for word in words], [self._at[w] for w in others if w in self._at]
        if not theirs:
            return [0.0] * len(mine)
        likeness = (self._vectors[mine] @ self._vectors[theirs].T).max(axis=1)
        return [max(0.0, float(value)) if at >= 0 else 0.0 for at, value in zip(mine, likeness, strict=True)]


@cache
def shipped() -> Words:
    """The table that comes with Comporta."""
    # 40 MB that a gate without a semantic cache should not pay: the one marked place.
    import numpy  # noqa: PLC0415

    path = resources.files("comporta.cache.agreement") / "tables" / "words.npz"
    with path.open("rb") as file, numpy.load(file, allow_pickle=False) as held:
        vectors = held["vectors"].astype(numpy.float32)
        vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
        return Words(str(held["words"]).split(), vectors, held["weights"].astype(numpy.float32) / 255)
