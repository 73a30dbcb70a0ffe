"""How well guards find what they are for, on labelled examples: in all, by language, by source, and spans by type."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct

from comporta.errors import BadRequest
from comporta.guardrails.base import Context, Match, Place, Side
from comporta.guardrails.looking import Text
from comporta.guardrails.policy import Use
from comporta.guardrails.running import Piece, Runner
from comporta.stats.detection import DRAWS, Detection, detection

#: Two spans are one finding where they share so much of the characters that either covers.
SAME = 0.5
_YES = frozenset(
    ("1", "true", "yes", "positive", "attack", "injection", "jailbreak", "malicious", "toxic", "hate", "offensive",
     "unsafe", "harmful", "bad", "flag", "block", "unsupported", "hallucinated", "hallucination", "ungrounded", "pii",
     "secret", "leak")
)  # fmt: skip
_NO = frozenset(
    ("0", "false", "no", "negative", "benign", "legitimate", "safe", "normal", "neutral", "clean", "ok", "good",
     "pass", "allow", "supported", "grounded", "none", "non-toxic", "harmless")
)  # fmt: skip

#: What collections of examples call our kinds.
_NAMES = {
    "EMAIL_ADDRESS": "EMAIL", "E-MAIL": "EMAIL", "PHONE_NUMBER": "PHONE", "TELEPHONE": "PHONE",
    "CREDIT_CARD": "CARD_NUMBER", "CARD": "CARD_NUMBER", "IBAN_CODE": "IBAN", "US_SSN": "SSN", "US_ITIN": "ITIN",
    "US_PASSPORT": "PASSPORT", "US_BANK_NUMBER": "BANK_ACCOUNT", "IP": "IP_ADDRESS", "MAC": "MAC_ADDRESS",
    "DOB": "DATE_OF_BIRTH", "BIRTH_DATE": "DATE_OF_BIRTH", "STREET_ADDRESS": "ADDRESS", "NAME": "PERSON",
    "PERSON_NAME": "PERSON", "ES_NIF": "DNI", "ES_NIE": "NIE", "BR_CPF": "CPF", "BR_CNPJ": "CNPJ",
}  # fmt: skip


class Example(Struct, frozen=True):
    """One line of a file. `label`: whether it should be found; None where only its spans are known."""

    line: int
    text: str
    label: bool
    context: tuple[str, ...] = ()
    question: str = ""
    lang: str = ""
    source: str = ""
    #: None where nobody marked any.
    spans: tuple[Match, ...] | None = None


class Bad(Struct, frozen=True):
    """A line that can't be used, and why."""

    line: int
    why: str


class Spans(Struct, frozen=True):
    """Spans found against spans marked; a type is right where the same one was marked on (mostly) the same place."""

    marked: int
    found: int
    right: int
    precision: float | None
    recall: float | None


class Measured(Struct, frozen=True):
    """Everything that was measured."""

    guard: str
    n: int
    all: Detection
    by_lang: dict[str, Detection]
    by_source: dict[str, Detection]
    #: By type; `all` counts each type as itself, `any_type` takes a wrong type on the right place for right.
    spans: dict[str, Spans] | None
    #: Lines that could not be used.
    skipped: int
    #: Of one example at the median and at the 95th percentile.
    latency_ms_p50: float
    latency_ms_p95: float


class Judged(Struct, frozen=True):
    """What a policy's guards said of one example."""

    example: Example
    score: float
    found: bool
    spans: tuple[Match, ...]
    took_s: float


class Clock(Protocol):
    def __call__(self) -> float: ...


