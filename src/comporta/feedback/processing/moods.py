"""How a comment sounds, from -1 (angry) to 1 (delighted), in English, Portuguese or Spanish: word lists of our own.

A heuristic, and it says so: how often it is right stands in docs/explanation/drift.md, as measured on sentences that
the lists were not made from. Words within three after a negation count as a weaker opposite; what comes after a «but»
counts for more than what stands before it.
"""

from __future__ import annotations

import math
import re
from importlib import resources

import msgspec
from msgspec import Struct

from comporta.text.language import guess_language
from comporta.text.normal import without_accents, words

LANGUAGES = ("en", "pt", "es")
#: Comments below are complaints, above praise; between them they say neither.
COMPLAINS, PRAISES = -0.2, 0.2
_MOST_CHARACTERS = 4_000
_TURNED = -0.7
_STRONGER = 1.5
_BEFORE_BUT = 0.4
_REACH = 3
_GLAD = re.compile(
    "[\U0001f600-\U0001f60d\U0001f618\U0001f929\U0001f389\U0001f44d\U0001f44f\u2764\U0001f64f]|:-?[)D]|<3"
)
_CROSS = re.compile("[\U0001f620\U0001f621\U0001f624\U0001f62d\U0001f641\U0001f44e\U0001f612\U0001f4a9]|:-?[(/]")


class Mood(Struct, frozen=True):
    """A score from -1 to 1, and the language whose words were counted (`other` where none of the three was)."""

    score: float
    language: str

    @property
    def complains(self) -> bool:
        return self.score <= COMPLAINS


class _Words(Struct, frozen=True):
    """The lists of one language."""

    negators: frozenset[str]
    stronger: frozenset[str]
    turns: frozenset[str]
    good: re.Pattern[str]
    bad: re.Pattern[str]


class Moods:
    """The lists of all languages, read once."""

    def __init__(self) -> None:
        folder = resources.files("comporta.feedback.processing") / "moods"
        self._lists = {code: _read((folder / f"{code}.json").read_bytes()) for code in LANGUAGES}

    def of(self, text: str) -> Mood:
        """How a text sounds; one without any word of the lists scores 0."""
        text = text[:_MOST_CHARACTERS]
        guess = guess_language(text)
        signs = len(_GLAD.findall(text)) - len(_CROSS.findall(text))
        if guess.sure >= 0.15 and guess.code not in LANGUAGES:
            return Mood(_squashed(signs), "other")
        # Few words tell no language: then the list that knows most of them speaks.
        codes = (guess.code,) if guess.sure >= 0.15 else LANGUAGES
        told = ((*_points(text, self._lists[code]), code) for code in codes)
        points, _, code = max(told, key=lambda one: one[1])
        return Mood(_squashed(points + signs), code)


def _squashed(points: float) -> float:
    return round(math.tanh(points / 1.5), 3)


def _read(data: bytes) -> _Words:
    held = msgspec.json.decode(data, type=dict[str, list[str]])
    plain = {name: frozenset(map(without_accents, held[name])) for name in ("negators", "stronger", "turns")}
    return _Words(**plain, good=_pattern(held["good"]), bad=_pattern(held["bad"]))


def _pattern(phrases: list[str]) -> re.Pattern[str]:
    """The longest first, so that `no idea` is found before what it begins with."""
    ordered = sorted(map(without_accents, phrases), key=len, reverse=True)
    parts = [re.escape(one.removesuffix("*")) + ("[^ ]*" if one.endswith("*") else "") for one in ordered]
    return re.compile(rf"(?<![^ ])(?:{'|'.join(parts)})(?![^ ])")


def _points(text: str, lists: _Words) -> tuple[float, int]:
    """The points of a text, and how many words of the lists it has."""
    said = " ".join(words(text.replace("’", "'")))
    turn = max((said.rfind(f" {one} ") for one in lists.turns), default=-1)
    points, found = 0.0, 0
    # What complains is looked for first: «no idea» and «does not help» hold a word of praise or a negation themselves.
    taken: list[tuple[int, int]] = []
    for sign, pattern in ((-1.0, lists.bad), (1.0, lists.good)):
        for match in pattern.finditer(said):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            weight = sign * _turned(said, match, lists)
            points += weight * (_BEFORE_BUT if match.start() < turn else 1.0)
            found += 1
    return points, found


def _turned(said: str, match: re.Match[str], lists: _Words) -> float:
    before = said[: match.start()].split()[-_REACH:]
    factor = _STRONGER if before and before[-1] in lists.stronger else 1.0
    return factor * (_TURNED if not lists.negators.isdisjoint(before) else 1.0)
