"""Texts as hashed n-grams of characters and words, and linear models over them: some thousand numbers in 0.2 ms.

A text is folded first: one space for any run of them, `0` for each digit, no accents (people leave them out). Then come
the character n-grams of three to five that do not cross a word's border, and one, two and three words in a row. Each
is known by a hash of 18 bits. A model is one weight for each hash; the score of a piece of text is the sum of its
n-grams' weights over the root of their number, so that any piece's score is two look-ups in a running sum.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Codes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

BITS = 18
SHORTEST, LONGEST = 3, 5
#: Words in a row.
ROW = 3
_SPACE = 32
#: Odd numbers with their bits well spread; what they are does not matter, that they stay does.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(64 - BITS)
#: A word's first characters tell it apart.
_WORD_LENGTH = 32
_ENDS = ".!?;"


def _folded(code: int) -> int:
    character = chr(code)
    if character.isspace():
        return _SPACE
    if character.isdigit():
        return ord("0")
    if 0xD800 <= code < 0xE000:
        return 0xFFFD
    return ord(unicodedata.normalize("NFD", character)[0]) if 0xC0 <= code < 0x250 else code


_FOLDED = np.array([_folded(code) for code in range(0x10000)], dtype=np.uint64)
_IN_WORD = np.array([chr(code).isalnum() for code in range(0x10000)], dtype=np.bool_)
_POWERS = np.multiply.accumulate(np.full(_WORD_LENGTH, _STEP, dtype=np.uint64))
_END_CODES = np.array([ord(sign) for sign in _ENDS], dtype=np.uint64)


class Grams(NamedTuple):
    """The n-grams of a text: their hashes, where in the folded text each begins, and where that text came from."""

    buckets: Whole
    begins: Whole
    #: How many n-grams begin before each place of the folded text, and in all.
    counted: Whole
    #: For each place of the folded text the place in the text as given.
    places: Whole
    #: Sentences, as first place and place behind the last; without the white space around them.
    sentences: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Characters of the folded text."""
        return len(self.places)


def grams_of(low: str) -> Grams:
    """The n-grams of a text in lower case. Takes any text, halves of surrogate pairs as well."""
    given = np.frombuffer(low.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes, places = _collapsed(given)
    blank = codes == _SPACE
    hashes, begins = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for found, at in (*_of_characters(codes, blank), *_of_words(codes)):
        hashes.append(found)
        begins.append(at)
    buckets = ((np.concatenate(hashes) * _SPREAD) >> _SHIFT).astype(np.int64)
    where = np.concatenate(begins)
    counted = np.zeros(len(codes) + 1, dtype=np.int64)
    np.cumsum(np.bincount(where, minlength=len(codes)), out=counted[1:])
    line_end = given[places] == 10 if len(given) else np.zeros(1, dtype=np.bool_)
    return Grams(buckets, where, counted, places, _sentences(codes, line_end))


def _collapsed(given: NDArray[np.uint32]) -> tuple[Codes, Whole]:
    """Folded, with one space for a run of them and one at either end. Each place leads back into the text."""
    codes = np.where(given < 0x10000, _FOLDED[given & 0xFFFF], given).astype(np.uint64)
    blank = codes == _SPACE
    kept = np.ones(len(codes), dtype=np.bool_)
    kept[1:] = ~(blank[1:] & blank[:-1])
    places = np.flatnonzero(kept)
    last = len(given) - 1
    if last < 0:
        return np.full(1, _SPACE, dtype=np.uint64), np.zeros(1, dtype=np.int64)
    inner = codes[places]
    around = np.concatenate(([_SPACE], inner, [_SPACE])).astype(np.uint64)
    return around, np.concatenate(([0], places, [last]))


def _of_characters(codes: Codes, blank: Flags) -> list[tuple[Codes, Whole]]:
    found = []
    hashes = codes
    whole = np.ones(len(codes), dtype=np.bool_)
    for length in range(2, LONGEST + 1):
        if len(codes) < length:
            break
        hashes = hashes[:-1] * _STEP + codes[length - 1 :]
        whole = whole[: len(hashes)]
        if length > 2:
            # What was the last character of the shorter one is inside now.
            whole = whole & ~blank[length - 2 : len(codes) - 1]
        if length >= SHORTEST:
            at = np.flatnonzero(whole)
            found.append((hashes[at] + np.uint64(length), at))
    return found


def _of_words(codes: Codes) -> list[tuple[Codes, Whole]]:
    inside = _IN_WORD[np.minimum(codes, 0xFFFF).astype(np.int64)]
    first = np.flatnonzero(inside[1:] & ~inside[:-1]) + 1
    if not len(first):
        return []
    place = np.arange(len(codes)) - np.repeat(np.concatenate(([0], first)), np.diff([0, *first, len(codes)]))
    terms = np.where(inside, codes * _POWERS[np.minimum(place, _WORD_LENGTH - 1)], np.uint64(0))
    words = np.add.reduceat(terms, first)
    found = []
    hashes = words
    for row in range(1, ROW + 1):
        if row > 1:
            hashes = hashes[:-1] * _SPREAD + words[row - 1 :]
        found.append((hashes + np.uint64(100 + row), first[: len(hashes)]))
    return found


def _sentences(codes: Codes, line_end: Flags) -> tuple[tuple[int, int], ...]:
    ends = np.isin(codes[:-1], _END_CODES) & (codes[1:] == _SPACE)
    borders = [*(np.flatnonzero(ends | line_end[:-1]) + 1).tolist(), len(codes)] if len(line_end) else []
    spans, start = [], 0
    for border in borders:
        if border - start > 2:
            spans.append((start, border))
            start = border
    if spans and start < len(codes):
        spans[-1] = (spans[-1][0], len(codes))
    return tuple(spans)


class Linear(NamedTuple):
    """A weight for each hash, and what is added to every score."""

    weights: Floats
    bias: float

    def running(self, grams: Grams) -> NDArray[np.float64]:
        """The sums of the weights up to each place, from which `scores` reads."""
        summed = np.zeros(len(grams.counted))
        found = np.bincount(grams.begins, weights=self.weights[grams.buckets], minlength=len(grams.counted) - 1)
        np.cumsum(found, out=summed[1:])
        return summed

    def scores(self, grams: Grams, spans: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        """The score of each piece, as log odds."""
        return self.read(grams, self.running(grams), spans)

    def read(self, grams: Grams, running: NDArray[np.float64], spans: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        """The same from sums that are at hand."""
        at = np.array(spans, dtype=np.int64).reshape(-1, 2)
        number = grams.counted[at[:, 1]] - grams.counted[at[:, 0]]
        total = running[at[:, 1]] - running[at[:, 0]]
        return cast(NDArray[np.float64], total / np.sqrt(np.maximum(number, 1)) + self.bias)
