"""Breakers and rests that all workers and replicas share through Redis or Valkey.

Calls are decided by what this process knows. It looks for news five times a second, and at every answer to what it
tells; it tells of failures at once, of openings, probes and rests, and of good calls only while a place has failed
lately: a healthy call costs no way to Redis.

How workers count together: failures in a row are counted over all of them, and a good call of any that came after the
last failure begins the row anew. The share of failures is that of the last hundred calls of all, within the window;
good calls come to it with their worker's next failure, or a fifth of a second later. A worker that was itself answered
since the row began, as when another machine's network is down and the provider is well, keeps asking until it fails
once. The claim of a probe is atomic, and lapses in seconds when its worker dies.

Without Redis every worker goes on by itself from what it knew; when Redis is back it tells what it found meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import msgspec
import structlog
from redis.exceptions import NoScriptError, RedisError

from comporta.counters.breakers import PROBE_LASTS_S, Breaker, BreakerLimits, Key, LocalBreakers, Place
from comporta.counters.line import Line
from comporta.counters.shared import PREFIX

log = structlog.get_logger("comporta.breakers")

#: How often a worker looks for what others found.
LOOK_S = 0.2
#: A probe whose worker died makes room for another after so long; a living worker renews it.
CLAIM_S = 4.0
_RENEW_S = 1.0
#: The longest a call waits to learn whether it is the probe.
_CLAIM_LIMIT_S = 0.25
_CONNECT_S = 1.0
_ANSWER_S = 1.0
#: After a failure Redis is left alone for so long.
_REST_S = 1.0
_BATCH = 256
#: More good calls than this between two failures say no more.
_MOST_GOOD = 1000
_GRANTED, _CLOSED = 1, 2

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_key_of = msgspec.json.Decoder(tuple[str | None, ...]).decode

_Operation = list[Any]
_Waiting = tuple[_Operation, "asyncio.Future[int] | None"]


class _Probe:
    """A probe of this process, while it is out."""

    __slots__ = ("begun_s", "place", "told_s")

    def __init__(self, place: Place, now_s: float) -> None:
        self.place = place
        self.begun_s = self.told_s = now_s


class SharedBreakers(LocalBreakers):
    """Keeps to `Breakers`; `server_clock` is for tests, else Redis's own time counts."""

    def __init__(
        self,
        url: str,
        limits: BreakerLimits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        server_clock: Callable[[], float] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        super().__init__(clock, limits)
        self._server_clock = server_clock
        self._prefix = prefix
        self._line = Line(url, connect_s=_CONNECT_S, answer_s=_ANSWER_S)
        self._script = files("comporta.counters").joinpath("breakers.lua").read_bytes()
        self._sha = ""
        self._queue: list[_Waiting] = []
        self._flight: asyncio.Task[None] | None = None
        self._since = 0
        #: Whether the last word from Redis was a good one.
        self._joined = False
        self._out = False
        self._rest_until_s = 0.0
        #: Places that failed somewhere lately, and until when good calls are told of.
        self._watched: dict[Place, float] = {}
        self._told_s: dict[Place, float] = {}
        self._claiming: set[Place] = set()
        self._probes: dict[str, _Probe] = {}

    @property
    def shared(self) -> bool | None:
        return self._joined

    # ---- what calls ask and tell ----

    async def claim(self, place: Place) -> str | None:
        breaker = self._free(place)
        if breaker is None or place in self._claiming:
            return None
        if not self._joined:
            return self._claim_here(breaker)
        self._claiming.add(place)
        try:
            return await self._claim_there(place, breaker)
        finally:
            self._claiming.discard(place)

    async def _claim_there(self, place: Place, breaker: Breaker) -> str | None:
        probe = uuid.uuid4().hex
        try:
            async with asyncio.timeout(_CLAIM_LIMIT_S):
                answer = await self._ask(["p", _id(place), probe, _ms(CLAIM_S)])
        except TimeoutError:
            # Too slow an answer is none: whether it was granted, nobody would wait to hear.
            self._tell(["e", _id(place), probe, "left", 0])
            return self._claim_here(breaker) if breaker.free(self._clock()) else None
        except asyncio.CancelledError:
            self._tell(["e", _id(place), probe, "left", 0])
            raise
        if answer == _CLOSED:
            breaker.close()
            return ""
        if answer is None:
            return self._claim_here(breaker) if breaker.free(self._clock()) else None
        if answer != _GRANTED:
            return None
        now_s = self._clock()
        breaker.claim(probe, now_s + PROBE_LASTS_S)
        self._probes[probe] = _Probe(place, now_s)
        return probe

    def succeeded(self, place: Place, probe: str = "") -> None:
        super().succeeded(place, probe)
        if probe:
            self._ended(place, probe, "good")

    def failed(self, place: Place, wait_s: float | None = None, probe: str = "") -> None:
        was_closed = self._at(place).closed
        super().failed(place, wait_s, probe)
        if probe:
            self._ended(place, probe, "bad")
        elif was_closed:
            self._note(place, 1)

    def released(self, place: Place, probe: str = "") -> None:
        super().released(place, probe)
        if probe:
            self._ended(place, probe, "left")

    def rest(self, key: Key, wait_s: float) -> None:
        super().rest(key, wait_s)
        self._tell(["w", _id(key), _ms(wait_s)])

    def _ended(self, place: Place, probe: str, outcome: str) -> None:
        self._probes.pop(probe, None)
        longest_s = max(self.limits.longest_rest_s, self.limits.rest_s)
        self._tell(["e", _id(place), probe, outcome, _ms(longest_s)])

    def _decides(self) -> bool:
        return not self._joined

    # ---- telling ----

    def _note(self, place: Place, bad: int) -> None:
        """Tell of a failure, or of none, and of the good calls before it."""
        if self._away():
            return
        breaker, limits, now_s = self._at(place), self.limits, self._clock()
        good = min(breaker.untold, _MOST_GOOD)
        if now_s - self._told_s.get(place, float("-inf")) > limits.window_s:
            good = min(good, breaker.fresh(now_s - limits.window_s))
        breaker.untold = 0
        self._told_s[place] = now_s
        ago = _ms(now_s - breaker.good_s) if good else 0
        operation = ["n", _id(place), good, ago, bad, limits.failures, limits.share, limits.of, _ms(limits.window_s),
                     _ms(limits.rest_s)]  # fmt: skip
        self._tell(operation, self._opened(place) if bad else None)

    def _opened(self, place: Place) -> asyncio.Future[int] | None:
        """Have the worker whose failure opened a breaker say so in its log, and no other."""
        if not self._joined:
            return None
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        told.add_done_callback(lambda done: self._log_opened(place) if done.result() == 1 else None)
        return told

    def _log_opened(self, place: Place) -> None:
        log.warning("breaker_opened", provider=place[0], model=place[1], credential=place[2], rest_s=self.limits.rest_s)

    def _tell(self, operation: _Operation, told: asyncio.Future[int] | None = None) -> None:
        if not self._away():
            self._queue.append((operation, told))
            self._set_off()

    async def _ask(self, operation: _Operation) -> int | None:
        """The answer; None where there is no Redis."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append((operation, answer))
        self._set_off()
        found = await answer
        return None if found < 0 else found

    # ---- the way to Redis ----

    async def open(self) -> None:
        self.look()
        await self.flushed()

    async def run(self) -> None:
        """Look for news, tell of good calls where that matters, and renew the claims of probes."""
        while True:
            if not self._away():
                self.look()
                await self.flushed()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Set off for news, with what there is to tell."""
        now_s = self._clock()
        for place, until_s in list(self._watched.items()):
            breaker = self._breakers.get(place)
            if now_s >= until_s:
                del self._watched[place]
                self._told_s.pop(place, None)
            elif breaker is not None and breaker.closed and breaker.untold:
                self._note(place, 0)
        for probe, out in self._probes.items():
            if now_s - out.told_s >= _RENEW_S and now_s - out.begun_s < PROBE_LASTS_S:
                out.told_s = now_s
                self._tell(["r", _id(out.place), probe, _ms(CLAIM_S)])
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._fly())

    async def flushed(self) -> None:
        """Wait until all that is on its way has arrived, or has failed to."""
        while self._flight is not None:
            await asyncio.shield(self._flight)

    async def close(self) -> None:
        """Make room for other probes, if that can be done at once."""
        for probe, out in list(self._probes.items()):
            self.released(out.place, probe)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flushed(), 2 * _ANSWER_S)
        await self._line.close()

    def _away(self) -> bool:
        return time.monotonic() < self._rest_until_s

    def _set_off(self) -> None:
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._fly())

    async def _fly(self) -> None:
        """Send batches until nothing waits; one without operations only asks for news."""
        try:
            while True:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                try:
                    version, answers, news = await self._evaluate([operation for operation, _ in batch])
                except Exception as error:  # whatever it is, those who wait must hear it
                    self._lost(batch, error)
                    return
                self._hear(version, news)
                for (_, told), answer in zip(batch, answers, strict=True):
                    _set(told, answer)
                if not self._queue:
                    return
        finally:
            self._flight = None

    async def _evaluate(self, operations: Sequence[_Operation]) -> tuple[int, Sequence[int], Sequence[Any]]:
        now = "" if self._server_clock is None else str(round(self._server_clock() * 1000))
        arguments = (_encode(operations), self._since, now)
        try:
            if not self._sha:
                raise NoScriptError
            answer = await self._run_script(*arguments)
        except NoScriptError:
            self._sha = await self._line.load(self._script)
            answer = await self._run_script(*arguments)
        version, answers, news = _decode(answer)
        # An empty list is written as an empty object there.
        return version, answers or (), news or ()

    async def _run_script(self, payload: bytes, since: int, now: str) -> bytes:
        return await self._line.bulk("EVALSHA", self._sha, 1, self._prefix, payload, since, now)

    def _lost(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """From here on this process decides by itself; what it finds is told when Redis is back."""
        self._rest_until_s = time.monotonic() + _REST_S
        self._joined = False
        self._since = 0
        if not self._out:
            self._out = True
            known = isinstance(error, RedisError | OSError | TimeoutError)
            log.warning("breakers_not_shared", reason=type(error).__name__, exc_info=None if known else error)
        waiting, self._queue = [*batch, *self._queue], []
        for _, told in waiting:
            _set(told, -1)

    # ---- hearing ----

    def _hear(self, version: int, news: Sequence[Any]) -> None:
        fresh = not self._joined or version < self._since
        self._since = version
        self._joined = True
        if self._out:
            self._out = False
            log.info("breakers_shared_again")
        now_s, open_there = self._clock(), set()
        for id, open_ms, rest_ms, probe_ms, told_ms, watched_ms, begun_ms in news:
            key = _key_of(id)
            if told_ms:
                self._rests[key] = max(self._rests.get(key, 0.0), now_s + told_ms / 1000)
            if len(key) != 3:
                continue
            place: Place = key  # type: ignore[assignment]
            if watched_ms:
                self._watched[place] = now_s + watched_ms / 1000
            if open_ms >= 0:
                open_there.add(place)
            self._adopt(place, open_ms, rest_ms, probe_ms, now_s - begun_ms / 1000)
        if fresh:
            self._tell_all(open_there)

    def _adopt(self, place: Place, open_ms: float, rest_ms: float, probe_ms: float, begun_s: float) -> None:
        """Take over how others found a place."""
        if open_ms < 0:
            breaker = self._breakers.get(place)
            if breaker is not None and breaker.until_s:
                breaker.close()
            return
        breaker, now_s = self._at(place), self._clock()
        if breaker.probe in self._probes and probe_ms:
            return
        if not breaker.until_s:
            breaker.objects = breaker.row == 0 and breaker.good_s > begun_s
        breaker.until_s, breaker.rest_s = now_s + open_ms / 1000, rest_ms / 1000
        breaker.claim("another's" if probe_ms else "", now_s + probe_ms / 1000)

    def _tell_all(self, open_there: set[Place]) -> None:
        """After a time alone: what this process found that Redis does not know."""
        now_s, window = self._clock(), _ms(self.limits.window_s)
        for place, breaker in self._breakers.items():
            if not breaker.closed and place not in open_there:
                left = _ms(max(breaker.until_s - now_s, 0))
                self._tell(["f", _id(place), left, _ms(breaker.rest_s), window])
        for key, until_s in self._rests.items():
            if until_s > now_s:
                self._tell(["w", _id(key), _ms(until_s - now_s)])


def _id(key: Key) -> str:
    return _encode(key).decode()


def _ms(span_s: float) -> int:
    return max(math.ceil(span_s * 1000), 0)


def _set(told: asyncio.Future[int] | None, answer: int) -> None:
    if told is not None and not told.done():
        told.set_result(answer)
