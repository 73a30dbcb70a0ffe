"""How well passages fit a question, by their words: Okapi BM25 (Robertson and others, TREC-3, 1994)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from comporta.text.normal import content_words

#: The usual saturation of repeated words, and share of the length that is set off.
_SATURATION = 1.2
_LENGTH = 0.75


def by_words(question: str, passages: Sequence[str]) -> tuple[float, ...]:
    """A score of each passage, 0 where it shares no word with the question."""
    wanted = set(_words(question))
    counts = [Counter(_words(passage)) for passage in passages]
    sizes = [sum(count.values()) for count in counts]
    mean = sum(sizes) / len(sizes) if sizes else 1.0
    weights = {word: _rarity(sum(word in count for count in counts), len(counts)) for word in wanted}
    return tuple(
        sum(weights[word] * _saturated(count[word], size, mean or 1.0) for word in sorted(wanted) if word in count)
        for count, size in zip(counts, sizes, strict=True)
    )


def _words(text: str) -> list[str]:
    """Words that carry meaning, without the endings of plurals, which differ between a question and its answer."""
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in content_words(text)]


def _rarity(having: int, total: int) -> float:
    return math.log(1.0 + (total - having + 0.5) / (having + 0.5))


def _saturated(times: int, size: int, mean: float) -> float:
    return times * (_SATURATION + 1) / (times + _SATURATION * (1 - _LENGTH + _LENGTH * size / mean))


def fitting(sizes: Sequence[int], scores: Sequence[float], limit: int) -> frozenset[int]:
    """Which passages to keep: the best ones that fit into `limit` together, at least the best one.

    Where scores are equal, the earlier one wins.
    """
    order = sorted(range(len(sizes)), key=lambda at: (-scores[at], at))
    kept, left = set(order[:1]), limit - sum(sizes[at] for at in order[:1])
    for at in order[1:]:
        if sizes[at] <= left:
            kept.add(at)
            left -= sizes[at]
    return frozenset(kept)
