"""Alerts as people see and steer them: how rules stand, what happened, a look now, silence."""

from __future__ import annotations

import builtins
import datetime
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from comporta.alerts import tables
from comporta.alerts.judging import Look, Standing
from comporta.alerts.looking import Looking, Present
from comporta.alerts.rules import Rule
from comporta.alerts.tables import Delivery, Event, Shown, Silence
from comporta.alerts.words import facts, sentence, threshold
from comporta.config.mistakes import did_you_mean
from comporta.errors import BadRequest, NotFound
from comporta.notify.notice import Notice
from comporta.notify.notifier import Notifier
from comporta.store.database import Database
from comporta.telemetry.observability.bounds import shown

MAX_LIMIT = 200
_LONGEST_SILENCE_S = 366 * 86_400.0


class RuleView(Struct, frozen=True):
    """A rule and how it stands; `state` is `ok`, `warning`, `alert` or `no_data`, `waiting` before the first look."""

    name: str
    metric: str
    threshold: str
    window_s: float
    filter: Mapping[str, str]
    channels: tuple[str, ...] | None
    #: `file`, or `default` for what is on without being configured.
    source: str
    about: str | None
    state: str
    since: datetime.datetime | None
    value: float | None
    shown: str
    calls: int | None
    reason: str | None
    looked_at: datetime.datetime | None
    silenced: Silence | None


class Tested(Struct, frozen=True):
    """What a look now would mean; `deliveries` of the test notice, where one was sent."""

    rule: str
    level: str
    value: float | None
    shown: str
    calls: int
    threshold: str
    sentence: str
    reason: str | None
    facts: Mapping[str, Any]
    notice_id: str | None
    deliveries: builtins.list[Delivery]


class EventPage(Struct, frozen=True):
    """What happened, the newest first; `next` is what to ask for as `after` to see older ones, None at the end."""

    events: builtins.list[Event]
    next: int | None


class Alerts:
    """Over the rules of the configuration; what only a file can change is not changed here."""

    def __init__(
        self,
        database: Database,
        rules: Callable[[], Sequence[Rule]],
        present: Present,
        notifier: Callable[[], Notifier],
    ) -> None:
        self._database = database
        self._rules = rules
        self._looking = Looking(database, present)
        self._notifier = notifier

    async def list(self) -> builtins.list[RuleView]:
        """Every rule with how it stands, those that are on first."""
        async with self._database.reading() as connection:
            standings = await tables.shown(connection)
            silences = await tables.silences(connection)
        found = [_view(rule, standings.get(rule.name), silences.get(rule.name)) for rule in self._rules()]
        order = {"alert": 0, "no_data": 1, "warning": 2}
        return sorted(found, key=lambda view: (order.get(view.state, 3), view.name))

    async def test(self, name: str, *, send: bool = True) -> Tested:
        """Look now and change nothing; with `send` a test goes over the rule's channels. Raises NotFound."""
        rule = self._rule(name)
        now = datetime.datetime.now(datetime.UTC)
        async with self._database.reading() as connection:
            standing = (await tables.kept(connection)).get(name)
        state = standing.standing if standing is not None else Standing()
        look = await self._looking.look(rule, state.state, now)
        notice_id, deliveries = await self._send(rule, state, look) if send else (None, [])
        return Tested(
            name, look.level or state.state, look.value, shown(look.value, rule.figure.unit), look.calls,
            threshold(rule), sentence(rule, look), look.reason, facts(rule, state, look), notice_id, deliveries,
        )  # fmt: skip

    async def history(self, name: str | None = None, *, after: int | None = None, limit: int = 50) -> EventPage:
        """What happened, with how people were told. Raises BadRequest."""
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"A page holds 1 to {MAX_LIMIT} events.", param="limit")
        async with self._database.reading() as connection:
            found = await tables.history(connection, name, after, limit + 1)
        return EventPage(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def silence(self, name: str, for_s: float, *, by: str, reason: str | None = None) -> Silence:
        """Tell nobody of a rule for so long; it is looked at all the same. Raises NotFound, BadRequest."""
        self._rule(name)
        if not 0 < for_s <= _LONGEST_SILENCE_S:
            raise BadRequest("A silence lasts longer than nothing, and a year at most.", param="for")
        ends_at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=for_s)
        values = {"rule": name, "ends_at": ends_at, "reason": reason, "by": by}
        async with self._database.connection() as connection:
            return Silence(**(await tables.rows(connection, tables.SILENCE, values))[0])

    async def unsilence(self, name: str) -> bool:
        """End a silence; False where there was none. Raises NotFound."""
        self._rule(name)
        async with self._database.connection() as connection:
            cursor = await connection.execute(tables.UNSILENCE, {"rule": name})
        return cursor.rowcount > 0

    async def _send(self, rule: Rule, standing: Standing, look: Look) -> tuple[str, builtins.list[Delivery]]:
        """A notice that says it is a test, on its way like any other."""
        id = f"alert-test-{uuid.uuid4().hex}"
        text = f"{sentence(rule, look)} Nobody needs to do anything."
        notice = Notice(
            id, "alert.test", f"A test of the alert {rule.name}", text, "critical", facts=facts(rule, standing, look)
        )
        await self._notifier().send(notice, rule.channels)
        row = await self._notifier().one(id)
        return id, [Delivery(one.channel, one.state, one.attempts, one.told) for one in row.deliveries]

    def _rule(self, name: str) -> Rule:
        rules = {rule.name: rule for rule in self._rules()}
        if name not in rules:
            hint = did_you_mean(name, rules) or f"; there are {', '.join(rules) or 'none'}"
            raise NotFound(f"There is no alert rule '{name[:100]}'{hint}.", code="alert_not_found", param="rule")
        return rules[name]


def _view(rule: Rule, seen: Shown | None, silence: Silence | None) -> RuleView:
    value = seen.value if seen is not None else None
    return RuleView(
        rule.name, rule.metric, threshold(rule), rule.window_s, rule.filter, rule.channels,
        "default" if rule.default else "file", rule.about, seen.state if seen is not None else "waiting",
        seen.since if seen is not None else None, value, shown(value, rule.figure.unit),
        seen.calls if seen is not None else None, seen.reason if seen is not None else None,
        seen.looked_at if seen is not None else None, silence,
    )  # fmt: skip
