"""What a chain is, as frozen values: steps, routers, parallel steps; written in YAML or in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, structs

from comporta.chains.expression import Expression, Unreadable
from comporta.chains.text import prompt_of
from comporta.errors import BadRequest
from comporta.prompts.plain import Untemplatable
from comporta.prompts.prompt import Prompt
from comporta.prompts.refs import ref_of
from comporta.prompts.values import Variable
from comporta.types import JSON, PromptRef, Usage

#: What is put before a chain's id where a model's name is wanted.
PREFIX = "chain:"
#: Steps of one chain altogether, and routers and parallels within one another.
MOST_STEPS = 100
DEEPEST = 4
#: What the caller said last, under the name it has in prompts and conditions.
INPUT = "input"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,98}[A-Za-z0-9])?", re.ASCII)
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)

#: A small expression, or in Python a function of the context (also an async one).
Condition = str | Expression | Callable[[Mapping[str, Any]], Any]
Output = Literal["text", "json"]


class Retry(Struct, frozen=True):
    """How often a step is asked, and how long before it is asked again (doubled each time)."""

    attempts: int = 1
    wait_s: float = 0.5


class Step(Struct, frozen=True):
    """One prompt asked of one model; its answer stands in the context under `output_key`.

    `prompt` is a text with `{placeholders}`, a prompt of the registry (`support@2.3.1`, or PromptRef), or a Prompt.
    `condition` skips the step where it doesn't hold. Without a `model` the prompt's own is asked, else the chain's.
    `variables` gives the prompt's variables other values than those of the same name: expressions, or functions of the
    context. `schema` is the JSON schema that the answer must fit; `send_schema` sends it along as response_format.
    `history` sends the conversation before the last message too, `attach` the images and files of the last message.
    `timeout_s` bounds all attempts of the step together. Raises BadRequest for what can't be one.
    """

    name: str
    prompt: str | PromptRef | Prompt | None = None
    output_key: str = ""
    condition: Condition | None = None
    model: str | None = None
    output: Output = "text"
    schema: JSON | None = None
    send_schema: bool = False
    retry: Retry | None = None
    timeout_s: float | None = None
    variables: Mapping[str, Condition] = {}
    params: JSON = {}
    history: bool = False
    attach: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name, "step")
        key = self.output_key or key_of(self.name)
        if not KEY.fullmatch(key):
            raise _wrong(f"step '{self.name}': output_key must be a name of letters, digits and _", "output_key")
        _set(self, "output_key", key)
        _set(self, "prompt", _prompt(self))
        _set(self, "condition", _ready(self.condition, self.name, "condition"))
        _set(self, "variables", {k: _ready(v, self.name, f"variables.{k}") for k, v in self.variables.items()})
        if self.schema is not None:
            _set(self, "output", "json")
        _check_numbers(self.name, self.retry, self.timeout_s)

    @property
    def attempts(self) -> int:
        """How often it is asked at most: an answer that must be JSON gets a second chance unless somebody said."""
        return self.retry.attempts if self.retry is not None else (2 if self.output == "json" else 1)


class Parallel(Struct, frozen=True):
    """Steps that run at the same time; the first that fails ends the others."""

    steps: Sequence[Step | Router]
    name: str = "parallel"
    condition: Condition | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "parallel")
        _set(self, "steps", tuple(self.steps))
        _set(self, "condition", _ready(self.condition, self.name, "condition"))
        if not self.steps:
            raise _wrong(f"parallel '{self.name}' has no steps", "parallel")
        if any(isinstance(one, Parallel) for one in self.steps):
            raise _wrong(f"parallel '{self.name}' holds another parallel: put its steps into this one", "parallel")


class Router(Struct, frozen=True):
    """Chooses one of several named routes: a model answers `decision_prompt` with a name, or `decide` gives it.

    A route is a list of steps, one step, or the name of another chain (`chain:billing`). The name chosen stands in the
    context under `output_key`. `default` is taken where the answer names no route; without one that is a failure.
    `about` says of each route when to take it; the model reads it.
    """

    name: str
    routes: Mapping[str, Any]
    decision_prompt: str | PromptRef | Prompt | None = None
    output_key: str = ""
    condition: Condition | None = None
    model: str | None = None
    decide: Condition | None = None
    default: str | None = None
    about: Mapping[str, str] = {}
    retry: Retry | None = None
    timeout_s: float | None = None
    variables: Mapping[str, Condition] = {}
    params: JSON = {}
    #: The step that asks for the decision; None where an expression decides.
    step: Step | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "router")
        _set(self, "routes", {name: _route(name, steps) for name, steps in self.routes.items()})
        _set(self, "output_key", self.output_key or key_of(self.name))
        _set(self, "condition", _ready(self.condition, self.name, "condition"))
        _set(self, "decide", _ready(self.decide, self.name, "decide"))
        if not self.routes:
            raise _wrong(f"router '{self.name}' has no routes", "routes")
        if self.default is not None and self.default not in self.routes:
            raise _wrong(f"router '{self.name}' has no route '{self.default}' to take by default", "default")
        if (self.decision_prompt is None) == (self.decide is None):
            raise _wrong(f"router '{self.name}' needs a decision_prompt, or decide, and not both", "decision_prompt")
        if self.decision_prompt is not None:
            _set(self, "step", self._asking())

    def _asking(self) -> Step:
        return Step(
            self.name, self.decision_prompt, self.output_key, None, self.model, retry=self.retry,
            timeout_s=self.timeout_s, variables=self.variables, params=self.params,
        )  # fmt: skip


Part = Step | Parallel | Router


class Chain(Struct, frozen=True):
    """Steps in order, under a name: asked for as the model `chain:name`.

    `output` says which outputs are the answer: the key of one, or a text with placeholders; without it the last step
    that ran answers. `timeout_s` bounds the whole. `model` is asked by steps whose prompt names none.
    """

    name: str
    steps: Sequence[Part]
    description: str = ""
    model: str | None = None
    output: str | Prompt | None = None
    timeout_s: float | None = None
    variables: tuple[Variable, ...] = ()
    #: Where it was written, for messages; empty in Python.
    file: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _ID.fullmatch(self.name):
            raise _wrong("a chain's name must be letters, digits, dots, - and _, at most 100", "id")
        _set(self, "steps", tuple(self.steps))
        if not self.steps:
            raise _wrong(f"chain '{self.name}' has no steps", "steps")
        if isinstance(self.output, str) and not KEY.fullmatch(self.output):
            _set(self, "output", _made(self.output, "output", self.name))
        _check_numbers(self.name, None, self.timeout_s)
        _check_size(self)

    @property
    def model_name(self) -> str:
        """What it is asked for by."""
        return PREFIX + self.name


def _check_size(chain: Chain) -> None:
    if (count := sum(1 for _ in parts_of(chain.steps))) > MOST_STEPS:
        raise _wrong(f"chain '{chain.name}' has {count} steps; at most {MOST_STEPS} are allowed", "steps")
    if _depth(chain.steps) > DEEPEST:
        raise _wrong(f"chain '{chain.name}' has routers more than {DEEPEST} deep in one another", "steps")


def _depth(parts: Iterable[Part]) -> int:
    return max(
        (1 + max(map(_depth, _within(part)), default=0) for part in parts if not isinstance(part, Step)), default=0
    )


def _within(part: Part) -> list[Sequence[Part]]:
    if isinstance(part, Router):
        return [*part.routes.values()]
    return [part.steps] if isinstance(part, Parallel) else []


def parts_of(parts: Iterable[Part]) -> Iterator[Part]:
    """Every step, router and parallel, those within others too."""
    for part in parts:
        yield part
        if isinstance(part, Parallel):
            yield from parts_of(part.steps)
        elif isinstance(part, Router):
            for route in part.routes.values():
                yield from parts_of(route)


def output_keys(chain: Chain) -> list[str]:
    """The names that steps put their outputs under."""
    return [part.output_key for part in parts_of(chain.steps) if not isinstance(part, Parallel)]


def steps_of(chain: Chain) -> Iterator[Step]:
    """Every step that asks a model, deciding ones too."""
    return steps_within(chain.steps)


def steps_within(parts: Iterable[Part]) -> Iterator[Step]:
    """The same of some parts of a chain."""
    for part in parts_of(parts):
        if isinstance(part, Router):
            if part.step is not None:
                yield part.step
        elif isinstance(part, Step):
            yield part


def key_of(name: str) -> str:
    """The key that a step's name makes."""
    key = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{key}" if key[:1].isdigit() else key


