"""Decides how an Anthropic model is asked to think, within the API's many conditions."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from comporta.providers.anthropic_models import Traits, traits_of
from comporta.providers.base import Query
from comporta.providers.carry import can_think
from comporta.types import JSON

_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_LEAST: Final = 1024
#: What is left for the answer where the caller set no limit.
_ANSWER: Final = 4096


class Thinking(Struct, frozen=True):
    """How to ask: `config` is the `thinking` field, `output` belongs into `output_config`."""

    config: JSON | None = None
    output: JSON = {}
    max_tokens: int | None = None
    dropped: tuple[str, ...] = ()


def think(query: Query, messages: list[JSON], *, forced: bool) -> Thinking:
    """Thinking as the caller wants it; where the API would refuse it here, without, and that is reported.

    `forced` says that the answer itself is asked for by a tool that must be called.
    """
    effort, budget = query.input.reasoning_effort, query.input.reasoning_budget
    if effort is None and budget is None:
        return Thinking()
    asked = "reasoning_effort" if effort is not None else "reasoning_budget"
    traits = traits_of(query.model)
    if effort == "none" or budget == 0:
        # There is no sure way to stop a model that thinks by itself: little is the nearest to none.
        return Thinking(output={"effort": "low"}, dropped=(asked,)) if traits.thinks_by_itself else Thinking()
    if forced or not can_think(query) or _is_forced(query) or messages[-1]["role"] == "assistant":
        return Thinking(dropped=(asked,))
    if traits.adaptive and (budget is None or not traits.budgets):
        return _adaptive(traits, effort, budget)
    if _lost_thoughts(messages):
        return Thinking(dropped=(asked,))
    return _budgeted(query, budget or _BUDGETS.get(effort or "", _BUDGETS["medium"]), asked)


def _adaptive(traits: Traits, effort: str | None, budget: int | None) -> Thinking:
    config: JSON = {"type": "adaptive"}
    if traits.hides_thoughts:
        config["display"] = "summarized"
    word = "low" if effort == "minimal" else effort
    if word == "xhigh" and not traits.xhigh:
        word = "high"
    return Thinking(
        config=config,
        output={"effort": word} if word in _EFFORTS else {},
        dropped=() if budget is None else ("reasoning_budget",),
    )


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


def _is_forced(query: Query) -> bool:
    choice = query.input.tool_choice
    return choice is not None and choice.mode in ("required", "tool")


def _lost_thoughts(messages: list[JSON]) -> bool:
    """Whether the last answer called tools without the thoughts before it: most clients can't carry those."""
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if not answers:
        return False
    kinds = [block.get("type") for block in answers[-1]]
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")
