"""What a judge model says: of an answer by a rubric, or of an answer against another."""

from __future__ import annotations

from comporta.config.tree import Fields, Items, Path
from comporta.config.values import parse_share
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.judges.asking import MOST_REPEATS
from comporta.evaluation.judges.pairwise import Comparison, compared
from comporta.evaluation.judges.rubric import Rubric, judged_by_rubric
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading

_PASS_AT = 0.7
_MOST_CRITERIA = 20
_LONGEST = 8_000
_OPTIONS = ("pass_at", "repeats", "model")
_OTHERS = ("baseline", "reference")
_BETTER = "the answer that helps whoever asked more: right, complete, and in the tone that the input calls for"


def _judge(reading: Reading, path: Path) -> Scorer | None:
    """`judge: "…"` with options beside it, or `judge: {rubric: …, …}`."""
    below = (*path, "judge")
    inside = isinstance(reading.node(below), Fields)
    if inside:
        reading.keys(below, ("rubric", *_OPTIONS))
    where = below if inside else path
    rubric_at = (*below, "rubric") if inside else below
    text, criteria = _rubric(reading, rubric_at)
    if not text and not criteria:
        return None
    pass_at = reading.read((*where, "pass_at"), parse_share)
    rubric = Rubric(
        text, criteria, (1.0 if criteria else _PASS_AT) if pass_at is None else pass_at,
        reading.whole((*where, "repeats"), 1, MOST_REPEATS), reading.text((*where, "model")) or None,
    )  # fmt: skip

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        return await judged_by_rubric(rubric, answer, tools)

    return scorer


def _rubric(reading: Reading, path: Path) -> tuple[str, tuple[str, ...]]:
    if isinstance(reading.node(path), Items):
        criteria = reading.texts(path)
        if not criteria or len(criteria) > _MOST_CRITERIA or not all(one.strip() for one in criteria):
            reading.wrong(path, f"needs 1 to {_MOST_CRITERIA} criteria, none of them empty")
            return "", ()
        return "", criteria
    text = reading.text(path)
    if not text.strip() or len(text) > _LONGEST:
        reading.wrong(path, f"needs a rubric in words (at most {_LONGEST:,} characters), or a list of criteria")
        return "", ()
    return text, ()


def _better(reading: Reading, path: Path) -> Scorer | None:
    """`better_than: baseline` or `reference`, else the other answer's text."""
    other = reading.text((*path, "better_than"))
    if not other.strip():
        reading.wrong((*path, "better_than"), "needs baseline, reference, or the text of another answer")
        return None
    comparison = Comparison(
        reading.text((*path, "rubric")) or _BETTER, reading.read((*path, "pass_at"), parse_share),
        reading.whole((*path, "repeats"), 1, MOST_REPEATS), reading.text((*path, "model")) or None,
    )  # fmt: skip

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        return await compared(comparison, answer, _other(other, answer), tools)

    return scorer


def _other(said: str, answer: Answer) -> str:
    if said not in _OTHERS:
        return said
    found = answer.baseline if said == "baseline" else answer.reference
    if found is None:
        needs = "run with a baseline" if said == "baseline" else "give the case a `reference`"
        raise Unjudged(f"there is no {said} to compare with: {needs}")
    return found


KINDS = (
    Kind("judge", _judge, "a judge model finds that the answer meets a rubric, or a list of criteria", _OPTIONS),
    Kind("better_than", _better, "a judge model prefers the answer to the baseline's, the reference, or a text",
         ("rubric", *_OPTIONS)),
)  # fmt: skip
