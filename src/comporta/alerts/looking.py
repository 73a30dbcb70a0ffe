"""One look of a rule at its figure, read from the rollups."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping

from comporta.alerts.judging import Baseline, Look, judged, judged_unusual
from comporta.alerts.rules import Rule, State
from comporta.alerts.unusual import by_the_hour, usual
from comporta.store.database import Database
from comporta.telemetry.observability.reading import asked, read
from comporta.telemetry.observability.sums import Sums

#: Figures of now that no sum holds, `budget_utilization` and `open_breakers`, for the rules that want them.
Present = Callable[[], Awaitable[Mapping[str, float | None]]]


class Looking:
    """Looks. What is usual is read once an hour for each rule."""

    def __init__(self, database: Database, present: Present) -> None:
        self._database = database
        self._present = present
        self._usual: dict[str, tuple[tuple[str, datetime.datetime], Baseline | str]] = {}

    async def look(self, rule: Rule, state: State, now: datetime.datetime) -> Look:
        """What a rule sees now. Raises Unavailable."""
        figure = rule.figure
        sums = await self._sums(rule, now)
        if rule.of_now:
            sums.now = await self._present()
            value = figure.of(sums)
            # A state of now rests on no calls: it is there or it is not.
            return judged(rule, state, value, 0 if value is None else max(1, rule.min_calls))
        value, calls = figure.of(sums), figure.n(sums)
        if rule.unusual is None:
            return judged(rule, state, value, calls)
        return judged_unusual(rule, state, by_the_hour(rule, value), calls, await self._what_is_usual(rule, now))

    async def _sums(self, rule: Rule, now: datetime.datetime) -> Sums:
        window = datetime.timedelta(seconds=rule.window_s)
        question = asked(now - window, now, None, rule.filter)
        # Whole minutes were read, a little more than the window: rates are by what was read.
        total = Sums(max((now - question.since).total_seconds(), 1.0))
        for cell in (await read(self._database, question, [rule.figure], now)).values():
            total.add(cell)
            total.day_microusd = cell.day_microusd
        return total

    async def _what_is_usual(self, rule: Rule, now: datetime.datetime) -> Baseline | str:
        hour = (now - datetime.timedelta(seconds=rule.window_s / 2)).replace(minute=0, second=0, microsecond=0)
        known = self._usual.get(rule.name)
        if known is None or known[0] != (rule.definition, hour):
            known = ((rule.definition, hour), await usual(self._database, rule, now))
            self._usual[rule.name] = known
        return known[1]
