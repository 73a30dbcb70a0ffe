"""Trains the classifier of toxic texts on tweets, test cases and grammars, with questions and prose against it."""

from __future__ import annotations

import html
import random
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comporta.guardrails.grams import Grams, Linear, grams_of
from comporta.guardrails.looking import Text
from comporta.guardrails.offending import Toxicity
from training.grammar import Grammar, dressed
from training.judging import macro_f1
from training.samples import LANGUAGES, Sample, contexts, given, made, rows_of
from training.solving import Rows, fitted

Array = NDArray[np.float64]
RIDGE = 2e-5
#: What two of three people found toxic counts so much more than what one did, where the votes are known.
_SURE = 1.6
FOLDS = 3
#: Texts by grammar of each language, toxic and not.
_MADE = 4000
#: What tells a tweet from other texts tells nothing of its tone.
_TWEET = re.compile(r"@\w+|https?://\S+|\bRT\b|@ ?user|[“”]|::+")


class Lesson(NamedTuple):
    """Texts with their n-grams; `fold` tells which are judged by a classifier that has not seen them."""

    samples: list[Sample]
    grams: list[Grams]
    fold: NDArray[np.int64]
    labels: Array
    importance: Array


def lesson(data: Path, seed: int = 7) -> Lesson:
    """All texts; the same at every run."""
    rng = random.Random(seed)
    rows = rows_of(data, "toxicity")
    samples = [Sample(plain(row["text"]), row["label"], row["lang"], row["source"]) for row in rows]
    sure = {sample.text for sample, row in zip(samples, rows, strict=True) if row.get("votes", 0) >= 2}
    samples += [s for s in given(data) if s.source in ("awesome_prompts", "questions_es", "questions_pt")]
    samples += [s for s in made(rng) if s.label == 0 and rng.random() < 0.4]
    for lang in LANGUAGES:
        grammar = Grammar(Path(__file__).parent / f"toxic-{lang}.txt")
        for label, sign, parts in ((1, "+", grammar.attacks), (0, "-", grammar.harmless)):
            for name, forms in parts.items():
                texts = grammar.many(forms, _MADE // len(parts), rng)
                samples += [Sample(dressed(text, rng), label, lang, f"{sign} {name}") for text in texts]
    samples += [
        Sample(text[:500], 0, lang, "~ prose") for lang, texts in contexts(data).items() for text in texts
    ]  # fmt: skip
    samples = [sample for sample in samples if sample.text.strip()]
    drawn = np.random.default_rng(seed)
    return Lesson(
        samples, [grams_of(Text(sample.text[:1000]).low) for sample in samples],
        drawn.integers(0, FOLDS, len(samples)), np.array([s.label for s in samples], dtype=np.float64),
        np.array([_SURE if s.text in sure else 1.0 for s in samples]),
    )  # fmt: skip


def plain(text: str) -> str:
    """A tweet without what tells it from other texts."""
    return re.sub(r"\s+", " ", _TWEET.sub(" ", html.unescape(text))).strip()


def model_of(taught: Lesson, within: NDArray[np.bool_]) -> Linear:
    """The classifier from some of the texts; in each language both classes count the same."""
    which = np.flatnonzero(within)
    truth = taught.labels[which]
    groups = [(taught.samples[at].lang, taught.samples[at].label) for at in which]
    count = {group: groups.count(group) for group in set(groups)}
    importance = np.array([count[group] ** -0.6 for group in groups]) * taught.importance[which]
    return fitted(Rows.of([taught.grams[at].buckets for at in which]), truth, importance, RIDGE, 50)


def scores(taught: Lesson, model: Linear, which: NDArray[np.int64]) -> Array:
    """Log odds as the guard reads them."""
    reader = Toxicity(model, 0.0)
    shares = np.clip([reader.read(taught.grams[at])[0] for at in which], 1e-12, 1 - 1e-12)
    found: Array = np.log(shares / (1 - shares))
    return found


def unseen(taught: Lesson, without: str | None = None) -> Array:
    """Scores by classifiers that had not seen the text (and no text of one source)."""
    found = np.zeros(len(taught.samples))
    left_out = np.array([sample.source == without for sample in taught.samples])
    for fold in range(FOLDS):
        model = model_of(taught, (taught.fold != fold) & ~left_out)
        which = np.flatnonzero(taught.fold == fold)
        found[which] = scores(taught, model, which)
    return found


def cut_of(taught: Lesson, found: Array) -> float:
    """Where the mean over languages of the macro-F1 is highest, among tweets and test cases."""
    real = np.array([s.source in ("davidson", "told_br", "mhc") for s in taught.samples])
    langs = np.array([s.lang for s in taught.samples])
    tried = np.linspace(-2, 2, 81)

    def mean(cut: float) -> float:
        return float(np.mean([
            macro_f1(found[real & (langs == lang) & (taught.labels == 1)],
                     found[real & (langs == lang) & (taught.labels == 0)], cut)
            for lang in LANGUAGES
        ]))  # fmt: skip

    return float(max(tried, key=mean))
