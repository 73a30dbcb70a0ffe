"""Shadow mode: copies of calls that side B answers after the caller has had its answer; nobody sees what they say.

A copy is a child call of its own: recorded, tagged, and paid for from the budget of its rollout alone. It starts when
the caller's call has ended, so it can neither slow nor fail it; where too much is under way it is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from comporta.errors import BudgetExceeded, ComportaError, RateLimited, Unavailable
from comporta.pipeline import Call
from comporta.routing.rollout.overlay import COPY
from comporta.routing.rollout.rows import RolloutRow
from comporta.types import Caller, Input, Reply

log = structlog.get_logger("comporta.shadow")

#: So many copies are under way at once; further ones are left out.
AT_ONCE = 16
#: A budget that is used up is left alone for so long: asking for every call would fill the records with refusals.
_REST_S = 60.0
#: A copy gets no longer than this.
_LIMIT_S = 300.0


class Shadows:
    """Sends copies: `mirror` is a plain function that an ended call can leave its copy with."""

    def __init__(self, ask: Callable[[Call], Awaitable[Reply]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._rests_until_s: dict[str, float] = {}
        self._closed = False
        #: Copies that were sent, left out since too much was under way or the money was used up, and that failed.
        self.sent = 0
        self.left_out = 0
        self.failed = 0

    def mirror(self, call: Call, asked: Input, row: RolloutRow) -> None:
        """Copy an ended call. One that got no answer is not copied: its asker left, or there was nothing to answer."""
        if call.error is not None or self._closed:
            return
        if len(self._running) >= AT_ONCE or self._clock() < self._rests_until_s.get(row.id, 0.0):
            self.left_out += 1
            return
        task = asyncio.get_running_loop().create_task(self._send(copy_of(call, asked, row), row))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _send(self, copy: Call, row: RolloutRow) -> None:
        self.sent += 1
        try:
            async with asyncio.timeout(_LIMIT_S):
                await self._ask(copy)
        except (BudgetExceeded, RateLimited, Unavailable) as error:
            self._rests_until_s[row.id] = self._clock() + _REST_S
            log.warning("shadow.rests", rollout=row.name, code=error.code, reason=error.message, for_s=_REST_S)
        except (ComportaError, TimeoutError) as error:
            # What B does wrong stands in the copy's record, and counts there.
            self.failed += 1
            log.debug("shadow.failed", rollout=row.name, reason=getattr(error, "code", type(error).__name__))
        except Exception as error:
            self.failed += 1
            log.error("shadow.broken", rollout=row.name, kind=type(error).__name__, exc_info=error)

    def totals(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return {"shadow_calls": self.sent, "shadow_calls_left_out": self.left_out}

    async def close(self) -> None:
        """Stop what is under way; a copy that was cut off is recorded as left."""
        self._closed = True
        running = [*self._running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def copy_of(call: Call, asked: Input, row: RolloutRow) -> Call:
    """The call that asks side B the same. Its caller is the rollout itself: no key's limits and budgets know of it."""
    caller = call.caller
    payer = Caller(
        key_id=f"shadow:{row.id}", name=f"shadow {row.name}", environment=caller.environment,
        feature=feature_of(row.id), tags=caller.tags, admin=True,
    )  # fmt: skip
    return Call(
        kind=call.kind, input=asked, model=call.model, caller=payer, door=call.door, trace_id=call.trace_id,
        parent_id=call.id, depth=call.depth + 1, session=call.session, user=call.user, tags=dict(caller.tags),
        headers=dict(call.headers), facts={COPY: row.id},
    )  # fmt: skip


def feature_of(rollout: str) -> str:
    """What the copies' budget is scoped to."""
    return f"shadow:{rollout}"
