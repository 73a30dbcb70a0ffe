"""`toxicity_check`: insults, threats and hate in English, Portuguese and Spanish."""

from __future__ import annotations

from msgspec import Struct

from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.kinds.attacks import grams_in, span_in
from comporta.guardrails.looking import Text

#: Below this the guard passes without a word; policies may set their threshold down to it.
_LEAST = 0.05


class ToxicitySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set but the policy's `threshold`."""


def toxicity_check(settings: ToxicitySettings, tools: Tools) -> Guard:
    """Finds texts whose tone is toxic; a grave topic in a civil tone is none."""
    # numpy is a tenth of a second and 15 MB that a gate without these guards does not pay: the one marked place.
    from comporta.guardrails.offending import load  # noqa: PLC0415

    model = load()

    async def guard(text: Text, context: Context) -> Verdict:
        grams = grams_in(text)
        confidence, start, end = model.read(grams)
        place = span_in(text, grams, start, end)
        for payload in text.payloads[:4]:
            inner = model.read(grams_in(Text(payload)))[0]
            if inner > confidence:
                confidence, place = inner, (0, len(text.raw))
        if confidence < _LEAST:
            return PASS
        sure = round(confidence, 4)
        spans = (Match(*place, "TOXIC", sure),) if place[1] > place[0] else ()
        why = "it insults, threatens or hates"
        return Verdict("flag", "critical" if sure >= 0.8 else "warning", why, spans=spans, confidence=sure)

    return guard


KINDS = (
    Kind("toxicity_check", toxicity_check, ToxicitySettings, needs="sentence", aliases=("toxicity",),
         places=("user", "assistant"), about="Finds insults, threats and hate, in English, Portuguese and Spanish."),
)  # fmt: skip
