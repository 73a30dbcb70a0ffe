"""A chain running: its steps in order, routes taken, branches at the same time, and the last answer streamed."""

from __future__ import annotations

import asyncio
import copy
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from comporta.chains.context import Context, asked_of
from comporta.chains.output import WrongOutput, as_text, asks_for_route, chosen
from comporta.chains.steps import Asking, Doing, Stream, Tools
from comporta.chains.values import Chain, Parallel, Part, Router, Step, StepResult, output_keys, parts_of
from comporta.errors import BadRequest, ClientGone, ComportaError
from comporta.pipeline import Call, Span, new_id
from comporta.prompts.prompt import Prompt
from comporta.providers.base import Query
from comporta.types import JSON, Delta, Event, Usage, added

#: Where a call's run is found in its facts.
PROVIDER = "chain"
#: How much of earlier outputs an error tells, in characters: of each, and of all.
_LONGEST_OUTPUT = 4_000
_LONGEST_OUTPUTS = 20_000


class Run:
    """One call of a chain. `total_s` bounds it, with the chain's own limit; `depth` is that of its spans."""

    def __init__(self, chain: Chain, call: Call, query: Query, tools: Tools, total_s: float, depth: int) -> None:
        self.chain = chain
        self.results: list[StepResult] = []
        self.usage: Usage | None = None
        self.cost_microusd: int | None = 0
        self._call = call
        self._query = query
        self._depth = depth
        asked = asked_of(chain, query)
        self._context = Context(asked, output_keys(chain))
        limit_s = total_s if chain.timeout_s is None else min(total_s, chain.timeout_s)
        deadline_s = asyncio.get_running_loop().time() + limit_s
        self._asking = Asking(chain, call, self._context, tools, deadline_s)
        #: The output of the step that answered last.
        self._answer: Any = None
        self._answered = False

    @property
    def total(self) -> tuple[Usage | None, int | None]:
        """Tokens and micro-dollars of all steps; None where they are not known."""
        return self.usage, self.cost_microusd

    @property
    def outputs(self) -> dict[str, Any]:
        """Every output, by its key; None of what did not run."""
        return dict(self._context.values)

    async def events(self) -> AsyncGenerator[Event]:
        """The answer. Raises ComportaError that names the step at fault."""
        last = await self._sequence(self.chain.steps, main=True)
        if last is None:
            for event in self._at_once():
                yield event
            return
        async with aclosing(self._forwarded(last)) as events:
            async for event in events:
                yield event

    async def _sequence(self, parts: Sequence[Part], main: bool) -> Step | None:
        """Steps in order; of the chain itself (`main`) all but a last one that can be forwarded as it comes."""
        pending = deque(parts)
        while pending:
            part = pending.popleft()
            if not await self._holds(part):
                continue
            if isinstance(part, Router):
                pending.extendleft(reversed(await self._routed(part)))
            elif isinstance(part, Parallel):
                await self._at_the_same_time(part, main)
            elif main and not pending and await self._can_forward(part):
                return part
            else:
                await self._do(part, main, final=main and not pending)
        return None

    async def _holds(self, part: Part) -> bool:
        if part.condition is None:
            return True
        try:
            holds = bool(await self._asking.value(part.condition))
        except ComportaError as error:
            raise self._failed(part.name, error) from error.__cause__
        if not holds:
            self.results.append(StepResult(part.name, "skipped"))
            now_ns = time.perf_counter_ns()
            attributes = {"step": part.name, "status": "skipped"}
            self._call.spans.append(Span("step", now_ns, self._depth, now_ns, None, attributes))
        return holds

    async def _can_forward(self, step: Step) -> bool:
        """Whether its answer is the chain's as it stands; what must be checked first can't go out unread."""
        if self.chain.output not in (None, step.output_key):
            return False
        try:
            return not await self._asking.is_data(step)
        except ComportaError:
            # The prompt can't be had: asking the step says so, and is noted.
            return False

    # ---- steps ----

    async def _do(self, step: Step, main: bool, final: bool) -> Any:
        doing = self._begin(step)
        output = await self._carried_out(doing, lambda: self._asking.answer(doing, None, final))
        self._context.put(step.output_key, output)
        if main:
            self._answer, self._answered = output, True
        return output

    def _begin(self, step: Step) -> Doing:
        doing = Doing(step, self._depth)
        self._call.spans.append(doing.span)
        return doing

    async def _carried_out(self, doing: Doing, ask: Callable[[], Any]) -> Any:
        """What asking gives; what it came to is noted, however it ends."""
        try:
            output = await ask()
        except ComportaError as error:
            self._note(doing, doing.result("failed", error=error.code))
            raise self._failed(doing.step.name, error) from error.__cause__
        except BaseException as error:
            self._note(doing, doing.result("left", error=ClientGone.code))
            raise error
        self._note(doing, doing.result("ok", output))
        return output

    def _note(self, doing: Doing, result: StepResult) -> None:
        self.results.append(result)
        self.usage = added(self.usage, doing.usage)
        known = self.cost_microusd is not None and doing.cost_microusd is not None
        self.cost_microusd = (self.cost_microusd or 0) + (doing.cost_microusd or 0) if known else None

    async def _routed(self, router: Router) -> Sequence[Part]:
        """The steps of the route to take."""
        name = await self._decided(router)
        self._context.put(router.output_key, name)
        steps: Sequence[Part] = router.routes[name]
        return steps

    async def _decided(self, router: Router) -> str:
        def read(text: str) -> str:
            name = chosen(text, router.routes) or router.default
            if name is None:
                raise WrongOutput(f"The answer names none of the routes {', '.join(router.routes)}.")
            return name

        if router.step is None:
            try:
                return read(as_text(await self._asking.value(router.decide)))
            except ComportaError as error:
                raise self._failed(router.name, error) from error.__cause__
        doing = self._begin(router.step)
        told = asks_for_route(router.routes, router.about)
        name: str = await self._carried_out(doing, lambda: self._asking.answer(doing, told, False, read))
        return name

    async def _at_the_same_time(self, parallel: Parallel, main: bool) -> None:
        """All of them, or the failure of the first that fails; the others are then left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parallel.steps:
                    tasks.create_task(self._sequence([part], main=False))
        except BaseExceptionGroup as group:
            raise _first(group) from None
        if main:
            self._answer = {key: self._context.values[key] for key in _keys(parallel)}
            self._answered = True

    # ---- the answer ----

    def _at_once(self) -> list[Event]:
        """The answer in one piece, in the form that was asked for."""
        id, model = f"chain-{new_id()}", self.chain.model_name
        text = self._text()
        usage = self.usage or Usage()
        if not self._query.stream:
            whole = Delta(text=text, finish="stop")
            return [Event(deltas=(whole,), usage=usage, id=id, model=model, whole=True, last=True)]
        said = [Event(deltas=(Delta(text=text),), id=id, model=model)] if text else []
        end = Event(deltas=(Delta(finish="stop"),), id=id, model=model)
        return [*said, end, Event(usage=usage, id=id, model=model, last=True)]

    def _text(self) -> str:
        output = self.chain.output
        if isinstance(output, Prompt):
            return "\n\n".join(m.text for m in output.render(self._context.given(output, {})).messages)
        if output is not None:
            return as_text(self._context.values[output])
        if not self._answered:
            text = f"No step of the chain '{self.chain.name}' ran: no condition held."
            raise BadRequest(text, code="chain_no_answer")
        return as_text(self._answer)

    async def _forwarded(self, step: Step) -> AsyncGenerator[Event]:
        """The last step's answer as it comes, with the usage of the whole chain."""
        doing = self._begin(step)
        texts: list[str] = []
        counted = False
        try:
            answer, event = await self._asking.opened(doing, True, self._query.stream)
            async with aclosing(_Closing(answer, doing)):
                next: Event | None = event
                while next is not None:
                    counted = counted or next.usage is not None
                    texts += [delta.text for delta in next.deltas if delta.index == 0]
                    yield self._with_sum(next)
                    next = await self._asking.next(doing, answer)
        except ComportaError as error:
            self._note(doing, doing.result("failed", error=error.code))
            raise self._failed(step.name, error) from error.__cause__
        except BaseException as error:
            self._note(doing, doing.result("left", error=ClientGone.code))
            raise error
        output = "".join(texts)
        self._context.put(step.output_key, output)
        self._note(doing, doing.result("ok", output))
        if not counted and self.usage is not None:
            yield Event(usage=self.usage)

    def _with_sum(self, event: Event) -> Event:
        if event.usage is None or self.usage is None:
            return event
        return event.edit(usage=added(self.usage, event.usage))

    # ---- failures ----

    def _failed(self, name: str, error: ComportaError) -> ComportaError:
        """The same error, saying where it happened, with what came before."""
        told = copy.copy(error)
        told.message = f"The chain '{self.chain.name}' failed at its step '{name}': {error.message}"
        told.args = (told.message,)
        told.details = {"chain": self.chain.name, "step": name, "steps": self._before(name)}
        if error.details is not None:
            told.details["inner"] = error.details
        return told

    def _before(self, name: str) -> list[JSON]:
        left = _LONGEST_OUTPUTS
        found: list[JSON] = []
        for result in self.results:
            told: JSON = {"step": result.name, "status": result.status}
            if result.call_id is not None:
                told["call"] = result.call_id
            if result.error is not None:
                told["code"] = result.error
            if result.status == "ok":
                text = as_text(result.output)[: min(left, _LONGEST_OUTPUT)]
                left -= len(text)
                told["output"] = text
            found.append(told)
        return found


class _Closing:
    """Closes a step's answer and counts its call, whatever ends it."""

    def __init__(self, answer: Stream, doing: Doing) -> None:
        self._answer = answer
        self._doing = doing

    async def aclose(self) -> None:
        try:
            await self._answer.aclose()
        finally:
            self._doing.add(self._answer.call)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to tell of several: one of ours before a fault."""
    flat: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        here = waiting.pop(0)
        if isinstance(here, BaseExceptionGroup):
            waiting += here.exceptions
        else:
            flat.append(here)
    return next((one for one in flat if isinstance(one, ComportaError)), flat[0])


def _keys(parallel: Parallel) -> list[str]:
    """The keys that parallel steps put their outputs under; of a router those of its routes too."""
    return list(dict.fromkeys(part.output_key for part in parts_of(parallel.steps) if not isinstance(part, Parallel)))
