"""What is measured of a claim against passages: how much of it stands there, where, and what contradicts it.

Each figure points one way: more of a figure of SUPPORT speaks for the claim, more of one of DOUBT against it. The
model that weighs them is bound to these signs, so that it can't learn habits of its data that mean the opposite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from comporta.guardrails.grounding.asked import Sort, bare, misfit, sort_of
from comporta.guardrails.grounding.passages import Passages
from comporta.guardrails.grounding.reading import Reading, read

#: By name, +1 where more of it speaks for the claim, -1 where it speaks against it.
CLAIM: dict[str, int] = {
    "covered": 1, "best_window": 1, "pairs": 1, "run": 1, "numbers_missing": -1, "names_missing": -1,
    "negation": -1, "words_missing": -1, "numbers_apart": -1,
}  # fmt: skip
#: Beside those, where a question was asked.
ANSWER: dict[str, int] = {
    "misfit": -1, "bare": -1, "echo": -1, "anchored": 1, "anchor_gap": -1, "near": 1, "near_gap": -1, "both": 1,
    "new_covered": 1,
}  # fmt: skip
#: And beside CLAIM, where sentences can be compared by their meaning.
MEANING: dict[str, int] = {"alike": 1}

#: Words around an answer in which the question's words are looked for.
_NEAR = 24
#: Places of an answer that are looked at.
_MOST_PLACES = 40


class Claim:
    """One claim, read, with the question it answers if there is one."""

    __slots__ = ("asked", "new", "question", "reading", "sort", "text")

    def __init__(self, text: str, question: str = "") -> None:
        self.text = text
        self.question = question
        self.reading: Reading = read(text)
        self.asked: Reading | None = read(question) if question.strip() else None
        self.sort: Sort = sort_of(question) if self.asked is not None else "other"
        known = frozenset(self.asked.stems) if self.asked is not None else frozenset()
        #: What the claim says beyond the question.
        self.new: tuple[str, ...] = tuple(s for s in self.reading.stems if s not in known) or self.reading.stems


def measured(claim: Claim, passages: Passages) -> dict[str, float]:
    """Figures of CLAIM and, where there is a question, of ANSWER. Each runs from 0 to about 1, `words_missing` to 3."""
    figures = _of_claim(claim, passages)
    if claim.asked is not None:
        figures |= _of_answer(claim, claim.asked, passages)
    return figures


def _of_claim(claim: Claim, passages: Passages) -> dict[str, float]:
    reading = claim.reading
    known = claim.asked.numbers | claim.asked.names if claim.asked is not None else frozenset()
    numbers, names = reading.numbers - known, reading.names - known
    windows = passages.scores(reading.stems)
    best = max(range(len(windows)), key=windows.__getitem__, default=-1)
    lost = {s for s in claim.new if s not in passages.where}
    return {
        "covered": passages.covered(reading.stems),
        "best_window": windows[best] if best >= 0 else 0.0,
        "pairs": _pairs(reading.run, passages),
        "run": _longest(reading.run, passages),
        "numbers_missing": _missing(numbers, passages.where),
        "names_missing": _missing(names, passages.where),
        "negation": _negation(reading, passages, best),
        "words_missing": math.log1p(len(lost)),
        "numbers_apart": _apart(numbers, passages, best),
    }


def _pairs(run: Sequence[str], passages: Passages) -> float:
    pairs = list(pairwise(run))
    if not pairs:
        return 1.0 if run and run[0] in passages.where else 0.0
    return sum(pair in passages.pairs for pair in pairs) / len(pairs)


def _longest(run: Sequence[str], passages: Passages) -> float:
    """The longest stretch of the claim whose pairs all stand in the passages, of its length."""
    best = now = 1 if any(word in passages.where for word in run) else 0
    for pair in pairwise(run):
        now = now + 1 if pair in passages.pairs else 1
        best = max(best, now)
    return best / len(run) if run and best else 0.0


def _missing(pieces: frozenset[str], where: dict[str, list[int]]) -> float:
    return sum(piece not in where for piece in pieces) / len(pieces) if pieces else 0.0


def _apart(numbers: frozenset[str], passages: Passages, best: int) -> float:
    """Numbers that stand in the passages, but not where the claim's other words stand."""
    near = set().union(*(passages.readings[at].run for at in (best - 1, best, best + 1) if 0 <= at < len(passages)))
    there = [number for number in numbers if number in passages.where]
    return sum(number not in near for number in there) / len(numbers) if there else 0.0


