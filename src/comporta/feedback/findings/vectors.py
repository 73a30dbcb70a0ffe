"""Texts as vectors: in the space that a stream began with, else in the one that suits them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import structlog

from comporta.errors import ComportaError
from comporta.feedback.drift.changes import Floats
from comporta.feedback.processing import lexical
from comporta.text.language import guess_language

log = structlog.get_logger("comporta.findings")

_ENGLISH = 0.8

#: Vectors of length one, a row for each text.
Embed = Callable[[Sequence[str]], Awaitable[Floats]]


class Vectors:
    """`wanted` is the configuration's word; `model` embeds English texts, None where none is installed."""

    def __init__(self, wanted: Literal["auto", "words", "local"], model: tuple[str, Embed] | None) -> None:
        self._wanted = wanted
        self._model = model

    async def of(self, texts: Sequence[str], known: str | None = None) -> tuple[str, Floats] | None:
        """The name of the space, and the vectors; `known` is the stream's space so far, which it stays in.

        None where there are no texts, or where the model fails: these are then left out.
        """
        if not texts:
            return None
        if self._model is None or not self._wants_model(texts, known):
            return lexical.SPACE, await asyncio.to_thread(lexical.hashed, texts)
        try:
            return self._model[0], await self._model[1](texts)
        except ComportaError as error:
            log.warning("findings.model_away", reason=error.message)
            return None

    def _wants_model(self, texts: Sequence[str], known: str | None) -> bool:
        if self._wanted != "auto":
            return self._wanted == "local"
        if known is not None:
            return known != lexical.SPACE
        english = sum(guess_language(text).code == "en" for text in texts)
        return english >= _ENGLISH * len(texts)
