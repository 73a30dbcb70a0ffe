"""Trains the attack classifier: n-grams of pieces, then how the pieces are joined, then where the threshold stands."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comporta.guardrails.attacking import STRETCH, Attacks, Joined, pieces
from comporta.guardrails.grams import Grams, Linear, grams_of
from comporta.guardrails.looking import Text
from training.samples import Sample, contexts, documents, given, made
from training.solving import Rows, dense, fitted

Array = NDArray[np.float64]
Hashes = NDArray[np.int64]

RIDGE = 2e-6
FOLDS = 3
#: A text of one's own data counts as so many made by grammar.
_REAL = 2.5
#: Of a long harmless text so many pieces are learnt, of a long attack those that look most like one.
_PIECES, _WORST = 6, 2
_LONGEST = 4_000
#: Harmless texts over which one in a hundred is found: half of it questions, half of it roles and other long prompts.
QUESTIONS = ("alpaca_queries", "questions_es", "questions_pt", "donotanswer_harmful_request", "deepset_train",
             "- everyday", "- triggers", "- security")  # fmt: skip
ROLES = ("awesome_prompts", "- role", "- long role", "- compound")


class Lesson(NamedTuple):
    """Everything that is learnt from, with its n-grams."""

    samples: list[Sample]
    grams: list[Grams]
    #: Sentences of prose: harmless, and no instructions.
    prose: list[Hashes]
    prose_fold: NDArray[np.int64]
    fold: NDArray[np.int64]
    labels: Array


def lesson(data: Path, seed: int = 5) -> Lesson:
    """All texts; the same at every run."""
    rng = random.Random(seed)
    own = [*given(data), *made(rng)]
    samples = [*own, *documents(data, own, rng)]
    grams = [grams_of(Text(sample.text[:_LONGEST]).low) for sample in samples]
    prose = [
        _slice(grams, span)
        for texts in contexts(data).values() for text in texts
        for grams in [grams_of(Text(text[:2_500]).low)] for span in grams.sentences
        if grams.counted[span[1]] - grams.counted[span[0]] > 20
    ]  # fmt: skip
    drawn = np.random.default_rng(seed)
    return Lesson(
        samples, grams, prose, drawn.integers(0, FOLDS, len(prose)), drawn.integers(0, FOLDS, len(samples)),
        np.array([sample.label for sample in samples], dtype=np.float64),
    )  # fmt: skip


def _slice(grams: Grams, span: tuple[int, int]) -> Hashes:
    inside = (grams.begins >= span[0]) & (grams.begins < span[1])
    return grams.buckets[inside]


class Bases(NamedTuple):
    """The two classifiers over n-grams."""

    attack: Linear
    instruction: Linear


def bases(taught: Lesson, which: Iterable[int], prose: Iterable[int], seed: int = 0) -> Bases:
    """Both classifiers from some of the texts. Long attacks are learnt by the pieces that a first round finds worst."""
    rng = random.Random(seed)
    which, prose = list(which), list(prose)
    first = _attack(taught, which, prose, None, rng)
    return Bases(_attack(taught, which, prose, first, rng), _instruction(taught, which, prose))


def _attack(
    taught: Lesson, which: Iterable[int], prose: Iterable[int], before: Linear | None, rng: random.Random
) -> Linear:
    texts: list[Hashes] = []
    labels: list[int] = []
    weights: list[float] = []
    for at in which:
        sample, grams = taught.samples[at], taught.grams[at]
        if sample.place == "document" or not len(grams.buckets):
            continue
        parts = _parts(grams, sample.label, before, rng)
        real = 1.0 if sample.source[0] in "+-~" else _REAL
        for part in parts:
            texts.append(part)
            labels.append(sample.label)
            weights.append(real / len(parts) ** 0.5)
    for at in prose:
        texts.append(taught.prose[at])
        labels.append(0)
        weights.append(0.5)
    return fitted(Rows.of(texts), np.array(labels, dtype=np.float64), np.array(weights), RIDGE, 50)


def _parts(grams: Grams, label: int, before: Linear | None, rng: random.Random) -> list[Hashes]:
    if grams.length <= STRETCH * 1.5:
        return [grams.buckets]
    found = pieces(grams)
    if label == 0:
        some = [*found["stretch"], *found["pair"], *found["sentence"]]
        spans = rng.sample(some, min(_PIECES, len(some)))
    elif before is None:
        spans = list(found["stretch"][:2])
    else:
        scores = before.scores(grams, found["stretch"])
        spans = [found["stretch"][i] for i in np.argsort(-scores)[:_WORST]]
    parts = [part for span in spans if len(part := _slice(grams, span)) > 10]
    return [*parts, grams.buckets]


def _instruction(taught: Lesson, which: Iterable[int], prose: Iterable[int]) -> Linear:
    """Instructions against prose, sentence by sentence."""
    texts: list[Hashes] = []
    labels: list[int] = []
    for at in which:
        sample, grams = taught.samples[at], taught.grams[at]
        if sample.place == "document" or grams.length > 250 or not len(grams.buckets):
            continue
        if sample.source == "- paper":
            texts += [part for span in grams.sentences if len(part := _slice(grams, span)) > 10]
            labels += [0] * (len(texts) - len(labels))
        elif sample.source[0] != "~":
            texts.append(grams.buckets)
            labels.append(1)
    for at in prose:
        texts.append(taught.prose[at])
        labels.append(0)
    truth = np.array(labels, dtype=np.float64)
    weights = np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    return fitted(Rows.of(texts), truth, weights, RIDGE * 5, 40)


NOWHERE = Joined(np.zeros(0), 0.0, 0.0)


def unjoined(found: Bases) -> Attacks:
    """The classifiers as the guard reads them, before they are joined."""
    return Attacks(found.attack, found.instruction, NOWHERE, NOWHERE)


def features(taught: Lesson, model: Attacks, which: Iterable[int]) -> Array:
    """What the pieces of some texts say, a row each."""
    return np.array([model.read(taught.grams[at]).features for at in which])


def joined(taught: Lesson, rows: Array, place: str, within: NDArray[np.bool_]) -> Joined:
    """How pieces are joined in one place, from texts the classifiers had not seen; with the threshold."""
    mask = within & _taught_in(taught, place)
    truth = taught.labels[mask]
    weights, bias = dense(rows[mask], truth, _importance(taught, np.flatnonzero(mask)), 1e-4)
    scores = rows @ weights + bias
    return Joined(weights, bias, _cut(taught, scores, place, within))


def _taught_in(taught: Lesson, place: str) -> NDArray[np.bool_]:
    if place == "said":
        return np.array([s.place == "said" or s.source in ("~ clean", "~ planted attack") for s in taught.samples])
    return np.array(
        [s.place == "document" or s.source[2:] in ("paper", "hidden", "exfiltration", "turns") for s in taught.samples]
    )


def _importance(taught: Lesson, which: NDArray[np.int64]) -> Array:
    """Each source counts by the root of its size; a planted text less, where a user says it."""
    sources = [taught.samples[at].source for at in which]
    count = {source: sources.count(source) for source in set(sources)}
    return np.array([count[source] ** -0.5 * (0.4 if source[0] == "~" else 1.0) for source in sources])


def _cut(taught: Lesson, scores: Array, place: str, within: NDArray[np.bool_]) -> float:
    """Where one of a hundred harmless texts is found; questions and long prompts count half each."""
    if place == "document":
        clean = np.array([s.source == "~ clean" for s in taught.samples]) & within
        return float(np.quantile(scores[clean], 0.99))
    harmless = within & (taught.labels == 0)
    sources = np.array([s.source for s in taught.samples])
    questions = scores[harmless & np.isin(sources, QUESTIONS)]
    roles = scores[harmless & np.isin(sources, ROLES)]
    both = np.concatenate([questions, roles])
    weight = np.concatenate([np.full(len(questions), 0.5 / len(questions)), np.full(len(roles), 0.5 / len(roles))])
    order = np.argsort(-both)
    return float(both[order][int(np.searchsorted(np.cumsum(weight[order]), 0.01))])
