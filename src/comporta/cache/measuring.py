"""How often the semantic cache would answer, and how often rightly, on anybody's pairs of questions.

Rows hold `a`, `b` and `label` (1: the answer to one is the answer to the other), or `origin` and `similar`: then all
origins are kept, each `similar` is asked, and the answer of any other origin is a wrong one.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from comporta.cache.agreement import FLOOR, THRESHOLD, Question, confidence, question_of
from comporta.errors import BadRequest
from comporta.text.normal import normalise

#: As many kept questions as are looked at for each that is asked, as live.
CANDIDATES = 8
#: The precision at which a hit rate is told.
PRECISION = 0.97
_MOST_CHARACTERS = 20_000
_SIDES = (("a", "b"), ("question1", "question2"), ("sentence1", "sentence2"), ("text1", "text2"))
_LABELS = ("label", "is_duplicate", "duplicate")
_YES, _NO = frozenset((1, "1", "true", "yes", "same", "duplicate")), frozenset((0, "0", "false", "no", "different"))


class Pair(Struct, frozen=True):
    """Two questions, and whether one's answer answers the other."""

    line: int
    a: str
    b: str
    same: bool


class Look(Struct, frozen=True):
    """A question to keep, and another that its answer should be given to."""

    line: int
    origin: str
    similar: str


class Bad(Struct, frozen=True):
    """A line that can't be used, and why."""

    line: int
    why: str


class Rows(Struct, frozen=True):
    """A file read: all its rows are of one kind."""

    kind: Literal["pairs", "retrieval"]
    pairs: tuple[Pair, ...] = ()
    looks: tuple[Look, ...] = ()
    bad: tuple[Bad, ...] = ()

    def texts(self) -> list[str]:
        """All texts to embed, each once."""
        both = [(p.a, p.b) for p in self.pairs] + [(one.origin, one.similar) for one in self.looks]
        return list(dict.fromkeys(text for two in both for text in two))


class Trial(Struct, frozen=True):
    """One question asked: the highest threshold at which it would have been a hit (0: at none), and whether rightly."""

    line: int
    reach: float
    right: bool
    #: Of the nearest kept question, whatever the verifier says: what the likeness alone would have answered with.
    similarity: float
    nearest_right: bool
    asked: str
    kept: str


class Point(Struct, frozen=True):
    """What one threshold comes to. `hit_rate` and `false_hit_rate` are shares of all pairs; `recall` of the same."""

    threshold: float
    hits: int
    right: int
    wrong: int
    hit_rate: float
    precision: float | None
    recall: float | None
    false_hit_rate: float


class Measured(Struct, frozen=True):
    """All figures of a file. `positives`: how many should hit; `at_precision`: the best that still has `PRECISION`."""

    pairs: int
    hits: int
    hit_rate: float
    right: int
    wrong: int
    precision: float | None
    false_hit_rate: float
    positives: int
    negatives: int
    recall: float | None
    threshold: float
    kind: str
    skipped: int
    at_precision: Point | None
    cosine_alone: Point
    curve: tuple[Point, ...] = ()


# ---- reading --------------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> Rows:
    """The rows of a JSON-lines file, `.gz` or not. Raises BadRequest where nothing in it can be used."""
    read: list[Pair | Look | Bad] = []
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    read.extend(_row(line, number))
    except (OSError, EOFError) as error:
        raise BadRequest(f"{path} can't be read: {error}.") from None
    return _sorted_out(path, read)


def _sorted_out(path: Path, read: Sequence[Pair | Look | Bad]) -> Rows:
    pairs = tuple(one for one in read if isinstance(one, Pair))
    looks = tuple(one for one in read if isinstance(one, Look))
    bad = [one for one in read if isinstance(one, Bad)]
    if not pairs and not looks:
        first = f" Line {bad[0].line}: {bad[0].why}." if bad else ""
        raise BadRequest(
            f"{path} holds no row that can be used: JSON lines with `a`, `b`, `label`, or `origin`, `similar`.{first}"
        )
    if len(pairs) >= len(looks):
        bad += [Bad(one.line, "`origin` and `similar` in a file of `a`, `b`, `label`") for one in looks]
        return Rows("pairs", pairs=pairs, bad=tuple(bad))
    bad += [Bad(one.line, "`a`, `b`, `label` in a file of `origin` and `similar`") for one in pairs]
    return Rows("retrieval", looks=looks, bad=tuple(bad))


def _row(line: bytes, number: int) -> Iterator[Pair | Look | Bad]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        yield Bad(number, f"no JSON: {error}")
        return
    if not isinstance(row, dict):
        yield Bad(number, "not an object")
    elif "origin" in row or "similar" in row:
        yield from _looks(row, number)
    else:
        yield _pair(row, number)


def _looks(row: Mapping[str, Any], number: int) -> Iterator[Look | Bad]:
    origin, similar = row.get("origin"), row.get("similar")
    asked = similar if isinstance(similar, list) else [similar]
    if not isinstance(origin, str) or not _is_text(origin) or not asked or not all(_is_text(one) for one in asked):
        yield Bad(number, "`origin` must be a text, and `similar` one or a list of them")
        return
    for one in asked:
        yield Look(number, origin, str(one))


