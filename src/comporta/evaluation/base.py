"""The words of evaluation: a case, an answer to it, what is asserted of the answer, and what came of that.

A scorer is `async (Answer, Tools) -> Verdict`. An `Assertion` is a scorer with a name and a place in a file; called, it
gives an `Outcome` and never raises for what an answer, a judge or a function does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from comporta.config.tree import Place
from comporta.embedding.base import Embedder
from comporta.errors import ComportaError
from comporta.pipeline import Ask
from comporta.types import JSON, Caller, Message, Reply, ToolCall


class Case(Struct, frozen=True, omit_defaults=True):
    """One thing to try: what is put in, and what is asserted of what comes out."""

    id: str
    #: What the user says; empty where `messages` or `variables` say it.
    input: str = ""
    variables: JSON = {}
    messages: tuple[Message, ...] = ()
    #: A BCP-47 tag of the input's language; given, it wins over detection.
    language: str | None = None
    #: An answer known to be good, for `equals_reference`, `better_than` and judges.
    reference: str | None = None
    assertions: tuple[Assertion, ...] = ()
    tags: tuple[str, ...] = ()
    place: Place | None = None


class Guarded(Struct, frozen=True, omit_defaults=True):
    """What one guard found."""

    guard: str
    action: str
    reason: str = ""


class Answer(Struct, frozen=True, omit_defaults=True):
    """What came back for one case, as scorers see it. None is always «not known», never zero."""

    input: str
    output: str
    tool_calls: tuple[ToolCall, ...] = ()
    cost_microusd: int | None = None
    latency_s: float | None = None
    guards: tuple[Guarded, ...] | None = None
    reply: Reply | None = None
    #: The language that the case gives for its input.
    language: str | None = None
    reference: str | None = None
    #: What the baseline answered to the same case.
    baseline: str | None = None


class JudgeModel(Struct, frozen=True, omit_defaults=True):
    """Which model judges, and how it is asked. Repeats are of use only where the model's answers can differ."""

    model: str
    repeats: int = 1
    temperature: float | None = None
    max_tokens: int = 2048


class Extracted(Protocol):
    """What an answer does, how sure it says it is (0 to 1), and where that was taken from (evaluation/acting.py)."""

    @property
    def action(self) -> str | None: ...
    @property
    def confidence(self) -> float | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def asked(self) -> int: ...
    @property
    def cost_microusd(self) -> int | None: ...


class Tools(Struct, frozen=True):
    """What scorers may need beside the answer; what is None makes those that need it say so."""

    ask: Ask | None = None
    judge: JudgeModel | None = None
    #: In whose name judges are asked: they pay from the caller's budgets.
    caller: Caller = Caller(key_id="")
    trace_id: str = ""
    session: str | None = None
    tags: dict[str, str] = {}
    embedder: Embedder | None = None
    #: How `action` and `confidence` are found (evaluation/acting.py); None looks into JSON, then into tool calls.
    extract: Extract | None = None
    #: Where functions given by file (`checks.py:polite`) are looked for when the assertion has no file of its own.
    folder: Path | None = None
    #: Off for assertions that came over the network: a Python function can do anything.
    functions: bool = True
    function_timeout_s: float = 10.0


class Verdict(Struct, frozen=True, omit_defaults=True):
    """What a scorer says of an answer. `passed` None means that it only measures.

    `values` holds each repeat of a judge, `passes` whether each of them passed.
    """

    passed: bool | None
    value: float | None = None
    reason: str = ""
    values: tuple[float, ...] = ()
    passes: tuple[bool, ...] = ()
    #: How many times a model was asked, and what that cost; None where a model without a price was among them.
    asked: int = 0
    cost_microusd: int | None = 0
    heuristic: bool = False


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What came of one assertion: passed, failed, or (with `error`) not judged at all."""

    kind: str
    name: str
    passed: bool | None
    value: float | None = None
    reason: str = ""
    #: Why nothing could be judged; then `passed` is None, and the answer is neither good nor bad.
    error: str | None = None
    values: tuple[float, ...] = ()
    passes: tuple[bool, ...] = ()
    asked: int = 0
    cost_microusd: int | None = 0
    heuristic: bool = False
    #: An optional assertion is reported and fails no case.
    optional: bool = False
    place: str = ""


class Unjudged(Exception):
    """Nothing could be judged, and why; never said of an answer that is merely bad."""

    def __init__(self, message: str, *, asked: int = 0, cost_microusd: int | None = 0) -> None:
        super().__init__(message)
        self.message = message
        self.asked = asked
        self.cost_microusd = cost_microusd


Scorer = Callable[[Answer, Tools], Awaitable[Verdict]]
Extract = Callable[[Answer, Tools], Awaitable[Extracted]]


def added(costs: Iterable[int | None]) -> int | None:
    """The sum of some costs; unknown as soon as one of them is."""
    total = 0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


class Assertion(Struct, frozen=True):
    """A scorer under a name: `await assertion(answer, tools)` gives what came of it."""

    kind: str
    name: str
    scorer: Scorer
    place: Place | None = None
    optional: bool = False

    async def __call__(self, answer: Answer, tools: Tools) -> Outcome:
        try:
            said = await self.scorer(answer, tools)
        except Unjudged as why:
            return self._outcome(error=why.message, asked=why.asked, cost_microusd=why.cost_microusd)
        except ComportaError as error:
            return self._outcome(error=error.message)
        return self._outcome(
            passed=said.passed, value=said.value, reason=said.reason, values=said.values, passes=said.passes,
            asked=said.asked, cost_microusd=said.cost_microusd, heuristic=said.heuristic,
        )  # fmt: skip

    def _outcome(self, passed: bool | None = None, **more: Any) -> Outcome:
        place = f"{self.place.file}:{self.place.line}" if self.place is not None and self.place.file else ""
        return Outcome(self.kind, self.name, passed, optional=self.optional, place=place, **more)
