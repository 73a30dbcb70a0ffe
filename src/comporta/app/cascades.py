"""Checkers of cascades: how sure an answer is by its probabilities, or an assertion as prompt tests have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, structs

from comporta.app.guarding import UNGUARDED
from comporta.config.values import parse_share
from comporta.errors import ConfigError, Unavailable
from comporta.evaluation.assertions import node_of, read_assertion
from comporta.evaluation.base import Answer, Assertion, JudgeModel, Tools
from comporta.gateway.asking import ask
from comporta.gateway.by_task import Checked
from comporta.pipeline import MAX_DEPTH, Call, Next
from comporta.types import Reply

CONFIDENCE = "confidence"
#: The door of calls that ask a judge on behalf of a cascade.
DOOR = "cascade"
#: A checker asks nobody's functions, and has no suite around it.
_REFUSED = ("better_than", "equals_reference", "cost_at_most", "latency_at_most", "guard_triggered",
            "guard_not_triggered", "python")  # fmt: skip


class Checker(Struct, frozen=True):
    """What an answer must fulfil: to be at least so sure, or an assertion.

    `judges` says that the assertion asks a judge: `judge`, or the configured one where that is None.
    """

    confidence: float | None = None
    assertion: Assertion | None = None
    judges: bool = False
    judge: str | None = None


def checker_of(written: Mapping[str, Any]) -> Checker:
    """A checker as the configuration says it. Raises ConfigError."""
    if CONFIDENCE in written:
        if len(written) > 1:
            raise ConfigError("`confidence` stands alone in a checker")
        try:
            return Checker(confidence=parse_share(written[CONFIDENCE]))
        except ValueError as error:
            raise ConfigError(f"confidence {error}") from None
    refused = next((word for word in written if word in _REFUSED), None)
    if refused is not None:
        raise ConfigError(f"`{refused}` can't check the answers of a cascade")
    told = written.get("judge")
    named = (told if isinstance(told, Mapping) else written).get("model")
    return Checker(None, read_assertion(node_of(dict(written))), told is not None, named or None)


class Cascading:
    """Looks at answers. `checkers` gives today's, by the route's name; `judge` the model where a rubric names none.

    `quiet` has no more kept of a judge's call (the second) than of the one that it judges.
    """

    def __init__(
        self, checkers: Callable[[], Mapping[str, Checker]], pipeline: Callable[[], Next],
        judge: Callable[[], str | None], quiet: Callable[[Call, Call], None],
    ) -> None:  # fmt: skip
        self._checkers = checkers
        self._pipeline = pipeline
        self._judge = judge
        self._quiet = quiet

    async def __call__(self, name: str, call: Call, reply: Reply) -> Checked:
        """What the checker of that name says of a reply."""
        checker = self._checkers().get(name)
        if checker is None:
            return Checked(None, "the checker is gone: the configuration was changed")
        if checker.confidence is not None:
            return sure_enough(reply, checker.confidence)
        assert checker.assertion is not None, "a checker is one or the other"
        outcome = await checker.assertion(_answer(call, reply), self._tools(call))
        if outcome.error is not None:
            return Checked(None, f"{outcome.name}: could not be judged")
        # Its reason quotes the answer, and what is decided stands on records that hold no content.
        return Checked(outcome.passed, outcome.name, outcome.value)

    def _tools(self, call: Call) -> Tools:
        async def asked(child: Call) -> Reply:
            if call.depth >= MAX_DEPTH:
                raise Unavailable("Calls on behalf of calls are too deep for a judge.", code="judge_unavailable")
            child.parent_id, child.depth, child.door = call.id, call.depth + 1, DOOR
            child.request_id, child.user = call.request_id, call.user
            # The operator chose the judge, and it is told what to think of attacks.
            child.caller = structs.replace(call.caller, allow=())
            child.facts[UNGUARDED] = True
            self._quiet(call, child)
            return await ask(self._pipeline(), child)

        model = self._judge()
        judge = None if model is None else JudgeModel(model)
        return Tools(
            ask=asked, judge=judge, caller=call.caller, trace_id=call.trace_id, session=call.session,
            tags=dict(call.tags), functions=False,
        )  # fmt: skip


def _answer(call: Call, reply: Reply) -> Answer:
    asked = next((m.text for m in reversed(call.input.messages) if m.role == "user" and m.text), "")
    choice = reply.choices[0]
    return Answer(input=asked, output=choice.text or choice.refusal, tool_calls=choice.tools, reply=reply)


def sure_enough(reply: Reply, least: float) -> Checked:
    """How sure an answer is: the geometric mean of its tokens' probabilities."""
    logprobs = reply.choices[0].logprobs if reply.choices else None
    values = [one["logprob"] for one in (logprobs or {}).get("content") or () if _is_number(one.get("logprob"))]
    if not values:
        return Checked(None, "the answer came without probabilities")
    sure = math.exp(sum(values) / len(values))
    return Checked(sure >= least, f"its tokens are {sure:.2f} likely, {least:g} is wanted", round(sure, 4))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