def _pair(row: Mapping[str, Any], number: int) -> Pair | Bad:
    sides = next((two for two in _SIDES if two[0] in row and two[1] in row), None)
    if sides is None:
        return Bad(number, "neither `a` and `b` nor `origin` and `similar`")
    a, b = row[sides[0]], row[sides[1]]
    if not _is_text(a) or not _is_text(b):
        return Bad(number, f"`{sides[0]}` and `{sides[1]}` must be texts")
    label = next((row[name] for name in _LABELS if name in row), None)
    label = label.strip().lower() if isinstance(label, str) else label
    if isinstance(label, (bool, int, float, str)) and label in _YES | _NO:
        return Pair(number, a, b, label in _YES)
    return Bad(number, f"`label` must be 1 or 0, true or false, not {label!r}"[:120])


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _MOST_CHARACTERS


# ---- trying ---------------------------------------------------------------------------------------------------------


def tried(rows: Rows, vectors: Mapping[str, Sequence[float]], *, verifier: bool = True) -> list[Trial]:
    """Each row decided as live: `vectors` by text, all of one embedder; `verifier` as for `decide`."""
    read = {text: question_of(text, None) for text in rows.texts()}
    if rows.kind == "pairs":
        return [_paired(pair, read, vectors, verifier) for pair in rows.pairs]
    return list(_retrieved(rows.looks, read, vectors, verifier))


def _paired(pair: Pair, read: Mapping[str, Question], vectors: Mapping[str, Sequence[float]], verifier: bool) -> Trial:
    similarity = float(np.dot(vectors[pair.a], vectors[pair.b]))
    sure = confidence(similarity, read[pair.a], read[pair.b], verifier=verifier)
    return Trial(pair.line, sure, pair.same, similarity, pair.same, pair.a, pair.b)


def _retrieved(
    looks: Sequence[Look], read: Mapping[str, Question], vectors: Mapping[str, Sequence[float]], verifier: bool
) -> Iterator[Trial]:
    """The surest of the nearest, which is what is answered with live."""
    origins = list({normalise(one.origin): one.origin for one in looks}.values())
    kept: NDArray[np.float32] = np.array([vectors[text] for text in origins], np.float32)
    for look in looks:
        own, likeness = normalise(look.origin), kept @ np.array(vectors[look.similar], np.float32)
        near = [int(at) for at in np.argsort(-likeness)[:CANDIDATES] if likeness[at] >= FLOOR]
        sure = [
            confidence(float(likeness[at]), read[look.similar], read[origins[at]], verifier=verifier) for at in near
        ]
        best, nearest = int(np.argmax(sure)) if near else 0, int(np.argmax(likeness))
        answer = origins[near[best]] if near else ""
        yield Trial(
            look.line, sure[best] if near else 0.0, normalise(answer) == own, float(likeness[nearest]),
            normalise(origins[nearest]) == own, look.similar, answer,
        )  # fmt: skip


# ---- counting -------------------------------------------------------------------------------------------------------


def measured(rows: Rows, trials: Sequence[Trial], threshold: float = THRESHOLD) -> Measured:
    """All figures; the curve runs over every threshold at which something changes, as far as a hundredth shows it."""
    positives = sum(pair.same for pair in rows.pairs) if rows.kind == "pairs" else len(rows.looks)
    asked = np.array([one.reach for one in trials])
    alike = np.array([one.similarity for one in trials])
    right = np.array([one.right for one in trials], bool)
    nearest = np.array([one.nearest_right for one in trials], bool)
    here = _point(asked, right, positives, threshold)
    curve = tuple(_point(asked, right, positives, i / 100) for i in range(40, 101))
    return Measured(
        pairs=len(trials), hits=here.hits, hit_rate=here.hit_rate, right=here.right, wrong=here.wrong,
        precision=here.precision, false_hit_rate=here.false_hit_rate, positives=positives,
        negatives=len(trials) - positives, recall=here.recall, threshold=threshold, kind=rows.kind,
        skipped=len(rows.bad), at_precision=_best(asked, right, positives),
        cosine_alone=_point(alike, nearest, positives, threshold), curve=curve,
    )  # fmt: skip


def _point(sure: NDArray[Any], right: NDArray[Any], positives: int, threshold: float) -> Point:
    hit = (sure >= threshold) & (sure > 0)
    hits, good, n = int(hit.sum()), int((hit & right).sum()), len(sure)
    return Point(
        threshold=round(threshold, 4), hits=hits, right=good, wrong=hits - good,
        hit_rate=_share(hits, n) or 0.0, precision=_share(good, hits), recall=_share(good, positives),
        false_hit_rate=_share(hits - good, n) or 0.0,
    )  # fmt: skip


def _best(sure: NDArray[Any], right: NDArray[Any], positives: int) -> Point | None:
    """The lowest threshold at and above which the hits are as precise as `PRECISION`."""
    order = np.argsort(-sure, kind="stable")
    good = np.cumsum(right[order])
    precise = good / np.arange(1, len(order) + 1)
    # Only where the next one is less sure can a threshold be set.
    ends = np.append(np.diff(sure[order]) != 0, True) if len(order) else np.array([], bool)
    fit = np.flatnonzero((precise >= PRECISION) & ends & (sure[order] > 0))
    return _point(sure, right, positives, float(sure[order][fit[-1]])) if len(fit) else None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def plotted(curve: Iterable[Point], width: int = 50) -> Iterator[str]:
    """The curve as text: a line for each threshold, `#` for right hits among the positives, precision behind."""
    for point in curve:
        bar = "#" * round((point.recall or 0.0) * width)
        precision = "–" if point.precision is None else f"{point.precision:.1%}"
        yield f"{point.threshold:.2f} |{bar:<{width}}| {point.recall or 0.0:6.1%} of the same, {precision:>6} right"
