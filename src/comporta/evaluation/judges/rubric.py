"""A judge with a rubric: a mark from 0 to 10 by words, or the share of criteria met, over some repeats."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from msgspec import Struct

from comporta.evaluation.base import Answer, Tools, Unjudged, Verdict
from comporta.evaluation.judges.asking import Judged, Question, ask_judge, enough, judge_of, repeated, took
from comporta.types import JSON

_HIGHEST = 10
_BY_MARK = """\
Judge the ANSWER by this rubric:
{rubric}

Think first and write your reasons in `reason`, in at most three sentences; then give `score`, a whole number from 0 \
(does not meet the rubric at all) to 10 (meets it wholly). Judge nothing that the rubric doesn't speak of: not length, \
not style, not your own knowledge of the subject where a REFERENCE is given."""
_BY_CRITERIA = """\
Judge whether the ANSWER meets each of these criteria, every one for itself:
{criteria}

For each of them give `reason`, one sentence, and then `met`, true or false. Where you are not sure, it is not met."""


class Rubric(Struct, frozen=True):
    """What a judge goes by: a text, or criteria that are each met or not. `pass_at` is a share from 0 to 1."""

    text: str = ""
    criteria: tuple[str, ...] = ()
    pass_at: float = 0.7
    repeats: int | None = None
    model: str | None = None


def _question(rubric: Rubric, answer: Answer, repeat: int) -> Question:
    data = [("INPUT", answer.input), ("ANSWER", answer.output)]
    if answer.reference is not None:
        data.append(("REFERENCE", answer.reference))
    if rubric.criteria:
        listed = "\n".join(f"c{n}: {one}" for n, one in enumerate(rubric.criteria, 1))
        task = _BY_CRITERIA.format(criteria=listed)
        return Question(task, tuple(data), _criteria_schema(len(rubric.criteria)), repeat, rubric.model)
    return Question(_BY_MARK.format(rubric=rubric.text), tuple(data), _MARK_SCHEMA, repeat, rubric.model)


def object_of(properties: JSON) -> JSON:
    """A schema of an object with exactly these fields, as strict modes want it."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_MARK_SCHEMA = object_of(
    {"reason": {"type": "string"}, "score": {"type": "integer", "minimum": 0, "maximum": _HIGHEST}}
)


def _criteria_schema(count: int) -> JSON:
    one = object_of({"reason": {"type": "string"}, "met": {"type": "boolean"}})
    return object_of({f"c{n}": one for n in range(1, count + 1)})


def _value(rubric: Rubric, found: JSON) -> tuple[float, str]:
    if not rubric.criteria:
        return found["score"] / _HIGHEST, found["reason"]
    missed = [(name, one) for name, one in found.items() if not one["met"]]
    said = "; ".join(f"{rubric.criteria[int(name[1:]) - 1]}: {one['reason']}" for name, one in missed)
    return 1 - len(missed) / len(found), said or "every criterion is met"


async def judged_by_rubric(rubric: Rubric, answer: Answer, tools: Tools) -> Verdict:
    """The mean over the repeats, with each of them beside it. Raises Unjudged where too few could be had."""
    count = rubric.repeats or judge_of(tools, rubric.model).repeats
    found, failed = await repeated([ask_judge(_question(rubric, answer, n), tools) for n in range(count)])
    enough(found, failed)
    return verdict_of([_value(rubric, one.found) for one in found], found, failed, lambda v: v >= rubric.pass_at)


def verdict_of(
    said: list[tuple[float, str]], found: list[Judged], failed: list[Unjudged], passes: Callable[[float], bool]
) -> Verdict:
    """Repeats put together: the mean decides, and the reason is that of the repeat nearest to it."""
    values = tuple(round(value, 4) for value, _ in said)
    mean = statistics.fmean(values)
    reason = min(said, key=lambda one: abs(one[0] - mean))[1]
    if len(values) > 1:
        reason += f" (mean of {len(values)} repeats, spread {spread(values):.2f})"
    if failed:
        reason += f"; {len(failed)} more could not be read"
    asked, cost = took([*found, *failed])
    return Verdict(passes(mean), round(mean, 4), reason, values, tuple(map(passes, values)), asked, cost)


def spread(values: tuple[float, ...]) -> float:
    """The standard deviation of repeats (of a sample: n - 1); 0 where there is one."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
