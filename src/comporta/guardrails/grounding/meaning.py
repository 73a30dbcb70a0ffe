"""What sentences say, compared: a claim against the sentences that share words with it."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from operator import mul

from comporta.embedding.base import Embedder
from comporta.guardrails.grounding.measures import Claim
from comporta.guardrails.grounding.passages import Passages

#: Sentences of the passages that one claim is compared with: each costs some milliseconds the first time.
_NEAREST = 5
_REMEMBERED = 4_000
_LONGEST_CHARACTERS = 600


class Meanings:
    """Likenesses of sentences; their vectors are remembered, since answers come against the same passages again."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: OrderedDict[str, array[float]] = OrderedDict()

    async def measured(self, claim: Claim, passages: Passages) -> dict[str, float]:
        """The figures of MEANING. Raises Unavailable."""
        near = passages.best(claim.reading.stems, _NEAREST)
        return {"alike": max([await self.alike(claim.text, passages.sentences[at]) for at in near], default=0.0)}

    async def alike(self, one: str, other: str) -> float:
        """How alike two texts are, from about 0 to 1. Raises Unavailable."""
        return float(sum(map(mul, await self._vector(one), await self._vector(other))))

    async def _vector(self, text: str) -> array[float]:
        text = text[:_LONGEST_CHARACTERS]
        known = self._vectors.get(text)
        if known is None:
            (vector,) = await self._embedder.embed([text])
            known = self._vectors[text] = array("f", vector)
            if len(self._vectors) > _REMEMBERED:
                self._vectors.popitem(last=False)
        return known
