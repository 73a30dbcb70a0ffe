"""One step of a chain being asked: retries within its time, its answer read, and what it came to."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct, structs

from comporta.chains.context import VARIABLES, Context, input_of, schema_of, wants_json
from comporta.chains.expression import Expression, Unanswerable
from comporta.chains.output import WrongOutput, asks_for_json, fitted, read_json
from comporta.chains.text import is_own
from comporta.chains.values import PREFIX, Chain, Status, Step, StepResult
from comporta.errors import BadRequest, ComportaError, RateLimited, UpstreamTimeout
from comporta.pipeline import Call, Span, child_of
from comporta.prompts.prompt import Prompt
from comporta.prompts.values import Rendered
from comporta.telemetry.record import PROMPTED, Prompted
from comporta.types import Event, Message, PromptRef, Reply, Text, Usage, added

#: The door of calls that chains make.
DOOR = "chain"
#: A limit of the call itself ends it first, and says which; this one is for what no such limit bounds.
_GRACE_S = 0.25
_DEFAULT_MODEL = "default"
_LONGEST_REPAIR = 20_000


class Stream(Protocol):
    """A call's answer as it comes."""

    call: Call

    def __aiter__(self) -> AsyncIterator[Event]: ...
    async def __anext__(self) -> Event: ...
    async def aclose(self) -> None: ...


class Found(Struct, frozen=True):
    """A prompt of the registry, the label that led there, and the tags of the deploy that put it there."""

    prompt: Prompt
    label: str | None = None
    deploy: dict[str, str] | None = None


class Tools(Struct, frozen=True):
    """What chains get from elsewhere: how a call is asked within so many seconds, and where prompts are found.

    `prompt` gives a prompt of the registry for an environment; it raises NotFound. `guard` puts a call under the guards
    of its prompt; `made` has a step's call (the second) take over what holds for the chain's.
    """

    ask: Callable[[Call, float], Awaitable[Reply]]
    stream: Callable[[Call, float], Stream]
    prompt: Callable[[PromptRef, str | None], Awaitable[Found]]
    guard: Callable[[Call, Prompt], None]
    made: Callable[[Call, Call], None]


class Doing:
    """A step while it is asked, with the calls it took so far."""

    def __init__(self, step: Step, depth: int) -> None:
        self.step = step
        self.attempts = 0
        self.model: str | None = None
        self.prompt: str | None = None
        self.prompted: Prompted | None = None
        #: The prompt asked with, where it is one of the registry: its guards and its time limit hold for each attempt.
        self.kept: Prompt | None = None
        #: The values that the step gives its prompt, or the chain it asks.
        self.own: Mapping[str, Any] = {}
        self.call_id: str | None = None
        self.usage: Usage | None = None
        self.cost_microusd: int | None = 0
        #: What to say to a model whose answer was not of the form asked for.
        self.repair: tuple[Message, ...] = ()
        self.span = Span("step", time.perf_counter_ns(), depth)

    def began(self, call: Call) -> None:
        self.attempts += 1
        self.call_id = call.id

    def add(self, call: Call) -> None:
        """Count a call that is over."""
        self.usage = added(self.usage, call.usage)
        cost = call.cost_microusd
        if cost is None and call.usage is None:
            cost = 0
        known = self.cost_microusd is not None and cost is not None
        self.cost_microusd = (self.cost_microusd or 0) + (cost or 0) if known else None

    def result(self, status: Status, output: Any = None, error: str | None = None) -> StepResult:
        """What it came to; its span ends."""
        span = self.span
        span.end_ns = time.perf_counter_ns()
        span.error = error
        span.attributes = {
            "step": self.step.name, "status": status, "model": self.model, "prompt": self.prompt, "call": self.call_id,
            "attempts": self.attempts, "tokens": self.usage.total if self.usage else 0,
            "cost_microusd": self.cost_microusd,
        }  # fmt: skip
        return StepResult(
            self.step.name, status, output, self.model, self.call_id, self.prompt, self.usage, self.cost_microusd,
            (span.end_ns - span.start_ns) / 1e9, self.attempts, error,
        )  # fmt: skip