def reference(text: str) -> PromptRef | None:
    """A prompt of the registry, where a text is its name: one word, perhaps with a version or a label behind @."""
    try:
        return ref_of(text.strip())
    except ValueError:
        return None


def _prompt(step: Step) -> PromptRef | Prompt:
    prompt = step.prompt
    if prompt is None:
        if not (step.model or "").startswith(PREFIX):
            raise _wrong(f"step '{step.name}' needs a prompt", "prompt")
        prompt = f"{{{INPUT}}}"
    if not isinstance(prompt, str):
        return prompt
    return reference(prompt) or _made(prompt, "prompt", step.name)


def _made(text: str, param: str, name: str) -> Prompt:
    try:
        return prompt_of(name, user=text)
    except Untemplatable as why:
        raise _wrong(f"'{name}': {param} {why}", param) from None


def _route(name: str, steps: Any) -> tuple[Part, ...]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _wrong("a route's name must begin and end with a letter or digit; at most 100 characters", "routes")
    if isinstance(steps, str):
        if not steps.startswith(PREFIX):
            raise _wrong(f"route '{name}' must be steps, or the name of a chain ({PREFIX}…)", "routes")
        return (Step(name, None, "", None, steps),)
    if isinstance(steps, Chain):
        return tuple(steps.steps)
    found = (steps,) if isinstance(steps, Step | Parallel | Router) else tuple(steps)
    if not found:
        raise _wrong(f"route '{name}' has no steps", "routes")
    return found


