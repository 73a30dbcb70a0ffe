"""`/metrics/llm`: the summary of a window together with every figure by its name, and how targets stand."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import field

from comporta.store.database import Database
from comporta.telemetry.observability.names import METRICS
from comporta.telemetry.observability.targets import Standing, Target, standings
from comporta.telemetry.series import Line, series
from comporta.telemetry.summary import DEFAULT_WINDOW, Summary, parse_window, summarise


class Report(Summary, frozen=True):
    """`metrics` are of all calls that the filters let through, `metrics_by_group` of each group."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    metrics_by_group: dict[str, dict[str, float | None]] = field(default_factory=dict)
    targets: list[Standing] = field(default_factory=list)
    #: Providers, models and keys that are left alone; only for administrators.
    breakers: list[dict[str, Any]] = field(default_factory=list)


async def report(
    database: Database,
    *,
    window: str = DEFAULT_WINDOW,
    filters: Mapping[str, str] | None = None,
    group_by: str | None = None,
    targets: Sequence[Target] = (),
    target_window_s: float = 30 * 86_400.0,
    present: Mapping[str, float | None] | None = None,
    now: datetime.datetime | None = None,
) -> Report:
    """All of it, from the rollups. Raises BadRequest for a window, filter or group that there is not, Unavailable."""
    now = now or datetime.datetime.now(datetime.UTC)
    summary = await summarise(database, window=window, filters=filters, group_by=group_by, now=now)
    since = now - parse_window(window)

    async def lines(group: str | None) -> list[Line]:
        found = await series(
            database, list(METRICS), since=since, until=now, filters=filters, group_by=group, now=now, present=present
        )
        return found.lines

    groups = await lines(group_by) if group_by else []
    return Report(
        summary.window, summary.since, summary.filters, summary.figures, summary.group_by, summary.groups,
        (await lines(None))[0].total, {line.group or "": line.total for line in groups},
        await standings(database, targets, target_window_s, filters=filters, now=now, present=present),
    )  # fmt: skip
