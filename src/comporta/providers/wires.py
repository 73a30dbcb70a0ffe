"""The wires there are, by the name that rows call them by: a new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from comporta.embedding.minilm import MiniLM
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Local, Wire
from comporta.providers.gemini import Gemini
from comporta.providers.local_embedding import LocalEmbedding
from comporta.providers.offline import Offline
from comporta.providers.ollama import Ollama
from comporta.providers.openai import OpenAI
from comporta.providers.rows import Row
from comporta.providers.scripted import Scripted


class Speakers:
    """Gives each row of data what speaks its wire. `cache` is where the embedding model is built, once."""

    def __init__(self, cache: Path) -> None:
        embedder = MiniLM(cache)
        self._makers: Mapping[str, Callable[[Row], Wire | Local]] = {
            "openai": lambda row: OpenAI(row.title, responses=row.responses, completions=row.completions),
            "anthropic": lambda row: Anthropic(),
            "gemini": lambda row: Gemini(),
            "ollama": lambda row: Ollama(),
            "offline": lambda row: Offline(embedder),
            "local": lambda row: LocalEmbedding(embedder),
            "scripted": lambda row: Scripted(),
        }

    def of(self, row: Row) -> Wire | Local:
        return self._makers[row.wire](row)
