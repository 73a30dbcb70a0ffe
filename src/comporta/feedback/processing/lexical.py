"""Texts as vectors of their words, in any language and without a model: hashed, or weighted by how rare words are."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from comporta.text.normal import content_words

Floats = NDArray[np.float64]

#: What vectors of `hashed` mean; others can't be compared with them.
SPACE = "words-512"
_DIMENSIONS = 512


def hashed(texts: Sequence[str]) -> Floats:
    """A vector of length one for each text (of none without words); words of two letters' difference stay apart."""
    made = np.zeros((len(texts), _DIMENSIONS))
    for row, text in enumerate(texts):
        for term, count in Counter(stems(text)).items():
            code = zlib.crc32(term.encode())
            made[row, code % _DIMENSIONS] += (1 + math.log(count)) * (1 if code >> 31 else -1)
    return _unit(made)


def stems(text: str) -> list[str]:
    """Words that carry meaning, cut to their first six letters: endings of number, person and gender don't count."""
    return [word[:6] for word in content_words(text)]


def terms_of(texts: Sequence[str]) -> list[Counter[str]]:
    """The stems of each text and pairs of neighbours."""
    found = []
    for text in texts:
        words = stems(text)
        found.append(Counter([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]))
    return found


def weighted(terms: Sequence[Counter[str]]) -> tuple[Floats, list[str]]:
    """TF-IDF vectors of length one, and what their columns stand for: terms of at least two texts."""
    spread = Counter(term for one in terms for term in one)
    names = sorted(term for term, texts in spread.items() if texts > 1)
    place = {term: at for at, term in enumerate(names)}
    rarity = {term: math.log((1 + len(terms)) / (1 + spread[term])) + 1 for term in names}
    made = np.zeros((len(terms), max(1, len(names))))
    for row, one in enumerate(terms):
        for term, count in one.items():
            if term in place:
                made[row, place[term]] = (1 + math.log(count)) * rarity[term]
    return _unit(made), names


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0))
