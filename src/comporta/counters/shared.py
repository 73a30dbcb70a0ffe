"""Counters in Redis or Valkey, for several workers: one script call holds everything that waits to be counted.

What calls ask in the same moment travels as one batch, and while one batch is on its way the next one gathers: with
more calls a call costs less. What is given back joins the same queue, so that it never overtakes its own taking.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import msgspec
import structlog
from msgspec import structs
from redis.exceptions import NoScriptError, RedisError, ResponseError

from comporta.counters.base import LEASE_S, Give, Level, Refusal, Spent, Take, Taken
from comporta.counters.line import Line
from comporta.counters.memory import Memory
from comporta.counters.settings import RedisAwaySection
from comporta.errors import Unavailable

log = structlog.get_logger("comporta.counters")

PREFIX = "{comporta}:"
#: After a failure Redis is left alone for so long: calls must not wait for it one after another.
_REST_S = 1.0
_CONNECT_S = 1.0
_ANSWER_S = 1.0
_BATCH = 256
#: What is given back waits so long for a taking to travel with: with few calls at a time that halves the ways.
_SOON_S = 0.002
#: What is given back while Redis is away is kept up to so many calls; the ledger makes good for the rest.
_KEPT_GIFTS = 100_000
_REFUSALS: tuple[Refusal | None, ...] = (None, "window", "lease", "money", "unknown")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[float]]).decode

_Operation = list[Any]
_Waiting = tuple[_Operation, "asyncio.Future[list[float]] | None"]


class Shared:
    """`workers` shares the limits while Redis is away; `clock` is for tests, else Redis's own time counts."""

    def __init__(
        self,
        url: str,
        *,
        workers: int = 1,
        away: RedisAwaySection | None = None,
        prefix: str = PREFIX,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.away = away or RedisAwaySection()
        self._workers = workers
        self._prefix = prefix
        self._clock = clock
        self._line = Line(url, connect_s=_CONNECT_S, answer_s=_ANSWER_S)
        self._script = files("comporta.counters").joinpath("take.lua").read_bytes()
        self._sha = ""
        self._local = Memory()
        self._queue: list[_Waiting] = []
        self._flight: asyncio.Task[None] | None = None
        #: When what was given back sets off by itself.
        self._soon: asyncio.TimerHandle | None = None
        self._rest_until_s = 0.0
        self._out = False
        #: Leases and money by holder: what is renewed.
        self._held: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    async def take(self, asked: Take) -> Taken:
        if self._resting():
            return self._without_redis(asked)
        try:
            answer = await self._ask(["t", *_taken_as(asked)])
        except asyncio.CancelledError:
            # Nobody will know what was taken: it goes back, behind the taking in the queue.
            leases = tuple(lease.key for lease in asked.leases)
            self.give(Give(asked.id, leases=leases, money=tuple((m.key, 0) for m in asked.money)))
            raise
        except Unavailable:
            return self._without_redis(asked)
        taken = _read(answer)
        if taken.refused is None and (asked.leases or taken.held):
            self._note(asked, taken.held)
        return taken

    def _note(self, asked: Take, held: bool) -> None:
        leases, money = self._held.get(asked.id, ((), ()))
        leases = tuple({*leases, *(lease.key for lease in asked.leases)} - {*asked.drop})
        if held:
            money = tuple({*money, *(m.key for m in asked.money)})
        self._held[asked.id] = (leases, money)

    def give(self, given: Give) -> None:
        self._local.give(given)
        self._held.pop(given.id, None)
        if len(self._queue) < _KEPT_GIFTS:
            money = [[key, spent] for key, spent in given.money]
            self._queue.append((["g", given.id, given.corrections, given.leases, money, False], None))
        if self._resting():
            return
        if given.leases:
            # Its caller may come back at once, to another worker, and must find its place free.
            self._set_off()
        elif self._flight is None and self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_SOON_S, self._due)

    async def level(self, spent: tuple[Spent, ...]) -> None:
        if not self._resting():
            with contextlib.suppress(Unavailable):
                await asyncio.gather(*(self._ask(["l", one.key, one.microusd, int(one.end_s)]) for one in spent))

    async def money(self, key: str) -> tuple[int, int] | None:
        answer = await self._ask(["m", key])
        return None if answer[0] else (int(answer[1]), int(answer[2]))

    async def run(self) -> None:
        """Renew what is held, so that only what dead workers held runs out."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._local.run())
            tasks.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            self.renew()

    def renew(self) -> None:
        """Send word that every holder of ours lives; and what could not be given back before."""
        if self._resting():
            return
        for holder, (leases, money) in self._held.items():
            self._queue.append((["r", holder, leases, money], None))
        self._set_off()

    async def flushed(self) -> None:
        """Wait until all that is on its way has arrived, or has failed to."""
        if not self._resting():
            self._set_off()
        while self._flight is not None:
            await asyncio.shield(self._flight)

    async def close(self) -> None:
        """Send what waits, if that can be done at once."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flushed(), 2 * _ANSWER_S)
        if self._soon is not None:
            self._soon.cancel()
        await self._line.close()

    # ---- the way to Redis ----

    def _resting(self) -> bool:
        return time.monotonic() < self._rest_until_s

    async def _ask(self, operation: _Operation) -> list[float]:
        future: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._queue.append((operation, future))
        self._set_off()
        return await future

    def _due(self) -> None:
        self._soon = None
        self._set_off()

    def _set_off(self) -> None:
        if self._flight is None and self._queue:
            self._flight = asyncio.get_running_loop().create_task(self._fly())

    async def _fly(self) -> None:
        """Send batches until nothing waits."""
        try:
            while self._queue:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                try:
                    answers = await self._evaluate([operation for operation, _ in batch])
                except Exception as error:  # whatever it is, those who wait must hear it
                    self._failed(batch, error)
                    if self._resting():
                        return
                    continue
                self._note_back()
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future is not None and not future.done():
                        future.set_result(answer)
        finally:
            self._flight = None

    async def _evaluate(self, operations: Sequence[_Operation]) -> list[list[float]]:
        now = "" if self._clock is None else str(round(self._clock() * 1000))
        payload = _encode(operations)
        try:
            if not self._sha:
                raise NoScriptError
            answer = await self._run_script(payload, now)
        except NoScriptError:
            self._sha = await self._line.load(self._script)
            answer = await self._run_script(payload, now)
        return _decode(answer)

    async def _run_script(self, payload: bytes, now: str) -> bytes:
        return await self._line.bulk("EVALSHA", self._sha, 1, self._prefix, payload, now)

    def _failed(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Those who wait hear it; what was to be given back is kept for when Redis is there again."""
        broken = type(error) is ResponseError
        if broken:
            # An operation that the script can't do: what is sent again would fail again, the ledger makes good for it.
            log.error("counting_failed", operations=len(batch), exc_info=error)
        else:
            self._rest_until_s = time.monotonic() + _REST_S
        if not self._out and not broken:
            self._out = True
            log.warning(
                "redis_away", reason=type(error).__name__, limits=self.away.limits, budgets=self.away.budgets,
                exc_info=None if isinstance(error, RedisError | OSError | TimeoutError) else error,
            )  # fmt: skip
        waiting, self._queue = ([*batch], self._queue) if broken else ([*batch, *self._queue], [])
        for operation, future in waiting:
            if future is not None:
                if not future.done():
                    future.set_exception(_unavailable())
            elif operation[0] == "g" and not broken:
                operation[-1] = True
                self._queue.append((operation, None))

    def _note_back(self) -> None:
        if self._out:
            self._out = False
            log.info("redis_back")

    def _without_redis(self, asked: Take) -> Taken:
        """What the settings say: a share of every limit, counted here; and no word about money."""
        if asked.money and self.away.budgets == "refuse":
            raise _unavailable("Budgets can't be checked: Redis can't be reached.", "budgets_unavailable")
        if self.away.limits == "refuse" and (asked.windows or asked.leases):
            raise _unavailable("Rate limits can't be checked: Redis can't be reached.", "limits_unavailable")
        if self.away.limits == "allow":
            return Taken()
        windows = tuple(structs.replace(w, limit=self._share(w.limit)) for w in asked.windows)
        leases = tuple(structs.replace(lease, limit=self._share(lease.limit)) for lease in asked.leases)
        return self._local.take_now(structs.replace(asked, windows=windows, leases=leases, money=()))

    def _share(self, limit: int) -> int:
        return max(1, limit // self._workers)


def _unavailable(message: str = "Redis can't be reached.", code: str = "redis_unavailable") -> Unavailable:
    return Unavailable(message, code=code, retry_after_s=_REST_S)


def _taken_as(asked: Take) -> _Operation:
    money = [[m.key, m.limit_microusd, m.amount_microusd, int(m.end_s)] for m in asked.money]
    return [asked.id, asked.windows, asked.leases, money, asked.whole, asked.drop]


def _read(answer: list[float]) -> Taken:
    code, index, wait_ms, second, held, *levels = answer
    totals, resets = levels[::2], levels[1::2]
    return Taken(
        _REFUSALS[int(code)], int(index), wait_ms / 1000, int(second), bool(held),
        tuple(Level(int(total), reset / 1000) for total, reset in zip(totals, resets, strict=True)),
    )  # fmt: skip
