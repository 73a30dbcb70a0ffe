"""The job worker: a process of its own for what must not slow a call; it also brings notices to people."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from comporta.app.around import Around
from comporta.app.collector import keep_giving_back, leave_what_is_loaded
from comporta.app.folder import Folder
from comporta.app.jobs import Keep, run
from comporta.app.loaded import Places, load_settings, once_it_holds
from comporta.app.loopback import Loopback
from comporta.app.notifying import Delivering, notifier_of, transport_of
from comporta.app.process import PARENT, die_with_parent
from comporta.app.works import all_the_time, by_clock
from comporta.store.database import Database
from comporta.telemetry import logs
from comporta.telemetry.metrics import Metrics

_DAY_S = 86_400.0
_TOLD_EVERY_S = 2.0
_POOL = 4


class Figures:
    """What this process adds to `/metrics`: the gate adds up the files of all."""

    def __init__(self, folder: Folder, totals: Callable[[], Mapping[str, float]]) -> None:
        self._size_bytes = 0
        self._metrics = Metrics(folder.metrics, totals=totals, gauges=lambda: {"records_bytes": self._size_bytes})

    def measured(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._metrics.tick()

    async def run(self) -> None:
        """Tell them until cancelled."""
        await self._metrics.run(_TOLD_EVERY_S)


def main() -> None:
    """The process; reads what `serve` put into the environment."""
    die_with_parent(parent=int(os.environ[PARENT]))
    environment = os.environ
    folder = Folder(Path(environment["COMPORTA_DATA"]))
    places = Places(Path(config) if (config := environment["COMPORTA_CONFIG"]) else None, folder)
    loaded = once_it_holds("job worker", lambda: load_settings(places, environment))
    settings = loaded.value
    logs.configure(settings.logging.level, settings.logging.format)
    records = settings.records
    dsn = environment["COMPORTA_DATABASE_DSN"]
    delivering = Delivering(dsn, places, loaded)
    totals: dict[str, float] = {}
    figures = Figures(folder, lambda: {**delivering.figures(), **totals})
    keep = Keep(
        records.keep / _DAY_S, records.keep_minutes / _DAY_S, records.keep_hours / _DAY_S, records.max_size,
        settings.cache.max_size, settings.responses.keep / _DAY_S, records.keep_scores / _DAY_S,
        records.max_scores_size, settings.notify.keep / _DAY_S, figures.measured,
    )  # fmt: skip

    asyncio.new_event_loop().run_until_complete(_run(dsn, keep, folder, delivering, figures, totals))
    # Connections that were being made to a database that has gone ignore their cancelling for a minute; all that
    # counts is done by now, and nothing of ours may outlive the gate.
    os._exit(0)


async def _run(
    dsn: str, keep: Keep, folder: Folder, delivering: Delivering, figures: Figures, totals: dict[str, float]
) -> None:
    transport = transport_of(delivering.settings().outgoing)
    gate = Loopback(folder)
    async with Database(dsn, max_size=_POOL) as database:
        notifier = notifier_of(database, delivering.settings, transport)
        around = Around(database, delivering.settings, notifier, gate, folder, totals)

        async def beside() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(delivering.run())
                tasks.create_task(figures.run())
                tasks.create_task(all_the_time(around))
                tasks.create_task(keep_giving_back())

        leave_what_is_loaded()
        try:
            await run(dsn, keep, beside, by_clock(around))
        finally:
            await gate.close()
            await transport.close()


if __name__ == "__main__":
    main()
