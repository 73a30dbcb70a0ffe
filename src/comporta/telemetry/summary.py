"""`/metrics/llm`: how many calls, how good, how fast and how dear, over a window; read from the rollups only."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from psycopg import sql

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.histogram import quantile_us
from comporta.telemetry.observability.sources import Unit, calls_in, facet_of, stretches
from comporta.telemetry.record import BUCKETS, OK

DEFAULT_WINDOW = "24h"
_WINDOW = re.compile(r"(\d{1,5})(m|h|d)", re.ASCII)
_UNIT = {"m": "minutes", "h": "hours", "d": "days"}
_MAX_WINDOW = datetime.timedelta(days=400)
_NEVER = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)
#: Longer windows are widened to whole hours.
MINUTES_UP_TO = datetime.timedelta(hours=24)

_SUMMED = (
    "calls", "retries", "cache_hits", "cache_lookups", "estimated_calls", "cost_microusd", "unpriced_calls",
    "duration_us", "hit_tokens", *(f"{b}_tokens" for b in BUCKETS),
)  # fmt: skip

SUMS = sql.SQL(
    "select {group}, model, outcome_class, {sums} from {table}"
    " where period >= %(since)s and period < %(until)s {where} group by 1, 2, 3 order by 1, 2, 3"
)
BUCKETED = sql.SQL(
    "select {group}, entry >> 40, sum(entry & ((1::bigint << 40) - 1))::bigint"
    " from {table}, unnest({histogram}) as entry"
    " where period >= %(since)s and period < %(until)s {where} group by 1, 2"
)


class Cost(Struct, frozen=True):
    """Money in US dollars; `unpriced_calls` used tokens whose price nobody knows and are not in it.

    Where nothing is known but calls without a price, the sum is unknown (null) and not 0.
    """

    total_usd: float | None
    by_model_usd: dict[str, float | None]
    unpriced_calls: int
    estimated_calls: int


class ModelUsage(Struct, frozen=True):
    calls: int
    tokens: int


class Figures(Struct, frozen=True):
    """Times are seconds. What can't be told without calls is null."""

    total_requests: int
    success_rate: float | None
    error_rate: float | None
    timeout_rate: float | None
    avg_response_time: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    first_token_p50: float | None
    first_token_p95: float | None
    #: Of calls that a provider answered; what our cache gave again stands in `cache_tokens`.
    total_tokens: int
    tokens: dict[str, int]
    cache_tokens: int
    cost_breakdown: Cost
    model_usage: dict[str, ModelUsage]
    cache_hit_rate: float | None
    retries: int
    outcomes: dict[str, int]


class Summary(Struct, frozen=True):
    """The figures of a window: of all calls that the filters let through, and by group where one was asked for."""

    window: str
    since: datetime.datetime
    filters: dict[str, str]
    figures: Figures
    group_by: str | None = None
    groups: dict[str, Figures] = {}


