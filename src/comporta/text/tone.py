"""The tone of a text in English, Portuguese or Spanish, by phrases of our own: a heuristic, and it says so.

Four phrase lists a language (`tones/*.json`), each phrase with a weight; a list's points become a score from 0 to 1 as
`1 - e^-points`. What is found for rudeness and defensiveness counts for nothing else («I'm sorry you feel that way»).
How good that is stands in docs/reference/assertions.md, as measured by tests/text/test_tone.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct

from comporta.text.language import guess_language
from comporta.text.normal import without_accents, words

Label = Literal["empathetic", "friendly", "formal", "neutral", "defensive", "rude"]
LABELS: tuple[Label, ...] = ("empathetic", "friendly", "formal", "neutral", "defensive", "rude")
LANGUAGES = ("en", "pt", "es")
#: From here on a text is said to be of a tone.
PRESENT = 0.45
_SIGN = 0.4
_MOST_CHARACTERS = 20_000
_GROUPS = ("rude", "defensive", "empathy", "friendly", "formal")
_WARM = re.compile("[\U0001f600-\U0001f64f\U0001f389\u2764\U0001f496]|:-?\\)")
#: So many words before a phrase may turn it into its opposite.
_NEAR_WORDS = 2
_NEAR_CHARACTERS = 40


class Tone(Struct, frozen=True):
    """Scores from 0 to 1 and the label they come to; `found` are the phrases that made them."""

    label: Label
    language: str
    empathy: float
    defensive: float
    rude: float
    friendly: float
    formal: float
    found: tuple[str, ...] = ()


class NoTone(ValueError):
    """The text is in a language without phrases."""


class _Group:
    """One list of phrases as one pattern over words that stand apart by single spaces."""

    def __init__(self, phrases: Mapping[str, float]) -> None:
        # The longer phrase first: `so sorry` is not counted as `sorry`.
        ordered = sorted(phrases, key=lambda one: -len(one))
        self.weights = [phrases[one] for one in ordered]
        self.pattern = re.compile("|".join(rf"(?<![^ ])({_spelled(one)})(?![^ ])" for one in ordered))

    def points(self, text: str, negators: frozenset[str], found: list[str]) -> tuple[float, str]:
        """The points of a text, and the text with what was found taken out."""
        points = 0.0

        def take(match: re.Match[str]) -> str:
            nonlocal points
            before = text[max(0, match.start() - _NEAR_CHARACTERS) : match.start()].split()[-_NEAR_WORDS:]
            if negators.isdisjoint(before):
                points += self.weights[(match.lastindex or 1) - 1]
                found.append(match[0])
            return "·"

        left = self.pattern.sub(take, text)
        return points, left


def _spelled(phrase: str) -> str:
    parts = []
    for word in without_accents(phrase).replace("-", " ").split():
        if word == "_":
            parts.append("(?:[^ ]+ ){0,3}")
        else:
            parts.append(re.escape(word.removesuffix("*")) + ("[^ ]*" if word.endswith("*") else "") + " ")
    return "".join(parts).removesuffix(" ")


class Tones:
    """The phrase lists of all languages, read once."""

    def __init__(self) -> None:
        folder = resources.files("comporta.text") / "tones"
        self._groups: dict[str, dict[str, _Group]] = {}
        self._negators: dict[str, frozenset[str]] = {}
        for language in LANGUAGES:
            held = msgspec.json.decode((folder / f"{language}.json").read_bytes())
            self._negators[language] = frozenset(held["negators"])
            self._groups[language] = {group: _Group(held[group]) for group in _GROUPS}

    def analyse(self, text: str, language: str | None = None) -> Tone:
        """The tone of a text; a language given (`pt`, `pt-BR`) wins over detection. Raises NoTone."""
        text = text[:_MOST_CHARACTERS]
        said = language.partition("-")[0].lower() if language else self._language(text)
        if said is not None and said not in LANGUAGES:
            raise NoTone(f"tone is told by phrase lists in {', '.join(LANGUAGES)} alone, and the text is in {said}")
        tones = [self._in(text, one) for one in ((said,) if said else LANGUAGES)]
        return max(tones, key=lambda one: len(one.found))

    def _language(self, text: str) -> str | None:
        """The language, or None where a few words don't tell it: then all lists are tried."""
        guess = guess_language(text)
        return None if guess.sure < 0.15 else guess.code

    def _in(self, text: str, language: str) -> Tone:
        left = " ".join(words(text)).replace("’", "'")
        scores: dict[str, float] = {}
        found: list[str] = []
        for name in _GROUPS:
            points, left = self._groups[language][name].points(left, self._negators[language], found)
            scores[name] = points
        if _WARM.search(text):
            scores["friendly"] += _SIGN
        scores = {name: round(1 - math.exp(-points), 3) for name, points in scores.items()}
        return Tone(
            label=_label(scores), language=language, empathy=scores["empathy"], defensive=scores["defensive"],
            rude=scores["rude"], friendly=scores["friendly"], formal=scores["formal"], found=tuple(found),
        )  # fmt: skip


def _label(scores: Mapping[str, float]) -> Label:
    if scores["rude"] >= PRESENT:
        return "rude"
    if scores["defensive"] >= PRESENT and scores["defensive"] >= scores["empathy"]:
        return "defensive"
    if scores["empathy"] >= PRESENT:
        return "empathetic"
    warm: Label = "friendly" if scores["friendly"] >= scores["formal"] else "formal"
    return warm if scores[warm] >= PRESENT else "neutral"
