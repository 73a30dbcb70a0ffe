"""How long an answer is, in characters, words or sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comporta.config.tree import Path
from comporta.evaluation.base import Answer, Scorer, Tools, Verdict
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading
from comporta.text.sentences import sentences

_COUNTS: dict[str, Callable[[str], int]] = {
    "chars": len,
    "words": lambda text: len(text.split()),
    "sentences": lambda text: len(sentences(text)),
}
_WORDS = tuple(f"{side}_{unit}" for unit in _COUNTS for side in ("min", "max"))


def _read(reading: Reading, path: Path) -> Scorer | None:
    bounds = {word: reading.whole((*path, word), 0) for word in _WORDS}
    for unit in _COUNTS:
        least, most = bounds[f"min_{unit}"], bounds[f"max_{unit}"]
        if least is not None and most is not None and least > most:
            reading.wrong((*path, f"min_{unit}"), f"is more than max_{unit}: nothing could pass")
    if all(bound is None for bound in bounds.values()):
        return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        return _measured(answer.output.strip(), bounds)

    return scorer


def _measured(text: str, bounds: dict[str, int | None]) -> Verdict:
    said: list[str] = []
    passed = True
    for unit, count in _COUNTS.items():
        least, most = bounds[f"min_{unit}"], bounds[f"max_{unit}"]
        if least is None and most is None:
            continue
        found = count(text)
        passed = passed and (least is None or found >= least) and (most is None or found <= most)
        asked = [f"at least {least:,}" if least is not None else "", f"at most {most:,}" if most is not None else ""]
        said.append(f"{found:,} {_UNITS[unit]} ({', '.join(filter(None, asked))} asked)")
    return Verdict(passed, reason="; ".join(said))


_UNITS = {"chars": "characters", "words": "words", "sentences": "sentences"}


def _kind(word: str) -> Kind:
    side, unit = word.split("_")
    bound: Any = {"min": "at least", "max": "at most"}[side]
    return Kind(word, _read, f"the answer has {bound} so many {_UNITS[unit]}", tuple(w for w in _WORDS if w != word))


KINDS = tuple(map(_kind, _WORDS))
