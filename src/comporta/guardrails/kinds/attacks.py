"""Guards against attacks on the model: `jailbreak_detection` over what users say, `prompt_injection` over all it reads.

Both read the same classifier: they find techniques, whatever the topic. In retrieved passages, results of tools and
names of files `prompt_injection` also takes plain instructions for what they are there: somebody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Place, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.techniques import seen

if TYPE_CHECKING:
    from comporta.guardrails.attacking import Attacks, Reading
    from comporta.guardrails.grams import Grams

#: Where nobody who may instruct the model speaks.
FOREIGN: frozenset[Place] = frozenset(("tool", "passage", "name", "alt"))
#: What it adds that a text was hidden inside another, as log odds: few have a reason for it.
_HIDDEN_ODDS = 1.5
#: Below this the guard passes without a word; policies may set their threshold down to it.
_LEAST = 0.02
#: Texts inside a text that are looked at.
_MOST_HIDDEN = 8


class AttackSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set but the policy's `threshold`."""


class _Seen(Struct, frozen=True):
    confidence: float
    start: int
    end: int
    techniques: tuple[str, ...]
    hidden: bool


def prompt_injection(settings: AttackSettings, tools: Tools) -> Guard:
    """Finds instructions that are not the operator's nor the user's, and attacks on the model by the user."""
    return _guard(FOREIGN)


def jailbreak_detection(settings: AttackSettings, tools: Tools) -> Guard:
    """Finds attempts of the user to talk a model out of its rules."""
    return _guard(frozenset())


def _guard(foreign: frozenset[Place]) -> Guard:
    # numpy is a tenth of a second and 15 MB that a gate without these guards does not pay: the one marked place.
    from comporta.guardrails.attacking import load  # noqa: PLC0415

    model = load()

    async def guard(text: Text, context: Context) -> Verdict:
        found = look(model, text, context.place in foreign)
        return _verdict(text, found) if found.confidence >= _LEAST else PASS

    return guard


def look(model: Attacks, text: Text, foreign: bool) -> _Seen:
    """How sure it is that a text is an attack, or one of the texts hidden in it is."""
    found = _look(model, text, text.low, foreign, 0.0)
    for payload in text.payloads[:_MOST_HIDDEN]:
        inner = _look(model, Text(payload), None, foreign, _HIDDEN_ODDS)
        if inner.confidence > found.confidence:
            found = _Seen(inner.confidence, 0, len(text.raw), inner.techniques, True)
    return found


def _look(model: Attacks, text: Text, low: str | None, foreign: bool, more: float) -> _Seen:
    grams = grams_in(text)
    reading: Reading = model.read(grams)
    odds, techniques = seen(low if low is not None else text.low)
    joined = model.document if foreign else model.said
    confidence = joined.confidence(reading.features, odds + more)
    return _Seen(confidence, *span_in(text, grams, reading.start, reading.end), techniques, False)


def grams_in(text: Text) -> Grams:
    """The n-grams of a text, worked out once for all guards that read them."""
    from comporta.guardrails.grams import grams_of  # noqa: PLC0415

    kept: Grams | None = text.__dict__.get("grams")
    if kept is None:
        kept = text.__dict__["grams"] = grams_of(text.low)
    return kept


def span_in(text: Text, grams: Grams, start: int, end: int) -> tuple[int, int]:
    """Where a piece of the folded text stands in the text as it came."""
    if end <= start or not text.plain:
        return 0, len(text.raw)
    return text.at(int(grams.places[start]), int(grams.places[end - 1]) + 1)


def _verdict(text: Text, found: _Seen) -> Verdict:
    why = "it reads like an attempt to take over the model"
    if found.hidden:
        why = "a text hidden in it reads like an attempt to take over the model"
    if found.techniques:
        why += f", and has {', '.join(found.techniques)}"
    return Verdict(
        "flag", "critical" if found.confidence >= 0.5 else "warning", why,
        spans=(Match(found.start, found.end, "INSTRUCTION", round(found.confidence, 4)),) if found.end else (),
        confidence=round(found.confidence, 4), facts={"techniques": list(found.techniques), "hidden": found.hidden},
    )  # fmt: skip


KINDS = (
    Kind("prompt_injection", prompt_injection, AttackSettings, aliases=("injection",),
         places=("user", "tool", "passage", "name", "alt"), sides=("input",),
         about="Finds attacks on the model, in what users say and in documents, tool results and retrieved passages."),
    Kind("jailbreak_detection", jailbreak_detection, AttackSettings, aliases=("jailbreak",),
         places=("user",), sides=("input",), about="Finds users' attempts to talk a model out of its rules."),
)  # fmt: skip
