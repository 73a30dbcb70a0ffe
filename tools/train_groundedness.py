"""Trains the small models of the guard `groundedness` and writes their weights, with what they reach by source.

    python tools/train_groundedness.py FILE.jsonl.gz --cache FOLDER [--out WEIGHTS.json] [--report FIGURES.json]

FILE holds rows of `text`, `context`, `label` (1: the context does not support the text), `source`, `lang` and, where
the text answers one, `question`. FOLDER is where the built embedding model lies (or will). Needs numpy, no other
package. The same rows and the same version give the same weights.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from comporta.embedding.minilm import MiniLM
from comporta.guardrails.grounding.heads import Head, Heads, Name
from comporta.guardrails.grounding.meaning import Meanings
from comporta.guardrails.grounding.measures import ANSWER, CLAIM, MEANING, Claim, measured
from comporta.guardrails.grounding.passages import Passages
from comporta.guardrails.grounding.reading import read
from comporta.text.sentences import sentences

Row = dict[str, Any]
Floats = NDArray[np.float64]
#: How much sources count: claims that people wrote in words of their own most, exchanged names and numbers least.
_WEIGHTS = {"claim": {"wice": 4.0, "halueval_qa": 1.0, "swapped": 0.3, "made": 0.1}, "answer": {"made": 0.4}}
#: Shorter claims have no meaning to compare.
_FEW_WORDS = 5
_SPAN = re.compile(r"\b\d[\d.,]*\b|\b[A-ZÀ-Ý][\w'’-]+(?:\s+(?:d[aeo]s?\s+|of\s+)?[A-ZÀ-Ý][\w'’-]+)*")
_SIGNS = {"claim": CLAIM, "claim_meaning": CLAIM | MEANING, "answer": CLAIM | ANSWER}


# ---- rows made from rows --------------------------------------------------------------------------------------------


def spans(text: str) -> list[str]:
    """Names and numbers of a text."""
    return [m.group().rstrip(".,") for m in _SPAN.finditer(text) if len(m.group()) > 1]


def _same_sort(one: str, other: str) -> bool:
    return one[:1].isdigit() == other[:1].isdigit()


def exchanged(sentence: str, others: list[str], dice: random.Random) -> str | None:
    """The sentence with one name or number of it replaced by another of the same sort; None where there is none."""
    own = [span for span in spans(sentence)[1:] if any(_same_sort(span, o) for o in others)]
    if not own:
        return None
    out = dice.choice(own)
    fit = [o for o in others if _same_sort(out, o) and not set(read(o).run) & set(read(out).run) and o not in sentence]
    return sentence.replace(out, dice.choice(fit), 1) if fit else None


def made(rows: list[Row], dice: random.Random) -> Iterator[Row]:
    """Answers as whole sentences, right and with something exchanged, and wrong short answers out of the passage.

    They keep the model from learning that right answers are short, as they are in the data.
    """
    right = [row for row in rows if row.get("question") and not row["label"]]
    pool = [span for row in right for span in spans(row["context"])[:6]]
    for row in right:
        inside = spans(row["context"])
        holding = [s for s in sentences(row["context"]) if row["text"] in s and len(s) < 400]
        base = {k: row[k] for k in ("context", "question", "lang", "group")}
        if holding:
            yield {**base, "text": holding[0], "label": 0, "source": f"{row['source']} sentence"}
            for others in (inside, dice.sample(pool, 20)):
                wrong = exchanged(holding[0], others, dice)
                if wrong is not None:
                    yield {**base, "text": wrong, "label": 1, "source": f"{row['source']} sentence"}
        if row["lang"] == "en":
            for others in (inside, dice.sample(pool, 20)):
                fit = [o for o in others if _same_sort(o, row["text"]) and o not in row["text"]
                       and o not in row["question"] and row["text"] not in o]  # fmt: skip
                if fit:
                    yield {**base, "text": dice.choice(fit), "label": 1, "source": f"{row['source']} swapped"}
            yield {**base, "text": row["text"], "label": 0, "source": f"{row['source']} swapped"}


def without_question(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows as claims of their own, but for answers out of the passage: those are only wrong to their question."""
    for row in rows:
        if row.get("neg_type") != "intra" and not row["source"].endswith(" swapped"):
            yield {k: v for k, v in row.items() if k != "question"}


# ---- figures --------------------------------------------------------------------------------------------------------


