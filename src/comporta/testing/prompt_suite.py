"""`PromptSuite`: prompts tested from pytest or any program, one question at a time, with the same scorers and judges.

    suite = PromptSuite("support")
    result = suite.run(input="I want my money back.", language="en", expected_behavior="refund")
    assert result.passed and result.action == "refund" and result.response_language == "en"

It asks the gate of COMPORTA_URL where that is set, else a gate inside this process, by `comporta.yaml`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

import comporta
from comporta.embedding.minilm import MiniLM
from comporta.errors import ComportaError
from comporta.evaluation.assertions import node_of, read_assertion
from comporta.evaluation.base import Assertion, Case, JudgeModel, Outcome, Tools
from comporta.evaluation.composing import Version
from comporta.evaluation.reading_suite import find_suites, load_suite
from comporta.evaluation.recording import Recording
from comporta.evaluation.running import Planned, Runner
from comporta.evaluation.suite import Suite, Trying
from comporta.evaluation.targets import InProcess, OverHTTP, Target
from comporta.evaluation.trial import Trial
from comporta.prompts.folder import load_folder
from comporta.prompts.prompt import Prompt
from comporta.text.tags import read_tag
from comporta.types import Caller, Message, Role, Text

T = TypeVar("T")
Asserted = Assertion | Mapping[str, Any]
_BEGIN_S = 120.0
_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


class Result(Struct, frozen=True):
    """What one question came to. Costs are dollars; None is what is not known.

    `action_source` says where action and confidence come from: the answer's `json`, a `tool_call`, or a `classifier`.
    `guardrail_triggered` is the first guard that did something. `scores` are the marks of judges and the outcomes of
    assertions, by name.
    """

    output: str
    action: str | None
    confidence: float | None
    action_source: str | None
    guardrail_triggered: str | None
    detected_language: str | None
    response_language: str | None
    cost: float | None
    latency_s: float | None
    scores: dict[str, float | bool]
    #: All that was asserted holds. Read `failures` for what does not.
    passed: bool
    failures: tuple[str, ...]
    trial: Trial


class Bench:
    """A gate to ask, kept open on an event loop of its own: shared by all suites of a test session.

    `target` stands in for the gate. `record` keeps every answer in a folder, `replay` takes them from one.
    """

    def __init__(
        self,
        *,
        config: str | Path | None = None,
        data: str | Path | None = None,
        target: Target | None = None,
        record: str | Path | None = None,
        replay: str | Path | None = None,
    ) -> None:
        self._config = config
        self._data = data
        self._given = target
        self._record = Path(record) if record is not None else None
        self._replay = Path(replay) if replay is not None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open = contextlib.AsyncExitStack()
        self._lock = threading.Lock()
        self._target: Target | None = None
        self.caller = Caller(key_id="python", name="python", admin=True)
        place = Path(data or os.environ.get("COMPORTA_DATA") or ".comporta")
        #: For likeness of texts; nothing is read before it is used.
        self.embedder = MiniLM(place / "cache")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, on the bench's own loop: also from within another one."""
        with self._lock:
            loop = self._loop or self._started()
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def target(self) -> Target:
        """The gate, opened at the first use. Raises ComportaError, ConfigError."""
        if self._target is None:
            self._target = await self._open.enter_async_context(self._opened())
        return self._target

    def close(self) -> None:
        """Close the gate and end the thread. Safe to call again."""
        self.embedder.close()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._open.aclose(), loop).result(_BEGIN_S)
        loop.call_soon_threadsafe(loop.stop)
        assert self._thread is not None
        self._thread.join(_BEGIN_S)
        loop.close()
        self._target = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *ending: object) -> None:
        self.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="prompt-suite", daemon=True)
        self._thread.start()
        return loop

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Target]:
        if self._replay is not None:
            yield Recording(self._replay)
            return
        async with self._asked() as target:
            yield Recording(self._record, target) if self._record is not None else target

    @contextlib.asynccontextmanager
    async def _asked(self) -> AsyncIterator[Target]:
        url, key = os.environ.get("COMPORTA_URL", "").strip(), os.environ.get("COMPORTA_KEY", "").strip()
        if self._given is not None:
            yield self._given
        elif url:
            if not key:
                raise ComportaError("COMPORTA_URL is set and COMPORTA_KEY is not: set it to a key of that gate.")
            async with OverHTTP(url, key) as target:
                yield target
        else:
            async with comporta.open(self._config, data=self._data) as gate:
                yield InProcess(gate)