class Asking:
    """Asks the models of one run's steps."""

    def __init__(self, chain: Chain, call: Call, context: Context, tools: Tools, deadline_s: float) -> None:
        self._chain = chain
        self._call = call
        self._context = context
        self._tools = tools
        self._deadline_s = deadline_s
        self._clock = asyncio.get_running_loop().time
        #: Found once: a run finishes on the versions that it began with.
        self._prompts: dict[PromptRef, Found] = {}

    async def answer(
        self, doing: Doing, told: str | None, final: bool, read: Callable[[str], Any] | None = None
    ) -> Any:
        """The step's output: a text, or data. `read` makes something of the text, or raises WrongOutput."""
        step = doing.step

        async def once(until_s: float) -> Any:
            rendered = await self._rendered(doing)
            is_json = wants_json(step, rendered.response_format)
            call = await self._made(doing, rendered, told or self._form(step, rendered), final)
            reply = await self._asked(doing, call, until_s)
            try:
                if read is not None:
                    return read(reply.text)
                return self._read(step, rendered, reply) if is_json else reply.text
            except WrongOutput as error:
                doing.repair = _repair(reply.text, error)
                raise

        return await self._within(doing, once)

    async def opened(self, doing: Doing, final: bool, stream: bool) -> tuple[Stream, Event]:
        """The answer of a step as it comes, from its first event on: until then it is asked again."""

        async def once(until_s: float) -> tuple[Stream, Event]:
            rendered = await self._rendered(doing)
            call = await self._made(doing, rendered, None, final, stream)
            doing.began(call)
            answer = self._tools.stream(call, self._left_s(until_s, doing))
            try:
                return answer, await answer.__anext__()
            except BaseException:
                await answer.aclose()
                doing.add(call)
                raise

        answered: tuple[Stream, Event] = await self._within(doing, once)
        return answered

    async def next(self, doing: Doing, answer: Stream) -> Event | None:
        """The next event of an answer that has begun; None at its end."""
        until_s = self._until_s(doing)
        try:
            async with asyncio.timeout_at(until_s + _GRACE_S):
                return await answer.__anext__()
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise self._late(doing) from None

    async def is_data(self, step: Step) -> bool:
        """Whether its answer must be read before anybody sees it."""
        if step.output == "json":
            return True
        if isinstance(step.prompt, PromptRef):
            return wants_json(step, (await self._found(step.prompt)).prompt.response_format)
        return False

    async def value(self, condition: object) -> Any:
        """What an expression or a function says of the context. Raises ComportaError."""
        try:
            if isinstance(condition, Expression):
                return condition(self._context.values)
            assert callable(condition), "conditions are expressions or functions"
            value = condition(self._context.values)
            if not inspect.isawaitable(value):
                return value
            async with asyncio.timeout_at(self._deadline_s):
                return await value
        except Unanswerable as why:
            text = condition.text if isinstance(condition, Expression) else ""
            raise BadRequest(f"The expression `{text}` {why}.", code="chain_condition") from None
        except ComportaError:
            raise
        except Exception as error:
            raise ComportaError(
                f"A function of the chain failed: {type(error).__name__}.", code="chain_function"
            ) from error

    # ---- within its time, as often as it may ----

    async def _within(self, doing: Doing, once: Callable[[float], Awaitable[Any]]) -> Any:
        until_s = self._until_s(doing)
        try:
            async with asyncio.timeout_at(until_s + _GRACE_S):
                return await self._tried(doing.step, once, until_s)
        except TimeoutError:
            raise self._late(doing) from None

    async def _tried(self, step: Step, once: Callable[[float], Awaitable[Any]], until_s: float) -> Any:
        wait_s = step.retry.wait_s if step.retry is not None else 0.0
        for attempt in range(1, step.attempts + 1):
            try:
                return await once(until_s)
            except ComportaError as error:
                pause_s = max(wait_s, error.retry_after_s or 0.0)
                again = attempt < step.attempts and _may_help(error) and self._clock() + pause_s < until_s
                if not again:
                    raise
            await asyncio.sleep(pause_s)
            wait_s *= 2
        raise AssertionError("a step is asked at least once")

    def _until_s(self, doing: Doing) -> float:
        own_s = doing.step.timeout_s
        if own_s is None:
            return self._deadline_s
        begun_s = self._clock() - (time.perf_counter_ns() - doing.span.start_ns) / 1e9
        return min(begun_s + own_s, self._deadline_s)

    def _left_s(self, until_s: float, doing: Doing) -> float:
        left_s = max(until_s - self._clock(), 0.001)
        own_s = None if doing.kept is None else doing.kept.timeout_s
        return left_s if own_s is None else min(left_s, own_s)

    def _late(self, doing: Doing) -> UpstreamTimeout:
        own_s = doing.step.timeout_s
        if own_s is not None and self._clock() < self._deadline_s:
            return UpstreamTimeout(f"Not done within {own_s:g} s.", code="total_timeout")
        return UpstreamTimeout("The time of the whole chain was over.", code="total_timeout")

    # ---- one call ----

    async def _asked(self, doing: Doing, call: Call, until_s: float) -> Reply:
        doing.began(call)
        try:
            return await self._tools.ask(call, self._left_s(until_s, doing))
        finally:
            doing.add(call)

    async def _rendered(self, doing: Doing) -> Rendered:
        step = doing.step
        found = await self._found(step.prompt) if isinstance(step.prompt, PromptRef) else None
        prompt = step.prompt if found is None else found.prompt
        assert isinstance(prompt, Prompt), "a step has a prompt once it is made"
        doing.prompt = None if is_own(prompt) else prompt.label
        own: Mapping[str, Any] = {}
        if step.variables:
            own = {name: await self.value(value) for name, value in step.variables.items()}
        doing.own = own
        values = self._context.given(prompt, own)
        if not is_own(prompt):
            label, deploy = (None, None) if found is None else (found.label, found.deploy)
            doing.kept, doing.prompted = prompt, Prompted(prompt.id, prompt.version, label, deploy, values)
        return prompt.render(values, self._context.asked.history if step.history else ())

    async def _found(self, reference: PromptRef) -> Found:
        found = self._prompts.get(reference)
        if found is None:
            found = self._prompts[reference] = await self._tools.prompt(reference, self._call.caller.environment)
        return found

    async def _made(
        self, doing: Doing, rendered: Rendered, told: str | None, final: bool, stream: bool = False
    ) -> Call:
        step, parent = doing.step, self._call
        asked = input_of(step, rendered, self._context.asked, told, final)
        if doing.repair:
            asked = structs.replace(asked, messages=(*asked.messages, *doing.repair))
        doing.model = step.model or rendered.model or self._chain.model or _DEFAULT_MODEL
        if doing.own and doing.model.startswith(PREFIX):
            asked = structs.replace(asked, extra={**asked.extra, VARIABLES: dict(doing.own)})
        call = child_of(parent, asked, doing.model, door=DOOR, stream=stream)
        # Who may ask a chain may ask what its author chose for it.
        call.caller = structs.replace(parent.caller, allow=())
        self._tools.made(parent, call)
        if doing.prompted is not None:
            call.facts[PROMPTED] = doing.prompted
        if doing.kept is not None:
            self._tools.guard(call, doing.kept)
        return call

    def _form(self, step: Step, rendered: Rendered) -> str | None:
        """What is said about the form of an answer where its provider is not told."""
        if step.output != "json" or rendered.response_format is not None or step.send_schema:
            return None
        return asks_for_json(step.schema)

    def _read(self, step: Step, rendered: Rendered, reply: Reply) -> Any:
        value, schema = read_json(reply.text), schema_of(step, rendered)
        return value if schema is None else fitted(value, schema)


def _may_help(error: ComportaError) -> bool:
    """Whether asking again can help: with one's own limit too, once it has room."""
    return error.retryable or (isinstance(error, RateLimited) and error.retry_after_s is not None)


def _repair(text: str, error: WrongOutput) -> tuple[Message, ...]:
    said = Message("assistant", (Text(text[:_LONGEST_REPAIR] or "(nothing)"),))
    return said, Message("user", (Text(f"{error.message} Answer again, in the form that was asked for."),))
