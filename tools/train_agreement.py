"""Trains the verifier of the semantic cache on our own questions, and makes its table of words.

    python tools/train_agreement.py --cache FOLDER [--words] [--out VERIFIER.json]

FOLDER is where the built embedding model lies (or will). Pairs are all those of one domain of
`bench/data/questions/en`: of one group the same, of two groups not. The domains in `HELD_OUT` are never trained on, nor
is anything of `bench/data/rewordings`. Pairs that rules tell apart are left out: the verifier never sees such. The same
files give the same weights. With --words the table of words is made again first (minutes).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from comporta.cache.agreement import Question, agreement, question_of
from comporta.cache.agreement.lemmas import lemma
from comporta.cache.agreement.measures import NAMES, measured
from comporta.cache.agreement.vectors import shipped
from comporta.cache.agreement.verifier import Verifier
from comporta.embedding.minilm import MiniLM, model_folder

HERE = Path(__file__).parent
ROOT = HERE.parent
QUESTIONS = ROOT / "bench" / "data" / "questions" / "en"
TABLES = ROOT / "src" / "comporta" / "cache" / "agreement" / "tables"
HELD_OUT = frozenset(("energy", "hotel", "gym", "helpdesk", "knowledge2"))
#: Measures that are also multiplied with each other.
_CROSSED = ("cosine", "least_covered", "most_covered", "most_lost", "overlap", "letters", "asks_same")
_STRENGTH = 10.0
#: Less alike ones of two groups teach nothing.
_FLOOR = 0.3
#: What is added to the weight of the likeness, and the likeness at which that adds nothing: on questions of strangers
#: likeness is worth more than our own, which are far apart on purpose, teach.
_LEANING, _EVEN = 16.0, 0.75
_DIMENSIONS = 80

#: Questions about one thing that ask for different things of it.
FRAMES = (
    "What is a {}?", "Which {} is the best?", "How do I get a {}?", "Where is the {}?", "How does a {} work?",
    "Why do I need a {}?", "Is a {} worth the money?", "What are the parts of a {}?", "How hard is it to use a {}?",
    "What happens to the {}?", "What should I do before I buy a {}?", "How do I clean a {}?", "Can I rent a {}?",
    "What do you think about the {}?",
)  # fmt: skip
#: Ways to ask how to do the same.
WAYS = (
    "How can I {}?", "What is the best way to {}?", "I want to {}", "Could you please tell me how to {}?",
    "Hi, I would like to {}, how does that work?", "is it possible to {}",
)  # fmt: skip
THINGS = (
    "printer", "savings account", "heat pump", "passport", "violin", "tent", "mortgage", "telescope", "drone", "visa",
    "bakery", "credit score", "web server", "wetsuit", "greenhouse", "firewall", "degree in law", "tablet",
)  # fmt: skip

Floats = NDArray[np.float64]


def groups(path: Path) -> list[list[str]]:
    """The groups of a file: questions of one meaning a group, a line each, an empty line between groups."""
    return [block.strip().split("\n") for block in path.read_text("utf-8").split("\n\n") if block.strip()]


def pairs(path: Path) -> Iterator[tuple[str, str, int]]:
    """All pairs of a file, with 1 where both are of one group."""
    items = [(at, text.strip()) for at, group in enumerate(groups(path)) for text in group]
    for (a, one), (b, other) in itertools.combinations(items, 2):
        yield one, other, int(a == b)


def reframed(path: Path) -> Iterator[tuple[str, str, int]]:
    """Questions of how to do something, and the same asked in another way."""
    for group in groups(path):
        for text in group:
            found = re.match(r"How (?:do|can) I (.+)\?$", text)
            if found is not None:
                ways = [way.format(found[1]) for way in WAYS]
                yield from ((text, way, 1) for way in ways if way != text)


def framed() -> Iterator[tuple[str, str, int]]:
    """Every two questions about one thing."""
    for thing in THINGS:
        for one, other in itertools.combinations(FRAMES, 2):
            yield one.format(thing), other.format(thing), 0


def crossed(figures: Sequence[Sequence[float]]) -> tuple[list[str], Floats]:
    """The measures and their products, with names."""
    x = np.array(figures, float)
    at = [NAMES.index(name) for name in _CROSSED]
    both = [(i, j) for k, i in enumerate(at) for j in at[k:]]
    names = [*NAMES, *(f"{NAMES[i]}*{NAMES[j]}" for i, j in both)]
    return names, np.concatenate([x, np.array([x[:, i] * x[:, j] for i, j in both]).T], axis=1)


def fitted(figures: Sequence[Sequence[float]], labels: Sequence[int]) -> Verifier:
    """A logistic model by Newton's steps, its weights held small."""
    names, x = crossed(figures)
    y = np.array(labels, float)
    means, scales = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = np.c_[(x - means) / scales, np.ones(len(x))]
    weights, hold = np.zeros(z.shape[1]), np.eye(z.shape[1]) * _STRENGTH
    hold[-1, -1] = 0.0
    for _ in range(60):
        chance = 1 / (1 + np.exp(-np.clip(z @ weights, -30, 30)))
        slope = z.T @ (chance - y) + hold @ weights
        step = np.linalg.solve((z * (chance * (1 - chance))[:, None]).T @ z + hold, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    at = names.index("cosine")
    weights[at] += _LEANING * scales[at]
    bias = round(float(weights[-1] + _LEANING * (means[at] - _EVEN)), 5)
    return Verifier("1", _named(names, weights[:-1]), _named(names, means), _named(names, scales), bias)


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: round(float(value), 5) for name, value in zip(names, values, strict=True)}


