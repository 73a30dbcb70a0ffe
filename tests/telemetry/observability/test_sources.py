"""A window is read from the coarsest sums that hold it exactly, and what is read so is what the calls say."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Callable, Sequence

import msgspec
import pytest

from comporta.store.database import Database
from comporta.telemetry import partitions
from comporta.telemetry.histogram import bucket_of, value_of
from comporta.telemetry.observability import facets
from comporta.telemetry.observability.sources import UNIT_S, Stretch, Unit, facet_of, stretches
from comporta.telemetry.record import CallRecord
from comporta.telemetry.series import Series, series
from comporta.telemetry.shipping import insert_batch
from comporta.telemetry.summary import summarise

MakeRecord = Callable[..., CallRecord]
NOW = datetime.datetime.now(datetime.UTC).replace(minute=37, second=20, microsecond=0) - datetime.timedelta(hours=2)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
NAMES = ["calls", "error_rate", "cost", "latency_p95", "daily_spend"]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 3, day, hour, minute, tzinfo=datetime.UTC)


def told(parts: Sequence[Stretch]) -> list[tuple[str, datetime.datetime, datetime.datetime]]:
    return [(part.unit, part.begin, part.end) for part in parts]


def test_a_window_is_whole_days_with_hours_and_minutes_at_its_ends() -> None:
    assert told(stretches("minute", at(1, 22, 30), at(4, 1, 10), "day")) == [
        ("minute", at(1, 22, 30), at(1, 23)), ("hour", at(1, 23), at(2)), ("day", at(2), at(4)),
        ("hour", at(4), at(4, 1)), ("minute", at(4, 1), at(4, 1, 10)),
    ]  # fmt: skip


def test_no_sum_is_coarser_than_what_may_be_read() -> None:
    assert told(stretches("minute", at(1, 22, 30), at(4), "hour")) == [
        ("minute", at(1, 22, 30), at(1, 23)), ("hour", at(1, 23), at(4)),
    ]  # fmt: skip
    assert told(stretches("hour", at(1), at(4), "minute")) == [("hour", at(1), at(4))]
    assert told(stretches("minute", at(1, 2, 3), at(1, 2, 58), "day")) == [("minute", at(1, 2, 3), at(1, 2, 58))]


@pytest.mark.parametrize("seed", range(40))
def test_every_window_is_covered_once_and_by_whole_periods(seed: int) -> None:
    draw = random.Random(seed)
    units: list[Unit] = ["minute", "hour", "day"]
    unit, coarsest = draw.choice(units[:2]), draw.choice(units)
    begin_s = draw.randrange(1_000_000) * UNIT_S[unit] + 1_700_000_000 // UNIT_S[unit] * UNIT_S[unit]
    end_s = begin_s + draw.randrange(1, draw.choice([3, 100, 5000])) * UNIT_S[unit]
    begin, end = (datetime.datetime.fromtimestamp(s, datetime.UTC) for s in (begin_s, end_s))
    parts = stretches(unit, begin, end, coarsest)
    assert [part.begin for part in parts] == [begin, *[part.end for part in parts[:-1]]] and parts[-1].end == end
    for part in parts:
        assert part.begin < part.end
        assert part.begin.timestamp() % UNIT_S[part.unit] == 0 == part.end.timestamp() % UNIT_S[part.unit]
        assert UNIT_S[part.unit] <= max(UNIT_S[coarsest], UNIT_S[unit])


def test_two_properties_at_once_are_more_than_a_sum_by_one_knows() -> None:
    assert (facet_of([]), facet_of(["route"]), facet_of(["route", "route"])) == ("", "route", "route")
    assert facet_of(["route", "model"]) is None and facet_of(["outcome_class"]) is None


async def put(database: Database, make_record: MakeRecord, seed: int, n: int = 60) -> list[CallRecord]:
    """Calls of five weeks, of three routes and models."""
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        failed = {"outcome": "upstream_error", "outcome_class": "upstream", "status": 502}
        when = NOW - draw.choice([HOUR, DAY, 5 * DAY, 35 * DAY]) * draw.random()
        record = make_record(duration_us=draw.randrange(1_000, 9_000_000))
        made.append(
            msgspec.structs.replace(
                record, id=str(uuid.uuid4()), route=draw.choice("abc"), model=draw.choice("mn"),
                started_us=int(when.timestamp() * 1e6), cost_microusd=draw.randrange(1_000_000),
                **(failed if draw.random() < 0.2 else {}),
            )
        )  # fmt: skip
    await partitions.ensure_days(database, {partitions.day_of(one) for one in made})
    await insert_batch(database, made)
    return made


def p95_s(calls: Sequence[CallRecord]) -> float:
    buckets = sorted(bucket_of(one.duration_us) for one in calls)
    return value_of(buckets[-(-len(buckets) * 95 // 100) - 1]) / 1e6


async def check(database: Database, calls: Sequence[CallRecord]) -> None:
    """Windows of all lengths and groups, against the calls themselves."""
    for length in (HOUR / 2, 3 * HOUR, DAY, 2 * DAY, 30 * DAY, 40 * DAY):
        for group_by in (None, "route", "model"):
            found = await series(database, NAMES, since=NOW - length, until=NOW, group_by=group_by, now=NOW)
            since, until = found.since.timestamp(), found.until.timestamp()
            inside = [one for one in calls if since <= one.started_us / 1e6 < until]
            groups = {getattr(one, group_by) if group_by else None for one in inside}
            assert {line.group for line in found.lines if line.calls} == groups
            for line in found.lines:
                mine = [one for one in inside if group_by is None or getattr(one, group_by) == line.group]
                if not mine:
                    continue
                assert line.calls == len(mine) == line.total["calls"]
                assert line.total["cost"] == pytest.approx(sum(one.cost_microusd or 0 for one in mine) / 1e6)
                assert line.total["error_rate"] == pytest.approx(
                    sum(one.outcome_class != "ok" for one in mine) / len(mine)
                )
                assert line.total["latency_p95"] == pytest.approx(p95_s(mine))


def by_day(found: Series) -> list[float | None]:
    return found.lines[0].points["calls"]


async def test_figures_are_those_of_the_calls_before_sums_are_made_after_it_and_with_late_calls(
    database: Database, make_record: MakeRecord
) -> None:
    calls = await put(database, make_record, 1)
    await check(database, calls)
    await facets.refresh(database)
    await check(database, calls)
    calls += await put(database, make_record, 2)
    await check(database, calls)
    await facets.refresh(database)
    await check(database, calls)


async def test_days_are_made_of_all_their_hours_and_read_instead_of_them(
    database: Database, make_record: MakeRecord
) -> None:
    calls = await put(database, make_record, 3)
    await facets.refresh(database)
    asked = {"since": MIDNIGHT - 30 * DAY, "until": MIDNIGHT, "now": NOW}
    whole = await series(database, NAMES, **asked)  # type: ignore[arg-type]
    days = await series(database, ["calls"], step_s=86_400, **asked)  # type: ignore[arg-type]
    halves = await series(database, ["calls"], step_s=43_200, **asked)  # type: ignore[arg-type]
    pairs = [(a or 0) + (b or 0) for a, b in zip(by_day(halves)[::2], by_day(halves)[1::2], strict=True)]
    assert by_day(days) == pairs and sum(pairs) == whole.lines[0].calls > 10
    async with database.connection() as connection:
        for table in ("facet_hour", "rollup_hour", "facet_minute", "rollup_minute"):
            await connection.execute(f"delete from {table} where period < %s".encode(), [MIDNIGHT])
    again = await series(database, [n for n in NAMES if n != "daily_spend"], **asked)  # type: ignore[arg-type]
    assert (
        again.lines[0].calls
        == whole.lines[0].calls
        == len([one for one in calls if asked["since"].timestamp() <= one.started_us / 1e6 < MIDNIGHT.timestamp()])
    )
    assert again.lines[0].total["latency_p95"] == whole.lines[0].total["latency_p95"]


async def test_a_day_waits_for_its_hours_and_keeps_its_mark_until_then(
    database: Database, make_record: MakeRecord
) -> None:
    await put(database, make_record, 4, n=5)
    async with database.connection() as connection:
        await facets._some(connection, "day", {"grace_s": 0, "back_s": 1e8, "limit": 100})
        row = await (await connection.execute("select count(*) from facet_day")).fetchone()
        assert row == (0,)
    await facets.refresh(database)
    async with database.connection() as connection:
        row = await (
            await connection.execute("select count(*) from facet_stale_day where period < %s", [MIDNIGHT])
        ).fetchone()
        assert row == (0,)


async def test_days_go_with_their_last_hours(database: Database, make_record: MakeRecord) -> None:
    calls = await put(database, make_record, 5)
    await facets.refresh(database)
    await partitions.retain(database, 30, hour_days=31)
    since = MIDNIGHT - 29 * DAY
    found = await series(database, ["calls"], since=since, until=NOW, now=NOW)
    late = [one for one in calls if since.timestamp() <= one.started_us / 1e6 < found.until.timestamp()]
    assert found.lines[0].calls == len(late)
    async with database.connection() as connection:
        row = await (await connection.execute("select min(period) from facet_day")).fetchone()
    assert row is not None and row[0] >= MIDNIGHT - 33 * DAY


async def test_the_summary_of_a_window_is_that_of_its_calls(database: Database, make_record: MakeRecord) -> None:
    calls = await put(database, make_record, 6)
    await facets.refresh(database)
    for window, length in (("24h", DAY), ("7d", 7 * DAY), ("30d", 30 * DAY)):
        found = await summarise(database, window=window, group_by="route", now=NOW)
        inside = [one for one in calls if found.since.timestamp() <= one.started_us / 1e6]
        assert found.since <= NOW - length and found.figures.total_requests == len(inside)
        assert found.figures.p95 == pytest.approx(p95_s(inside))
        assert {name: one.total_requests for name, one in found.groups.items()} == {
            name: sum(one.route == name for one in inside) for name in {one.route for one in inside}
        }
