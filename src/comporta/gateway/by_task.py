"""Steered calls on their way: asked in the order that was decided, with what is done when a model fails.

A rate limit, a timeout and a drop in quality each lead to what the fallback policies say; a cascade asks the next model
where a checker finds an answer not good enough. All of it happens before the first content reaches the client.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import product

from msgspec import Struct, structs

from comporta.cache.exact import STALE_FACT
from comporta.errors import BadRequest, ComportaError, UpstreamError, UpstreamLimited, UpstreamTimeout
from comporta.gateway.admission import HEADERS
from comporta.gateway.attempts import NO_PAUSE, ONLY_KEPT, NothingKept
from comporta.gateway.fallback import LAST_RESORT, fixed
from comporta.gateway.first import begun
from comporta.pipeline import Call, Gathered, Next, replay
from comporta.routing.choose import Plan
from comporta.routing.retry import then
from comporta.routing.task.estimate import tokens_in
from comporta.routing.task.rows import Cascade, place_of
from comporta.routing.task.rows import Event as Failing
from comporta.routing.task.settings import Action
from comporta.routing.task.steering import HEADER, NOTE, Course, Steering
from comporta.telemetry.record import is_hit
from comporta.text.tokens import estimate_tokens
from comporta.types import JSON, Event, Reply, Target, Usage, added

DECISION = "x-comporta-decision"
_LONGEST_HEADER = 200

#: Who may take over after a failure, and whether the call's time is up: the stage's own rules.
After = Callable[[ComportaError, Target, list[Target], Plan], list[Target]]
Late = Callable[[Call], bool]
#: What a usage costs at a target under the name that was asked for; None is unknown.
Price = Callable[[Target, str, Usage], int | None]


class Checked(Struct, frozen=True):
    """What a cascade's checker says of an answer; `good` None where nothing could be judged."""

    good: bool | None
    why: str = ""
    value: float | None = None


#: Looks at an answer on behalf of a call: by the name of the checker, which is its route's.
Check = Callable[[str, Call, Reply], Awaitable[Checked]]


class ByTask:
    """What the stage `choose` asks about steered calls."""

    def __init__(self, steering: Steering, check: Check, price: Price) -> None:
        self.steering = steering
        self._check = check
        self._price = price

    @property
    def live(self) -> bool:
        return self.steering.live

    def plan(self, call: Call, plan: Plan) -> tuple[Plan, Course | None]:
        """The plan as it was decided; the decision stands on the record and in headers. Raises BadRequest."""
        plan, course = self.steering.plan(call, plan)
        if course is not None:
            call.note(NOTE, **course.said)
            _tell(call, course.said)
        return plan, course

    async def ask(
        self, call: Call, next: Next, plan: Plan, course: Course, after: After, late: Late
    ) -> AsyncIterator[Event]:
        """The answer of the first that can give one."""
        asking = _Asking(self, call, next, plan, course, after, late)
        if course.cascade is not None:
            return await asking.cascade(course.cascade, self._check, self._price)
        return await asking.in_turn()


