"""Shadow checks: some hits are answered afresh after their caller has gone, and compared with what was given.

The fresh answer is a call of its own: recorded, and paid for by the route (feature `cache:<route>`), never by the key
that asked. It can neither slow nor fail the call; where too much is under way it is left out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from comporta.cache.semantic.comparing import Judge, Likeness, says_the_same
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.thresholds import Check
from comporta.errors import BudgetExceeded, ComportaError, RateLimited, Unavailable
from comporta.pipeline import Call, new_id
from comporta.types import Caller, Reply

log = structlog.get_logger("comporta.cache")

#: So many checks are under way at once; further ones are left out.
AT_ONCE = 8
#: A budget that is used up is left alone for so long.
_REST_S = 60.0
_LIMIT_S = 300.0


class Given(Struct, frozen=True):
    """A hit as it was given, how sure it was: `text` is the kept answer, `question` what the caller asked."""

    entry: int
    route: str
    confidence: float
    threshold: float
    question: str
    text: str


class Checks:
    """`ask` asks the very variant that the call was meant for; `note` keeps what was found."""

    def __init__(
        self, ask: Callable[[Call], Awaitable[Reply]], note: Callable[[Check], Awaitable[object]], alike: Likeness,
        judge: Callable[[Call], Judge], *, drawn: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._ask = ask
        self._note = note
        self._alike = alike
        self._judge = judge
        self._drawn = drawn
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._rests_until_s: dict[str, float] = {}
        #: Hits that were looked at again, found wrong, and left out or not answered.
        self.done = 0
        self.wrong = 0
        self.left_out = 0

    def after(self, call: Call, given: Given, policy: SemanticPolicy) -> None:
        """Perhaps check this hit when its call has ended."""
        if policy.shadow > 0 and self._drawn() < policy.shadow:
            call.at_end(lambda ended: self._begin(ended, given, policy))

    def _begin(self, call: Call, given: Given, policy: SemanticPolicy) -> None:
        rests = self._clock() < self._rests_until_s.get(given.route, 0.0)
        if call.error is not None or rests or len(self._running) >= AT_ONCE:
            self.left_out += 1
            return
        task = asyncio.get_running_loop().create_task(self._check(afresh(call, given.route), call.id, given, policy))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _check(self, copy: Call, call_id: str, given: Given, policy: SemanticPolicy) -> None:
        try:
            async with asyncio.timeout(_LIMIT_S):
                fresh = await self._ask(copy)
                same = await says_the_same(
                    given.question, given.text, fresh.text, judge=self._judge(copy), model=policy.judge,
                    alike=self._alike,
                )  # fmt: skip
            if same is None:
                self.left_out += 1
                return
            self.done += 1
            self.wrong += not same
            found = Check(given.route, given.confidence, given.threshold, not same, "shadow", call_id, given.entry)
            await self._note(found)
        except (BudgetExceeded, RateLimited, Unavailable) as error:
            self.left_out += 1
            self._rests_until_s[given.route] = self._clock() + _REST_S
            log.warning("cache.checks_rest", route=given.route, code=error.code, reason=error.message, for_s=_REST_S)
        except (ComportaError, TimeoutError) as error:
            self.left_out += 1
            log.debug("cache.check_failed", route=given.route, reason=getattr(error, "code", type(error).__name__))
        except Exception as error:
            self.left_out += 1
            log.error("cache.check_broken", route=given.route, kind=type(error).__name__, exc_info=error)

    async def wait(self) -> None:
        """Until all that is under way is done."""
        while self._running:
            await asyncio.wait([*self._running])

    async def close(self) -> None:
        """Stop what is under way."""
        running = [*self._running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def afresh(call: Call, route: str) -> Call:
    """The call that asks the same variant the same, as the stages before the cache had made it."""
    caller = call.caller
    payer = Caller(
        key_id=f"cache:{route}", name=f"cache check of {route}", environment=caller.environment,
        feature=feature_of(route), tags=caller.tags, admin=True,
    )  # fmt: skip
    copy = Call(
        kind=call.kind, input=call.input, model=call.model, caller=payer, door=call.door, id=new_id(),
        trace_id=call.trace_id, parent_id=call.id, depth=call.depth + 1, user=call.user, tags=dict(caller.tags),
        headers={name: value for name, value in call.headers.items() if name.startswith("anthropic-")},
    )  # fmt: skip
    copy.target = call.target
    return copy


def feature_of(route: str) -> str:
    """What a budget for a route's checks is scoped to."""
    return f"cache:{route}"
