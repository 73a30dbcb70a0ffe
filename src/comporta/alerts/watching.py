"""Looks at all rules every half minute, by one worker for all, and has people told of each event once.

A round is one transaction: how the rules stand, what happened and the notices of it are kept together or not at all. A
worker that dies in the middle leaves everything as it was, and the next round, by whomever, sees the same again.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Awaitable, Callable, Sequence

import psycopg
import structlog
from msgspec import structs

from comporta.alerts import tables
from comporta.alerts.judging import Look, Standing, after_telling, stepped, to_tell
from comporta.alerts.looking import Looking
from comporta.alerts.rules import Rule, State
from comporta.alerts.tables import Kept
from comporta.alerts.words import notice_of
from comporta.errors import ComportaError, Unavailable
from comporta.notify.notice import Notice
from comporta.store.database import Connection, Database

log = structlog.get_logger("comporta.alerts")

EVERY_S = 30.0
KEEP_S = 90 * 86_400.0
_PRUNE_EVERY_S = 3600.0

#: Sends a notice over channels (None: the usual ones), in a transaction: `Notifier.send`.
Send = Callable[[Notice, Sequence[str] | None, Connection], Awaitable[object]]


class Watch:
    """`run` is the task; any number of workers may run one."""

    def __init__(
        self,
        database: Database,
        rules: Callable[[], Sequence[Rule]],
        looking: Looking,
        send: Send,
        *,
        every_s: Callable[[], float] = lambda: EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._rules = rules
        self._looking = looking
        self._send = send
        self._every_s = every_s
        self._clock = clock
        self._away = False
        self._prune_at_s = 0.0

    async def run(self) -> None:
        """Look until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self.round()
                self._away = False
            except (ComportaError, psycopg.Error, TimeoutError) as error:
                if not self._away:
                    log.warning("alerts_wait", reason=type(error).__name__, place=self._database.place)
                self._away = True
            await asyncio.sleep(self._every_s())

    async def round(self) -> bool:
        """One round; False where it is another worker's turn. Raises Unavailable."""
        async with self._database.connection() as connection:
            # A little earlier than due, so that the only worker does not miss every other one of its own rounds.
            turn = await tables.rows(connection, tables.TURN, {"every_s": self._every_s() * 0.8})
            if not turn:
                return False
            now_s = self._clock()
            standings = await tables.kept(connection)
            silent = {row["rule"] for row in await tables.rows(connection, tables.SILENT, {"now_s": now_s})}
            rules = self._rules()
            for rule in rules:
                kept = standings.get(rule.name)
                standing = _standing(kept, rule, now_s)
                await self._one(connection, rule, standing, now_s, silenced=rule.name in silent)
            for name in standings.keys() - {rule.name for rule in rules}:
                await connection.execute(tables.FORGET, {"rule": name})
            await self._prune(connection)
        return True

    async def _one(
        self, connection: Connection, rule: Rule, standing: Standing, now_s: float, *, silenced: bool
    ) -> None:
        now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
        look = await self._look(rule, standing.state, now)
        after = stepped(rule, standing, look, now_s)
        told = to_tell(rule, after, now_s)
        changed = after.state != standing.state
        if told is not None and not silenced:
            await self._tell(connection, rule, standing, after, look, now_s)
            after = after_telling(after, now_s)
        elif changed:
            kind = f"alert.{'recovered' if after.state == 'ok' else 'raised'}"
            await tables.event(connection, rule.name, kind, standing.state, after.state, look, now_s, silenced)
        await tables.put(connection, rule, after, look, now_s)

    async def _look(self, rule: Rule, state: State, now: datetime.datetime) -> Look:
        """A rule that can't be looked at stays as it is, and keeps none of the others waiting. Raises Unavailable."""
        try:
            return await self._looking.look(rule, state, now)
        except Unavailable:
            raise
        except (ComportaError, psycopg.Error, TimeoutError) as error:
            log.warning("alert_not_looked_at", rule=rule.name, reason=type(error).__name__)
            return Look(None, 0, None, f"could not be looked at ({type(error).__name__}); the logs say more")

    async def _tell(
        self, connection: Connection, rule: Rule, before: Standing, after: Standing, look: Look, now_s: float
    ) -> None:
        told = to_tell(rule, after, now_s)
        assert told is not None, "the caller has looked"
        number = await tables.event(connection, rule.name, told, before.state, after.state, look, now_s, False)
        notice = notice_of(rule, after, told, look, number, now_s)
        await self._send(notice, rule.channels, connection)
        await connection.execute(tables.NOTICED, {"notice": notice.id, "id": number})
        log.info("alert", rule=rule.name, kind=told, state=after.state, value=look.value)

    async def _prune(self, connection: Connection) -> None:
        if self._clock() >= self._prune_at_s:
            await connection.execute(tables.PRUNE, {"keep_s": KEEP_S})
            self._prune_at_s = self._clock() + _PRUNE_EVERY_S


def _standing(kept: Kept | None, rule: Rule, now_s: float) -> Standing:
    """How a rule stood; of a rule that was changed since, what was pending by the old one is forgotten."""
    if kept is None:
        return Standing(since_s=now_s)
    if kept.definition == rule.definition:
        return kept.standing
    return structs.replace(kept.standing, pending=None, pending_since_s=None)
