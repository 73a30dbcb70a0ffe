"""Figures as a gate shows them: with targets from the configuration, and with what only the gate knows of now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from prometheus_client.core import Metric

from comporta.alerts.alerts import Alerts
from comporta.alerts.rules import Rule
from comporta.alerts.settings import rules_of
from comporta.app.settings import Settings
from comporta.budget.budgets import Budgets
from comporta.budget.ledger import spent_from
from comporta.budget.periods import period_of
from comporta.notify.notifier import Notifier
from comporta.routing.health import Ailing, Health
from comporta.store.database import Database
from comporta.telemetry.observability.gauges import Asked, Gauges
from comporta.telemetry.observability.report import Report, report
from comporta.telemetry.observability.targets import Target
from comporta.telemetry.summary import DEFAULT_WINDOW


class Observing:
    """Asked by doors and pages; it watches nothing itself."""

    def __init__(
        self,
        database: Database,
        settings: Callable[[], Settings],
        budgets: Budgets,
        health: Callable[[], Health],
        notifier: Callable[[], Notifier],
    ) -> None:
        self._database = database
        self._settings = settings
        self._budgets = budgets
        self._health = health
        self._gauges = Gauges(database, self._asked, self.present)
        #: Rules and how they stand: `await gate.observing.alerts.list()`.
        self.alerts = Alerts(database, self.rules, self.present, notifier)

    def rules(self) -> Sequence[Rule]:
        """The alert rules in force."""
        return rules_of(self._settings().alerts)

    def targets(self) -> tuple[Sequence[Target], float]:
        """Those of the configuration, and the seconds that they are counted over."""
        section = self._settings().llm_observability
        return section.targets(), section.window

    async def present(self) -> dict[str, float | None]:
        """Figures of now that no sum holds. Raises Unavailable."""
        return {
            "budget_utilization": await self._fullest(),
            "open_breakers": float(sum(one.state == "open" for one in self._health().ailing())),
        }

    async def gauges(self) -> list[Metric]:
        """The figures of the last minutes, for `/metrics`."""
        return await self._gauges.families()

    async def report(self, query: Mapping[str, str], *, all_calls: bool) -> Report:
        """What `/metrics/llm` answers. The figures of the whole gate are told to who may see all calls.

        Raises BadRequest, Unavailable.
        """
        filters = {name: value for name, value in query.items() if name not in ("window", "group_by")}
        targets, window_s = self.targets()
        found = await report(
            self._database, window=query.get("window", DEFAULT_WINDOW), filters=filters,
            group_by=query.get("group_by"), targets=targets, target_window_s=window_s,
            present=await self.present() if all_calls else None,
        )  # fmt: skip
        ailing: list[Ailing] = self._health().ailing() if all_calls else []
        return msgspec.structs.replace(found, breakers=[msgspec.to_builtins(one) for one in ailing])

    def _asked(self) -> Asked:
        targets, window_s = self.targets()
        return Asked(tuple(targets), window_s)

    async def _fullest(self) -> float | None:
        """How much of the fullest budget is used up; None without one that all its callers share."""
        shares, now_s = [], time.time()
        for budget in self._budgets.list():
            if budget.per is None:
                spent = await spent_from(self._database)(budget, *period_of(budget.period, now_s))
                shares.append(spent / budget.limit_microusd)
        return max(shares, default=None)