def read_examples(path: Path) -> Iterator[Example | Bad]:
    """The lines of a JSON-lines file, `.gz` or not. Raises BadRequest where it can't be read at all."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield read_example(line, number)
    except (OSError, EOFError) as error:
        raise BadRequest(f"{path} can't be read: {error}.") from None


def read_example(line: bytes, number: int) -> Example | Bad:
    """One line."""
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Bad(number, f"is no JSON: {error}")
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return Bad(number, "has no `text`")
    try:
        spans = _spans(row.get("spans"), len(row["text"]))
        label = _label(row.get("label"), spans)
        return Example(
            number, row["text"], label, _texts(row.get("context")), _word(row.get("question")), _word(row.get("lang")),
            _word(row.get("source")), spans,
        )  # fmt: skip
    except ValueError as error:
        return Bad(number, str(error))


def _label(value: Any, spans: tuple[Match, ...] | None) -> bool:
    """What people write: numbers (0 is no), booleans, words; with spans alone, whether there are any."""
    if value is None:
        if spans is None:
            raise ValueError("has neither `label` nor `spans`")
        return bool(spans)
    if isinstance(value, bool | int | float):
        return value > 0
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError(f"has the label {str(value)[:40]!r}, which is neither yes nor no (1 and 0 always do)")


def _spans(value: Any, size: int) -> tuple[Match, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError("has `spans` that are no list")
    return tuple(sorted(_span(one, size) for one in value))


def _span(value: Any, size: int) -> Match:
    if isinstance(value, dict):
        value = [
            value.get("start"),
            value.get("end"),
            next((value[k] for k in ("type", "kind", "label") if k in value), None),
        ]
    match value:
        case [int(start), int(end), str(kind), *_] if 0 <= start < end <= size:
            return Match(start, end, _NAMES.get(kind.upper(), kind.upper()))
    raise ValueError(f"has a span that is not [start, end, type] within the text: {str(value)[:60]}")


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise ValueError("has a `context` that is neither a text nor a list of texts")


def _word(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError("has a `lang`, `source` or `question` that is no text")
    return value or ""


class Asker:
    """Shows examples to guards. Without regard to thresholds: the score is the surest guard's confidence."""

    def __init__(self, uses: Sequence[Use], side: Side, clock: Clock, place: Place | None = None) -> None:
        self._uses = uses
        self._side = side
        self._clock = clock
        self._place: Place = place or ("user" if side == "input" else "assistant")
        self._runner = Runner()

    async def judged(self, example: Example) -> Judged:
        """What the guards say of one example. Raises what a guard raises."""
        begun_s = self._clock()
        piece = Piece(Text(example.text), self._place)
        score, found, spans = 0.0, False, list[Match]()
        for use in self._uses:
            context = Context(
                self._side, self._place, use.threshold, example.question, example.context,
                language=example.lang or None,
            )  # fmt: skip
            verdict = await self._runner.verdict(use, piece, context)
            sure = verdict.outcome == "block" or (verdict.outcome != "pass" and verdict.confidence >= use.threshold)
            score = max(score, 1.0 if verdict.outcome == "block" else verdict.confidence)
            found = found or sure
            spans += verdict.spans if sure else ()
        return Judged(example, score, found, tuple(spans), self._clock() - begun_s)


def measured(guard: str, judged: Sequence[Judged], skipped: int, draws: int = DRAWS) -> Measured:
    """All figures. `judged` holds at least one example."""
    took = np.quantile([one.took_s for one in judged], [0.5, 0.95]) * 1000
    return Measured(
        guard=guard, n=len(judged), all=_detection(judged, draws),
        by_lang=_by(judged, lambda one: one.example.lang, draws),
        by_source=_by(judged, lambda one: one.example.source, draws),
        spans=_by_type([one for one in judged if one.example.spans is not None]),
        skipped=skipped, latency_ms_p50=round(float(took[0]), 3), latency_ms_p95=round(float(took[1]), 3),
    )  # fmt: skip


def _detection(judged: Sequence[Judged], draws: int) -> Detection:
    return detection(
        np.array([one.score for one in judged]), np.array([one.found for one in judged]),
        np.array([one.example.label for one in judged]), draws=draws,
    )  # fmt: skip


def _by(judged: Sequence[Judged], group: Callable[[Judged], str], draws: int) -> dict[str, Detection]:
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(group(one) or "unknown", []).append(one)
    return {name: _detection(groups[name], draws) for name in sorted(groups)}


def _by_type(judged: Sequence[Judged]) -> dict[str, Spans] | None:
    if not judged:
        return None
    counts: dict[str, list[int]] = {"all": [0, 0, 0], "any_type": [0, 0, 0]}
    for one in judged:
        marked = one.example.spans or ()
        for kind in {m.kind for m in (*marked, *one.spans)}:
            count = counts.setdefault(kind, [0, 0, 0])
            ours, theirs = [m for m in one.spans if m.kind == kind], [m for m in marked if m.kind == kind]
            _add(count, theirs, ours)
            _add(counts["all"], theirs, ours)
        _add(counts["any_type"], marked, one.spans)
    return {name: _of_counts(*counts[name]) for name in ("all", "any_type", *sorted(set(counts) - {"all", "any_type"}))}


def _add(count: list[int], marked: Iterable[Match], found: Iterable[Match]) -> None:
    """Each marked span is met by one found span at most, the one that shares most with it."""
    marked, left = list(marked), list(found)
    count[0] += len(marked)
    count[1] += len(left)
    for one in marked:
        best = max(left, key=lambda other: _shared(one, other), default=None)
        if best is not None and _shared(one, best) >= SAME:
            left.remove(best)
            count[2] += 1


def _shared(one: Match, other: Match) -> float:
    """Characters that both cover, of those that either does."""
    both = min(one.end, other.end) - max(one.start, other.start)
    return max(both, 0) / (max(one.end, other.end) - min(one.start, other.start))


def _of_counts(marked: int, found: int, right: int) -> Spans:
    return Spans(
        marked, found, right, round(right / found, 4) if found else None, round(right / marked, 4) if marked else None
    )
