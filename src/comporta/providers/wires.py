"""The wires there are, by the name that rows call them by: a new one is one file and one line here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from comporta.embedding.minilm import MiniLM
from comporta.errors import Unavailable
from comporta.providers.anthropic import Anthropic
from comporta.providers.anthropic_batches import AnthropicBatches
from comporta.providers.base import Local, Wire
from comporta.providers.batching import Batching
from comporta.providers.gemini import Gemini
from comporta.providers.local_embedding import LocalEmbedding
from comporta.providers.offline import Offline
from comporta.providers.ollama import Ollama
from comporta.providers.openai import OpenAI
from comporta.providers.openai_batches import OpenAIBatches
from comporta.providers.rows import Row
from comporta.providers.scripted import Scripted

#: The wires whose providers may have a batch API of their own.
_BATCHING: Mapping[str, Callable[[Any], Batching]] = {
    "openai": OpenAIBatches,
    "anthropic": lambda wire: AnthropicBatches(),
}


class Speakers:
    """Gives each provider what speaks its wire, the same one through every reload of the configuration.

    `cache` is where the embedding model is built, once.
    """

    def __init__(self, cache: Path) -> None:
        #: The one embedding model by which this process decides.
        self.embedder = embedder = MiniLM(cache)
        #: The same as it was trained, for those who ask for vectors: they may compare them with anybody's.
        self._precise = precise = MiniLM(cache, precision="full")
        self._makers: Mapping[str, Callable[[Row], Wire | Local]] = {
            "openai": lambda row: OpenAI(row.title, responses=row.responses, completions=row.completions),
            "anthropic": lambda row: Anthropic(),
            "gemini": lambda row: Gemini(),
            "ollama": lambda row: Ollama(),
            "offline": lambda row: Offline(embedder),
            "local": lambda row: LocalEmbedding(precise),
            "scripted": lambda row: Scripted(),
        }
        self._made: dict[tuple[str, str], Wire | Local] = {}

    def of(self, provider: str, row: Row) -> Wire | Local:
        key = (provider, row.name)
        if key not in self._made:
            self._made[key] = self._makers[row.wire](row)
        return self._made[key]

    def batching(self, provider: str, row: Row) -> Batching | None:
        """The provider's own batch API; None where its wire has none."""
        make, wire = _BATCHING.get(row.wire), self.of(provider, row)
        return None if make is None else make(wire)

    async def warm(self) -> None:
        """Load the embedding model, so that the first who needs it does not wait; where it is missing, they hear it."""
        with contextlib.suppress(Unavailable):
            await self.embedder.warm()

    async def close(self) -> None:
        for made in self._made.values():
            if isinstance(made, Offline):
                await made.aclose()
        self.embedder.close()
        self._precise.close()
