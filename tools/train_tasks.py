"""`python tools/train_tasks.py [--check]`: trains the classifier that guesses a call's task, and measures it.

It learns from sentences of our own by grammar (`tools/training/tasks/*.txt`, English, Portuguese, Spanish) and is
measured on sentences that were written apart from them: `held-*.txt` while the
grammar was widened, `fresh-*.txt` when it was done. Writes the weights into the package. Needs
nothing but numpy; every draw is seeded; a minute or two on one core.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from training.grammar import Grammar, dressed
from training.solving import lowest

from comporta.routing.task.guess import BITS, Weights, buckets_of, complexity_of, guess, packed
from comporta.routing.task.names import COMPLEXITIES, SURE_AT, TASKS
from comporta.types import Input, Message, Text

FOLDER = Path(__file__).parent / "training" / "tasks"
WEIGHTS = Path(__file__).parent.parent / "src" / "comporta" / "routing" / "task" / "weights.npz"
LANGUAGES = ("en", "pt", "es")
#: Texts by grammar of each task in each language.
COUNT = 500
RIDGE = 2e-5
Array = NDArray[np.float64]


class Rows(NamedTuple):
    """Texts as hashes one after the other, and the number of each text's task."""

    buckets: NDArray[np.int64]
    starts: NDArray[np.int64]
    scale: Array
    labels: NDArray[np.int64]


def main() -> None:
    """Train, or only measure what is shipped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="measure the shipped weights only")
    if not parser.parse_args().check:
        rows = rows_of([*texts()])
        weights = heated(trained(rows))
        np.savez_compressed(WEIGHTS, **packed(weights.rows.astype(np.float64), weights.bias, weights.heat))
        print(f"{len(rows.labels)} texts, {WEIGHTS.stat().st_size // 1024} KiB of weights")
    show()


def texts(seed: int = 7) -> Iterator[tuple[str, str]]:
    """Task and text; one of three as people type."""
    rng = random.Random(seed)
    for lang in LANGUAGES:
        grammar = Grammar(FOLDER / f"{lang}.txt")
        for task, forms in grammar.harmless.items():
            for text in grammar.many(forms, COUNT, rng):
                yield task, dressed(text, rng) if rng.random() < 0.33 else text


def rows_of(pairs: list[tuple[str, str]]) -> Rows:
    found = [buckets_of(text) for _, text in pairs]
    sizes = np.array([len(one) for one in found])
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    labels = np.array([TASKS.index(task) for task, _ in pairs])
    return Rows(np.concatenate(found), starts, 1 / np.sqrt(sizes), labels)


def trained(rows: Rows) -> Weights:
    """Multinomial logistic regression by L-BFGS; the heat is set so that confidence means what it says."""
    tasks, size = len(TASKS), 1 << BITS
    wanted = np.eye(tasks)[rows.labels]
    lengths = np.diff(np.append(rows.starts, len(rows.buckets)))
    spread = np.repeat(rows.scale, lengths)
    owner = np.repeat(np.arange(len(rows.labels)), lengths)

    def loss(point: Array) -> tuple[float, Array]:
        table, bias = point[:-tasks].reshape(tasks, size), point[-tasks:]
        scores = np.stack([np.add.reduceat(row[rows.buckets], rows.starts) * rows.scale for row in table], 1) + bias
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        shares /= shares.sum(axis=1, keepdims=True)
        value = -float(np.log(shares[np.arange(len(rows.labels)), rows.labels] + 1e-12).mean())
        slope = (shares - wanted) / len(rows.labels)
        back = [np.bincount(rows.buckets, weights=spread * slope[owner, k], minlength=size) for k in range(tasks)]
        gradient = np.concatenate([np.stack(back).ravel() + RIDGE * table.ravel(), slope.sum(axis=0)])
        return value + 0.5 * RIDGE * float((table**2).sum()), gradient

    best = lowest(loss, np.zeros(tasks * size + tasks), 40)
    return Weights(best[:-tasks].reshape(tasks, size), np.ones(tasks), best[-tasks:], 1.0)  # type: ignore[arg-type]


def heated(weights: Weights) -> Weights:
    """With the heat at which the sentences held back are least surprising: grammar alone makes guesses too sure."""
    pairs = [(task, text) for lang in LANGUAGES for task, some in held(f"held-{lang}").items() for text in some]
    scores = np.stack([weights.scores(text) for _, text in pairs])
    labels = np.array([TASKS.index(task) for task, _ in pairs])

    def surprise(heat: float) -> float:
        raised = scores / heat
        raised = raised - raised.max(axis=1, keepdims=True)
        shares = np.exp(raised) / np.exp(raised).sum(axis=1, keepdims=True)
        return -float(np.log(shares[np.arange(len(labels)), labels] + 1e-9).mean())

    return weights._replace(heat=min(np.arange(0.2, 4.0, 0.05).tolist(), key=surprise))


# ---- measuring ----


def held(name: str) -> Mapping[str, list[str]]:
    """Sentences that nothing was trained on, by their heading."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("- "):
            part = found.setdefault(line[2:], [])
        elif line.strip():
            part.append(line)
    return found


def asked(text: str) -> Input:
    return Input(messages=(Message("user", (Text(text),)),))


def measured(name: str) -> dict[str, Any]:
    """Right, right where it is sure, and how often it is sure."""
    right = sure = sure_right = count = 0
    missed = []
    for task, sentences in held(name).items():
        for text in sentences:
            found = guess(asked(text))
            count += 1
            right += found.task == task
            if found.sure >= SURE_AT:
                sure += 1
                sure_right += found.task == task
            if found.task != task:
                missed.append((task, found.task, found.sure, text))
    return {"n": count, "right": right / count, "sure": sure / count, "sure_right": sure_right / max(sure, 1),
            "missed": missed}  # fmt: skip


def show() -> None:
    print(f"{'':10}{'n':>5}{'right':>8}{'sure':>8}{'right where sure':>18}")
    for lang in (f"{kind}-{lang}" for kind in ("held", "fresh") for lang in LANGUAGES):
        row = measured(lang)
        print(f"{lang:10}{row['n']:5}{row['right']:8.1%}{row['sure']:8.1%}{row['sure_right']:18.1%}")
        for task, found, sure, text in row["missed"]:
            print(f"    {task} taken for {found} ({sure:.2f}): {text[:80]}")
    hits = [(c, complexity_of(t, guess(asked(t)).task), t) for c, some in held("held-complexity").items() for t in some]
    near = sum(abs(COMPLEXITIES.index(a) - COMPLEXITIES.index(b)) <= 1 for a, b, _ in hits)
    right = sum(a == b for a, b, _ in hits)
    print(f"complexity: {right} of {len(hits)} right, {near} at most one off")
    for wanted, found, text in hits:
        if wanted != found:
            print(f"    {wanted} taken for {found}: {text[:80]}")


if __name__ == "__main__":
    main()
