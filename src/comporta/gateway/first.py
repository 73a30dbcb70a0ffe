"""The commit point (WIRE 2): an answer counts as begun when its first meaningful event is here, not sooner."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from comporta.errors import UpstreamCut
from comporta.types import Event


class Begun:
    """An answer that has begun: what was held back first, then the rest."""

    __slots__ = ("_held", "_rest")

    def __init__(self, held: deque[Event], rest: AsyncIterator[Event]) -> None:
        self._held = held
        self._rest = rest

    def __aiter__(self) -> Begun:
        return self

    async def __anext__(self) -> Event:
        if self._held:
            return self._held.popleft()
        return await self._rest.__anext__()

    async def aclose(self) -> None:
        aclose = getattr(self._rest, "aclose", None)
        if aclose is not None:
            await aclose()


async def begun(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Wait for the first meaningful event; role-only, empty and ping events before it are held back and go out with it.

    Raises what the stream raises before that point, and UpstreamCut for a stream that ends without having said
    anything: until then the caller can still be answered with a real status, or by another variant.
    """
    if isinstance(events, Begun):
        return events
    held = await opened(events)
    unread = getattr(events, "unread", None)
    if unread is None:
        return Begun(deque(held), events)
    # Taken back where they came from: a wrapper would cost something with every event.
    unread(held)
    return events


async def opened(events: AsyncIterator[Event]) -> list[Event]:
    """The events up to the first meaningful one. Raises as `begun` does."""
    held: list[Event] = []
    async for event in events:
        held.append(event)
        if event.meaningful:
            return held
    raise UpstreamCut("The provider ended the answer without any content.", code="empty_answer")
