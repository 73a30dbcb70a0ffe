"""Decides how an Anthropic model is asked to think, within the API's many conditions."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from comporta.providers.base import Query
from comporta.types import JSON

_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_EFFORTS: Final = {"minimal": "low"}
_LEAST: Final = 1024
#: What is left for the answer where the caller set no limit.
_ANSWER: Final = 4096
_ADAPTIVE: Final = "adaptive_thinking"


class Thinking(Struct, frozen=True):
    """How to ask: `config` is the `thinking` field, `output` belongs into `output_config`."""

    config: JSON | None = None
    output: JSON = {}
    max_tokens: int | None = None
    dropped: tuple[str, ...] = ()

    @property
    def on(self) -> bool:
        return self.config is not None and self.config["type"] != "disabled"


def think(query: Query, messages: list[JSON], *, forced: bool) -> Thinking:
    """Thinking as the caller wants it; where the API would refuse it here, without, and that is reported.

    `forced` says that the answer itself is asked for by a tool that must be called.
    """
    given = query.input
    effort, budget = given.reasoning_effort, given.reasoning_budget
    if effort is None and budget is None:
        return Thinking()
    asked = "reasoning_effort" if effort is not None else "reasoning_budget"
    adaptive = _ADAPTIVE in query.capabilities
    if effort == "none" or budget == 0:
        return Thinking(config={"type": "disabled"} if adaptive else None)
    if forced or _stands_in_the_way(query, messages):
        return Thinking(dropped=(asked,))
    if adaptive and budget is None:
        return Thinking(config={"type": "adaptive"}, output={"effort": _EFFORTS.get(effort or "", effort)})
    return _budgeted(query, budget or _BUDGETS.get(effort or "", _BUDGETS["medium"]), asked)


def _budgeted(query: Query, budget: int, asked: str) -> Thinking:
    """A budget below the limit of the answer, as the API wants it; too small a limit leaves no room to think."""
    limit = query.input.max_tokens
    if limit is None:
        limit = query.max_output or budget + _ANSWER
    if limit <= budget:
        budget = limit // 2
    if budget < _LEAST:
        return Thinking(dropped=(asked,))
    return Thinking(config={"type": "enabled", "budget_tokens": budget}, max_tokens=limit)


def _stands_in_the_way(query: Query, messages: list[JSON]) -> bool:
    """A forced tool, a given beginning of the answer, or tool calls whose thoughts got lost on the way."""
    choice = query.input.tool_choice
    if choice is not None and choice.mode in ("required", "tool"):
        return True
    if messages[-1]["role"] == "assistant":
        return True
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if not answers:
        return False
    kinds = [block["type"] for block in answers[-1]]
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")
