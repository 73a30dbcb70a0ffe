"""Which language a text is in (English, Portuguese, Spanish, another), by its small words, and how sure that is."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from comporta.text import everyday
from comporta.text.stopwords import ENGLISH, NEIGHBOURS, PORTUGUESE, SPANISH

Code = Literal["en", "pt", "es", "other"]

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LISTS: tuple[tuple[Code, frozenset[str]], ...] = (
    ("en", ENGLISH | everyday.ENGLISH),
    ("pt", PORTUGUESE | everyday.PORTUGUESE),
    ("es", SPANISH | everyday.SPANISH),
    ("other", NEIGHBOURS | everyday.FRENCH | everyday.GERMAN | everyday.ITALIAN | everyday.DUTCH),
)
#: Spellings that only one of them has; each counts as much as a small word of its own.
_MARKS: tuple[tuple[Code, re.Pattern[str]], ...] = (
    ("pt", re.compile(r"[ãõ]|ções\b|ç[aou]|\w[ln]h[aeo]")),
    ("es", re.compile(r"[ñ¿¡]|ción\b|iones\b|\bll[aeo]|dad\b")),
    ("en", re.compile(r"\b(?:wh|th|kn)\w|\w(?:ing|tion|ght)\b|sh\w")),
    ("other", re.compile(r"[äöüßœøåæłżěřůğışőű]|\w(?:eux|aient|ung|keit|zione|tijd)\b|\b[ldjq]'")),
)
#: Enough to tell; a longer text tells no more and costs more.
_MOST_CHARACTERS = 2_000


class Language(Struct, frozen=True):
    """A guess: `sure` runs from 0 (no evidence) to 1."""

    code: Code
    sure: float


def guess_language(text: str) -> Language:
    """The language of a text. With no evidence at all it is `other`, and not sure."""
    text = text[:_MOST_CHARACTERS].lower()
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return Language("other", 0.0)
    latin = sum(c < "\u0250" for c in letters) / len(letters)
    if latin < 0.5:
        return Language("other", round(1.0 - latin, 2))
    return _by_words(text)


def _by_words(text: str) -> Language:
    found = [word.replace("’", "'") for word in _WORD.findall(text)]
    points: dict[Code, float] = {"en": 0.0, "pt": 0.0, "es": 0.0, "other": 0.0}
    for word in found:
        homes = [code for code, known in _LISTS if word in known]
        for code in homes:
            points[code] += 1.0 / len(homes) ** 2
    for code, mark in _MARKS:
        points[code] += 0.7 * len(mark.findall(text))
    (best, most), (_, second) = sorted(points.items(), key=lambda item: -item[1])[:2]
    if most == 0.0:
        return Language("other", 0.0)
    density = min(1.0, most / max(1.0, 0.25 * len(found)))
    evidence = most / (most + 1.0)
    return Language(best, round((most - second) / most * density * evidence, 2))
