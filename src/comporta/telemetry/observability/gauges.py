"""The same figures for Prometheus: gauges over the last minutes, of all calls and by route, and how targets stand."""

from __future__ import annotations

import asyncio
import datetime
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import psycopg
import structlog
from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily, Metric

from comporta.errors import Unavailable
from comporta.store.database import Database
from comporta.telemetry.observability.names import METRICS
from comporta.telemetry.observability.targets import Standing, Target, standings
from comporta.telemetry.series import Line, series

log = structlog.get_logger("comporta.telemetry")

WINDOW = datetime.timedelta(minutes=5)
#: Whoever asks more often gets the same again: a scrape must not load the database.
_FRESH_S = 15.0
_LIMIT_S = 3.0


class Asked(Struct, frozen=True):
    """What is told beside the figures: targets and over what they are counted."""

    targets: tuple[Target, ...] = ()
    window_s: float = 30 * 86_400.0


class Gauges:
    """Reads at most every quarter of a minute; a database that is away leaves them out."""

    def __init__(
        self,
        database: Database,
        asked: Callable[[], Asked],
        present: Callable[[], Awaitable[Mapping[str, float | None]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._asked = asked
        self._present = present
        self._clock = clock
        self._found: list[Metric] = []
        self._read_at_s = -math.inf
        self._busy = asyncio.Lock()

    async def families(self) -> list[Metric]:
        """What Prometheus reads."""
        async with self._busy:
            if self._clock() - self._read_at_s >= _FRESH_S:
                try:
                    async with asyncio.timeout(_LIMIT_S):
                        self._found = await self._read()
                except (Unavailable, psycopg.Error, TimeoutError) as error:
                    log.warning("gauges_left_out", reason=type(error).__name__)
                    self._found = []
                self._read_at_s = self._clock()
        return self._found

    async def _read(self) -> list[Metric]:
        now = datetime.datetime.now(datetime.UTC)
        present, asked = await self._present(), self._asked()
        names = list(METRICS)
        whole = await series(self._database, names, since=now - WINDOW, now=now, present=present)
        routes = await series(self._database, names, since=now - WINDOW, group_by="route", now=now)
        found = await standings(self._database, asked.targets, asked.window_s, now=now, present=present)
        return [figures([*whole.lines, *routes.lines]), *_of_targets(found)]


def figures(lines: Sequence[Line]) -> Metric:
    """Every figure that can be told, by name and route; the route of all calls is empty."""
    text = "Figures of the last five minutes, by the names of llm_observability; an empty route means all calls"
    family = GaugeMetricFamily("comporta_metric", text, labels=("name", "route"))
    for line in lines:
        if line.group == "":
            continue
        for name, value in line.total.items():
            if value is not None:
                family.add_metric((name, line.group or ""), value)
    return family


def _of_targets(found: Sequence[Standing]) -> list[Metric]:
    met = GaugeMetricFamily("comporta_target_met", "1 where a figure meets its target", labels=("name",))
    left = GaugeMetricFamily("comporta_error_budget_left", "Share of the error budget that is left", labels=("name",))
    burn = GaugeMetricFamily("comporta_burn_rate", "How fast the error budget is used up; 1 lasts", labels=("name",))
    for one in found:
        for family, value in ((met, one.met), (left, one.budget_left), (burn, one.burn_rate)):
            if value is not None:
                family.add_metric((one.name,), float(value))
    return [met, left, burn]
