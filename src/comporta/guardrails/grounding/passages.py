"""Passages made ready to be compared with many claims: their sentences, and in which of them each word stands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from comporta.guardrails.grounding.reading import Reading, read
from comporta.text.sentences import sentences

#: What of all passages together is read, in characters.
MOST_CHARACTERS = 120_000
_LONGEST_SENTENCE = 1_200


class Passages:
    """Sentences of passages in their order, and an index of their stems."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.sentences = tuple(_cut(texts))
        self.readings: tuple[Reading, ...] = tuple(read(sentence) for sentence in self.sentences)
        self.where: dict[str, list[int]] = {}
        self.numbers: set[str] = set()
        self.names: set[str] = set()
        for at, reading in enumerate(self.readings):
            for stem in set(reading.run):
                self.where.setdefault(stem, []).append(at)
            self.numbers |= reading.numbers
            self.names |= reading.names
        self.run: tuple[str, ...] = tuple(stem for reading in self.readings for stem in reading.run)
        self.pairs = frozenset(zip(self.run, self.run[1:], strict=False))

    def __len__(self) -> int:
        return len(self.sentences)

    def weight(self, stem: str) -> float:
        """How much a word says here: the rarer in the passages, the more; from about 0.7 to 5."""
        return math.log1p((len(self) + 1) / (len(self.where.get(stem, ())) + 0.5))

    def covered(self, stems: Iterable[str]) -> float:
        """The share of the stems' weight that stands anywhere in the passages; 1 for none."""
        total = there = 0.0
        for stem in stems:
            weight = self.weight(stem)
            total += weight
            if stem in self.where:
                there += weight
        return there / total if total else 1.0

    def scores(self, stems: Iterable[str]) -> list[float]:
        """For each sentence with the one after it, the share of the stems' weight that stands in the two."""
        found = [0.0] * len(self)
        total = 0.0
        for stem in set(stems):
            weight = self.weight(stem)
            total += weight
            places = self.where.get(stem, ())
            for at in {place for one in places for place in (one - 1, one) if place >= 0}:
                found[at] += weight
        return [score / total for score in found] if total else found

    def best(self, stems: Iterable[str], most: int) -> list[int]:
        """The sentences that share most with the stems, best first."""
        found = [0.0] * len(self)
        for stem in set(stems):
            weight = self.weight(stem)
            for at in self.where.get(stem, ()):
                found[at] += weight
        return sorted(range(len(self)), key=lambda at: (-found[at], at))[:most]


def _cut(texts: Sequence[str]) -> Iterable[str]:
    left = MOST_CHARACTERS
    for text in texts:
        for sentence in sentences(text[:left]):
            for start in range(0, len(sentence), _LONGEST_SENTENCE):
                yield sentence[start : start + _LONGEST_SENTENCE]
        left -= len(text)
        if left <= 0:
            return