async def summarise(
    database: Database,
    *,
    window: str = DEFAULT_WINDOW,
    filters: Mapping[str, str] | None = None,
    group_by: str | None = None,
    now: datetime.datetime | None = None,
) -> Summary:
    """Figures from the rollups. Raises BadRequest for a window, filter or group that there is not."""
    length = parse_window(window)
    filters = dict(filters or {})
    for name in (*filters, *([group_by] if group_by else [])):
        if name not in COLUMNS:
            raise BadRequest(
                f"Figures can't be asked by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
    minutes = length <= MINUTES_UP_TO
    since = floor((now or datetime.datetime.now(datetime.UTC)) - length, 60 if minutes else 3600)
    asked = _Asked("minute" if minutes else "hour", since, filters, group_by)
    async with database.reading() as connection:
        rows = await asked.sums(connection)
        latency = await asked.histogram(connection, "latency")
        first_token = await asked.histogram(connection, "first_token")
    return Summary(
        window, since, filters, _figures(rows, latency.values(), first_token.values()), group_by,
        _groups(rows, latency, first_token) if group_by else {},
    )  # fmt: skip


def floor(at: datetime.datetime, unit_s: int) -> datetime.datetime:
    """The beginning of the minute or hour (UTC) that a point in time lies in."""
    return datetime.datetime.fromtimestamp(int(at.timestamp() // unit_s) * unit_s, datetime.UTC)


async def read_summary(database: Database, query: Mapping[str, str]) -> Summary:
    """The same by a query string: `window`, `group_by`, and filters by their names."""
    filters = {name: value for name, value in query.items() if name not in ("window", "group_by")}
    return await summarise(
        database, window=query.get("window", DEFAULT_WINDOW), filters=filters, group_by=query.get("group_by")
    )


def parse_window(text: str) -> datetime.timedelta:
    """`1h`, `24h`, `7d`, `30d` and the like."""
    match = _WINDOW.fullmatch(text)
    if match:
        length = datetime.timedelta(**{_UNIT[match[2]]: int(match[1])})
        if datetime.timedelta(0) < length <= _MAX_WINDOW:
            return length
    raise BadRequest("A window is a number with m, h or d, at most 400d: 1h, 24h, 7d, 30d.", param="window")


Row = dict[str, Any]
Calls = dict[int, int]


class _Asked(Struct, frozen=True):
    unit: Unit
    since: datetime.datetime
    filters: dict[str, str]
    group_by: str | None

    async def sums(self, connection: Connection) -> list[Row]:
        sums = sql.SQL(", ").join(sql.SQL("sum({})::bigint").format(sql.Identifier(c)) for c in _SUMMED)
        cursor = await connection.execute(SUMS.format(sums=sums, **self._parts("model")), self._values())
        names = ("group", "model", "outcome_class", *_SUMMED)
        return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]

    async def histogram(self, connection: Connection, column: str) -> dict[str, Calls]:
        query = BUCKETED.format(histogram=sql.Identifier(column), **self._parts())
        cursor = await connection.execute(query, self._values())
        found: dict[str, Calls] = {}
        for group, bucket, calls in await cursor.fetchall():
            found.setdefault(group, {})[bucket] = calls
        return found

    def _parts(self, *also: str) -> dict[str, sql.Composable]:
        where = [
            sql.SQL(" and {} = {}").format(sql.Identifier(COLUMNS[name]), sql.Placeholder(f"only_{name}"))
            for name in self.filters
        ]
        group = sql.Identifier(COLUMNS[self.group_by]) if self.group_by else sql.SQL("''")
        columns = [*also, *(COLUMNS[name] for name in (*self.filters, *([self.group_by] if self.group_by else [])))]
        table = calls_in(stretches(self.unit, self.since, _NEVER, "day"), facet_of(columns))
        return {"group": group, "table": table, "where": sql.SQL("").join(where)}

    def _values(self) -> dict[str, Any]:
        """Without an end: what begins in the future is of a clock that goes ahead."""
        given = {f"only_{name}": value for name, value in self.filters.items()}
        return {"since": self.since, "until": _NEVER, **given}


def _groups(rows: list[Row], latency: dict[str, Calls], first_token: dict[str, Calls]) -> dict[str, Figures]:
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(row["group"], []).append(row)
    return {g: _figures(r, [latency.get(g, {})], [first_token.get(g, {})]) for g, r in by_group.items()}


def _figures(rows: list[Row], latency: Iterable[Calls], first_token: Iterable[Calls]) -> Figures:
    calls = _sum(rows, "calls")
    outcomes = _by(rows, "outcome_class", lambda row: int(row["calls"]))
    tokens = {bucket: _sum(rows, f"{bucket}_tokens") for bucket in BUCKETS}
    ok = outcomes.get("ok", 0)
    times, firsts = _merged(latency), _merged(first_token)
    return Figures(
        total_requests=calls,
        success_rate=_share(ok, calls),
        error_rate=_share(calls - ok, calls),
        timeout_rate=_share(outcomes.get("timeout", 0), calls),
        avg_response_time=_sum(rows, "duration_us") / calls / 1e6 if calls else None,
        p50=_seconds(times, 0.5),
        p95=_seconds(times, 0.95),
        p99=_seconds(times, 0.99),
        first_token_p50=_seconds(firsts, 0.5),
        first_token_p95=_seconds(firsts, 0.95),
        total_tokens=sum(tokens.values()),
        tokens=tokens,
        cache_tokens=_sum(rows, "hit_tokens"),
        cost_breakdown=_cost(rows),
        model_usage=_model_usage(rows),
        cache_hit_rate=_share(_sum(rows, "cache_hits"), _sum(rows, "cache_lookups")),
        retries=_sum(rows, "retries"),
        outcomes=outcomes,
    )


def _cost(rows: list[Row]) -> Cost:
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    costs = {model: _known_usd(of_model) for model, of_model in by_model.items()}
    return Cost(
        total_usd=_known_usd(rows),
        by_model_usd={model: cost for model, cost in costs.items() if cost != 0},
        unpriced_calls=_sum(rows, "unpriced_calls"),
        estimated_calls=_sum(rows, "estimated_calls"),
    )


def _known_usd(rows: list[Row]) -> float | None:
    """The cost of calls; None where not one that was paid for has a price."""
    cost, unpriced = _sum(rows, "cost_microusd"), _sum(rows, "unpriced_calls")
    answered = sum(int(row["calls"]) for row in rows if row["outcome_class"] == OK)
    if not cost and unpriced and answered <= unpriced + _sum(rows, "cache_hits"):
        return None
    return cost / 1e6


def _model_usage(rows: list[Row]) -> dict[str, ModelUsage]:
    calls = _by(rows, "model", lambda row: int(row["calls"]))
    tokens = _by(rows, "model", lambda row: sum(int(row[f"{b}_tokens"]) for b in BUCKETS))
    # Calls that were refused before a model was chosen have none.
    return {model: ModelUsage(calls[model], tokens[model]) for model in calls if model}


def _by(rows: list[Row], name: str, value: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row[name]] = found.get(row[name], 0) + value(row)
    return found


def _sum(rows: list[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _merged(histograms: Iterable[Calls]) -> Calls:
    found: Calls = {}
    for histogram in histograms:
        for bucket, calls in histogram.items():
            found[bucket] = found.get(bucket, 0) + calls
    return found


def _seconds(histogram: Calls, q: float) -> float | None:
    value_us = quantile_us(histogram, q)
    return None if value_us is None else value_us / 1e6
