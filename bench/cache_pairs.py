"""Pairs of questions of our own that the semantic cache is measured with, made of the files in `bench/data`.

Paraphrases: groups of questions of one meaning, a line each (`rewordings` as most people reword, `questions` as far
apart as people say it); nothing that the verifier was trained on. Adversarial: sentences with a slot, filled with two
values that ask for different things.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
#: Files of `questions` that training never sees; as in tools/train_agreement.py, which a test holds to it.
HELD_OUT = ("energy", "gym", "helpdesk", "hotel", "knowledge2")
_MOST = 400

Row = dict[str, Any]


def groups(path: Path) -> list[list[str]]:
    """The groups of a file."""
    return [block.strip().split("\n") for block in path.read_text("utf-8").split("\n\n") if block.strip()]


def files(kind: str, language: str = "en") -> list[Path]:
    """The files of a kind that were not trained on."""
    found = sorted((DATA / kind / language).glob("*.txt"))
    return [path for path in found if kind != "questions" or path.stem in HELD_OUT]


def looks(kind: str, language: str = "en") -> Iterator[Row]:
    """The first question of each group is kept, the others are asked."""
    for path in files(kind, language):
        for origin, *others in groups(path):
            for similar in others:
                yield {"origin": origin, "similar": similar}


def pairs(kind: str, language: str = "en") -> Iterator[Row]:
    """All pairs of a file: the same where both are of one group; neighbours of the same subject where not."""
    for path in files(kind, language):
        items = [(at, text) for at, group in enumerate(groups(path)) for text in group]
        for (a, one), (b, other) in itertools.combinations(items, 2):
            yield {"a": one, "b": other, "label": int(a == b)}


def adversarial(kind: str, language: str = "en") -> list[Row]:
    """Pairs with one changed thing, at most 400 of a kind, always the same ones.

    A file has blocks: lines of sentences with `{}`, then lines of values that begin with `=`; every two values of one
    line ask for different things, of negations the first (which denies nothing) and each other. A line with ` | ` is a
    pair as it stands.
    """
    found: list[Row] = []
    for block in groups(DATA / "adversarial" / language / f"{kind}.txt"):
        sentences = [line for line in block if not line.startswith("=") and " | " not in line]
        for line in block:
            if " | " in line:
                a, b = line.split(" | ")
                found.append({"a": a, "b": b, "label": 0})
        for values in (line[1:].split(",") for line in block if line.startswith("=")):
            for sentence, (a, b) in itertools.product(sentences, itertools.combinations(values, 2)):
                if kind == "negation" and a != values[0]:
                    continue
                found.append({"a": _filled(sentence, a), "b": _filled(sentence, b), "label": 0})
    random.Random(7).shuffle(found)
    return found[:_MOST]


def _filled(sentence: str, value: str) -> str:
    text = sentence.replace("{}", value.strip())
    return text[:1].upper() + text[1:]


def kinds(language: str = "en") -> list[str]:
    """The kinds of adversarial pairs there are in a language."""
    return sorted(path.stem for path in (DATA / "adversarial" / language).glob("*.txt"))


def written(rows: Iterator[Row] | list[Row], path: Path) -> Path:
    """The rows as a file for `comporta cache evaluate`."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path