class _Benches:
    """Benches of suites that bring none, shared by all of a process that ask one gate: a data folder has one holder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._benches: dict[tuple[str, Path], Bench] = {}
        self._users: dict[tuple[str, Path], int] = {}

    def take(self) -> tuple[Bench, Callable[[], None]]:
        """A bench, and what to call when it is no longer needed: the last one closes it."""
        place = Path(os.environ.get("COMPORTA_DATA") or ".comporta").resolve()
        gate = (os.environ.get("COMPORTA_URL", "").strip(), place)
        with self._lock:
            bench = self._benches.get(gate) or self._benches.setdefault(gate, Bench())
            self._users[gate] = self._users.get(gate, 0) + 1
        return bench, lambda: self._leave(gate)

    def _leave(self, gate: tuple[str, Path]) -> None:
        with self._lock:
            self._users[gate] -= 1
            if self._users[gate] == 0:
                self._benches.pop(gate).close()


#: Of the process, since a data folder's lock is.
BENCHES = _Benches()


class PromptSuite:
    """One prompt under test.

    `prompt` is an id (`support`, `support@2.3.1`) of the folder, or a Prompt. `model` and `judge` win over what the
    prompt and its file of tests say. Without a `bench` it shares one with the other suites of the process, which ends
    with the last `close` or `with`. Raises ConfigError for files that don't hold, NotFound for a prompt that isn't
    there.
    """

    #: Not a class of tests.
    __test__ = False

    def __init__(
        self,
        prompt: str | Prompt,
        *,
        folder: str | Path = "prompts",
        model: str | None = None,
        judge: str | JudgeModel | None = None,
        bench: Bench | None = None,
    ) -> None:
        self._folder = place = Path(folder)
        self.prompt = prompt if isinstance(prompt, Prompt) else load_folder(place, guards=True).get(prompt)
        found = [one for one in find_suites(place) if place.exists() and load_suite(one).prompt == self.prompt.id]
        self._suite = load_suite(found[0]) if found else Suite(self.prompt.id, ())
        self._version = Version(self.prompt, model=model)
        self._judge = JudgeModel(judge) if isinstance(judge, str) else judge
        self._leave: Callable[[], None] | None = None
        if bench is None:
            bench, self._leave = BENCHES.take()
        self._bench = bench
        self._asked = 0

    @property
    def cases(self) -> tuple[str, ...]:
        """The ids of the cases that stand in the prompt's file of tests, for `parametrize`."""
        return tuple(one.case.id for one in self._suite.cases)

    def run(
        self,
        input: str = "",
        *,
        variables: Mapping[str, Any] | None = None,
        history: Sequence[Mapping[str, str]] = (),
        language: str | None = None,
        expected_behavior: str | None = None,
        reference: str | None = None,
        assertions: Sequence[Asserted] = (),
    ) -> Result:
        """Ask one question and look at the answer.

        `expected_behavior` is the name of an action, or a sentence for a judge. `assertions` are those of a file of
        tests: `[{"contains": "sorry"}]`. Raises ComportaError where there is no answer, AssertionUnjudged where what
        was asserted could not be judged.
        """
        return self._bench.run(
            self.arun(
                input, variables=variables, history=history, language=language, expected_behavior=expected_behavior,
                reference=reference, assertions=assertions,
            )
        )  # fmt: skip

    async def arun(
        self,
        input: str = "",
        *,
        variables: Mapping[str, Any] | None = None,
        history: Sequence[Mapping[str, str]] = (),
        language: str | None = None,
        expected_behavior: str | None = None,
        reference: str | None = None,
        assertions: Sequence[Asserted] = (),
    ) -> Result:
        """The same, awaited on the bench's loop (`run` does that)."""
        self._asked += 1
        case = Case(
            id=f"question {self._asked}", input=input, variables=dict(variables or {}),
            messages=tuple(_message(one) for one in history),
            language=None if language is None else read_tag(language), reference=reference,
            assertions=tuple(_assertion(one) for one in assertions),
        )  # fmt: skip
        return _result(await self._tried(Trying(case, expected_behavior=expected_behavior)))

    def run_case(self, case: str) -> Result:
        """One case of the file of tests, by its id. Raises KeyError for one that isn't there."""
        trying = next((one for one in self._suite.cases if one.case.id == case), None)
        if trying is None:
            raise KeyError(f"{self.prompt.id} has no case {case}; it has {', '.join(self.cases) or 'none'}")
        return self._bench.run(self._resulted(trying))

    def close(self) -> None:
        """Leave the gate that suites without a bench share; the last one closes it."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def __enter__(self) -> PromptSuite:
        return self

    def __exit__(self, *ending: object) -> None:
        self.close()

    async def _resulted(self, trying: Trying) -> Result:
        return _result(await self._tried(trying))

    async def _tried(self, trying: Trying) -> Trial:
        target = await self._bench.target()
        suite = Suite(
            self._suite.prompt, (trying,), self._suite.model, self._judge or self._suite.judge, self._suite.acting,
            input_variable=self._suite.input_variable, path=self._suite.path,
        )  # fmt: skip
        tools = Tools(
            ask=target.ask, judge=self._judge, caller=self._bench.caller, embedder=self._bench.embedder,
            folder=self._folder,
        )  # fmt: skip
        ran = await Runner(target, tools, concurrency=1).run([Planned(suite, self._version)])
        (trial,) = ran.trials
        if trial.error is not None:
            raise ComportaError(trial.error, code=trial.code)
        if trial.unjudged:
            raise AssertionUnjudged("; ".join(trial.unjudged))
        return trial


class AssertionUnjudged(ComportaError):
    """What was asserted of an answer could not be judged: no judge, a judge that failed, a function that broke."""

    code = "unjudged"


def _assertion(one: Asserted) -> Assertion:
    return one if isinstance(one, Assertion) else read_assertion(node_of(dict(one)))


def _message(one: Mapping[str, str]) -> Message:
    role = _ROLES.get(one.get("role", "user"))
    if role is None:
        raise ValueError(f"role {one['role']!r} is none of {', '.join(_ROLES)}")
    return Message(role, (Text(one["content"]),))


def _result(trial: Trial) -> Result:
    known = trial.cost_microusd is not None and trial.judging_microusd is not None
    cost = (trial.cost_microusd or 0) + (trial.judging_microusd or 0)
    return Result(
        output=trial.output, action=trial.action, confidence=trial.confidence, action_source=trial.action_source,
        guardrail_triggered=trial.guards[0].guard if trial.guards else None,
        detected_language=trial.detected_language, response_language=trial.response_language,
        cost=cost / 1_000_000 if known else None, latency_s=trial.latency_s,
        scores={one.name: score for one in trial.outcomes if (score := _score(one)) is not None},
        passed=trial.passed is True, failures=tuple(f"{one.name}: {one.reason}" for one in trial.failures), trial=trial,
    )  # fmt: skip


def _score(one: Outcome) -> float | bool | None:
    return one.passed if one.value is None else one.value
