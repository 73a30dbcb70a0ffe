"""The decision over a candidate: a hit, a miss, or a doubt that a judge may be asked about."""

from __future__ import annotations

from msgspec import Struct

from comporta.cache.agreement.agreeing import agreement
from comporta.cache.agreement.question import Question

THRESHOLD = 0.92


class Decision(Struct, frozen=True):
    """`doubtful` is never true of a hit: it is a miss that a judge may turn. `reason` is for people."""

    hit: bool
    doubtful: bool
    reason: str
    confidence: float = 0.0


def confidence(similarity: float, asked: Question, kept: Question, *, verifier: bool = True) -> float:
    """The highest threshold at which it is a hit, from 0 (at none) to 1."""
    return max(0.0, min(1.0, similarity)) if agreement(asked, kept).agrees else 0.0


def decide(
    similarity: float, asked: Question, kept: Question, threshold: float = THRESHOLD, *, verifier: bool = True
) -> Decision:
    """Whether the answer to `kept` answers `asked`, their vectors being alike by `similarity` (a cosine).

    `verifier` says that the vectors are those of the embedder the verifier was trained with; for others the similarity
    itself must reach the threshold.
    """
    found = agreement(asked, kept)
    if not found.agrees:
        return Decision(False, False, found.reasons[0])
    hit = similarity >= threshold
    return Decision(hit, not hit and similarity >= threshold - 0.1, "alike" if hit else "not alike", similarity)
