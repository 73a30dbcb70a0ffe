"""How much a text looks like an attack on a model: a classifier over its n-grams, read piece by piece.

An attack hides in a long text, so that each sentence, each two sentences and each stretch of some 350 characters is
scored, and what the pieces say is joined by a second, small model. A second classifier tells instructions from prose:
an instruction is nothing odd where a user writes, and is what an indirect injection consists of in a document.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from comporta.guardrails.grams import Grams, Linear

Array = NDArray[np.float64]

#: Characters of a stretch, and from one to the next.
STRETCH, STEP = 350, 175
#: The numbers that the joining model reads, in order.
FEATURES = (
    "whole", "stretch", "two sentences", "sentence", "second sentence", "mean", "length",
    "instruction", "usual instruction", "odd instruction", "inner instruction",
)  # fmt: skip
_WEIGHTS = "weights/attacks.npz"


class Reading(NamedTuple):
    """What a text's pieces say, and where the piece begins and ends that says most."""

    features: Array
    start: int
    end: int


class Joined(NamedTuple):
    """Weights for the features of one place, and the score from which on one of a hundred harmless texts is found."""

    weights: Array
    bias: float
    cut: float

    def confidence(self, features: Array, more: float = 0.0) -> float:
        """Between 0 and 1; a half is where the threshold was set. `more` is what else speaks for it, as log odds."""
        return logistic(float(features @ self.weights) + self.bias + more - self.cut)


class Attacks(NamedTuple):
    """The classifier: attacks, instructions, and how they are joined in what a user says and in a document."""

    attack: Linear
    instruction: Linear
    said: Joined
    document: Joined

    def read(self, grams: Grams) -> Reading:
        """What the pieces of a text say."""
        spans = pieces(grams)
        if grams.counted[-1] == 0:
            return Reading(np.array([self.attack.bias] * 6 + [0.0] * 5), 0, 0)
        running, orders = self.attack.running(grams), self.instruction.running(grams)
        said = {kind: self.attack.read(grams, running, some) for kind, some in spans.items()}
        told = self.instruction.read(grams, orders, spans["sentence"])
        features = np.array([
            said["whole"][0], said["stretch"].max(), said["pair"].max(), *_two_highest(said["sentence"]),
            said["stretch"].mean(), math.log1p(len(told)), *_instructions(told),
        ])  # fmt: skip
        kind = "sentence" if said["sentence"].max() >= said["stretch"].max() else "stretch"
        return Reading(features, *spans[kind][int(said[kind].argmax())])


def pieces(grams: Grams) -> dict[str, Sequence[tuple[int, int]]]:
    """The pieces of a text that are scored, as places of the folded text."""
    length = grams.length
    sentences = [part for span in grams.sentences or ((0, length),) for part in _stretches(*span)]
    pairs = [(a[0], b[1]) for a, b in pairwise(sentences)]
    return {
        "whole": ((0, length),), "stretch": _stretches(0, length), "sentence": sentences, "pair": pairs or sentences,
    }  # fmt: skip


def _stretches(start: int, end: int) -> list[tuple[int, int]]:
    if end - start <= STRETCH:
        return [(start, end)]
    return [(at, min(at + STRETCH, end)) for at in range(start, end - STEP, STEP)]


def _two_highest(scores: Array) -> tuple[float, float]:
    if len(scores) == 1:
        return float(scores[0]), float(scores[0])
    two = np.partition(scores, -2)[-2:]
    return float(two[1]), float(two[0])


def _instructions(scores: Array) -> tuple[float, float, float, float]:
    """The strongest, the usual one, how far they are apart, and the strongest of those that open nor close the text.

    Users open or close with what they want done with a text; what stands inside it is the text's own.
    """
    middle = float(np.median(scores))
    if len(scores) < 4:
        return float(scores.max()), middle, 0.0, 0.0
    return float(scores.max()), middle, float(scores.max()) - middle, float(scores[1:-1].max()) - middle


def logistic(score: float) -> float:
    """A share of one for log odds."""
    return 1 / (1 + math.exp(-max(min(score, 40.0), -40.0)))


def arrays(name: str) -> dict[str, NDArray[np.float64]]:
    """The arrays of a file that ships with the package."""
    with np.load(BytesIO((files("comporta.guardrails") / name).read_bytes())) as found:
        return {key: found[key] for key in found.files}


def linear(found: dict[str, NDArray[np.float64]], name: str) -> Linear:
    """A model whose weights are kept in sixteen bits."""
    return Linear(found[f"{name}.weights"].astype(np.float32), float(found[f"{name}.bias"][0]))


def load() -> Attacks:
    """The classifier that ships with the package."""
    found = arrays(_WEIGHTS)
    said, document = (
        Joined(found[f"{place}.weights"].astype(np.float64), *cast(list[float], found[f"{place}.bias"].tolist()))
        for place in ("said", "document")
    )
    return Attacks(linear(found, "attack"), linear(found, "instruction"), said, document)
