"""Concept drift: the same sort of inputs as before, and worse scores. One test over all sorts of inputs.

An item is the vector of its input with the score of its answer behind it. Sorts of inputs are clusters of the first
window's vectors (k-means from far-apart starts, repeatable); within each, means are compared as in `values`, and only
falls count.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from comporta.feedback.drift.changes import Change, Floats, batches, shuffled, starts_at

MEASURE = "same_inputs"
_CLUSTERS = 6
_ROUNDS = 12
#: With fewer scores on either side a cluster has no mean worth the name.
_FEWEST = 15
#: In standard deviations of the score.
_LEAST = 0.5
_SHOWN = 5
_Z = 1.959964


def compare_concepts(before: Floats, after: Floats, seed: int = 0) -> list[Change]:
    """The cluster whose score fell most, if any fell more than shuffling explains."""
    if len(before) < 2 * _FEWEST or len(after) < _FEWEST:
        return []
    centres = _centres(before[:, :-1])
    sorts = np.argmax(np.concatenate([before, after])[:, :-1] @ centres.T, axis=1)
    scores = np.concatenate([before[:, -1], after[:, -1]])
    cells = [
        np.flatnonzero(sorts == at)
        for at in range(len(centres))
        if min(int((sorts[: len(before)] == at).sum()), int((sorts[len(before) :] == at).sum())) >= _FEWEST
    ]
    drops = [_drop(scores, cell, len(before)) for cell in cells]
    if not drops or scores.std() < 1e-12:
        return []
    worst = int(np.argmax(drops))
    if drops[worst] <= 0 or _reached(scores, cells, len(before), drops[worst], seed):
        return []
    return _change(scores, cells[worst], before, after)


def _centres(vectors: Floats) -> Floats:
    """Unit centres; each start is the vector that is least like those before it."""
    starts = [int(np.argmax(vectors @ vectors.mean(axis=0)))]
    near = vectors @ vectors[starts[0]]
    for _ in range(_CLUSTERS - 1):
        starts.append(int(np.argmin(near)))
        near = np.maximum(near, vectors @ vectors[starts[-1]])
    centres = vectors[starts]
    for _ in range(_ROUNDS):
        mine = np.argmax(vectors @ centres.T, axis=1)
        sums = np.stack([vectors[mine == at].sum(axis=0) for at in range(len(centres))])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 1e-9, sums / np.maximum(length, 1e-9), centres)
    return np.asarray(centres)


def _drop(scores: Floats, cell: NDArray[np.int64], n: int) -> float:
    """How far a cell's mean fell, in standard errors."""
    a, b = scores[cell[cell < n]], scores[cell[cell >= n]]
    spread = float(scores[cell].std()) or 1e-9
    return float((a.mean() - b.mean()) / (spread * math.sqrt(1 / len(a) + 1 / len(b))))


def _reached(scores: Floats, cells: list[NDArray[np.int64]], n: int, seen: float, seed: int) -> bool:
    """Whether shuffling within the cells makes as large a fall in any of them."""
    drawn = []
    for number, cell in enumerate(cells):
        a = int((cell < n).sum())
        b = len(cell) - a
        spread = float(scores[cell].std()) or 1e-9
        scale = spread * math.sqrt(1 / a + 1 / b)
        drawn.append((shuffled(a, b, seed + number), scores[cell] / scale))
    return any(float((batch(size).T @ values).max()) >= seen for size in batches() for batch, values in drawn)


def _change(scores: Floats, cell: NDArray[np.int64], before: Floats, after: Floats) -> list[Change]:
    n = len(before)
    mine = cell[cell >= n] - n
    a, b = scores[cell[cell < n]], after[mine, -1]
    size = float(b.mean() - a.mean())
    if abs(size) < _LEAST * (float(before[:, -1].std()) or 1.0):
        return []
    reach = _Z * math.sqrt(float(a.var(ddof=1)) / len(a) + float(b.var(ddof=1)) / len(b))
    middle = (a.mean() + b.mean()) / 2
    starts = int(mine[starts_at(middle - b)])
    shown = tuple(int(at) for at in mine[np.argsort(b, kind="stable")[:_SHOWN]])
    facts = {"share_before": len(a) / n, "share_after": len(b) / len(after)}
    return [
        Change(MEASURE, "points", float(a.mean()), float(b.mean()), size, size - reach, size + reach, starts, shown,
               facts)
    ]  # fmt: skip
