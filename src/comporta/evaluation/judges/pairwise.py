"""A judge that compares two answers, each pair asked in both orders, since judges favour a place."""

from __future__ import annotations

from msgspec import Struct

from comporta.evaluation.base import Answer, Tools, Unjudged, Verdict
from comporta.evaluation.judges.asking import Judged, Question, ask_judge, enough, judge_of, repeated, took
from comporta.evaluation.judges.rubric import object_of, verdict_of
from comporta.types import JSON

_TASK = """\
Two programs answered the same INPUT. Say which answer is better by this rubric:
{rubric}

Think first and write your reasons in `reason`, in at most three sentences; then say `better`: "FIRST", "SECOND", or \
"TIE" where neither is clearly better. The order in which they stand, their length and their names mean nothing."""
_SCHEMA: JSON = object_of(
    {"reason": {"type": "string"}, "better": {"type": "string", "enum": ["FIRST", "SECOND", "TIE"]}}
)
_POINTS = {"FIRST": 1.0, "TIE": 0.5, "SECOND": 0.0}


class Comparison(Struct, frozen=True):
    """What a pair is compared by. Without `pass_at` the answer must win more often than it loses."""

    rubric: str
    pass_at: float | None = None
    repeats: int | None = None
    model: str | None = None

    def passes(self, value: float) -> bool:
        return value > 0.5 if self.pass_at is None else value >= self.pass_at


async def compared(comparison: Comparison, answer: Answer, other: str, tools: Tools) -> Verdict:
    """1 where the answer is better in both orders, 0 where the other is, 0.5 where the judge is not of one mind.

    The mean over the repeats is the value. Raises Unjudged where too few could be had.
    """
    if answer.output.strip() == other.strip():
        return Verdict(comparison.passes(0.5), 0.5, "the two answers are the same", (0.5,), (comparison.passes(0.5),))
    count = comparison.repeats or judge_of(tools, comparison.model).repeats
    pairs, failed = await repeated([_pair(comparison, answer, other, tools, n) for n in range(count)])
    enough([one[2] for one in pairs], failed)
    said = [(value, reason) for value, reason, _ in pairs]
    return verdict_of(said, [judged for _, _, judged in pairs], failed, comparison.passes)


async def _pair(comparison: Comparison, answer: Answer, other: str, tools: Tools, n: int) -> tuple[float, str, Judged]:
    forth = _question(comparison, answer.input, answer.output, other, 2 * n)
    back = _question(comparison, answer.input, other, answer.output, 2 * n + 1)
    found, failed = await repeated([ask_judge(forth, tools), ask_judge(back, tools)])
    asked, cost = took([*found, *failed])
    if failed:
        raise Unjudged(failed[0].message, asked=asked, cost_microusd=cost)
    first, second = (one.found for one in found)
    won, lost = _POINTS[first["better"]], 1.0 - _POINTS[second["better"]]
    if {won, lost} == {0.0, 1.0}:
        return 0.5, "the judge chose by the order the answers stood in, which counts as a tie", Judged({}, asked, cost)
    # A win in one order and a tie in the other is half a win.
    return (won + lost) / 2, first["reason"], Judged({}, asked, cost)


def _question(comparison: Comparison, asked: str, first: str, second: str, repeat: int) -> Question:
    data = (("INPUT", asked), ("FIRST", first), ("SECOND", second))
    return Question(_TASK.format(rubric=comparison.rubric), data, _SCHEMA, repeat, comparison.model)
