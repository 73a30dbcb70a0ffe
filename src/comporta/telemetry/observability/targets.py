"""Targets: whether a figure meets its own, and what is left of the error budget that the target allows.

The budget is what may go wrong while the target is still met: with `availability: 99.95%` five calls in ten thousand,
with `latency_p95: 1200ms` the slowest twentieth. The burn rate is how fast it is used up: at 1 it lasts exactly the
window, at 14.4 a month's is gone in two days (the Site Reliability Workbook, chapter 5, has these figures).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from msgspec import Struct

from comporta.store.database import Database
from comporta.telemetry.observability.bounds import Bound, written
from comporta.telemetry.observability.names import METRICS, Metric, metric
from comporta.telemetry.observability.reading import asked, read
from comporta.telemetry.observability.sums import Sums

#: What the burn rate looks at.
_BURN_OVER = datetime.timedelta(hours=1)


class Target(Struct, frozen=True):
    """A figure and the side on which it is to stay."""

    name: str
    bound: Bound


class Standing(Struct, frozen=True):
    """How a target stands over its window. `met` is None where there was nothing to tell by.

    `budget_left` is from 1 (nothing went wrong) down below 0 (more than was allowed), `burn_rate` that of the last
    hour; both None for figures that count nothing that goes wrong, or without calls.
    """

    name: str
    target: str
    window_s: float
    value: float | None
    met: bool | None
    budget_left: float | None = None
    burn_rate: float | None = None


async def standings(
    database: Database,
    targets: Sequence[Target],
    window_s: float,
    *,
    filters: Mapping[str, str] | None = None,
    now: datetime.datetime | None = None,
    present: Mapping[str, float | None] | None = None,
) -> list[Standing]:
    """How each target stands, read from the rollups. Raises BadRequest for a filter that there is not, Unavailable."""
    if not targets:
        return []
    now = now or datetime.datetime.now(datetime.UTC)
    metrics = [METRICS.get(one.name) or metric(one.name) for one in targets]
    whole = await _sums(database, now - datetime.timedelta(seconds=window_s), now, metrics, filters, present)
    late = await _sums(database, now - _BURN_OVER, now, metrics, filters, present)
    return [_standing(target, one, whole, late, window_s) for target, one in zip(targets, metrics, strict=True)]


def _standing(target: Target, metric: Metric, whole: Sums, late: Sums, window_s: float) -> Standing:
    value = metric.of(whole)
    enough = value is not None and (metric.n(whole) > 0 or "now" in metric.needs)
    spent, burning = spent_share(metric, target.bound, whole), spent_share(metric, target.bound, late)
    return Standing(
        metric.name, written(target.bound, metric.unit), window_s, value,
        target.bound.holds(value) if enough and value is not None else None,
        None if spent is None else 1 - spent, burning,
    )  # fmt: skip


def spent_share(metric: Metric, bound: Bound, sums: Sums) -> float | None:
    """What went wrong as a share of what was allowed to; None where that can't be told."""
    if metric.events is None:
        return None
    allowed = metric.allowed
    if allowed is None:
        allowed = bound.value if metric.worse == "up" else 1 - bound.value
    bad, total = metric.events(sums, bound.value)
    if not total or allowed <= 0:
        return None
    return bad / total / allowed


async def _sums(
    database: Database, since: datetime.datetime, until: datetime.datetime, metrics: Sequence[Metric],
    filters: Mapping[str, str] | None, present: Mapping[str, float | None] | None,
) -> Sums:  # fmt: skip
    question = asked(since, until, None, filters)
    total = Sums((until - question.since).total_seconds(), now=present or {})
    for cell in (await read(database, question, metrics, until)).values():
        total.add(cell)
        total.day_microusd = cell.day_microusd
    return total
