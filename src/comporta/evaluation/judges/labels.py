"""A judge that chooses one of some labels for a text: its language, its tone, what it does."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from comporta.evaluation.base import Tools
from comporta.evaluation.judges.asking import Question, ask_judge
from comporta.evaluation.judges.rubric import object_of

_TASK = """\
{what} Choose exactly one of these labels:
{labels}

Write your reason in `reason`, in one sentence; then the `label`; then `confidence`, how sure you are of it from 0 \
(a guess) to 1 (no doubt)."""


class Chosen(Struct, frozen=True):
    """The label, how sure the judge is of it, and why."""

    label: str
    confidence: float
    reason: str
    asked: int
    cost_microusd: int | None


async def chosen(what: str, labels: Mapping[str, str], text: str, tools: Tools, given: str = "") -> Chosen:
    """One of `labels` (each with what it means) for a text; `given` is what the text answers. Raises Unjudged."""
    listed = "\n".join(f"- {label}: {meaning}" if meaning else f"- {label}" for label, meaning in labels.items())
    schema = object_of(
        {
            "reason": {"type": "string"},
            "label": {"type": "string", "enum": list(labels)},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        }
    )
    data = (("INPUT", given), ("ANSWER", text)) if given else (("ANSWER", text),)
    judged = await ask_judge(Question(_TASK.format(what=what, labels=listed), data, schema), tools)
    found = judged.found
    return Chosen(found["label"], float(found["confidence"]), found["reason"], judged.asked, judged.cost_microusd)
