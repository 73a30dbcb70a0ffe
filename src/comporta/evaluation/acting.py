"""What an answer does: an action and how sure it is, read from its JSON, from a tool call, or by a classifier.

The source is always told with the action: a classifier's word is an opinion, a tool call is a fact.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from comporta.config.tree import Path, Scalar
from comporta.evaluation import jsonpath
from comporta.evaluation.base import Answer, JudgeModel, Tools, Unjudged
from comporta.evaluation.judges.labels import chosen
from comporta.evaluation.replied import json_of
from comporta.prompts.reading import Reading

Source = Literal["json", "tool_call", "classifier"]
_KEYS = ("json", "confidence", "tool_call", "one_of", "model")
_MOST_ACTIONS = 50
_WHAT = "Say what the ANSWER does."


class Acted(Struct, frozen=True, omit_defaults=True):
    """The action, how sure it is (0 to 1), and where both come from; None is what nothing said."""

    action: str | None = None
    confidence: float | None = None
    source: Source | None = None
    asked: int = 0
    cost_microusd: int | None = 0


class Acting(Struct, frozen=True, omit_defaults=True):
    """How a suite finds the action; with nothing said: the `action` in a JSON answer, else the first tool call."""

    json: str = "$.action"
    confidence: str = "$.confidence"
    #: Look at tool calls: None where the JSON says nothing, True always and first.
    tool_call: bool | None = None
    #: With these a model chooses among them.
    one_of: tuple[str, ...] = ()
    model: str | None = None

    async def __call__(self, answer: Answer, tools: Tools) -> Acted:
        """The action of an answer. Raises Unjudged where a classifier is wanted and none can be asked."""
        if self.one_of:
            return await self._classified(answer, tools)
        called = self._called(answer)
        if self.tool_call and called is not None:
            return called
        return self._said(answer) or (called if called is not None and self.tool_call is not False else Acted())

    def _said(self, answer: Answer) -> Acted | None:
        try:
            root = json_of(answer.output, anywhere=True)
        except ValueError:
            return None
        found = jsonpath.values(jsonpath.parse(self.json), root)
        if not found or not isinstance(found[0], str):
            return None
        return Acted(found[0], _share(jsonpath.values(jsonpath.parse(self.confidence), root)), "json")

    def _called(self, answer: Answer) -> Acted | None:
        if not answer.tool_calls:
            return None
        first = answer.tool_calls[0]
        try:
            given = msgspec.json.decode(first.arguments or "{}")
        except (msgspec.DecodeError, RecursionError):
            given = None
        return Acted(first.name, _share(jsonpath.values(jsonpath.parse(self.confidence), given)), "tool_call")

    async def _classified(self, answer: Answer, tools: Tools) -> Acted:
        if self.model is not None:
            tools = structs.replace(tools, judge=JudgeModel(self.model, temperature=0.0))
        if tools.ask is None or tools.judge is None:
            raise Unjudged("the action is to be chosen by a model, and there is none: give the suite a `judge`, or "
                           "`action: {one_of: […], model: …}`")  # fmt: skip
        found = await chosen(_WHAT, dict.fromkeys(self.one_of, ""), answer.output, tools, answer.input)
        return Acted(found.label, found.confidence, "classifier", found.asked, found.cost_microusd)


def read_acting(reading: Reading, path: Path = ("action",)) -> Acting:
    """`action: $.decision`, `action: tool_call`, or a mapping."""
    node = reading.node(path)
    if node is None:
        return Acting()
    if isinstance(node, Scalar):
        if node.text == "tool_call":
            return Acting(tool_call=True)
        return Acting(json=_path(reading, path, "$.action"), tool_call=False)
    if not reading.fields(path):
        return Acting()
    reading.keys(path, _KEYS)
    actions = reading.texts((*path, "one_of"))
    if len(set(actions)) == 1 or len(actions) > _MOST_ACTIONS:
        reading.wrong((*path, "one_of"), f"needs 2 to {_MOST_ACTIONS} actions to choose from")
    return Acting(
        json=_path(reading, (*path, "json"), "$.action"),
        confidence=_path(reading, (*path, "confidence"), "$.confidence"),
        tool_call=reading.truth((*path, "tool_call")),
        one_of=actions,
        model=reading.text((*path, "model")) or None,
    )


def _path(reading: Reading, path: Path, default: str) -> str:
    text = reading.text(path, default)
    try:
        jsonpath.parse(text)
    except ValueError as why:
        reading.wrong(path, str(why))
        return default
    return text


def _share(found: list[Any]) -> float | None:
    """A confidence from 0 to 1; percentages and words are none."""
    value = found[0] if found else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= 1 else None