async def figures_of(rows: list[Row], meanings: Meanings) -> list[dict[str, float]]:
    """What is measured of each row; meanings of English ones only, which is what the embedder reads."""
    prepared: dict[str, Passages] = {}
    found = []
    for row in rows:
        passages = prepared.get(row["group"])
        if passages is None:
            prepared.clear()
            passages = prepared[row["group"]] = Passages([row["context"]])
        claim = Claim(row["text"], row.get("question") or "")
        figures = measured(claim, passages)
        # With a question meanings add nothing that words have not.
        if row["lang"] == "en" and not row.get("question"):
            figures |= await meanings.measured(claim, passages)
        found.append(figures)
    return found


# ---- fitting --------------------------------------------------------------------------------------------------------


def fitted(rows: list[Row], figures: list[dict[str, float]], model: Name, strength: float = 0.02) -> Head:
    """A logistic model whose weights keep their signs, by projected gradient steps with momentum."""
    signs = _SIGNS[model]
    names = list(signs)
    x = np.array([[one[name] for name in names] for one in figures])
    y = np.array([row["label"] for row in rows], dtype=float)
    w = balance(rows, _WEIGHTS["answer" if model == "answer" else "claim"])
    means, scales = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = (x - means) / scales
    allowed = np.array([-signs[name] for name in names], dtype=float)
    weights, bias, ahead, ahead_bias = np.zeros(len(names)), 0.0, np.zeros(len(names)), 0.0
    step = 1.0 / (0.25 * float(np.linalg.eigvalsh((z * w[:, None]).T @ z)[-1]) + strength)
    for turn in range(4_000):
        miss = w * (1 / (1 + np.exp(-(z @ ahead + ahead_bias))) - y)
        new = ahead - step * (z.T @ miss + strength * ahead)
        new = np.where(new * allowed > 0, new, 0.0)
        new_bias = ahead_bias - min(step, 4.0) * float(miss.sum())
        push = turn / (turn + 3)
        ahead, ahead_bias = new + push * (new - weights), new_bias + push * (new_bias - bias)
        weights, bias = new, new_bias
    kept = {name: float(v) for name, v in zip(names, weights, strict=True) if v}
    at = dict(zip(names, zip(means, scales, strict=True), strict=True))
    return Head(
        {n: round(v, 4) for n, v in kept.items()}, {n: round(float(at[n][0]), 4) for n in kept},
        {n: round(float(at[n][1]), 4) for n in kept}, round(bias, 4),
    )  # fmt: skip


def balance(rows: list[Row], weights: dict[str, float]) -> Floats:
    """A weight per row: both labels of a source count alike, sources as they are weighed; all together 1."""
    counts: dict[tuple[str, int], int] = {}
    for row in rows:
        counts[row["source"], row["label"]] = counts.get((row["source"], row["label"]), 0) + 1
    w = np.array([_weight(r["source"], weights) / counts[r["source"], r["label"]] for r in rows])
    for label in (0, 1):
        chosen = np.array([row["label"] == label for row in rows])
        w[chosen] *= 0.5 / w[chosen].sum()
    return w


def _weight(source: str, weights: dict[str, float]) -> float:
    sort = "made" if " " in source else "swapped" if source.startswith("qa_swap") else source
    return weights.get(sort, 1.0)


# ---- what is reached ------------------------------------------------------------------------------------------------


