"""The stage `choose`: which variant answers, and which one takes over when it can't (WIRE 2, 16, 19).

A variant takes over only before the first content; after that nothing is spliced into an answer blindly: a route that
says so has a broken stream taken up again where that can be verified (`gateway/resume.py`). One deadline bounds all
attempts of all variants together.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from comporta.errors import ComportaError, UpstreamError
from comporta.gateway.attempts import DEADLINE
from comporta.gateway.first import begun
from comporta.gateway.resume import Resumed, resumable
from comporta.gateway.thrift import CHEAPER, Economy
from comporta.pipeline import Call, Next, replay
from comporta.routing.choose import Known, Plan, plan_of
from comporta.routing.pinned import PINNED, led_back
from comporta.routing.retry import then
from comporta.routing.rollout.overlay import Overlay
from comporta.routing.task.steering import Course
from comporta.types import Delta, Event, Target, Usage

_TOO_LONG = "context_length_exceeded"
#: Says in the call's facts that a fixed reply of the route stood in; becomes a header.
LAST_RESORT = "last_resort"
#: In the call's facts: seconds that its asker gives it, where they are fewer than the route's.
GIVEN_S = "given_s"


class Steers(Protocol):
    """Where calls go by their task, by live figures, or by a cascade (`gateway/by_task.py`)."""

    @property
    def live(self) -> bool: ...
    def plan(self, call: Call, plan: Plan) -> tuple[Plan, Course | None]: ...
    async def ask(
        self, call: Call, next: Next, plan: Plan, course: Course, after: After, late: Callable[[Call], bool]
    ) -> AsyncIterator[Event]: ...


After = Callable[[ComportaError, Target, list[Target], Plan], list[Target]]


class Choose:
    """The stage. `known` gives today's snapshot, so that a reload reaches the next call, `total_s` a route's limit.

    `can_continue` says whether a target's model can go on from a given beginning of its answer. `overlay` says where
    calls of running rollouts go.
    """

    def __init__(
        self,
        known: Callable[[], Known],
        total_s: Callable[[str], float],
        can_continue: Callable[[Target], bool],
        overlay: Overlay | None = None,
        economy: Economy | None = None,
        steers: Steers | None = None,
    ) -> None:
        self._steers = steers
        self._economy = economy
        self._overlay = overlay or Overlay()
        self._known = known
        self._total_s = total_s
        self._can_continue = can_continue

    async def __call__(self, call: Call, next: Next) -> AsyncIterator[Event]:
        plan = plan_of(self._known(), call.model, call.caller, call.session or call.user)
        steers, course = self._steers, None
        if steers is not None and steers.live:
            plan, course = steers.plan(call, plan)
        if self._overlay.live:
            plan = self._overlay.plan(call, plan)
        pinned = call.facts.get(PINNED)
        if pinned is not None:
            plan = led_back(plan, pinned, call.model)
        elif CHEAPER in call.facts and self._economy is not None:
            plan = self._economy(call, plan)
        call.target = plan.targets[0]
        total_s = min(self._total_s(call.target.route), call.facts.get(GIVEN_S, math.inf))
        call.facts[DEADLINE] = time.monotonic() + total_s
        if plan.on_cut == "resume" and resumable(call):
            events = await self._asked(call, next, plan, course)
            return self._resumed(await begun(events), call, next, plan)
        if course is None and len(plan.targets) == 1 and plan.larger is None and plan.last_resort is None:
            return await next(call)
        return await self._asked(call, next, plan, course)

    async def _asked(self, call: Call, next: Next, plan: Plan, course: Course | None) -> AsyncIterator[Event]:
        if course is None or self._steers is None:
            return await self._in_turn(call, next, plan)
        return await self._steers.ask(call, next, plan, course, self._after, self._late)

    def _resumed(self, events: AsyncIterator[Event], call: Call, next: Next, plan: Plan) -> AsyncIterator[Event]:
        """The others are asked first when the answer breaks off, then the one that gave it."""
        answered = call.target
        others = [target for target in plan.targets if answered is None or target.variant != answered.variant]
        everyone = [*others, *(target for target in plan.targets if target not in others)]
        return Resumed(events, call, next, everyone, [target for target in everyone if self._can_continue(target)])

    async def _in_turn(self, call: Call, next: Next, plan: Plan) -> AsyncIterator[Event]:
        waiting = list(plan.targets)
        failure: UpstreamError | None = None
        held = call.held
        while waiting:
            call.target = waiting.pop(0)
            try:
                return await begun(await next(call))
            except UpstreamError as error:
                await call.close_events(held)
                failure = failure or error
                waiting = self._after(error, call.target, waiting, plan)
                if waiting and self._late(call):
                    break
                call.retries += bool(waiting)
        assert failure is not None, "a plan has at least one target"
        if plan.last_resort is None or then(failure) == "stop":
            raise failure
        call.facts[LAST_RESORT] = True
        return replay([fixed(plan.last_resort)])

    def _after(self, error: ComportaError, tried: Target, waiting: list[Target], plan: Plan) -> list[Target]:
        """Who may take over: nobody where the request itself is at fault, a larger model where it was too long."""
        if error.code == _TOO_LONG:
            larger = plan.larger
            return [larger] if larger is not None and tried.variant != larger.variant else []
        return waiting if then(error) != "stop" else []

    def _late(self, call: Call) -> bool:
        deadline_s: float = call.facts[DEADLINE]
        return time.monotonic() >= deadline_s


def fixed(text: str) -> Event:
    """The route's own words, as a whole answer that cost nothing."""
    return Event(deltas=(Delta(text=text, finish="stop"),), usage=Usage(), model="last-resort", whole=True, last=True)
