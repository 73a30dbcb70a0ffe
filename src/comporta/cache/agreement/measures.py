"""What is measured of two questions that agree: how much of each one's meaning the other has too."""

from __future__ import annotations

import math
from collections.abc import Sequence

from comporta.cache.agreement.asking import sharply_other
from comporta.cache.agreement.question import Question
from comporta.cache.agreement.small import ACTIONS
from comporta.cache.agreement.tables import tables_of
from comporta.cache.agreement.vectors import Words

NAMES = (
    "cosine", "cosine_high", "least_covered", "most_covered", "least_lost", "most_lost", "overlap", "no_overlap",
    "letters", "asks_same", "asks_other", "denial", "trouble", "longer", "few", "plain_lost", "opposed", "one_sort",
    "names", "other_actions", "more_actions", "only_more",
    "rest_more", "meaning_asked",
)  # fmt: skip
_TYPO_LETTERS = 5
#: So many words name a thing.
_A_THING = 2
#: Opposites are up to .78 near, words of one sort .75.
_NEAR = 0.82


def measured(similarity: float, asked: Question, kept: Question, words: Words) -> tuple[float, ...]:
    """One figure for each of `NAMES`."""
    mine, theirs = list(dict.fromkeys(asked.words)), list(dict.fromkeys(kept.words))
    common = set(mine) & set(theirs)
    covered_a, lost_a = _covered(mine, theirs, common, words)
    covered_b, lost_b = _covered(theirs, mine, common, words)
    union = max(1, len(set(mine) | set(theirs)))
    return (
        similarity, max(0.0, similarity - 0.75), min(covered_a, covered_b), max(covered_a, covered_b),
        min(lost_a, lost_b), max(lost_a, lost_b), len(common) / union, float(not common),
        _letters(" ".join(mine), " ".join(theirs)), float(asked.asks == kept.asks),
        float(sharply_other(asked.asks, kept.asks)), float(asked.denials % 2 != kept.denials % 2),
        float(asked.trouble != kept.trouble), abs(math.log((1 + len(mine)) / (1 + len(theirs)))),
        1 / max(1, min(len(mine), len(theirs))), _substituted(mine, theirs, common, words),
        *_told_apart(asked, kept, [w for w in mine if w not in common], [w for w in theirs if w not in common]),
    )  # fmt: skip


def _told_apart(asked: Question, kept: Question, mine: Sequence[str], theirs: Sequence[str]) -> tuple[float, ...]:
    tables = tables_of(asked.language)
    does, did = ACTIONS.intersection(mine), ACTIONS.intersection(theirs)
    return (
        float(any(tables.opposed(a, b) for a in mine for b in theirs)),
        float(any(tables.sorts_of(a) & tables.sorts_of(b) for a in mine for b in theirs)),
        float(any(name not in kept.tokens for name in asked.names) or any(n not in asked.tokens for n in kept.names)),
        float(bool(does and did)),
        float(bool(does) != bool(did)),
        float(bool(mine) != bool(theirs)),
        0.0 if mine and theirs else float(len(mine) + len(theirs)),
        float(_defines(asked) != _defines(kept)),
    )


def _defines(question: Question) -> bool:
    """Whether it asks what a thing is, and no more."""
    return question.asks == "what" and question.tokens[:2] == ("what", "be") and len(question.words) <= _A_THING


def _covered(mine: Sequence[str], theirs: Sequence[str], common: set[str], words: Words) -> tuple[float, float]:
    """The share of the meaning of some words that others have too, and the most that one word loses."""
    if not mine:
        return (1.0, 0.0) if not theirs else (0.0, 0.0)
    nearest = words.nearest(mine, theirs)
    total = kept = most = 0.0
    for word, near in zip(mine, nearest, strict=True):
        weight = words.weight(word)
        found = 1.0 if word in common or _typo(word, theirs) else near
        total += weight
        kept += weight * found
        most = max(most, weight * (1.0 - found))
    return kept / total, most


def _substituted(mine: Sequence[str], theirs: Sequence[str], common: set[str], words: Words) -> float:
    """Where each has one word that the other has not: how far they are apart."""
    one, other = [w for w in mine if w not in common], [w for w in theirs if w not in common]
    if len(one) != 1 or len(other) != 1 or not common:
        return 0.0
    return 0.0 if _typo(one[0], other) else 1.0 - words.nearest(one, other)[0]


def near(one: str, other: str, words: Words) -> bool:
    """Whether two words are as good as one: spelled nearly alike, or of nearly one meaning."""
    return _typo(one, (other,)) or words.nearest((one,), (other,))[0] >= _NEAR


def _typo(word: str, others: Sequence[str]) -> bool:
    """Whether another differs by one letter, left out, put in, changed or two exchanged, in a word long enough."""
    return len(word) >= _TYPO_LETTERS and any(
        abs(len(word) - len(other)) <= 1 and word[0] == other[0] and _one_off(word, other) for other in others
    )


def _one_off(one: str, other: str) -> bool:
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    if len(one) == len(other):
        rest, theirs = one[start:], other[start:]
        return rest[1:] == theirs[1:] or (rest[:2] == theirs[1::-1] and rest[2:] == theirs[2:])
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer[start + 1 :] == shorter[start:]


def _letters(one: str, other: str) -> float:
    """How many groups of three letters both have, of all (Dice)."""
    a, b = {one[i : i + 3] for i in range(len(one) - 2)}, {other[i : i + 3] for i in range(len(other) - 2)}
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
