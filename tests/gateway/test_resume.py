"""An answer taken up again when it breaks off, inside the layers that are around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault
from comporta.gateway.attempts import Attempts
from comporta.gateway.first import begun
from comporta.gateway.resume import Resumed
from comporta.pipeline import Call, Next, collect, compose
from comporta.routing.health import Health
from comporta.routing.retry import Retry
from comporta.types import Caller, Delta, Event, Input, Target

TARGET = Target(route="r", variant="p/m", provider="p", model="m")


class Source:
    """The answers of a provider, one for each time it is asked: what it says, and how it breaks off."""

    def __init__(self, *answers: tuple[str, UpstreamError | None]) -> None:
        self._answers = list(answers)
        self.open: set[int] = set()

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        text, error = self._answers.pop(0)
        if not text and error is not None:
            raise error
        events = self._events(text, error, len(self._answers))
        call.hold(events)
        return events

    async def _events(self, text: str, error: UpstreamError | None, number: int) -> AsyncIterator[Event]:
        self.open.add(number)
        try:
            for word in text.split():
                yield Event(deltas=(Delta(text=f"{word} "),))
            if error is not None:
                raise error
            yield Event(deltas=(Delta(finish="stop"),))
        finally:
            self.open.discard(number)


class Around:
    """A layer around the answer that notes when it is closed."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self.closed = 0

    def __aiter__(self) -> Around:
        return self

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def aclose(self) -> None:
        self.closed += 1


async def taken_up(source: Source, others: int = 1, continuers: int = 0) -> tuple[Call, Around, AsyncIterator[Event]]:
    provider: Any = SimpleNamespace(
        name="p", row=SimpleNamespace(local=False), facts=lambda model: SimpleNamespace(context=None),
        credentials=SimpleNamespace(all=tuple, pick=lambda avoid: None),
    )  # fmt: skip
    attempts = Attempts(lambda name: provider, Health(), lambda call: Retry(attempts=3, first_s=0.001))

    async def record(call: Call, next: Next) -> AsyncIterator[Event]:
        return Around(await next(call))

    async def choose(call: Call, next: Next) -> AsyncIterator[Event]:
        call.target = TARGET
        return Resumed(await begun(await next(call)), call, next, [TARGET] * others, [TARGET] * continuers)

    call = Call(kind="chat", input=Input(), model="r", caller=Caller("k"), stream=True)
    events = await compose([("record", record), ("choose", choose), ("attempt", attempts)], source)(call)
    assert isinstance(events, Around)
    return call, events, events


async def test_an_attempt_that_fails_meanwhile_leaves_the_layers_around_open() -> None:
    """Else a record would be settled, and its cost told, in the middle of an answer."""
    source = Source(("one two", UpstreamCut("cut")), ("", UpstreamFault("down")), ("one two three", None))
    call, around, events = await taken_up(source)
    reply = await collect(events)
    assert reply.choices[0].text == "one two three " and call.retries == 2
    assert around.closed == 0 and not source.open
    await call.close_events()
    assert around.closed == 1


async def test_an_answer_that_parts_ways_is_closed_before_another_is_asked() -> None:
    source = Source(("one two", UpstreamCut("cut")), ("other words altogether", None), ("three", None))
    _, _, events = await taken_up(source, continuers=1)
    seen = []
    async for event in events:
        seen.append(event.deltas[0].text)
        assert len(source.open) <= 1
    assert "".join(seen) == "one two three "