class _Asking:
    """One steered call."""

    def __init__(
        self, by: ByTask, call: Call, next: Next, plan: Plan, course: Course, after: After, late: Late
    ) -> None:
        self._live = by.steering.speeds
        self._call = call
        self._next = next
        self._plan = plan
        self._course = course
        self._after = after
        self._late = late
        self._held = call.held
        self._missed: list[JSON] = []
        self._tried: list[Target] = []

    async def in_turn(self) -> AsyncIterator[Event]:
        call, course = self._call, self._course
        waiting = [*self._plan.targets]
        failure: UpstreamError | None = None
        if course.kept and (kept := await self._kept_or_default()) is not None:
            return kept
        while waiting:
            target = waiting.pop(0)
            try:
                return await self._one(target, bool(waiting or course.superior))
            except UpstreamError as error:
                await call.close_events(self._held)
                failure = failure or error
                self._note_miss(target, error)
                action = _action(course, error)
                waiting = self._others(action, error, target, waiting)
                if action == "return_cached_or_default" and (kept := await self._kept_or_default()) is not None:
                    return kept
                if waiting and self._late(call):
                    break
                call.retries += bool(waiting)
        assert failure is not None, "a plan has at least one target"
        if self._plan.last_resort is None or then(failure) == "stop":
            raise failure
        return self._fixed(self._plan.last_resort)

    def _others(
        self, action: Action | None, error: UpstreamError, tried: Target, waiting: list[Target]
    ) -> list[Target]:
        others = self._after(error, tried, waiting, self._plan)
        if action != "escalate_to_superior_model" or then(error) == "stop":
            return others
        above = [target for target in self._course.superior if target not in self._tried]
        return [*above, *(target for target in others if target not in above)]

    async def _one(self, target: Target, more: bool) -> AsyncIterator[Event]:
        """Ask one model, and note how long it takes."""
        call, live, place = self._call, self._live, place_of(target)
        self._tried.append(target)
        call.target = target
        call.facts[NO_PAUSE] = more and self._course.policies.on_rate_limit is not None
        started_ns = time.perf_counter_ns()
        live.begin(place)
        try:
            events = await begun(await self._next(call))
        except BaseException as error:
            live.end(place)
            if isinstance(error, UpstreamTimeout):
                took_ms = _ms_since(started_ns)
                live.took(place, took_ms if call.stream else None, took_ms)
            raise
        first_ms = _ms_since(started_ns)

        def ended(call: Call) -> None:
            live.end(place)
            if call.error is None and not is_hit(call.cache):
                total_ms = _ms_since(started_ns) if call.stream else first_ms
                live.took(place, first_ms if call.stream else None, total_ms)

        call.at_end(ended)
        if len(self._tried) > 1:
            self._note_answer(target)
        return events

    # ---- old answers and fixed ones ----

    async def _kept_or_default(self) -> AsyncIterator[Event] | None:
        """An answer that a cache keeps from any of the models, else the default; None where there is neither."""
        kept = await self._kept()
        if kept is not None:
            return kept
        reply = self._course.policies.default_reply
        if reply is None:
            return None
        self._call.note(NOTE, answered="default reply")
        return self._fixed(reply)

    async def _kept(self) -> AsyncIterator[Event] | None:
        call = self._call
        before = call.target
        call.facts[ONLY_KEPT] = True
        try:
            # What any model said of late goes before what has grown old.
            for stale, target in product((False, True), self._plan.targets):
                call.target = target
                call.facts[STALE_FACT] = stale
                try:
                    events = await begun(await self._next(call))
                except NothingKept:
                    await call.close_events(self._held)
                    continue
                call.note(NOTE, answered=target.variant, kept=True)
                _decided(call, f"{target.variant}; an answer kept by the cache")
                return events
        finally:
            call.facts[ONLY_KEPT] = call.facts[STALE_FACT] = False
        call.target = before or call.target
        return None

    def _fixed(self, text: str) -> AsyncIterator[Event]:
        self._call.facts[LAST_RESORT] = True
        _decided(self._call, "default reply; nobody could answer")
        return replay([fixed(text)])

    # ---- cascades ----

    async def cascade(self, cascade: Cascade, check: Check, price: Price) -> AsyncIterator[Event]:
        """Each model in turn, until an answer is good; the last one's is taken as it is."""
        call, plan = self._call, self._plan
        if call.stream and not cascade.buffers:
            raise BadRequest(
                f"'{call.model[:100]}' checks answers before it gives them, and so streams none: ask without `stream`.",
                code="cascade_no_stream", param="stream",
            )  # fmt: skip
        failure: UpstreamError | None = None
        spent = _Spent(call, price)
        waiting = [*plan.targets]
        while waiting:
            target = waiting.pop(0)
            checked = target in cascade.models[:-1]
            try:
                events = await self._one(target, bool(waiting))
                if not checked:
                    self._note_answer(target)
                    return events
                got = [event async for event in events]
            except UpstreamError as error:
                await call.close_events(self._held)
                failure = failure or error
                self._note_miss(target, error)
                waiting = self._after(error, target, waiting, plan)
                if waiting and self._late(call):
                    break
                call.retries += bool(waiting)
                continue
            said = await _looked(cascade, call, got, check)
            if said.good or (said.good is None and cascade.accepts_unjudged):
                self._note_checked(target, said)
                return replay(_as_asked(call, got))
            self._missed.append({"model": target.variant, "not_good": said.why, **spent.add(target, got)})
            await call.close_events(self._held)
        assert failure is not None, "the last model of a cascade is not checked"
        if plan.last_resort is None or then(failure) == "stop":
            raise failure
        return self._fixed(plan.last_resort)

    def _note_checked(self, target: Target, said: Checked) -> None:
        self._note_answer(target)
        self._call.note(NOTE, why=said.why or "the checker finds the answer good", value=said.value)

    # ---- telling ----

    def _note_miss(self, target: Target, error: UpstreamError) -> None:
        self._missed.append({"model": target.variant, "error": error.code})
        self._call.note(NOTE, missed=self._missed)

    def _note_answer(self, target: Target) -> None:
        if self._missed:
            last = self._missed[-1]
            why = last.get("error", "its answer was not good enough")
            self._call.note(NOTE, answered=target.variant, missed=self._missed)
            _decided(self._call, f"{target.variant}; after {last['model']}: {why}")
        else:
            self._call.note(NOTE, answered=target.variant)


