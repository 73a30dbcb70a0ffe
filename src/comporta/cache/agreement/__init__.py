"""Whether one question may be answered with the answer of another: what they must agree on, whatever their likeness."""

from comporta.cache.agreement.agreeing import Agreement, agreement
from comporta.cache.agreement.deciding import FLOOR, THRESHOLD, Decision, confidence, decide
from comporta.cache.agreement.question import Question, question_of

__all__ = [
    "FLOOR",
    "THRESHOLD",
    "Agreement",
    "Decision",
    "Question",
    "agreement",
    "confidence",
    "decide",
    "question_of",
]
