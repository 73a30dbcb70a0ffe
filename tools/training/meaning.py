"""Trains what sentence vectors say of English texts that the n-grams are in doubt about: one weight a dimension."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from comporta.embedding.minilm import MiniLM
from training.grammar import Grammar, dressed
from training.samples import Sample, rows_of
from training.solving import dense
from training.toxicity import plain

Array = NDArray[np.float64]
#: Texts of each kind: tweets that are toxic, tweets that are not, questions.
_TWEETS, _CIVIL, _QUESTIONS = 1_800, 1_400, 500
#: Texts by grammar of each kind, toxic and not.
_TOXIC_MADE, _CIVIL_MADE = 900, 2_200
_LONGEST = 400
#: Vectors have length one; their numbers are brought near one before they are weighed.
_SCALE = 10.0
RIDGE = 1e-2


def english(data: Path, seed: int = 5) -> list[Sample]:
    """English texts, about as many toxic as civil ones; the same at every run."""
    rng = random.Random(seed)
    rows = [row for row in rows_of(data, "toxicity") if row["lang"] == "en"]
    found = []
    for source, label, count in (("davidson", 1, _TWEETS), ("davidson", 0, _CIVIL), ("alpaca_queries", 0, _QUESTIONS)):
        some = [row for row in rows if row["source"] == source and row["label"] == label]
        found += [Sample(plain(row["text"]), label, "en", source) for row in rng.sample(some, count)]
    grammar = Grammar(Path(__file__).parent / "toxic-en.txt")
    for label, sign, parts, count in (
        (1, "+", grammar.attacks, _TOXIC_MADE), (0, "-", grammar.harmless, _CIVIL_MADE),
    ):  # fmt: skip
        for name, forms in parts.items():
            found += [Sample(dressed(text, rng), label, "en", f"{sign} {name}")
                      for text in grammar.many(forms, count, rng)]  # fmt: skip
    return [sample for sample in found if sample.text.strip()]


def vectors(samples: Sequence[Sample], cache: Path) -> Array:
    """A row for each text."""
    embedder = MiniLM(cache)
    try:
        return np.array(asyncio.run(embedder.embed([sample.text[:_LONGEST] for sample in samples])))
    finally:
        embedder.close()


def head(samples: Sequence[Sample], rows: Array, within: NDArray[np.bool_]) -> tuple[Array, float]:
    """The weights of a vector's numbers, and what is added: log odds that a text is toxic."""
    labels = np.array([sample.label for sample in samples], dtype=np.float64)[within]
    weights, bias = dense(rows[within] * _SCALE, labels, np.ones(len(labels)), RIDGE, 150)
    return weights * _SCALE, bias
