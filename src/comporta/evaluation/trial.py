"""One try of one case on one version: what was asked, what came back, and what was found of it."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct, structs

from comporta.errors import ComportaError
from comporta.evaluation.acting import Acted, Source
from comporta.evaluation.base import Answer, Guarded, Outcome, Tools, Unjudged, added
from comporta.evaluation.composing import question
from comporta.evaluation.judges.rubric import Rubric, judged_by_rubric
from comporta.evaluation.suite import PAIRWISE, Suite, Trying
from comporta.evaluation.targets import Sent
from comporta.text.tags import UNKNOWN, guess_tag
from comporta.types import ToolCall

Side = Literal["candidate", "baseline"]
EXPECTED = "expected_behavior"
_NAME = re.compile(r"[\w.:-]+")


class Trial(Struct, frozen=True, omit_defaults=True):
    """What one try came to. `cost_microusd` is of the answer, `judging_microusd` of what judged it; None is unknown.

    `error` says why there is no answer; then nothing was found of it, good or bad.
    """

    key: str
    prompt: str
    side: Side
    case: str
    repeat: int
    asked: str = ""
    output: str = ""
    error: str | None = None
    code: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    model: str | None = None
    latency_s: float | None = None
    cost_microusd: int | None = None
    judging_microusd: int | None = 0
    guards: tuple[Guarded, ...] | None = None
    outcomes: tuple[Outcome, ...] = ()
    action: str | None = None
    confidence: float | None = None
    action_source: Source | None = None
    detected_language: str | None = None
    response_language: str | None = None

    @property
    def passed(self) -> bool | None:
        """Whether all that had to hold did; None where that could not be told."""
        return passed_by(self, self.outcomes)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Why it could not be told, a sentence each."""
        if self.error is not None:
            return (self.error,)
        return tuple(f"{one.name}: {one.error}" for one in self.outcomes if one.error is not None and not one.optional)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The assertions that had to hold and did not."""
        return tuple(one for one in self.outcomes if one.passed is False and not one.optional)


def passed_by(trial: Trial, outcomes: tuple[Outcome, ...]) -> bool | None:
    """The same by some of the outcomes."""
    binding = [one for one in outcomes if not one.optional]
    if any(one.passed is False for one in binding):
        return False
    return None if trial.error is not None or any(one.error is not None for one in binding) else True


def failed(trial: Trial, error: ComportaError) -> Trial:
    """A try without an answer."""
    return structs.replace(trial, error=error.message, code=error.code)


async def examined(
    trial: Trial, sent: Sent, suite: Suite, trying: Trying, tools: Tools, baseline: str | None = None
) -> Trial:
    """A try with its answer, and what assertions, classifier and judges say of it; `baseline` is the other's answer."""
    answer = _answer(sent, trying, baseline)
    # Where there is no other version, nothing is asked about being better than it.
    skipped = trying.against_baseline if baseline is None else ()
    wanted = [one for one in trying.case.assertions if one.kind != PAIRWISE or one.name not in skipped]
    outcomes = [await one(answer, tools) for one in wanted]
    acted, why_not = await _acted(answer, suite, tools)
    if trying.expected_behavior is not None:
        outcomes.append(await _expected(trying.expected_behavior, answer, acted, why_not, tools))
    return structs.replace(
        trial,
        output=answer.output, tool_calls=answer.tool_calls, model=sent.model, latency_s=sent.latency_s,
        cost_microusd=sent.cost_microusd, guards=sent.guards, outcomes=tuple(outcomes),
        judging_microusd=added([*(one.cost_microusd for one in outcomes), acted.cost_microusd]),
        action=acted.action, confidence=acted.confidence, action_source=acted.source,
        detected_language=trying.case.language or language_of(answer.input),
        response_language=language_of(answer.output),
    )  # fmt: skip


def language_of(text: str) -> str | None:
    """The tag that a text's words speak for (a heuristic); None where they don't tell."""
    found = guess_tag(text)
    return found.tag if found.tag != UNKNOWN else None


def _answer(sent: Sent, trying: Trying, baseline: str | None) -> Answer:
    reply, case = sent.reply, trying.case
    choice = reply.choices[0] if reply.choices else None
    return Answer(
        input=question(trying), output=(choice.text or choice.refusal) if choice is not None else "",
        tool_calls=choice.tools if choice is not None else (), cost_microusd=sent.cost_microusd,
        latency_s=sent.latency_s, guards=sent.guards, reply=reply, language=case.language, reference=case.reference,
        baseline=baseline,
    )  # fmt: skip


async def _acted(answer: Answer, suite: Suite, tools: Tools) -> tuple[Acted, str]:
    """The action, and why there is none where a classifier could not say."""
    try:
        return await suite.acting(answer, tools), ""
    except Unjudged as why:
        return Acted(asked=why.asked, cost_microusd=why.cost_microusd), why.message


async def _expected(wanted: str, answer: Answer, acted: Acted, why_not: str, tools: Tools) -> Outcome:
    """A single word is an action's name, a sentence is for a judge."""
    made = Outcome(EXPECTED, f"{EXPECTED}: {wanted[:60]}", None)
    named = _NAME.fullmatch(wanted) is not None
    if named and acted.action is not None:
        same = _plain(acted.action) == _plain(wanted)
        reason = f"the action is {acted.action} (by {acted.source}{'' if same else f'), not {wanted}'}"
        return structs.replace(made, passed=same, reason=reason + (")" if same else ""))
    if tools.judge is None or tools.ask is None:
        missing = "nothing in the answer names an action" if named else "a sentence is for a judge"
        return structs.replace(
            made, error=why_not or f"{missing}, and there is no judge: give the suite `judge: {{model: …}}`"
        )
    rubric = f"What the answer does is, in one word: {wanted}" if named else f"What was expected of it: {wanted}"
    try:
        said = await judged_by_rubric(Rubric(rubric), answer, tools)
    except Unjudged as why:
        return structs.replace(made, error=why.message, asked=why.asked, cost_microusd=why.cost_microusd)
    return structs.replace(made, passed=said.passed, value=said.value, reason=said.reason, values=said.values,
                 passes=said.passes, asked=said.asked, cost_microusd=said.cost_microusd)  # fmt: skip


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").strip()
