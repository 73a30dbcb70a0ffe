"""How toxic a text is: a classifier over its n-grams, read sentence by sentence and as a whole."""

from __future__ import annotations

from typing import NamedTuple

from comporta.guardrails.attacking import arrays, linear, logistic, pieces
from comporta.guardrails.grams import Grams, Linear

_WEIGHTS = "weights/toxicity.npz"
#: A sentence of a longer text has to be so much clearer: there are many, and one is always the worst.
SENTENCE_ODDS = 1.0


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


def load() -> Toxicity:
    """The classifier that ships with the package."""
    found = arrays(_WEIGHTS)
    return Toxicity(linear(found, "toxicity"), float(found["cut"][0]))
