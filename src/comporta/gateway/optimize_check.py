"""Whether answers to shortened prompts are as they would have been: a sample is asked as it came, and compared.

The copy goes out when the caller has its answer, so it can neither slow nor fail it. How alike both answers are becomes
a score of the call; a mean that is too low is told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog

from comporta.errors import ComportaError
from comporta.gateway.optimizing import AS_IT_CAME
from comporta.notify.notice import Notice
from comporta.pipeline import Call, Gathered, new_id
from comporta.text.optimizing.settings import Policy
from comporta.types import Caller, Event, Input, Reply, Score

log = structlog.get_logger("comporta.optimize")

SCORE = "optimize_similarity"
#: So many copies are under way at once; further ones are left out.
AT_ONCE = 4
#: The mean is of so many of a route's last checks, and means nothing before there are so few.
WINDOW = 50
FEWEST = 10
_LIMIT_S = 300.0
_DAY_S = 86_400


class OptimizeChecks:
    """Asks copies and keeps the mean of each route, in this process."""

    def __init__(
        self,
        ask: Callable[[Call], Awaitable[Reply]],
        alike: Callable[[str, str], Awaitable[float]],
        score: Callable[[Score], object],
        tell: Callable[[Notice], Awaitable[object]],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ask = ask
        self._alike = alike
        self._score = score
        self._tell = tell
        self._chance = chance
        self._means: dict[str, deque[float]] = {}
        self._low: dict[str, float] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False
        self.checked = 0
        self.failed = 0

    def watch(
        self, call: Call, came: Input, policy: Policy, events: AsyncIterator[Event]
    ) -> AsyncIterator[Event]:  # fmt: skip
        """The events as they are; of a sampled call they are gathered, and it is asked again when it has ended."""
        if self._closed or policy.check <= 0 or self._chance() >= policy.check or len(self._running) >= AT_ONCE:
            return events
        gathered = Gathered()
        call.at_end(lambda ended: self._start(ended, came, policy, gathered))
        return _gathering(events, gathered)

    def _start(self, call: Call, came: Input, policy: Policy, gathered: Gathered) -> None:
        text = gathered.reply().text
        if call.error is not None or not text.strip() or self._closed or call.cache in ("exact", "semantic", "hit"):
            return
        task = asyncio.get_running_loop().create_task(self._check(call, came, policy, text))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _check(self, call: Call, came: Input, policy: Policy, answer: str) -> None:
        route = call.target.route if call.target is not None else call.model
        try:
            async with asyncio.timeout(_LIMIT_S):
                other = await self._ask(copy_of(call, came, route))
                value = round(await self._alike(answer, other.text), 4)
        except (ComportaError, TimeoutError) as error:
            self.failed += 1
            log.info("optimize.check_failed", route=route, reason=getattr(error, "code", type(error).__name__))
            return
        except Exception as error:
            self.failed += 1
            log.error("optimize.check_broken", route=route, kind=type(error).__name__, exc_info=error)
            return
        self.checked += 1
        self._score(
            Score(
                id=new_id(), trace_id=call.trace_id, call_id=call.id, name=SCORE, value=value, source="code",
                reason="the answer to the prompt as it came is compared", at_s=time.time(), who="optimize",
            )
        )  # fmt: skip
        await self._judge(route, value, policy)

    async def _judge(self, route: str, value: float, policy: Policy) -> None:
        values = self._means.setdefault(route, deque(maxlen=WINDOW))
        values.append(value)
        mean = sum(values) / len(values)
        if len(values) < FEWEST or mean >= policy.min_similarity:
            self._low.pop(route, None)
            return
        was_low = route in self._low
        self._low[route] = mean
        if not was_low:
            log.warning("optimize.answers_differ", route=route, mean=round(mean, 3), least=policy.min_similarity)
            await self._tell(_notice(route, mean, len(values), policy))

    def warnings(self) -> list[str]:
        """A sentence for each route whose shortened prompts are answered otherwise, for `/admin/status`."""
        return [
            f"Shortened prompts of the route '{route}' are answered otherwise: their answers are {mean:.2f} alike in "
            "the mean. Loosen its `optimize`, or turn it off."
            for route, mean in sorted(self._low.items())
        ]

    def totals(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return {"optimize_checks": self.checked, "optimize_checks_failed": self.failed}

    async def close(self) -> None:
        self._closed = True
        running = [*self._running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _gathering(events: AsyncIterator[Event], gathered: Gathered) -> AsyncIterator[Event]:
    async for event in events:
        gathered.add(event)
        yield event


def copy_of(call: Call, came: Input, route: str) -> Call:
    """The same question as it came, past every cache. Its payer is the check itself: budgets know it by its feature."""
    caller = call.caller
    payer = Caller(
        key_id=f"optimize:{route}", name=f"optimize {route}", environment=caller.environment,
        feature=f"optimize:{route}", tags=caller.tags, admin=True,
    )  # fmt: skip
    return Call(
        kind=call.kind, input=came, model=call.model, caller=payer, door=call.door, trace_id=call.trace_id,
        parent_id=call.id, depth=call.depth + 1, session=call.session, user=call.user, tags=dict(caller.tags),
        headers={**call.headers, "cache-control": "no-store"}, facts={AS_IT_CAME: True},
    )  # fmt: skip


def _notice(route: str, mean: float, checks: int, policy: Policy) -> Notice:
    return Notice(
        id=f"optimize:{route}:{int(time.time() // _DAY_S)}", kind="optimize.answers_differ", severity="warning",
        title=f"Shortened prompts of '{route}' are answered otherwise",
        text=f"Of the last {checks} sampled calls the answers to the shortened and to the whole prompt are {mean:.2f} "
        f"alike in the mean; {policy.min_similarity:.2f} is wanted. Loosen `optimize` of the route, or turn it off.",
        facts={"route": route, "mean_similarity": round(mean, 4), "wanted": policy.min_similarity, "checks": checks},
    )  # fmt: skip
