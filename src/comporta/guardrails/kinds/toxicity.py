"""`toxicity_check`: insults, threats and hate in English, Portuguese and Spanish."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from comporta.errors import Unavailable
from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.kinds.attacks import grams_in, span_in
from comporta.guardrails.looking import Text
from comporta.text.language import guess_language

if TYPE_CHECKING:
    from comporta.embedding.base import Embedder
    from comporta.guardrails.offending import Meaning

#: Below this the guard passes without a word; policies may set their threshold down to it.
_LEAST = 0.05
#: Where the n-grams are this unsure of an English text, its meaning is asked: some milliseconds in another thread.
_DOUBT = (0.18, 0.82)
#: A model that is still being loaded is not waited for: the n-grams decide alone.
_PATIENCE_S = 0.5
_LONGEST_CHARACTERS = 400
_NAME = "all-minilm-l6-v2"


class ToxicitySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set beside the policy's `threshold`."""

    #: Ask the embedding model, where it is installed, about English texts that the n-grams are in doubt about.
    meaning: bool = True


def toxicity_check(settings: ToxicitySettings, tools: Tools) -> Guard:
    """Finds texts whose tone is toxic; a grave topic in a civil tone is none."""
    # numpy is a tenth of a second and 15 MB that a gate without these guards does not pay: the one marked place.
    from comporta.guardrails.offending import load, load_meaning  # noqa: PLC0415

    model = load()
    embedder = tools.embedder if settings.meaning and tools.embedder and tools.embedder.name == _NAME else None
    meaning = load_meaning() if embedder else None

    async def guard(text: Text, context: Context) -> Verdict:
        grams = grams_in(text)
        confidence, start, end = model.read(grams)
        place = span_in(text, grams, start, end)
        for payload in text.payloads[:4]:
            inner = model.read(grams_in(Text(payload)))[0]
            if inner > confidence:
                confidence, place = inner, (0, len(text.raw))
        if embedder and meaning and _DOUBT[0] < confidence < _DOUBT[1]:
            confidence = await _asked(embedder, meaning, text.raw[slice(*place)], confidence)
        if confidence < _LEAST:
            return PASS
        sure = round(confidence, 4)
        spans = (Match(*place, "TOXIC", sure),) if place[1] > place[0] else ()
        why = "it insults, threatens or hates"
        return Verdict("flag", "critical" if sure >= 0.8 else "warning", why, spans=spans, confidence=sure)

    return guard


async def _asked(embedder: Embedder, meaning: Meaning, piece: str, confidence: float) -> float:
    """The confidence with what the piece means; as it was where that can't be had at once, or it is not English."""
    if guess_language(piece).code != "en":
        return confidence
    try:
        async with asyncio.timeout(_PATIENCE_S):
            (vector,) = await embedder.embed([piece[:_LONGEST_CHARACTERS]])
    except (Unavailable, TimeoutError):
        return confidence
    return meaning.weighed(confidence, vector)


KINDS = (
    Kind("toxicity_check", toxicity_check, ToxicitySettings, needs="sentence", aliases=("toxicity",),
         places=("user", "assistant"), about="Finds insults, threats and hate, in English, Portuguese and Spanish."),
)  # fmt: skip
