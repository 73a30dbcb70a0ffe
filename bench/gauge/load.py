"""The load: raw HTTP/1.1 on sockets, closed loop to saturate, one by one for latency, open loop at a constant rate."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

from msgspec import Struct

from gauge.words import Ask, Check

#: What comes before the window is answered and checked, and not counted.
WARM_S = 0.3
#: A window for a slow gateway may be so long in any case.
_LONGEST_S = 6.0
#: A call that takes longer is wrong; what is still under way at the end of a window is waited for so long.
PATIENCE_S = 30.0


class Line(asyncio.Protocol):
    """One connection: `ask` sends the request, `done(line, good)` is called when the answer is whole and checked."""

    def __init__(self, next_request: Ask, check: Check, done: Callable[[Line, bool], None]) -> None:
        self._next_request = next_request
        self._check = check
        self._done = done
        self._parts: list[bytes] = []
        self._head = b""
        self._length = -1
        self._size = 0
        self._transport: Any = None
        self.open = False
        self.busy = False
        #: When the call was to begin, by `perf_counter`.
        self.since_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.busy:
            self._check.missed(self._head + b"".join(self._parts))
            self._finish(False)

    def ask(self, since_s: float) -> None:
        self.busy = True
        self.since_s = since_s
        self._transport.write(self._next_request())

    def close(self) -> None:
        self.busy = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            return
        if not self._head:
            data = b"".join([*self._parts, data])
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._parts = [data]
                return
            self._begin(data[:end])
            data = data[end:]
        self._parts.append(data)
        self._size += len(data)
        if self._length >= 0:
            whole = self._size >= self._length
        else:
            tail = data if len(data) >= 5 else b"".join(self._parts)[-5:]
            whole = tail.endswith(b"0\r\n\r\n")
        if whole:
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._finish(self._check(self._head, body))

    def _begin(self, head: bytes) -> None:
        self._head = head
        self._parts = []
        self._size = 0
        lower = head.lower()
        at = lower.find(b"content-length:")
        self._length = int(lower[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else -1

    def _finish(self, good: bool) -> None:
        self.busy = False
        self._head = b""
        self._parts = []
        self._done(self, good)


class Counted(Struct, frozen=True):
    """What a window saw."""

    calls: int
    seconds: float

    @property
    def per_s(self) -> float:
        return self.calls / self.seconds


class Load:
    """Calls to one address. Every answer goes through `check`."""

    def __init__(self, port: int, next_request: Ask, check: Check, warm_s: float = WARM_S) -> None:
        self._port = port
        self._next_request = next_request
        self.check = check
        self._warm_s = warm_s

    async def saturate(self, connections: int, seconds: float, around: Callable[[], None] = lambda: None) -> Counted:
        """Good calls within a window, every connection always busy. `around` is called at its start and end.

        The window is longer where a gateway gives few answers in it.
        """
        good_calls = 0
        stopping = False

        def done(line: Line, good: bool) -> None:
            nonlocal good_calls
            good_calls += good
            if stopping:
                return
            if line.open:
                line.ask(0.0)
            else:
                returns.append(asyncio.ensure_future(again()))

        async def again() -> None:
            try:
                line = await self._line(done)
            except OSError:
                self.check.missed(b"(connection refused)")
                return
            lines.append(line)
            if not stopping:
                line.ask(0.0)

        returns: list[asyncio.Future[None]] = []
        lines = [await self._line(done) for _ in range(connections)]
        with quiet():
            for line in lines:
                line.ask(0.0)
            await asyncio.sleep(self._warm_s)
            around()
            before, started_s = good_calls, perf_counter()
            await asyncio.sleep(seconds)
            # A slow gateway answers all connections at once, now and then: a short window would count by the dozen.
            longest_s = max(4 * seconds, _LONGEST_S)
            while good_calls - before < 2 * connections and perf_counter() - started_s < longest_s:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            counted = Counted(good_calls - before, perf_counter() - started_s)
            around()
        stopping = True
        await _rest(lines)
        return counted

    async def calls(self, connections: int, count: int, every: Callable[[int], None]) -> None:
        """So many calls; `every` hears how many are done, once per call. A lost connection is made again."""
        left = count - connections
        answered = 0
        finished = asyncio.Event()

        def done(line: Line, good: bool) -> None:
            nonlocal left, answered
            answered += 1
            every(answered)
            if answered >= count:
                finished.set()
            elif left > 0:
                left -= 1
                if line.open:
                    line.ask(0.0)
                else:
                    returns.append(asyncio.ensure_future(again()))

        async def again() -> None:
            try:
                line = await self._line(done)
            except OSError:
                finished.set()
                return
            lines.append(line)
            line.ask(0.0)

        returns: list[asyncio.Future[None]] = []
        lines = [await self._line(done) for _ in range(connections)]
        for line in lines:
            line.ask(0.0)
        await _while_it_goes_on(finished, lambda: answered)
        await _rest(lines)

    async def one_by_one(self, seconds: float) -> list[float]:
        """Latencies in seconds on one connection, one call at a time."""
        found: list[float] = []
        until_s = perf_counter() + self._warm_s + seconds
        warm_s = perf_counter() + self._warm_s
        over = asyncio.Event()

        def done(line: Line, good: bool) -> None:
            now_s = perf_counter()
            if good and line.since_s > warm_s:
                found.append(now_s - line.since_s)
            if now_s < until_s and line.open:
                line.ask(perf_counter())
            else:
                over.set()

        line = await self._line(done)
        with quiet():
            line.ask(perf_counter())
            await _while_it_goes_on(over, lambda: len(found))
        await _rest([line])
        return found

    async def at_rate(self, per_s: float, seconds: float, connections: int = 64) -> list[float]:
        """Latencies in seconds at a constant rate, counted from when each call was due."""
        found: list[float] = []
        idle: deque[Line] = deque()
        due: deque[float] = deque()
        warm_s = perf_counter() + self._warm_s

        def done(line: Line, good: bool) -> None:
            if good and line.since_s > warm_s:
                found.append(perf_counter() - line.since_s)
            if not line.open:
                return
            if due:
                line.ask(due.popleft())
            else:
                idle.append(line)

        def arrive(since_s: float) -> None:
            if idle:
                idle.popleft().ask(since_s)
            else:
                due.append(since_s)

        lines = [await self._line(done) for _ in range(connections)]
        idle.extend(lines)
        with quiet():
            await _arrivals(arrive, per_s, self._warm_s + seconds)
            await _rest(lines)
        return found

    async def _line(self, done: Callable[[Line, bool], None]) -> Line:
        make = lambda: Line(self._next_request, self.check, done)  # noqa: E731
        _, line = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", self._port)
        return line


async def _while_it_goes_on(over: asyncio.Event, done: Callable[[], int]) -> None:
    """Until it is over, or nothing has been done for a long time."""
    before = -1
    while not over.is_set() and before != (before := done()):
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PATIENCE_S)


async def _rest(lines: list[Line]) -> None:
    """Let what is under way come to its end, then close."""
    until_s = perf_counter() + PATIENCE_S
    while any(line.busy for line in lines) and perf_counter() < until_s:  # noqa: ASYNC110 (lines have no event)
        await asyncio.sleep(0.005)
    for line in lines:
        if line.busy:
            line._check.missed(b"(no answer)")
        line.close()


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection while it is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ---- a clock that ticks finer than the loop's milliseconds ----------------------------------------------------------


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Period(ctypes.Structure):
    _fields_ = (("interval", _Time), ("first", _Time))


async def _arrivals(arrive: Callable[[float], None], per_s: float, seconds: float) -> None:
    """Call `arrive` with each due time, at the due time: the loop's own timers would bunch them by the millisecond."""
    gap_s = 1.0 / per_s
    next_s = perf_counter() + gap_s
    end_s = next_s + seconds
    over = asyncio.Event()
    clock = _timer(gap_s)
    loop = asyncio.get_running_loop()

    def tick() -> None:
        nonlocal next_s
        os.read(clock, 8)
        now_s = perf_counter()
        while next_s <= now_s and next_s < end_s:
            arrive(next_s)
            next_s += gap_s
        if next_s >= end_s:
            loop.remove_reader(clock)
            over.set()

    loop.add_reader(clock, tick)
    await over.wait()
    os.close(clock)


def _timer(period_s: float) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    monotonic, nonblocking = 1, os.O_NONBLOCK
    clock = int(libc.timerfd_create(monotonic, nonblocking))
    nanoseconds = max(int(period_s * 1e9), 20_000)
    time = _Time(nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000)
    if clock < 0 or libc.timerfd_settime(clock, 0, ctypes.byref(_Period(time, time)), None) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return clock
