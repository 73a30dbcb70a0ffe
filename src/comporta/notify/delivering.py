"""Brings notices to people: claims what is due, tries it, tries it again later; one worker at a time for each delivery.

A delivery is claimed before it is made and settled after it. Should its worker die in between, another takes it up when
the claim has run out: a receiver may then hear of an event twice, and knows it by the notice's id. While every worker
lives, each attempt is made by one of them alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import psycopg
import structlog

from comporta.errors import Unavailable
from comporta.notify import tables
from comporta.notify.channels import Channel, Undelivered
from comporta.notify.settings import ChannelSection, NotifySection
from comporta.notify.tables import Claimed
from comporta.store.database import Database

log = structlog.get_logger("comporta.notify")

#: Deliveries at the same time: a receiver that does not answer must not keep the others waiting.
_AT_ONCE = 20
#: Longer than any attempt takes, its settling included.
_LEASE_S = 90.0
_ATTEMPT_S = 30.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 900.0
#: How long a receiver may ask to be left alone.
_LONGEST_ASKED_S = 3600.0
_IDLE_S = 15.0
_AWAY_PAUSE_S = 2.0
_SETTLE_PAUSE_S = 0.5


def pause_s(attempts: int) -> float:
    """Seconds before the next attempt: doubling, spread by a quarter so that not all come back together."""
    return float(min(_FIRST_PAUSE_S * 2 ** min(attempts - 1, 20), _LONGEST_PAUSE_S) * random.uniform(0.75, 1.25))


class Deliverer:
    """Delivers. `run` is the task; `wake` says that there is something new. Any number of them may run at once."""

    def __init__(
        self,
        database: Database,
        settings: Callable[[], NotifySection],
        channel_of: Callable[[ChannelSection], Channel],
        *,
        pause_s: Callable[[int], float] = pause_s,
        lease_s: float = _LEASE_S,
    ) -> None:
        self._database = database
        self._settings = settings
        self._channel_of = channel_of
        self._pause_s = pause_s
        self._lease_s = lease_s
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._away = False
        #: Attempts that were taken, and those that were not, since the start.
        self.delivered = 0
        self.failed = 0

    async def wake(self) -> None:
        """Look for deliveries now."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is under way then is cut, and made again when its claim has run out."""
        try:
            while True:
                await self._look()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _look(self) -> None:
        self._woken.clear()
        try:
            await self.begin()
            wait_s = await self._next_due_s()
        except (Unavailable, psycopg.Error, TimeoutError) as error:
            if not self._away:
                log.warning("notices_wait", reason=type(error).__name__, place=self._database.place)
            self._away, wait_s = True, _AWAY_PAUSE_S
        else:
            self._away = False
        # Not `wait_for`: up to Python 3.11 it forgets a cancelling that comes in the same turn as the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._woken.wait()

    async def begin(self) -> int:
        """Begin what is due, as far as there are hands for it; how many deliveries that were."""
        free = _AT_ONCE - len(self._running)
        if free <= 0:
            return 0
        async with self._database.reading() as connection:
            claimed = await tables.claim(connection, free, self._lease_s)
        for one in claimed:
            task = asyncio.create_task(self._deliver(one))
            self._running.add(task)
            task.add_done_callback(self._over)
        return len(claimed)

    async def settled(self) -> None:
        """Wait until what was begun is over."""
        while self._running:
            await asyncio.wait(self._running)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # There is a hand free again, and more may be due.
        self._woken.set()

    async def _next_due_s(self) -> float:
        if len(self._running) >= _AT_ONCE:
            return _IDLE_S
        async with self._database.reading() as connection:
            row = await (await connection.execute(tables.NEXT_DUE)).fetchone()
        due_s = row[0] if row is not None else None
        return _IDLE_S if due_s is None else min(max(due_s, 0.05), _IDLE_S)

    async def _deliver(self, claimed: Claimed) -> None:
        values = {"id": claimed.notice.id, "channel": claimed.channel, "attempts": claimed.attempts}
        settings = self._settings()
        section = settings.channels.get(claimed.channel)
        try:
            if section is None:
                raise Undelivered("no channel of this name is configured", final=True)
            told = await self._attempt(section, claimed)
        except Undelivered as failure:
            self.failed += 1
            await self._settle(*self._after_failure(claimed, failure, settings, values))
        else:
            self.delivered += 1
            await self._settle(tables.END, {**values, "state": "delivered", "told": told})

    async def _attempt(self, section: ChannelSection, claimed: Claimed) -> str:
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                return await self._channel_of(section).deliver(claimed.notice)
        except TimeoutError:
            raise Undelivered(f"no answer within {_ATTEMPT_S:g} s") from None
        except Undelivered:
            raise
        except Exception as error:
            # Whatever is wrong with one delivery, the others go on; its text could hold an address.
            log.error("delivery_failed_oddly", channel=claimed.channel, kind=type(error).__name__)
            raise Undelivered(f"failed ({type(error).__name__})") from None

    def _after_failure(
        self, claimed: Claimed, failure: Undelivered, settings: NotifySection, values: dict[str, object]
    ) -> tuple[str, dict[str, object]]:
        over = failure.final or claimed.tried_s >= settings.give_up_after
        log.warning(
            "notice_not_delivered", notice=claimed.notice.id, channel=claimed.channel, attempt=claimed.attempts,
            reason=failure.reason, given_up=over,
        )  # fmt: skip
        if over:
            return tables.END, {**values, "state": "failed", "told": failure.reason}
        pause_s = max(self._pause_s(claimed.attempts), min(failure.retry_after_s or 0.0, _LONGEST_ASKED_S))
        return tables.AGAIN, {**values, "told": failure.reason, "pause_s": pause_s}

    async def _settle(self, statement: str, values: dict[str, object]) -> None:
        """Write down how it went. Unwritten it would be made again, so a database that is away is waited for."""
        until_s = asyncio.get_running_loop().time() + self._lease_s - _ATTEMPT_S
        while True:
            try:
                async with self._database.reading() as connection:
                    await connection.execute(statement, values)
                return
            except (Unavailable, psycopg.Error) as error:
                if asyncio.get_running_loop().time() > until_s:
                    log.error("delivery_not_settled", notice=values["id"], kind=type(error).__name__)
                    return
            await asyncio.sleep(_SETTLE_PAUSE_S)