async def trained(cache: Path) -> Verifier:
    """The verifier, of all files that are not held out."""
    paths = [path for path in sorted(QUESTIONS.glob("*.txt")) if path.stem not in HELD_OUT]
    rows = [row for path in paths for row in (*pairs(path), *reframed(path))] + list(framed())
    texts = list(dict.fromkeys(text for a, b, _ in rows for text in (a, b)))
    embedder = MiniLM(cache)
    vectors = dict(zip(texts, np.array(await embedder.embed(texts)), strict=True))
    embedder.close()
    read: dict[str, Question] = {text: question_of(text, "en") for text in texts}
    figures, labels = [], []
    for a, b, same in rows:
        cosine = float(vectors[a] @ vectors[b])
        if (same or cosine >= _FLOOR) and agreement(read[a], read[b]).agrees:
            figures.append(measured(cosine, read[a], read[b], shipped()))
            labels.append(same)
    print(f"{len(rows)} pairs, of which {len(labels)} are trained on, {sum(labels)} of them the same")
    return fitted(figures, labels)


# ---- the table of words ---------------------------------------------------------------------------------------------


def vocabulary(tokenizer: Any) -> Iterator[tuple[str, float]]:
    """The embedder's whole words, and those of our tables and training questions, each with what it weighs.

    The embedder's own stand in the order of how often they are used: a word weighs from 0.25 (the commonest) to 1.
    """
    known = {word: at for word, at in tokenizer.get_vocab().items() if re.fullmatch(r"[a-z]{2,}", word)}
    files = [*TABLES.glob("en.*.txt"), *(p for p in QUESTIONS.glob("*.txt") if p.stem not in HELD_OUT)]
    ours = {word for file in files for word in re.findall(r"[a-z]{2,}", file.read_text("utf-8").lower())}
    ours |= {lemma(word) for word in ours}
    first, last = np.log(50), np.log(30_522)
    for word in sorted(known.keys() | ours):
        rank = np.log(max(50, known.get(word, 30_000) - 950))
        yield word, 0.25 + 0.75 * float(np.clip((rank - first) / (last - first), 0, 1))


async def words_made(cache: Path) -> None:
    """Embed each word alone, keep the directions in which words differ most, and write the table."""
    tokenizer = Tokenizer.from_file(str((model_folder() or Path()) / "tokenizer.json"))
    found = list(vocabulary(tokenizer))
    embedder = MiniLM(cache)
    vectors = np.array(await embedder.embed([word for word, _ in found]), float)
    embedder.close()
    vectors -= vectors.mean(0)
    _, _, directions = np.linalg.svd(vectors, full_matrices=False)
    short = vectors @ directions[:_DIMENSIONS].T
    short /= np.linalg.norm(short, axis=1, keepdims=True)
    np.savez_compressed(
        TABLES / "words.npz",
        words=np.array(" ".join(word for word, _ in found)),
        vectors=np.round(short / np.abs(short).max() * 127).astype(np.int8),
        weights=np.round(np.array([weight for _, weight in found]) * 255).astype(np.uint8),
    )


async def main() -> None:
    """Makes, trains and writes."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--cache", type=Path, required=True)
    asked.add_argument("--words", action="store_true")
    asked.add_argument("--out", type=Path, default=TABLES / "verifier.json")
    given = asked.parse_args()
    if given.words:
        await words_made(given.cache)
    verifier = await trained(given.cache)
    given.out.write_bytes(msgspec.json.format(msgspec.json.encode(verifier), indent=1) + b"\n")


if __name__ == "__main__":
    asyncio.run(main())