class _Spent:
    """What answers cost that were not good enough: it is the call's, beside the one that was given."""

    def __init__(self, call: Call, price: Price) -> None:
        self._call = call
        self._price = price
        self._microusd = 0
        self._usages: list[Usage] = []

    def add(self, target: Target, events: list[Event]) -> JSON:
        """Count an answer, and say what it was."""
        call = self._call
        usage = next((event.usage for event in reversed(events) if event.usage is not None), None)
        if usage is None:
            text = "".join(delta.text for event in events for delta in event.deltas)
            usage = Usage(input=tokens_in(call.input), output=estimate_tokens(text), estimated=True)
        cost = 0 if is_hit(call.cache) else self._price(target, call.model, usage)
        if not self._usages:
            call.at_end(self._whole)
        if not is_hit(call.cache):
            self._usages.append(usage)
        self._microusd += cost or 0
        return {"cost_microusd": cost, "tokens": usage.total}

    def _whole(self, call: Call) -> None:
        if call.cost_microusd is not None or call.usage is None:
            call.cost_microusd = (call.cost_microusd or 0) + self._microusd
        for usage in self._usages:
            call.usage = added(call.usage, usage)


async def _looked(cascade: Cascade, call: Call, got: list[Event], check: Check) -> Checked:
    """What the checker says. An answer without text is never good; tool calls are not for it to judge."""
    gathered = Gathered()
    for event in got:
        gathered.add(event)
    reply = gathered.reply()
    choice = reply.choices[0] if reply.choices else None
    if choice is not None and choice.tools:
        return Checked(True, "it calls tools, which are not checked")
    if choice is None or not choice.text.strip():
        return Checked(False, "it says nothing")
    if choice.finish == "length":
        return Checked(False, "it was cut at its length")
    return await check(cascade.checker, call, reply)


def _as_asked(call: Call, got: Iterable[Event]) -> list[Event]:
    """The events without the probabilities that only the checker wanted."""
    if call.input.logprobs:
        return [*got]
    return [
        event.edit(deltas=tuple(structs.replace(delta, logprobs=None) for delta in event.deltas))
        if any(delta.logprobs for delta in event.deltas) else event
        for event in got
    ]  # fmt: skip


def _action(course: Course, error: UpstreamError) -> Action | None:
    event: Failing
    if isinstance(error, UpstreamLimited):
        event = "rate_limit"
    elif isinstance(error, UpstreamTimeout):
        event = "timeout"
    else:
        return None
    return course.policies.of(event)


def _ms_since(started_ns: int) -> float:
    return (time.perf_counter_ns() - started_ns) / 1e6


def _tell(call: Call, said: JSON) -> None:
    """The decision in two short headers."""
    headers = call.facts.setdefault(HEADERS, [])
    if "task" in said:
        sure = f"; sure={said['sure']}" if "sure" in said else ""
        headers.append((HEADER, _short(f"{said['task']}; by={said['by']}{sure}")))
    if "chosen" in said:
        why = f"; {said['why']}" if "why" in said else f"; {said['strategy']}"
        headers.append((DECISION, _short(said["chosen"] + why)))


def _decided(call: Call, text: str) -> None:
    """What became of the decision, in place of it."""
    headers = call.facts.setdefault(HEADERS, [])
    headers[:] = [one for one in headers if one[0] != DECISION]
    headers.append((DECISION, _short(text)))


def _short(text: str) -> str:
    """No name and no price may smuggle in a header of its own."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:_LONGEST_HEADER])
