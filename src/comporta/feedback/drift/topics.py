"""Whether texts of now are about other things than those of before: a kernel two-sample test on their vectors.

The statistic is the maximum mean discrepancy (Gretton, Borgwardt, Rasch, Schölkopf, Smola, «A kernel two-sample test»,
JMLR 13, 2012) with a Gaussian kernel of the median distance. Its level comes from shuffling, so it holds at any number
of texts and dimensions: a look at two windows that are alike is a false alarm once in 4,001 times.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from comporta.feedback.drift.changes import Change, Floats, batches, shuffled, starts_at
from comporta.stats.intervals import wilson

MEASURE = "topics"
#: Less than this nobody would call another topic, however sure it is.
LEAST_TOLD_APART = 0.6
_SHOWN = 5
_SAME = 0.95
#: A text is new where its nearest five of before are further than those of 95 % of the texts of before.
_NEAREST = 5
_USUAL = 5.0
_Z = 1.959964


def compare_topics(before: Floats, after: Floats, seed: int = 0) -> list[Change]:
    """The change of topics between windows of vectors of length one, if there is one."""
    if len(before) < 2 * _NEAREST or len(after) < 2 * _NEAREST:
        return []
    both = np.concatenate([before, after])
    likeness = both @ both.T
    kernel = _kernel(likeness)
    if not _differ(kernel, len(before), seed):
        return []
    witness = _witness(kernel, len(before))
    apart, reach = _told_apart(witness[: len(before)], witness[len(before) :])
    if apart < LEAST_TOLD_APART:
        return []
    new = _new_share(likeness, len(before))
    share = wilson(round(new * len(after)), len(after))
    ours = witness[len(before) :]
    shown = _varied(np.argsort(-ours), likeness[len(before) :, len(before) :])
    middle = (np.median(witness[: len(before)]) + np.median(ours)) / 2
    facts = {"new": new, "new_low": share.low, "new_high": share.high}
    starts = starts_at(ours - middle)
    return [
        Change(MEASURE, "told_apart", None, None, apart, max(0.0, apart - reach), min(1.0, apart + reach), starts,
               shown, facts)
    ]  # fmt: skip


def _varied(order: NDArray[np.intp], likeness: Floats) -> tuple[int, ...]:
    """The first ones that are unlike each other: the same question five times shows no more than once does."""
    shown: list[int] = []
    for at in order:
        if len(shown) < _SHOWN and all(likeness[at, other] < _SAME for other in shown):
            shown.append(int(at))
    return tuple(shown)


def _kernel(likeness: Floats) -> Floats:
    squares = np.maximum(0.0, 2 - 2 * likeness)
    scale = float(np.median(squares[np.triu_indices(len(squares), 1)]))
    made: Floats = np.exp(-squares / max(scale, 1e-9))
    return made


def _differ(kernel: Floats, n: int, seed: int) -> bool:
    """Whether no shuffle has as large a discrepancy; most of the windows that are alike end with the first batch."""
    m = len(kernel) - n
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
    seen = float(weights @ kernel @ weights)
    batch = shuffled(n, m, seed)
    # Half the digits are enough here, and twice as fast.
    short = kernel.astype(np.float32)
    for size in batches():
        drawn = batch(size).astype(np.float32)
        if np.einsum("ij,ij->j", drawn, short @ drawn).max() >= seen:
            return False
    return True


def _witness(kernel: Floats, n: int) -> Floats:
    """How much more each item is like the others of now than like the others of before; itself counts for nothing."""
    m = len(kernel) - n
    to_before, to_after = kernel[:, :n].sum(axis=1), kernel[:, n:].sum(axis=1)
    own = np.diag(kernel)
    like_before = np.concatenate([(to_before[:n] - own[:n]) / (n - 1), to_before[n:] / n])
    like_after = np.concatenate([to_after[:n] / m, (to_after[n:] - own[n:]) / (m - 1)])
    return np.asarray(like_after - like_before)


def _told_apart(before: Floats, after: Floats) -> tuple[float, float]:
    """The area under the ROC curve, and half its interval (Hanley, McNeil, Radiology 143, 1982)."""
    n, m = len(before), len(after)
    ordered = np.sort(before)
    below = np.searchsorted(ordered, after, "left").sum() + np.searchsorted(ordered, after, "right").sum()
    area = float(below / (2 * n * m))
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area * area) + (n - 1) * (q2 - area * area)) / (n * m)
    return area, _Z * math.sqrt(max(0.0, variance))


def _new_share(likeness: Floats, n: int) -> float:
    """The share of texts of now that are unlike nearly all of before."""
    among = likeness[:n, :n].copy()
    np.fill_diagonal(among, -1.0)
    usual = np.percentile(np.sort(among, axis=1)[:, -_NEAREST:].mean(axis=1), _USUAL)
    near = np.sort(likeness[n:, :n], axis=1)[:, -_NEAREST:].mean(axis=1)
    return float((near < usual - 1e-9).mean())