def auc(scores: Floats, labels: NDArray[np.int64]) -> float:
    """The chance that a wrong one scores above a right one; ties count half."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks[order] = ((ends - counts + 1 + ends) / 2)[inverse]
    wrong = labels == 1
    n1, n0 = int(wrong.sum()), int((~wrong).sum())
    return float((ranks[wrong].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def interval(scores: Floats, labels: NDArray[np.int64], groups: NDArray[Any], turns: int = 200) -> tuple[float, float]:
    """The middle 95 % of the AUC over samples of whole contexts."""
    dice = np.random.default_rng(7)
    names, at = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(at == i) for i in range(len(names))]
    found = []
    for _ in range(turns):
        chosen = np.concatenate([members[i] for i in dice.integers(0, len(names), len(names))])
        if 0 < labels[chosen].sum() < len(chosen):
            found.append(auc(scores[chosen], labels[chosen]))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def told(name: str, rows: list[Row], scores: Floats) -> Row:
    """One line of the report."""
    labels = np.array([row["label"] for row in rows])
    low, high = interval(scores, labels, np.array([row["group"] for row in rows]))
    one = {"what": name, "n": len(rows), "auc": round(auc(scores, labels), 3), "low": round(low, 3),
           "high": round(high, 3)}  # fmt: skip
    print(f"{name:58} n={one['n']:5}  AUC {one['auc']:.3f} [{low:.3f}, {high:.3f}]", flush=True)
    return one


def parts(rows: list[Row]) -> Iterator[tuple[str, list[int]]]:
    """The sources, and of swapped answers those that are in the passage and those that are not."""
    for source in sorted({row["source"] for row in rows}):
        yield source, [i for i, row in enumerate(rows) if row["source"] == source]
        for sort in ("absent", "intra"):
            chosen = [i for i, row in enumerate(rows) if row["source"] == source
                      and (row.get("neg_type") == sort or not row["label"])]  # fmt: skip
            if any(rows[i].get("neg_type") == sort for i in chosen):
                yield f"{source}, wrong answers {sort}", chosen


def family(source: str) -> str:
    """Sources that come from the same place stay together."""
    return source.split()[0].split("_")[0] if not source.startswith("qa_swap") else source.split()[0]


def evaluated(name: Name, rows: list[Row], figures: list[dict[str, float]]) -> list[Row]:
    """AUC of each source by a model that never saw it nor its relatives, and by one that saw other contexts of it."""
    found = []
    folds = np.array([int(hashlib.sha256(row["group"].encode()).hexdigest(), 16) % 5 for row in rows])
    crossed = np.zeros(len(rows))
    for fold in range(5):
        train = [i for i in range(len(rows)) if folds[i] != fold]
        head = fitted([rows[i] for i in train], [figures[i] for i in train], name)
        for i in np.flatnonzero(folds == fold):
            crossed[i] = head.doubt(figures[i])
    for source, chosen in parts(rows):
        part = [rows[i] for i in chosen]
        found.append(told(f"{name}: {source} (seen source)", part, crossed[chosen]))
        train = [i for i in range(len(rows)) if family(rows[i]["source"]) != family(part[0]["source"])]
        if len({rows[i]["label"] for i in train}) == 2:
            head = fitted([rows[i] for i in train], [figures[i] for i in train], name)
            scores = np.array([head.doubt(figures[i]) for i in chosen])
            found.append(told(f"{name}: {source} (unseen source)", part, scores))
    return found


def _has_meaning(row: Row) -> bool:
    return row["lang"] == "en" and len(row["text"].split()) >= _FEW_WORDS


async def main() -> None:
    """Reads, measures, fits, tells and writes."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("file", type=Path)
    asked.add_argument("--cache", type=Path, required=True)
    asked.add_argument("--out", type=Path)
    asked.add_argument("--report", type=Path)
    given = asked.parse_args()
    with gzip.open(given.file, "rt", encoding="utf-8") as lines:
        rows: list[Row] = [json.loads(line) for line in lines]
    for row in rows:
        row["group"] = hashlib.sha256(row["context"].encode()).hexdigest()[:12]
        row["source"] = row["source"].removesuffix("_nst")
    rows += list(made(rows, random.Random(5)))
    rows.sort(key=lambda row: row["group"])
    meanings = Meanings(MiniLM(given.cache))
    heads: dict[Name, Head] = {}
    report: list[Row] = []
    asked_rows = [row for row in rows if row.get("question")]
    sets: tuple[tuple[Name, list[Row]], ...] = (("answer", asked_rows), ("claim", list(without_question(rows))))
    for name, chosen in sets:
        figures = await figures_of(chosen, meanings)
        models: list[tuple[Name, list[int]]] = [(name, list(range(len(chosen))))]
        if name == "claim":
            models.append(("claim_meaning", [i for i, row in enumerate(chosen) if _has_meaning(row)]))
        for model, places in models:
            some, theirs = [chosen[i] for i in places], [figures[i] for i in places]
            report += evaluated(model, some, theirs)
            heads[model] = fitted(some, theirs, model)
            print(model, json.dumps(heads[model].weights), flush=True)
    if given.out:
        given.out.write_bytes(msgspec.json.format(msgspec.json.encode(Heads("1", heads)), indent=1) + b"\n")
    if given.report:
        given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
