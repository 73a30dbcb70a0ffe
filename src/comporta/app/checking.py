"""Guards asked by themselves: recorded, limited and told of like any call, with no model behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from msgspec import structs

from comporta.app.guarding import Guarding
from comporta.errors import BadRequest
from comporta.gateway.asking import ask
from comporta.gateway.guards import Wanted, wanted_of
from comporta.guardrails.call import GUARDED, VERDICTS, Told, said_of
from comporta.guardrails.parts import with_texts
from comporta.guardrails.policy import Policy
from comporta.guardrails.trying import Checked, Showing, Tried, tried
from comporta.pipeline import Call, Next, Stage, compose, replay
from comporta.types import Caller, Event, Usage

#: In the facts of such a call: what is to be checked, and what that came to.
_WANTED = "guard_wanted"
_TRIED = "guard_tried"


class Checking:
    """`POST /v1/guard` and `gate.guard`. `around` are the stages that hold for a check: those of records and limits."""

    def __init__(
        self,
        guarding: Guarding,
        around: Callable[[], list[tuple[str, Stage]]],
        told: Told,
    ) -> None:
        self._guarding = guarding
        self._around = around
        self._told = told
        self._pipeline: Next | None = None

    async def check(self, wanted: Wanted, caller: Caller, request_id: str = "") -> tuple[Checked, str]:
        """What the guards say, and the id of the call. Raises BadRequest, RateLimited, GuardFailed."""
        call = Call(
            kind="guard", input=wanted.input, model="guard", caller=caller, door="guard", request_id=request_id,
            tags=dict(caller.tags), cost_microusd=0, facts={_WANTED: wanted},
        )  # fmt: skip
        if self._pipeline is None:
            self._pipeline = compose([*self._around(), ("guard", self._stage)], _nobody)
        await ask(self._pipeline, call)
        done: Tried = call.facts[_TRIED]
        return done.checked, call.id

    async def said(self, body: dict[str, Any], caller: Caller) -> Checked:
        """The same for a body's fields, from a program."""
        return (await self.check(wanted_of(body, caller), caller))[0]

    async def _stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        wanted: Wanted = call.facts[_WANTED]
        side = wanted.request.side
        policy = self._policy(wanted, call)
        span = call.spans[-1]
        done = await tried(self._guarding.runner, policy, side, self._showing(wanted, call), call, self._guarding.style)
        call.facts[_TRIED] = done
        call.facts[GUARDED] = True
        # What is kept of it is what may be known of it.
        call.input = with_texts(call.input, done.masked)
        verdicts = [said_of(one, side, wanted.showing.pieces[one.piece].place) for one in done.report.found]
        if verdicts:
            call.facts[VERDICTS] = verdicts
            span.attributes = {"verdicts": verdicts, "policy": policy.version}
        self._told(call, side, done.report)
        return replay([Event(usage=Usage(), whole=True, last=True)])

    def _showing(self, wanted: Wanted, call: Call) -> Showing:
        judge = self._guarding.judge
        return wanted.showing if judge is None else structs.replace(wanted.showing, ask=partial(judge, call))

    def _policy(self, wanted: Wanted, call: Call) -> Policy:
        request = wanted.request
        if request.guards is not None:
            if not call.caller.admin and any(isinstance(one, dict) and "url" in one for one in request.guards):
                raise BadRequest(
                    "Addresses are asked only where a policy of the configuration names them, since the gate reaches "
                    "what callers don't.", param="guards",
                )  # fmt: skip
            return self._guarding.of(request.guards, request.side)
        if request.policy is not None:
            return self._guarding.named(request.policy)
        return self._guarding.policy_of(call)


async def _nobody(call: Call) -> AsyncIterator[Event]:
    raise AssertionError("a check asks no model")
