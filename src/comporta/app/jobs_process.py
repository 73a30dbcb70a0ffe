"""The job worker: a process of its own for what must not slow a call."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from comporta.app.folder import Folder
from comporta.app.jobs import Keep, run
from comporta.app.loaded import Places, load_settings
from comporta.app.process import PARENT, die_with_parent
from comporta.telemetry import logs
from comporta.telemetry.metrics import Metrics

_DAY_S = 86_400.0


class Figures:
    """What this process adds to `/metrics`: the gate adds up the files of all."""

    def __init__(self, folder: Folder) -> None:
        self._size_bytes = 0
        self._metrics = Metrics(folder.metrics, gauges=lambda: {"records_bytes": self._size_bytes})

    def measured(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._metrics.tick()


def main() -> None:
    """The process; reads what `serve` put into the environment."""
    die_with_parent(parent=int(os.environ[PARENT]))
    environment = os.environ
    folder = Folder(Path(environment["COMPORTA_DATA"]))
    places = Places(Path(config) if (config := environment["COMPORTA_CONFIG"]) else None, folder)
    settings = load_settings(places, environment).value
    logs.configure(settings.logging.level, settings.logging.format)
    records = settings.records
    figures = Figures(folder)
    keep = Keep(
        records.keep / _DAY_S, records.keep_minutes / _DAY_S, records.keep_hours / _DAY_S, records.max_size,
        settings.cache.max_size, settings.responses.keep / _DAY_S, records.keep_scores / _DAY_S,
        records.max_scores_size, figures.measured,
    )  # fmt: skip
    asyncio.new_event_loop().run_until_complete(run(environment["COMPORTA_DATABASE_DSN"], keep))
    # Connections that were being made to a database that has gone ignore their cancelling for a minute; all that
    # counts is done by now, and nothing of ours may outlive the gate.
    os._exit(0)


if __name__ == "__main__":
    main()
