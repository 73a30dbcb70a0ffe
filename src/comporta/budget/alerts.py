"""Thresholds that were passed: written down once in each period, by whichever worker sees it first, and told."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from comporta.budget.acts import Step, amount_at
from comporta.budget.budgets import Budget
from comporta.budget.periods import period_of
from comporta.notify.notice import Notice, Severity
from comporta.store.database import Connection, Database

KIND = "budget.threshold"
_WARNING_FROM, _CRITICAL_FROM = 75, 100
_MILLION = 1_000_000

NOTE = """
insert into budget_alert (budget_id, whose, period, begins_at, threshold, spent_microusd, limit_microusd)
values (%(budget)s, %(whose)s, %(period)s, to_timestamp(%(begin_s)s), %(threshold)s, %(spent)s, %(limit)s)
on conflict do nothing returning threshold
"""
PASSED = """
select threshold, extract(epoch from at)::float8, spent_microusd from budget_alert
where budget_id = %s and period = %s and begins_at = to_timestamp(%s) and whose = '' order by threshold
"""
_DOES = {
    "block_requests": "Calls under it are refused from now on.",
    "switch_to_cheaper_model": "Calls under it are answered by a cheaper model from now on.",
    "throttle": "Calls under it are throttled from now on.",
    "allow_requests": "Calls go on.",
    None: "Nothing changes for calls.",
}


class Passed(Struct, frozen=True):
    """A threshold, when it was passed in the period, and what had been spent by then."""

    threshold: int
    at_s: float
    spent_microusd: int


class Send(Protocol):
    """Has people told, as part of a transaction: `Notifier.send`."""

    async def __call__(
        self, notice: Notice, channels: Sequence[str] | None = None, *, connection: Connection | None = None
    ) -> bool: ...


class Alerts:
    """Fires thresholds. `link` gives where notices lead, `channel` the channel that a name stands for."""

    def __init__(
        self, database: Database, send: Send, link: Callable[[], str | None] = lambda: None,
        channel: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._database = database
        self._send = send
        self._link = link

    async def fire(self, budget: Budget, begin_s: float, spent_microusd: int, whose: str = "") -> list[int]:
        """Have all thresholds told that so much has passed and nobody has told yet; which those were.

        `whose` is the hash of a user where each has a budget of its own. Raises Unavailable: nothing is lost then, and
        the next look does it.
        """
        passed = steps_passed(budget, spent_microusd)
        if not passed:
            return []
        told = []
        async with self._database.connection() as connection:
            for step in passed:
                values = {
                    "budget": budget.id, "whose": whose, "period": budget.period, "begin_s": begin_s,
                    "threshold": step.at, "spent": spent_microusd, "limit": budget.limit_microusd,
                }  # fmt: skip
                if await (await connection.execute(NOTE, values)).fetchone() is None:
                    continue
                # Told or not told, together with the row: a worker that dies in between leaves neither.
                notice = notice_of(budget, step, begin_s, spent_microusd, whose, self._link())
                channels = None if step.tell is None else [self._channel(name) for name in step.tell]
                await self._send(notice, channels, connection=connection)
                told.append(step.at)
        return told

    async def passed(self, budget: Budget, begin_s: float) -> list[Passed]:
        """The thresholds that were passed in a period."""
        async with self._database.reading() as connection:
            rows = await (await connection.execute(PASSED, [budget.id, budget.period, begin_s])).fetchall()
        return [Passed(*row) for row in rows]


def steps_passed(budget: Budget, spent_microusd: int) -> list[Step]:
    """The steps that so much spending has passed."""
    return [step for step in budget.acts.steps if spent_microusd >= amount_at(budget.limit_microusd, step.at)]


def notice_of(
    budget: Budget, step: Step, begin_s: float, spent_microusd: int, whose: str = "", link: str | None = None
) -> Notice:
    """What people are told of a threshold. Users are named by the beginning of their hash alone."""
    begins = datetime.datetime.fromtimestamp(begin_s, datetime.UTC)
    ends = datetime.datetime.fromtimestamp(period_of(budget.period, begin_s)[1], datetime.UTC)
    percent = spent_microusd * 100 // budget.limit_microusd
    who = f"user {whose[:12]}" if whose else budget.whose
    text = (
        f"Of {_usd(budget.limit_microusd)} in the {budget.period} from {begins:%Y-%m-%d %H:%M} to "
        f"{ends:%Y-%m-%d %H:%M} UTC for {who}, {_usd(spent_microusd)} are spent. {_DOES[step.does]}"
    )
    return Notice(
        id=f"budget:{budget.id}:{budget.period}:{int(begin_s)}:{step.at}{':' + whose[:32] if whose else ''}",
        kind=KIND,
        title=f"Budget {budget.name}: {step.at} % of this {budget.period}'s {_usd(budget.limit_microusd)} are spent",
        text=text,
        severity=_severity(step.at),
        link=link,
        facts={
            "budget": budget.name, "period": budget.period, "whose": who, "threshold": step.at,
            "percent": percent, "spent_usd": spent_microusd / _MILLION,
            "limit_usd": budget.limit_microusd / _MILLION, "action": step.does or "notify",
        },
    )  # fmt: skip


def _severity(percent: int) -> Severity:
    return "critical" if percent >= _CRITICAL_FROM else "warning" if percent >= _WARNING_FROM else "info"


def _usd(microusd: int) -> str:
    return f"${microusd / _MILLION:,.2f}"
