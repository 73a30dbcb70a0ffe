"""Notices of change between workers: LISTEN on one connection, and a reload of everything where one may be missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing

import psycopg
import structlog

from comporta.store.database import Connection, connect

Reload = Callable[[], Awaitable[object]]

CHANNEL = "comporta"
#: A safety net: a notice can be lost on the way (a proxy that doesn't pass LISTEN on, a half-open connection).
RELOAD_EVERY_S = 30.0
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

NOTIFY = "select pg_notify(%s, %s)"

log = structlog.get_logger("comporta.store")


class Changes:
    """Tells subscribers of a topic that rows behind it changed, in any worker or replica.

    A subscriber reloads; it is called once for several notices in a row, after each (re)connect, and every 30 s.
    One that fails is logged and called again with the next notice.
    """

    def __init__(self, dsn: str, *, reload_every_s: float = RELOAD_EVERY_S) -> None:
        self._dsn = dsn
        self._every_s = reload_every_s
        self._subscribers: dict[str, list[Reload]] = {}
        #: Whether notices come in at the moment.
        self.connected = False

    def subscribe(self, topic: str, callback: Reload) -> None:
        self._subscribers.setdefault(topic, []).append(callback)

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made again, with growing pauses."""
        failures = 0
        while True:
            try:
                async with await connect(self._dsn) as connection:
                    await connection.execute(f"listen {CHANNEL}")
                    self.connected = True
                    failures = 0
                    await self._listen(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                self.connected = False
                pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
                if failures == 0:
                    log.warning("changes.disconnected", reason=type(error).__name__, retry_in_s=pause_s)
                failures += 1
                await asyncio.sleep(pause_s)
            finally:
                self.connected = False

    async def _listen(self, connection: Connection) -> None:
        """Only after LISTEN has taken hold is everything read anew, so that nothing falls in between."""
        await self._reload(self._subscribers)
        while True:
            topics = await self._next(connection)
            await self._reload(topics)

    async def _next(self, connection: Connection) -> Collection[str]:
        """The topics of the next notices; all of them when none came for a while and the connection still works."""
        async with aclosing(connection.notifies(timeout=self._every_s, stop_after=1)) as notices:
            topics = {notice.payload async for notice in notices}
        if topics:
            return topics
        async with asyncio.timeout(self._every_s):
            await connection.execute("select 1")
        return self._subscribers

    async def _reload(self, topics: Collection[str]) -> None:
        calls = [callback for topic in topics for callback in self._subscribers.get(topic, ())]
        results = await asyncio.gather(*(callback() for callback in calls), return_exceptions=True)
        for callback, result in zip(calls, results, strict=True):
            if isinstance(result, Exception):
                name = getattr(callback, "__qualname__", repr(callback))
                log.warning("changes.reload_failed", subscriber=name, reason=str(result))


async def notify(connection: Connection, topic: str) -> None:
    """Announce a change; it goes out when the connection's transaction commits, and not if that fails."""
    await connection.execute(NOTIFY, [CHANNEL, topic])
