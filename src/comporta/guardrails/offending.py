"""How toxic a text is: n-grams, sentence by sentence and as a whole, and the meaning of what they leave in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comporta.guardrails.attacking import arrays, linear, logistic, pieces
from comporta.guardrails.grams import Grams, Linear

_WEIGHTS, _MEANING = "weights/toxicity.npz", "weights/meaning.npz"
#: A sentence of a longer text has to be so much clearer: there are many, and one is always the worst.
SENTENCE_ODDS = 1.0
#: What the meaning says counts so much beside what the n-grams say.
_SHARE = 0.6


class Toxicity(NamedTuple):
    """The classifier, and the score from which on a text is toxic rather than not."""

    model: Linear
    cut: float

    def read(self, grams: Grams) -> tuple[float, int, int]:
        """How sure it is, and where the piece begins and ends (places of the folded text) that says most."""
        if grams.counted[-1] == 0:
            return 0.0, 0, 0
        found = pieces(grams)
        running = self.model.running(grams)
        whole = self.model.read(grams, running, found["stretch"])
        sentence = self.model.read(grams, running, found["sentence"])
        best, worst = int(whole.argmax()), int(sentence.argmax())
        if sentence[worst] - SENTENCE_ODDS > whole[best]:
            return logistic(float(sentence[worst]) - SENTENCE_ODDS - self.cut), *found["sentence"][worst]
        return logistic(float(whole[best]) - self.cut), *found["stretch"][best]


class Meaning(NamedTuple):
    """What the vector of an English sentence says."""

    weights: NDArray[np.float64]
    bias: float

    def weighed(self, sure: float, vector: Sequence[float]) -> float:
        """How sure both are together, the n-grams (neither 0 nor 1) and the meaning."""
        odds = float(np.log(sure / (1 - sure)))
        return logistic(odds + _SHARE * float(self.weights @ np.array(vector) + self.bias))


def load() -> Toxicity:
    """The classifier that ships with the package."""
    found = arrays(_WEIGHTS)
    return Toxicity(linear(found, "toxicity"), float(found["cut"][0]))


def load_meaning() -> Meaning:
    """The one over vectors of all-MiniLM-L6-v2."""
    found = arrays(_MEANING)
    return Meaning(found["meaning.weights"].astype(np.float64), float(found["meaning.bias"][0]))