def _ready(condition: Any, name: str, param: str) -> Any:
    """A condition made ready; a function stays what it is."""
    if condition is None or callable(condition):
        # An Expression is one that was made ready before.
        return condition
    try:
        return Expression(condition)
    except Unreadable as why:
        raise _wrong(f"'{name}': {param} {why}", param) from None


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _wrong(f"the name of a {what} must begin and end with a letter or digit; at most 100 characters", "name")


def _check_numbers(name: str, retry: Retry | None, timeout_s: float | None) -> None:
    if retry is not None and not (1 <= retry.attempts <= 10 and 0 <= retry.wait_s <= 60):
        raise _wrong(f"'{name}': a step is asked 1 to 10 times, with waits of at most a minute", "retry")
    if timeout_s is not None and not timeout_s > 0:
        raise _wrong(f"'{name}': timeout must be more than 0 seconds", "timeout")


def _wrong(text: str, param: str) -> BadRequest:
    return BadRequest(text, code="invalid_chain", param=param)


def _set(value: Struct, name: str, to: Any) -> None:
    structs.force_setattr(value, name, to)


# ---- what came of it ------------------------------------------------------------------------------------------------

Status = Literal["ok", "skipped", "failed", "left"]


class StepResult(Struct, frozen=True, omit_defaults=True):
    """What became of one step. `cost_microusd` None is unknown; of a step that asked nobody it is 0."""

    name: str
    status: Status
    output: Any = None
    #: The model that was asked for, and the last call that was made.
    model: str | None = None
    call_id: str | None = None
    #: The prompt of the registry, `support@2.3.1`.
    prompt: str | None = None
    usage: Usage | None = None
    cost_microusd: int | None = 0
    latency_s: float = 0.0
    attempts: int = 0
    #: The code of its error.
    error: str | None = None
