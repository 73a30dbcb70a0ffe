"""What an answer does and how sure it is, found as the suite says, else in its JSON or a tool call."""

from __future__ import annotations

from comporta.config.tree import Path
from comporta.config.values import parse_share
from comporta.evaluation.acting import Acting
from comporta.evaluation.base import Answer, Extracted, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading


async def extracted(answer: Answer, tools: Tools) -> Extracted:
    """Action and confidence of an answer. Raises Unjudged where a declared classifier can't be asked."""
    find = tools.extract or Acting()
    return await find(answer, tools)


def _action(reading: Reading, path: Path) -> Scorer | None:
    wanted = reading.texts((*path, "action"))
    if not wanted or not all(wanted):
        reading.wrong((*path, "action"), "needs the action's name, or a list of those that will do")
        return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        found = await extracted(answer, tools)
        if found.action is None:
            reason = "the answer names no action: none in its JSON, and no tool call"
        else:
            reason = f"the action is {found.action} (from {_source(found)})"
        return Verdict(found.action in wanted, reason=reason, asked=found.asked, cost_microusd=found.cost_microusd)

    return scorer


def _confidence(reading: Reading, path: Path) -> Scorer | None:
    least = reading.read((*path, "confidence_at_least"), parse_share)
    if least is None:
        return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        found = await extracted(answer, tools)
        if found.confidence is None:
            raise Unjudged("the answer says no confidence: none from 0 to 1 in its JSON or its tool call",
                           asked=found.asked, cost_microusd=found.cost_microusd)  # fmt: skip
        reason = f"the confidence is {found.confidence:g} (from {_source(found)}), asked is {least:g}"
        return Verdict(found.confidence >= least, found.confidence, reason, asked=found.asked,
                       cost_microusd=found.cost_microusd)  # fmt: skip

    return scorer


def _source(found: Extracted) -> str:
    return {"json": "its JSON", "tool_call": "a tool call", "classifier": "the classifier"}.get(found.source or "", "?")


KINDS = (
    Kind("action", _action, "the answer's action is this one, or one of a list"),
    Kind("confidence_at_least", _confidence, "the answer says that it is at least so sure"),
)
