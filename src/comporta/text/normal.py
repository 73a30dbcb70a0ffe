"""Texts made comparable: one form of every character, one space between words, words without accents."""

from __future__ import annotations

import re
import unicodedata

from comporta.text.stopwords import STOP_WORDS

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_COMBINING = re.compile("[\u0300-\u036f]")


def normalise(text: str) -> str:
    """The text in one form: compatibility characters unified, invisible ones gone, white space single, lower case."""
    folded = unicodedata.normalize("NFD", visible(text)).casefold()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    return " ".join(folded.split())


def visible(text: str) -> str:
    """The text without characters that nobody sees (zero width, direction marks, control)."""
    return _INVISIBLE.sub("", text)


def without_accents(text: str) -> str:
    """Latin letters without their accents: `ação` and `acao` become the same."""
    return unicodedata.normalize("NFC", _COMBINING.sub("", unicodedata.normalize("NFD", text)))


def words(text: str) -> tuple[str, ...]:
    """The words of a text, normalised and without accents, in order."""
    return tuple(_WORD.findall(without_accents(normalise(text))))


def content_words(text: str) -> tuple[str, ...]:
    """The words that carry meaning: without those that every English, Portuguese or Spanish text is full of."""
    return tuple(word for word in words(text) if word not in STOP_WORDS)
