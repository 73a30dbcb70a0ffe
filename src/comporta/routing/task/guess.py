"""What a prompt asks for, guessed: a linear classifier over hashed n-grams says the task and how sure it is.

Trained by `tools/train_tasks.py` on sentences of our own in English, Portuguese and Spanish; 0.2 ms a prompt. What it
reads is the system text and the user's last words: of long ones the beginning and the end, where instructions stand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from comporta.guardrails.grams import grams_of
from comporta.routing.task.names import TASKS, Complexity
from comporta.types import Input

BITS: Final = 15
_MASK: Final = (1 << BITS) - 1
_HEAD, _TAIL = 500, 300
#: What is said once for all calls counts less than what this one asks.
_SYSTEM_SHARE: Final = 0.8
_CODE = re.compile(r"```|\bdef \w+\(|\bfunction\b|[{};]\s*\n|\bselect\b.+\bfrom\b", re.IGNORECASE)
_HARD = re.compile(
    r"step[ -]by[ -]step|trade-?offs?|\bprove\b|\bproof\b|\bderive\b|\bdesign\b|\barchitect|\boptimi[sz]e|in depth"
    r"|in detail|\bcompare\b|pros and cons|root cause|\bwhy\b|\bstrategy\b|justify|passo a passo|paso a paso"
    r"|\bcompar[ae]|pr[óo]s e contras|\bpros y contras|\bdemonstr[ae]|\bdemuestr[ae]|\bprove que|\bprueba que"
    r"|por ?qu[eê]|\bprojet[ea]\b|\bdise[ñn]a|detalhad|detallad|justifi|estrat[ée]gia|otimiz|optimiz",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\bmust\b|\bshould\b|\bat (?:most|least)\b|\bwithout\b|\bonly\b|\bdeve\b|\bdebe\b|\bsem\b|\bsin\b|\bapenas\b"
    r"|\bs[óo]lo\b|\bno (?:m[áa]ximo|m[íi]nimo)\b|\bcomo (?:m[áa]ximo|m[íi]nimo)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s", re.MULTILINE)


class Guess(Struct, frozen=True):
    """The likeliest task and how sure that is (0 to 1), the next one, and how hard the call seems."""

    task: str
    sure: float
    complexity: Complexity
    by: Literal["classifier", "example"] = "classifier"
    second: str | None = None


class Weights(NamedTuple):
    """A row of small whole numbers for each task, what one of them is worth, and what is added to each score.

    `heat` spreads the scores so that what is called 90 % sure is right nine times of ten.
    """

    rows: NDArray[np.int8]
    worth: NDArray[np.float64]
    bias: NDArray[np.float64]
    heat: float

    def scores(self, text: str) -> NDArray[np.float64]:
        """A score for each task, as log odds."""
        found = buckets_of(text)
        if not len(found):
            return self.bias
        summed = self.rows[:, found].sum(axis=1, dtype=np.int64)
        scores: NDArray[np.float64] = summed * self.worth / math.sqrt(len(found)) + self.bias
        return scores


@lru_cache(1)
def shipped() -> Weights:
    """The weights of this package."""
    data = files("comporta.routing.task").joinpath("weights.npz").read_bytes()
    with np.load(BytesIO(data)) as held:
        return Weights(held["rows"], held["worth"], held["bias"], float(held["heat"]))


def buckets_of(text: str) -> NDArray[np.int64]:
    """The hashes that a text is known by."""
    return grams_of(window(text).lower()).buckets & _MASK


def window(text: str) -> str:
    """What is read of a text: all of a short one, beginning and end of a long one."""
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}"


def asked_of(given: Input) -> tuple[str, str]:
    """The system's text, and the user's last."""
    system = " ".join(message.text for message in given.messages if message.role == "system")
    user = next((m.text for m in reversed(given.messages) if m.role == "user" and m.text), "")
    return system, user


def guess(given: Input, weights: Weights | None = None) -> Guess:
    """The task of a call, by its texts."""
    system, user = asked_of(given)
    weights = weights or shipped()
    scores = weights.scores(user)
    if system:
        scores = scores + _SYSTEM_SHARE * weights.scores(system)
    shares = _shares(scores / weights.heat)
    order = np.argsort(-shares)
    task = TASKS[int(order[0])]
    return Guess(task, round(float(shares[order[0]]), 3), complexity_of(user, task), second=TASKS[int(order[1])])


def _shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max())
    shares: NDArray[np.float64] = raised / raised.sum()
    return shares


def complexity_of(text: str, task: str) -> Complexity:
    """How hard a prompt seems, by a rule of thumb: its length, its conditions and parts, words that ask for thought.

    Reasoning and code count one point more than the rest; from 2 points on a prompt is of medium hardness, from 5 on
    hard.
    """
    words = len(text.split())
    points = min(int(math.log2(1 + words / 20)), 4)
    points += {"reasoning": 2, "code": 1, "classification": -1, "translation": -1, "chat": -1}.get(task, 0)
    points += min(len(_HARD.findall(text)), 3)
    points += min(len(_BOUND.findall(text)) // 2, 2) + min(len(_ITEM.findall(text)) // 2, 2)
    points += bool(words > 60 and _CODE.search(text))
    if points >= 5:
        return "high"
    return "medium" if points >= 2 else "low"


class Examples:
    """Tasks of the operator's own, known by examples: a prompt is of the task whose example it is most like."""

    def __init__(self, examples: Mapping[str, Sequence[str]]) -> None:
        self._known = [
            (task, np.unique(buckets_of(text))) for task, texts in examples.items() for text in texts if text.strip()
        ]

    def __bool__(self) -> bool:
        return bool(self._known)

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The task, and how alike (cosine over the n-grams that both have)."""
        mine = np.unique(buckets_of(text))
        best: tuple[str, float] | None = None
        for task, theirs in self._known:
            alike = len(np.intersect1d(mine, theirs, assume_unique=True)) / math.sqrt(max(len(mine) * len(theirs), 1))
            if best is None or alike > best[1]:
                best = task, alike
        return best


def packed(rows: NDArray[np.float64], bias: NDArray[np.float64], heat: float) -> dict[str, Any]:
    """Weights as they are shipped: whole numbers of one byte, each task with a unit of its own."""
    worth = np.maximum(np.abs(rows).max(axis=1), 1e-9) / 127
    return {"rows": np.round(rows / worth[:, None]).astype(np.int8), "worth": worth, "bias": bias, "heat": heat}
