"""The job worker's look at all budgets, every minute: thresholds that no gate told of, and figures for `/metrics`."""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from comporta.app.around import Around
from comporta.app.budgeting import channel_name
from comporta.budget import declared as sections
from comporta.budget.acts import amount_at
from comporta.budget.alerts import Alerts
from comporta.budget.budgets import Budget, Budgets
from comporta.budget.forecast import Forecast
from comporta.budget.ledger import prune, spent_from, users_from
from comporta.budget.outlook import outlook_of
from comporta.budget.periods import period_of
from comporta.errors import ComportaError
from comporta.telemetry.budget_gauges import named
from comporta.telemetry.metrics import Metrics

log = structlog.get_logger("comporta.budget")

_EVERY_S = 60.0
#: So long after a period's end its last calls may still be settled.
_LATE_S = 900.0
_PRUNE_EVERY_S = 86_400.0


async def watch_budgets(around: Around) -> None:
    """Every minute: tell of thresholds that no gate told of, and give `/metrics` how full budgets are. All the time."""
    await _Watch(around).run()


class _Watch:
    """The job worker's look at all budgets. Any number may look: a threshold is written down once."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._database = around.database
        self._budgets = Budgets(around.database)
        self._spent = spent_from(around.database)
        self._alerts = Alerts(
            around.database, around.notifier.send, self._link, lambda name: channel_name(around.settings(), name)
        )
        self._gauges: dict[str, float] = {}
        self._pruned_s = -_PRUNE_EVERY_S

    async def run(self) -> None:
        """Look until cancelled."""
        metrics = Metrics(self._around.folder.metrics, gauges=lambda: self._gauges)
        try:
            while True:
                try:
                    await self.look(time.time())
                except ComportaError as error:
                    # The database is away: the gates keep on counting, and the next look tells what is to be told.
                    log.info("budgets_not_looked_at", code=error.code)
                metrics.tick()
                await asyncio.sleep(_EVERY_S)
        finally:
            with contextlib.suppress(OSError):
                metrics.close()

    async def look(self, now_s: float) -> None:
        """One look at every budget. Raises Unavailable."""
        settings = self._around.settings()
        found = sections.sections(settings.budgets, settings.budget_management)
        self._budgets.declare(sections.declared(found, lambda path: "the configuration"))
        await self._budgets.load()
        gauges: dict[str, float] = {}
        for budget in self._budgets.list():
            await self._look_at(budget, now_s, gauges)
        self._gauges = gauges
        if time.monotonic() - self._pruned_s > _PRUNE_EVERY_S:
            await prune(self._database)
            self._pruned_s = time.monotonic()

    async def _look_at(self, budget: Budget, now_s: float, gauges: dict[str, float]) -> None:
        begins = {period_of(budget.period, at_s)[0] for at_s in (now_s - _LATE_S, now_s)}
        for begin_s in sorted(begins) if budget.acts.steps else ():
            await self._tell(budget, begin_s)
        outlook = await outlook_of(self._database, budget, now_s)
        limit = budget.limit_microusd
        gauges[named("spent", budget.name, budget.period)] = outlook.spent_microusd / 1e6
        gauges[named("limit", budget.name, budget.period)] = limit / 1e6
        if isinstance(outlook.forecast, Forecast):
            gauges[named("forecast", budget.name, budget.period)] = outlook.forecast.expected_microusd / 1e6

    async def _tell(self, budget: Budget, begin_s: float) -> None:
        end_s = period_of(budget.period, begin_s)[1]
        if budget.per is None:
            await self._alerts.fire(budget, begin_s, await self._spent(budget, begin_s, end_s))
            return
        least = amount_at(budget.limit_microusd, budget.acts.steps[0].at)
        for digest, spent in await users_from(self._database, budget, begin_s, end_s, least):
            await self._alerts.fire(budget, begin_s, spent, digest)

    def _link(self) -> str | None:
        settings = self._around.settings()
        return sections.allocation(settings.cost_allocation, settings.budget_management).showback.dashboard_url
