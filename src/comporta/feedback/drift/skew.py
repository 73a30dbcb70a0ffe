"""Serving skew: whether what production asks is what a prompt is tested with.

An item is the vector of a question with its figures behind it. Questions are compared as topics are, figures as those
of answers; but tests are few, and written by hand: they never are a sample of what is asked, and say it in other
words. So only what is far from it is told, as measured in `bench/drift.py`.
"""

from __future__ import annotations

import math

import numpy as np

from comporta.feedback.drift.changes import Change, Floats
from comporta.feedback.drift.topics import compare_topics
from comporta.feedback.drift.values import Column, comparing
from comporta.text.language import guess_language

#: With fewer tests nobody could say what they stand for.
FEWEST_TESTS = 10
COLUMNS = (
    Column("words", "ratio", 0.5),
    *(Column(name, "share", 0.2) for name in ("en", "pt", "es", "other")),
)
_SURE = 0.15
#: So much of what is asked is surely unlike nearly all tests, or the two are hardly ever taken for one another.
_UNLIKE, _APART = 0.2, 0.9
_COMPARE = comparing(COLUMNS)


def figures_of(question: str) -> Floats:
    """The columns of a question."""
    guess = guess_language(question)
    code = guess.code if guess.sure >= _SURE else ""
    shares = [float(code == column.name) for column in COLUMNS[1:]]
    return np.array([math.log1p(len(question.split())), *shares])


def compare_skew(tests: Floats, asked: Floats, seed: int = 0) -> list[Change]:
    """In what production differs from the tests."""
    if len(tests) < FEWEST_TESTS:
        return []
    at = -len(COLUMNS)
    topics = [one for one in compare_topics(tests[:, :at], asked[:, :at], seed) if _far(one)]
    return [*topics, *_COMPARE(tests[:, at:], asked[:, at:], seed)]


def _far(one: Change) -> bool:
    return one.facts["new_low"] >= _UNLIKE or one.size >= _APART
