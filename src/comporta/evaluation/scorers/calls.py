"""What an answer did and took beside its text: tools called, cost, time, guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from comporta.config.tree import Fields, Path
from comporta.config.values import parse_duration, parse_money, show_duration
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.scorers.shown import value
from comporta.evaluation.scorers.texts import equal
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading
from comporta.types import ToolCall

_MOST_SHOWN = 5


def _called(reading: Reading, path: Path) -> Scorer | None:
    """`tool_called: name`, or `{name, arguments, times}`."""
    below = (*path, "tool_called")
    inside = isinstance(reading.node(below), Fields)
    if inside:
        reading.keys(below, ("name", "arguments", "times"))
    name = reading.text((*below, "name") if inside else below)
    if not name:
        reading.wrong(below, "needs the tool's name, or {name: …, arguments: {…}}")
        return None
    arguments = reading.mapping((*below, "arguments")) if inside else {}
    times = reading.whole((*below, "times"), 1) if inside else None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        named = [call for call in answer.tool_calls if call.name == name]
        fitting = [call for call in named if not arguments or fits(arguments, arguments_of(call))]
        passed = bool(fitting) if times is None else len(fitting) == times
        return Verdict(passed, float(len(fitting)), _told(name, named, fitting, answer))

    return scorer


def _told(name: str, named: list[ToolCall], fitting: list[ToolCall], answer: Answer) -> str:
    if fitting:
        times = f" {len(fitting)} times" if len(fitting) > 1 else ""
        return f"{name} was called{times}: {fitting[0].arguments[:200]}"
    if named:
        return f"{name} was called, with other arguments: {'; '.join(c.arguments[:200] for c in named[:_MOST_SHOWN])}"
    others = ", ".join(call.name for call in answer.tool_calls[:_MOST_SHOWN])
    return f"{name} was not called; called were: {others}" if others else "no tool was called"


def arguments_of(call: ToolCall) -> Any:
    """The arguments as JSON; their own text where the model wrote none that can be read."""
    try:
        return msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return call.arguments


def fits(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is there: mappings may hold more, lists are of one length, the rest is equal."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and fits(one, found[key]) for key, one in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(fits, wanted, found))
    return equal(wanted, found)


def _not_called(reading: Reading, path: Path) -> Scorer | None:
    """`tool_not_called: refund`, a list of names, or true: none at all."""
    below = (*path, "tool_not_called")
    names: tuple[str, ...] = ()
    if reading.plain(below) is not True:
        names = reading.texts(below)
        if not names or not all(names):
            reading.wrong(below, "needs a tool's name, a list of names, or true for any tool")
            return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        found = [call for call in answer.tool_calls if not names or call.name in names]
        said = f"{found[0].name} was called: {found[0].arguments[:200]}" if found else "it was not called"
        return Verdict(not found, reason=said)

    return scorer


def _cost(reading: Reading, path: Path) -> Scorer | None:
    most = reading.read((*path, "cost_at_most"), parse_money)
    if most is None:
        return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        cost = answer.cost_microusd
        if cost is None:
            raise Unjudged("the cost of the answer is not known: its model has no price")
        return Verdict(cost <= most, cost / 1e6, f"cost ${cost / 1e6:.6f}, at most ${most / 1e6:.6f} asked")

    return scorer


def _latency(reading: Reading, path: Path) -> Scorer | None:
    most_s = reading.read((*path, "latency_at_most"), parse_duration)
    if most_s is None:
        return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        took_s = answer.latency_s
        if took_s is None:
            raise Unjudged("the time of the answer is not known: it was recorded without one")
        return Verdict(took_s <= most_s, took_s, f"took {took_s:.3f} s, at most {show_duration(most_s)} asked")

    return scorer


def _guard(word: str, wanted: bool) -> Callable[[Reading, Path], Scorer | None]:
    """Whether a guard, or any, did something to the call."""

    def read(reading: Reading, path: Path) -> Scorer | None:
        names: tuple[str, ...] = ()
        if reading.plain((*path, word)) is not True:
            names = reading.texts((*path, word))
            if not names or not all(names):
                reading.wrong((*path, word), "needs a guard's name, a list of names, or true for any guard")
                return None

        async def scorer(answer: Answer, tools: Tools) -> Verdict:
            if answer.guards is None:
                raise Unjudged("what guards did with this call is not known: it was not recorded")
            found = [one for one in answer.guards if not names or one.guard in names]
            said = value([f"{one.guard}: {one.action}" for one in found]) if found else "no guard did anything"
            return Verdict(bool(found) is wanted, reason=said)

        return scorer

    return read


KINDS = (
    Kind("tool_called", _called, "the model called this tool; given arguments are a subset of the call's"),
    Kind("tool_not_called", _not_called, "the model did not call this tool, or (`true`) any"),
    Kind("cost_at_most", _cost, "the answer cost no more than this"),
    Kind("latency_at_most", _latency, "the whole answer took no longer than this"),
    Kind("guard_triggered", _guard("guard_triggered", True), "this guard, or any, did something to the call"),
    Kind("guard_not_triggered", _guard("guard_not_triggered", False), "this guard, or any, did nothing to the call"),
)  # fmt: skip