def _negation(reading: Reading, passages: Passages, best: int) -> float:
    if best < 0:
        return 0.0
    there = passages.readings[best].negations
    if best + 1 < len(passages) and (there > 0) != (reading.negations > 0):
        there += passages.readings[best + 1].negations
    return 1.0 if (there > 0) != (reading.negations > 0) else 0.0


def _of_answer(claim: Claim, asked: Reading, passages: Passages) -> dict[str, float]:
    windows = passages.scores(asked.stems)
    most = max(windows, default=0.0)
    anchored = max((windows[at] for at in anchors(claim, passages)), default=0.0)
    near, nearest = _nearness(claim, asked, passages)
    new = frozenset(claim.new)
    echoed = frozenset(claim.reading.stems) <= frozenset(asked.stems)
    return {
        "misfit": misfit(claim.sort, claim.reading),
        "bare": bare(claim.sort, claim.reading),
        "echo": 1.0 if echoed and claim.sort not in ("choice", "yes") else 0.0,
        "anchored": anchored,
        "anchor_gap": most - anchored,
        "near": near,
        "near_gap": nearest - near,
        "both": max(passages.scores((*asked.stems, *claim.reading.stems)), default=0.0),
        "new_covered": passages.covered(new),
    }


def anchors(claim: Claim, passages: Passages) -> list[int]:
    """The sentences that hold the most of what the claim says beyond the question."""
    new = set(claim.new)
    if not new:
        return []
    total = sum(map(passages.weight, new))
    found: dict[int, float] = {}
    for stem in new:
        weight = passages.weight(stem)
        for at in passages.where.get(stem, ()):
            found[at] = found.get(at, 0.0) + weight
    if not found:
        return []
    most = max(found.values())
    if most < 0.34 * total:
        return []
    places = [at for at, weight in found.items() if weight >= 0.9 * most]
    # A question's words may stand in the sentence before: windows are named by their first sentence.
    return sorted({near for at in places[:_MOST_PLACES] for near in (at - 1, at) if near >= 0})


def _nearness(claim: Claim, asked: Reading, passages: Passages) -> tuple[float, float]:
    """How near the question's words stand to the answer, and how near they stand together anywhere; 0 to 1."""
    weights = {stem: passages.weight(stem) for stem in set(asked.stems) if stem in passages.where}
    total = sum(passages.weight(stem) for stem in set(asked.stems))
    if not weights or not total:
        return 0.0, 0.0
    run = passages.run
    marks = [at for at, stem in enumerate(run) if stem in weights]
    own = set(claim.new)
    places = [at for at, stem in enumerate(run) if stem in own]
    centres = marks[:: max(1, len(marks) // _MOST_PLACES)]
    here = max((_around(at, run, weights) for at in _thick(places, own, run)), default=0.0)
    return here / total, max(here, *(_around(at, run, weights) for at in centres)) / total


def _thick(places: Sequence[int], own: set[str], run: Sequence[str]) -> list[int]:
    """Of the places of an answer's words those where most of them stand together."""
    size = min(len(own) + 3, _NEAR)
    counted = {at: len(own.intersection(run[at : at + size])) for at in places}
    most = max(counted.values(), default=0)
    return [at for at, count in counted.items() if count == most][:_MOST_PLACES]


def _around(centre: int, run: Sequence[str], weights: dict[str, float]) -> float:
    best: dict[str, float] = {}
    for at in range(max(0, centre - _NEAR), min(len(run), centre + _NEAR + 1)):
        weight = weights.get(run[at])
        if weight is not None:
            value = weight * math.exp(-abs(at - centre) / 10)
            best[run[at]] = max(best.get(run[at], 0.0), value)
    return sum(best.values())
