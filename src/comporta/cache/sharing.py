"""Identical calls under way at the same time share one upstream call, which lives as long as one of them listens."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator

from comporta.errors import ClientGone, ComportaError
from comporta.pipeline import Call, Next
from comporta.types import Event, Usage

#: What the upstream step learns on the way and every listener's answer says of itself.
_LEARNT = ("target", "dropped")
#: A frame was lost: whoever keeps answers must hear of it.
_MALFORMED = "malformed_frames"


class Sharing:
    """The upstream calls that can be joined, by the key of the calls they answer."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: bytes, call: Call, next: Next) -> AsyncIterator[Event]:
        """The events of the upstream call for this key: one that is under way, else a new one that `call` pays for."""
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight(self, key, call, next)
            self._flights[key] = flight
            call.cache = "miss"
        else:
            call.cache = "hit"
            call.cost_microusd = 0
        listener = Listener(flight, call)
        flight.listeners.append(listener)
        await listener.begun()
        return listener

    def forget(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]


class Flight:
    """One upstream call in a task of its own, so that nobody's leaving ends it for the others.

    `inner` is the paying caller's call as the stages below see it: what they open and register ends with the flight.
    """

    def __init__(self, sharing: Sharing, key: bytes, call: Call, next: Next) -> None:
        self.key = key
        self.events: list[Event] = []
        self.listeners: list[Listener] = []
        self.usage: Usage | None = None
        self.error: Exception | None = None
        self.done = False
        self.inner = _inner_of(call)
        self._sharing = sharing
        self._waiting: list[asyncio.Future[None]] = []
        self._task = asyncio.create_task(self._fly(next))

    async def _fly(self, next: Next) -> None:
        try:
            async for event in await next(self.inner):
                self.events.append(event)
                self.usage = event.usage or self.usage
                self._wake()
        except Exception as error:
            self.error = error
        except asyncio.CancelledError:
            self.error = ClientGone("The call was left by all who shared it.")
            raise
        finally:
            self._land()
            self.inner.usage = self.usage
            await self.inner.close_events()
            self.inner.end(self.error if isinstance(self.error, ComportaError) else None)

    def _land(self) -> None:
        """Nothing more comes. A failure is told to those who listen, and is nobody else's to join."""
        self.done = True
        if self.error is not None:
            self._sharing.forget(self)
        self._wake()

    async def more(self) -> None:
        """Wait for the next event, or the end."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def leave(self, listener: Listener, *, complete: bool) -> None:
        """One listener less; with the last one the upstream call ends. One that pays and leaves early hands that on."""
        self.listeners.remove(listener)
        call = listener.call
        if not complete and self.error is None and call.cache == "miss":
            if self.listeners:
                _pass_on(call, self.listeners[0].call)
            else:
                call.usage = call.usage or self.usage
        if not self.listeners:
            self._sharing.forget(self)
            if not self.done:
                self._task.cancel()


class Listener:
    """A caller's place in the events of a flight."""

    __slots__ = ("_at", "_flight", "_left", "call")

    def __init__(self, flight: Flight, call: Call) -> None:
        self._flight = flight
        self._at = 0
        self._left = False
        self.call = call

    async def begun(self) -> None:
        """Wait for the first event. Raises what the upstream call raises before it."""
        flight = self._flight
        await self._until(0)
        self._learn()
        if flight.error is not None and not flight.events:
            self._leave(complete=True)
            raise flight.error

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Event:
        flight = self._flight
        if self._at >= len(flight.events):
            await self._until(self._at)
            if self._at >= len(flight.events):
                self._learn()
                self._leave(complete=True)
                raise StopAsyncIteration if flight.error is None else flight.error
        event = flight.events[self._at]
        self._at += 1
        return event

    async def aclose(self) -> None:
        self._leave(complete=False)

    async def _until(self, place: int) -> None:
        """Wait until there is an event at that place, or the end."""
        flight = self._flight
        try:
            while place >= len(flight.events) and not flight.done:
                await flight.more()
        except BaseException:
            self._leave(complete=False)
            raise

    def _learn(self) -> None:
        inner = self._flight.inner
        for name in _LEARNT:
            setattr(self.call, name, getattr(inner, name))
        if self.call.cache == "miss":
            self.call.retries = inner.retries
        if _MALFORMED in inner.facts:
            self.call.facts[_MALFORMED] = inner.facts[_MALFORMED]

    def _leave(self, *, complete: bool) -> None:
        if not self._left:
            self._left = True
            self._flight.leave(self, complete=complete)


def _inner_of(call: Call) -> Call:
    """The same call with endings and open iterators of its own."""
    inner = copy.copy(call)
    inner._endings, inner._open = [], []
    return inner


def _pass_on(leaving: Call, staying: Call) -> None:
    """The bill goes to one who stays: the one who leaves is then as free as the others were."""
    leaving.cache, leaving.cost_microusd = "hit", 0
    staying.cache, staying.cost_microusd = "miss", None
