"""Budgets as a gate has them: what calls meet, who is told, what the configuration says."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from comporta.app.settings import Settings
from comporta.budget import declared as sections
from comporta.budget.alerts import Alerts
from comporta.budget.allocation import Allocation, AllocationTag
from comporta.budget.budgets import Budgets
from comporta.budget.levels import Levels
from comporta.budget.purses import Purse
from comporta.config.loading import Loaded
from comporta.config.mistakes import did_you_mean
from comporta.counters.base import Counters
from comporta.gateway.allocating import Allocating
from comporta.gateway.thrift import Thrift
from comporta.notify.notifier import Notifier
from comporta.store.database import Database

log = structlog.get_logger("comporta.budget")

_PREFIX = "notify_"


class Budgeting:
    """What a gate has beside counters and purses: levels and alerts, what calls meet, and allocation tags."""

    def __init__(
        self, database: Database, budgets: Budgets, counters: Counters, notifier: Callable[[], Notifier]
    ) -> None:
        self._budgets = budgets
        self._dashboard: str | None = None
        self._settings: Settings | None = None
        self._allocation = Allocation()
        self._told: frozenset[str] = frozenset()
        self.alerts = Alerts(
            database, lambda notice, channels=None, *, connection=None: notifier().send(
                notice, channels, connection=connection
            ), lambda: self._dashboard, self._channel,
        )  # fmt: skip
        self.levels = Levels(counters, self._fire)
        self.thrift = Thrift(self.levels, counters)
        self.allocating = Allocating(lambda: self._allocation)

    def take(self, loaded: Loaded[Settings]) -> None:
        """The budgets and tags of a configuration."""
        settings = loaded.value
        found = sections.sections(settings.budgets, settings.budget_management)
        self._budgets.declare(sections.declared(found, lambda path: "{0.file}:{0.line}".format(loaded.place(path))))
        allocation = sections.allocation(settings.cost_allocation, settings.budget_management)
        self._allocation = Allocation(
            [AllocationTag(tag.name, frozenset(tag.values), tag.required) for tag in allocation.tags]
        )
        self._dashboard = allocation.showback.dashboard_url
        self._settings = settings
        self._told = tell_channels(loaded, self._told)

    def _channel(self, name: str) -> str:
        return name if self._settings is None else channel_name(self._settings, name)

    async def _fire(self, purse: Purse, spent_microusd: int) -> None:
        await self.alerts.fire(purse.budget, purse.begin_s, spent_microusd, purse.user_sha256)


def mistakes(loaded: Loaded[Settings], is_model: Callable[[str], bool]) -> list[str]:
    """What budgets name that is not there: models, and channels where some are configured; with file and line."""
    settings = loaded.value
    wrong = []
    for path, section in sections.sections(settings.budgets, settings.budget_management):
        if section.cheaper_model is not None and not is_model(section.cheaper_model):
            wrong.append(loaded.mistake((*path, "cheaper_model"), f"there is no model '{section.cheaper_model}'"))
        for step in section.acts.steps:
            for name in step.tell or ():
                if settings.notify.channels and channel_of(settings, name) is None:
                    near = did_you_mean(name, settings.notify.channels)
                    text = f"there is no channel '{name}' under notify.channels{near}"
                    wrong.append(loaded.mistake((*path, "actions", f"at_{step.at}"), text))
    both = settings.cost_allocation is not None and settings.budget_management.cost_allocation is not None
    if both:
        wrong.append(loaded.mistake(("cost_allocation",), "stands under budget_management too; leave one of them out"))
    return wrong


def channel_of(settings: Settings, name: str) -> str | None:
    """The channel that an action names: its own name, or what follows `notify_`."""
    channels = settings.notify.channels
    return next((one for one in (name, name.removeprefix(_PREFIX)) if one in channels), None)


def channel_name(settings: Settings, name: str) -> str:
    """The same; a name that leads nowhere stays, and is shown as a delivery that failed."""
    return channel_of(settings, name) or name


def tell_channels(loaded: Loaded[Settings], told: frozenset[str] = frozenset()) -> frozenset[str]:
    """Warn, once, of channels that budgets name while none is configured at all: nobody would be told."""
    settings = loaded.value
    if settings.notify.channels:
        return frozenset()
    found = {}
    for path, section in sections.sections(settings.budgets, settings.budget_management):
        for step in section.acts.steps:
            for name in step.tell or ():
                found[name] = loaded.mistake((*path, "actions", f"at_{step.at}"), f"names the channel '{name}'")
    for name in found.keys() - told:
        log.warning("budget_tells_nobody", where=found[name], hint="No channel is configured: see notify.channels.")
    return frozenset(found)
