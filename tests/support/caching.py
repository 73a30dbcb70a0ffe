"""The cache's stage under test: calls for it, an upstream that counts, and everything that a test may turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from comporta.cache.exact import ExactCache
from comporta.cache.far import Far
from comporta.cache.memory import Memory
from comporta.cache.policy import CachePolicy
from comporta.errors import ComportaError
from comporta.pipeline import Call, Next, compose
from comporta.types import Caller, Delta, Event, Input, Target, Usage

PLAIN = (
    Event(
        (Delta(text="Hello", finish="stop"),), usage=Usage(input=3, output=1), id="x", model="m", wire="openai.chat",
        raw=b'{"id":"x"}', whole=True,
    ),
)  # fmt: skip
STREAM = (
    Event((Delta(text="Hel"),), id="x", model="m", wire="openai.chat", raw=b'{"a":1}'),
    Event((Delta(text="lo", logprobs={"content": [{"token": "lo"}]}),), id="x", wire="openai.chat", raw=b'{"a":2}'),
    Event((Delta(finish="stop"),), id="x", wire="openai.chat", raw=b'{"a":3}'),
    Event(usage=Usage(input=3, output=2), wire="openai.chat", raw=b'{"a":4}', last=True),
)


def call_for(text: str = "Hi", *, team: str = "red", cache_control: str = "", kind: Any = "chat", **more: Any) -> Call:
    call = Call(
        kind=kind, input=Input(raw={"messages": [{"role": "user", "content": text}], **more}), model="r",
        caller=Caller("key", team=team), user="ana",
        headers={"cache-control": cache_control} if cache_control else {},
    )  # fmt: skip
    call.target = Target("r", "v", "p", "m")
    return call


class Upstream:
    """`Next` of the stage: gives `events`, `gap_s` apart, and then raises `error`, if any."""

    def __init__(
        self, events: Sequence[Event] = PLAIN, *, error: ComportaError | None = None, gap_s: float = 0.0
    ) -> None:
        self.events = events
        self.error = error
        self.gap_s = gap_s
        self.asked = 0
        self.closed = 0

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        self.asked += 1
        events = self._answer()
        call.hold(events)
        return events

    async def _answer(self) -> AsyncIterator[Event]:
        try:
            for event in self.events:
                await asyncio.sleep(self.gap_s)
                yield event
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1


class Clock:
    """The time as a test says it is."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """The stage with everything around it that a test may turn."""

    def __init__(self, policy: CachePolicy | None = None, far: Far | None = None) -> None:
        self.policy: CachePolicy | None = policy or CachePolicy()
        self.clock = Clock()
        self.cache = ExactCache(lambda call: self.policy, Memory(1 << 20, 1000), lambda: far, clock=self.clock)

    def over(self, upstream: Next) -> Next:
        return compose([("recall", self.cache.stage)], upstream)

    async def ask(self, call: Call, upstream: Next, cost_microusd: int | None = 100) -> list[Event]:
        """All events of an answer, and a proper end of the call, as a door does it."""
        error: ComportaError | None = None
        try:
            events = [event async for event in await self.over(upstream)(call)]
            if call.cost_microusd is None:
                call.cost_microusd = cost_microusd
            return events
        except ComportaError as failure:
            error = failure
            raise
        finally:
            await call.close_events()
            call.end(error)
