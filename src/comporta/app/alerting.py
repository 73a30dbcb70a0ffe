"""Figures in the job worker: alert rules looked at all the time, sums by property, lists of users and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import psycopg
import structlog

from comporta.alerts.looking import Looking
from comporta.alerts.settings import rules_of
from comporta.alerts.watching import Watch
from comporta.app.around import Around
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.config.mistakes import did_you_mean
from comporta.errors import ComportaError
from comporta.notify.notice import Notice
from comporta.store.database import Connection
from comporta.telemetry import score_days
from comporta.telemetry.observability import facets, tops

log = structlog.get_logger("comporta.telemetry")


async def watch_alerts(around: Around) -> None:
    """Look at all rules, one worker for all of them, until cancelled."""

    async def present() -> Mapping[str, float | None]:
        """What only the gate knows; nothing while it does not answer."""
        try:
            found = await around.gate.ask("GET", "/admin/metrics/present")
        except ComportaError:
            return {}
        values: dict[str, float | None] = found["values"]
        return values

    async def send(notice: Notice, channels: Sequence[str] | None, connection: Connection) -> object:
        return await around.notifier.send(notice, channels, connection=connection)

    watch = Watch(
        around.database, lambda: rules_of(around.settings().alerts), Looking(around.database, present), send,
        every_s=lambda: around.settings().llm_observability.look_every,
    )  # fmt: skip
    await watch.run()


async def sum_up(around: Around) -> None:
    """Make sums by property and by day of what is over, until cancelled; figures are right without, only slower."""
    while True:
        try:
            await facets.refresh(around.database)
            await score_days.refresh(around.database)
        except (ComportaError, psycopg.Error, TimeoutError) as error:
            log.warning("sums_wait", reason=type(error).__name__)
        await asyncio.sleep(facets.EVERY_S)


async def make_tops(around: Around) -> None:
    """Make the lists of the running hour, and of earlier ones that changed."""
    await tops.make(around.database)


def mistakes(loaded: Loaded[Settings]) -> list[str]:
    """What is wrong with alert rules and only the rooms together can say: channels that there are none of."""
    channels = loaded.value.notify.channels
    wrong = []
    for at, section in enumerate(loaded.value.alerts):
        for number, name in enumerate(section.channels or ()):
            if name not in channels:
                text = f"notify.channels has no channel of that name{did_you_mean(name, channels)}"
                wrong.append(loaded.mistake(("alerts", at, "channels", number), text))
    return wrong
