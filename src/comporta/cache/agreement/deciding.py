"""The decision over a candidate: a hit, a miss, or a doubt that a judge may be asked about."""

from __future__ import annotations

import math

from msgspec import Struct

from comporta.cache.agreement import vectors
from comporta.cache.agreement import verifier as verifiers
from comporta.cache.agreement.agreeing import agreement
from comporta.cache.agreement.measures import measured
from comporta.cache.agreement.question import Question

THRESHOLD = 0.92
#: Candidates less alike need not be looked at: hardly any of them is the same question.
FLOOR = 0.5
#: Brings the verifier's chance onto the scale of a threshold: one in three is 0.92, an even one 0.949, nine in ten
#: 0.992. (It was trained on harder questions than most: rewordings that it finds so likely are nearly all the same.)
_SCALE = 0.0759
#: From this share of the threshold on, a judge may turn a miss into a hit.
_DOUBT = 0.95


class Decision(Struct, frozen=True):
    """`doubtful` is never true of a hit: it is a miss that a judge may turn. `reason` is for people."""

    hit: bool
    doubtful: bool
    reason: str
    #: The highest threshold at which it would be a hit.
    confidence: float = 0.0


def confidence(similarity: float, asked: Question, kept: Question, *, verifier: bool = True) -> float:
    """The highest threshold at which it is a hit, from 0 (at none) to 1. For the other values see `decide`."""
    return _sure(similarity, asked, kept, verifier) if agreement(asked, kept).agrees else 0.0


def decide(
    similarity: float, asked: Question, kept: Question, threshold: float = THRESHOLD, *, verifier: bool = True
) -> Decision:
    """Whether the answer to `kept` answers `asked`, their vectors being alike by `similarity` (a cosine).

    `verifier` says that the vectors are all-MiniLM-L6-v2's and the questions English, as the verifier was trained with;
    else the similarity itself must reach the threshold. What `agreement` tells apart is never a hit.
    """
    found = agreement(asked, kept)
    if not found.agrees:
        return Decision(False, False, found.reasons[0])
    sure = _sure(similarity, asked, kept, verifier)
    if sure >= threshold:
        return Decision(True, False, "same", sure)
    return Decision(False, sure >= _DOUBT * threshold, f"not sure enough: {sure:.3f} of {threshold:.3f}", sure)


def _sure(similarity: float, asked: Question, kept: Question, trained: bool) -> float:
    if asked.text == kept.text:
        return 1.0
    similarity = max(0.0, min(1.0, similarity)) if similarity == similarity else 0.0
    if not trained or asked.language != "en" or not asked.words:
        return similarity
    return math.pow(verifiers.shipped().sure(measured(similarity, asked, kept, vectors.shipped())), _SCALE)
