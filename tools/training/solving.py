"""Logistic regression over hashed n-grams by L-BFGS, in numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comporta.guardrails.grams import BITS, Linear

Array = NDArray[np.float64]


class Rows(NamedTuple):
    """Texts as lists of hashes, one after the other, each text's sum divided by the root of its length."""

    buckets: NDArray[np.int64]
    starts: NDArray[np.int64]
    scale: Array

    @staticmethod
    def of(texts: Sequence[NDArray[np.int64]]) -> Rows:
        """Rows of texts that are not empty."""
        sizes = np.array([len(text) for text in texts])
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        return Rows(np.concatenate(texts), starts, 1 / np.sqrt(sizes))

    def times(self, weights: Array) -> Array:
        """Each row's sum of weights, scaled."""
        summed: Array = np.add.reduceat(weights[self.buckets], self.starts) * self.scale
        return summed

    def back(self, values: Array) -> Array:
        """The other way: for each hash the sum of what its rows have."""
        sizes = np.diff(np.append(self.starts, len(self.buckets)))
        weights = np.repeat(values * self.scale, sizes)
        return np.bincount(self.buckets, weights=weights, minlength=1 << BITS).astype(np.float64)


def fitted(rows: Rows, labels: Array, importance: Array, ridge: float, steps: int = 60) -> Linear:
    """The weights with the least loss; `importance` weighs the rows, `ridge` holds the weights small."""
    total = importance.sum()

    def loss(point: Array) -> tuple[float, Array]:
        score = rows.times(point[:-1]) + point[-1]
        sign = 2 * labels - 1
        value = float((importance * np.logaddexp(0, -sign * score)).sum() / total)
        slope = importance * (1 / (1 + np.exp(-np.clip(score, -40, 40))) - labels) / total
        gradient = np.append(rows.back(slope) + ridge * point[:-1], slope.sum())
        return value + 0.5 * ridge * float(point[:-1] @ point[:-1]), gradient

    best = lowest(loss, np.zeros((1 << BITS) + 1), steps)
    return Linear(best[:-1].astype(np.float32), float(best[-1]))


def dense(features: Array, labels: Array, importance: Array, ridge: float, steps: int = 200) -> tuple[Array, float]:
    """The same over a handful of numbers for each row: their weights, and what is added."""
    total = importance.sum()

    def loss(point: Array) -> tuple[float, Array]:
        score = features @ point[:-1] + point[-1]
        value = float((importance * np.logaddexp(0, (1 - 2 * labels) * score)).sum() / total)
        slope = importance * (1 / (1 + np.exp(-np.clip(score, -40, 40))) - labels) / total
        gradient = np.append(features.T @ slope + ridge * point[:-1], slope.sum())
        return value + 0.5 * ridge * float(point[:-1] @ point[:-1]), gradient

    best = lowest(loss, np.zeros(features.shape[1] + 1), steps)
    return best[:-1], float(best[-1])


def lowest(loss: Callable[[Array], tuple[float, Array]], start: Array, steps: int, memory: int = 8) -> Array:
    """The lowest point of a convex function, by L-BFGS (Nocedal 1980) with halved steps (Armijo)."""
    point = start
    value, slope = loss(point)
    history: list[tuple[Array, Array, float]] = []
    for _ in range(steps):
        way = _direction(slope, history)
        length = 1.0 if history else 1 / max(float(np.abs(slope).max()), 1e-12) * 0.1
        slant = float(slope @ way)
        for _ in range(25):
            other = point + length * way
            new_value, new_slope = loss(other)
            if new_value <= value + 1e-4 * length * slant:
                break
            length /= 2
        moved, turned = other - point, new_slope - slope
        bent = float(moved @ turned)
        if bent > 1e-14:
            history = [*history, (moved, turned, 1 / bent)][-memory:]
        done = value - new_value < 1e-7 * max(abs(value), 1e-9)
        point, value, slope = other, new_value, new_slope
        if done:
            break
    return point


def _direction(slope: Array, history: list[tuple[Array, Array, float]]) -> Array:
    way = slope.copy()
    kept = []
    for moved, turned, one in reversed(history):
        share = one * float(moved @ way)
        kept.append(share)
        way -= share * turned
    if history:
        moved, turned, _ = history[-1]
        way *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned, one), share in zip(history, reversed(kept), strict=True):
        way += moved * (share - one * float(turned @ way))
    return -way
