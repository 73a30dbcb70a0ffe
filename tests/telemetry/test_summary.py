"""The figures: right by window, filter and group, and read from the rollups alone."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Callable

import msgspec
import pytest

from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.telemetry.partitions import ensure_days
from comporta.telemetry.record import CallRecord
from comporta.telemetry.shipping import insert_batch
from comporta.telemetry.summary import parse_window, read_summary, summarise

MakeRecord = Callable[..., CallRecord]
change = msgspec.structs.replace


async def put(database: Database, records: list[CallRecord]) -> None:
    days = {datetime.datetime.fromtimestamp(r.started_us / 1e6, datetime.UTC).date() for r in records}
    await ensure_days(database, days)
    await insert_batch(database, records)


def ago(record: CallRecord, **time: int) -> CallRecord:
    return change(
        record, started_us=record.started_us - datetime.timedelta(**time) // datetime.timedelta(microseconds=1)
    )


async def test_a_cost_that_nobody_knows_is_unknown_and_not_zero(database: Database, make_record: MakeRecord) -> None:
    unpriced = change(make_record(), model="strange", cost_microusd=None, cache="miss")
    hit = change(make_record(), model="strange", cost_microusd=0, cache="hit")
    await put(database, [unpriced, change(unpriced, id=str(uuid.uuid4())), hit])
    cost = (await summarise(database, window="1h")).figures.cost_breakdown
    assert cost.total_usd is None and cost.by_model_usd == {"strange": None} and cost.unpriced_calls == 2
    await put(database, [change(make_record(), model="free", cost_microusd=0)])
    cost = (await summarise(database, window="1h")).figures.cost_breakdown
    assert cost.total_usd == 0.0 and cost.by_model_usd == {"strange": None}, "a price of nothing is a price"
    await put(database, [make_record()])
    cost = (await summarise(database, window="1h")).figures.cost_breakdown
    assert cost.total_usd == pytest.approx(0.00015)


async def test_no_calls_cost_nothing(database: Database) -> None:
    cost = (await summarise(database, window="1h")).figures.cost_breakdown
    assert cost.total_usd == 0.0 and cost.by_model_usd == {}


async def test_the_figures_of_a_few_calls(database: Database, make_record: MakeRecord) -> None:
    failed = {"outcome": "first_token_timeout", "outcome_class": "timeout", "status": 504, "usage": None}
    await put(
        database,
        [
            make_record(duration_us=1_000_000),
            change(make_record(duration_us=3_000_000), model="gpt-y", cost_microusd=2_000_000),
            change(make_record(duration_us=2_000_000), cost_microusd=None, cache="miss"),
            change(make_record(duration_us=10_000), cost_microusd=0, cache="hit"),
            change(make_record(duration_us=9_000_000), cost_microusd=None, **failed),
        ],
    )
    figures = (await summarise(database, window="1h")).figures
    assert figures.total_requests == 5
    assert figures.success_rate == 0.8
    assert figures.timeout_rate == pytest.approx(0.2)
    assert figures.avg_response_time == pytest.approx(15.01 / 5)
    assert figures.p50 == pytest.approx(2.0, rel=0.04)
    assert figures.p99 == pytest.approx(9.0, rel=0.04)
    assert figures.total_tokens == 3 * 150 and figures.cache_tokens == 150
    assert figures.tokens["cached"] == 3 * 20
    assert figures.cost_breakdown.total_usd == pytest.approx(2.00015)
    assert figures.cost_breakdown.by_model_usd == {"gpt-x": 0.00015, "gpt-y": 2.0}
    assert figures.cost_breakdown.unpriced_calls == 1
    assert figures.model_usage["gpt-y"].calls == 1
    assert figures.cache_hit_rate == 0.5
    assert figures.outcomes == {"ok": 4, "timeout": 1}


async def test_a_window_leaves_out_what_is_older(database: Database, make_record: MakeRecord) -> None:
    ages = [{"minutes": 5}, {"hours": 3}, {"days": 3}, {"days": 20}, {"days": 90}]
    await put(database, [ago(make_record(), **age) for age in ages])
    windows = {"1h": 1, "24h": 2, "7d": 3, "30d": 4, "365d": 5}
    found = {w: (await summarise(database, window=w)).figures.total_requests for w in windows}
    assert found == windows


async def test_it_never_reads_the_calls(database: Database, make_record: MakeRecord) -> None:
    await put(database, [make_record()])
    async with database.connection() as connection:
        await connection.execute("drop table call, span cascade")
    assert (await summarise(database, window="30d")).figures.total_requests == 1


async def test_figures_by_group_and_filter_add_up(database: Database, make_record: MakeRecord) -> None:
    records = [make_record(route=r, team=t) for r in ("a", "b", "c") for t in ("x", "y") for _ in range(3)]
    await put(database, [*records, make_record(route="a", team=None)])
    by_route = await summarise(database, group_by="route")
    assert {g: f.total_requests for g, f in by_route.groups.items()} == {"a": 7, "b": 6, "c": 6}
    assert by_route.figures.total_requests == 19
    by_team = await summarise(database, group_by="team", filters={"route": "a"})
    assert {g: f.total_requests for g, f in by_team.groups.items()} == {"x": 3, "y": 3, "": 1}
    for name, value in {"key": "key-1", "environment": "production", "feature": "chat", "provider": "openai"}.items():
        assert (await summarise(database, filters={name: value})).figures.total_requests == 19
        assert (await summarise(database, filters={name: "nobody"})).figures.total_requests == 0


async def test_p95_from_the_rollups_is_within_four_percent_of_the_exact_one(
    database: Database, make_record: MakeRecord
) -> None:
    drawn = random.Random(11)
    records = [make_record(duration_us=int(drawn.lognormvariate(13, 1))) for _ in range(700)]
    records = [ago(r, minutes=n % 50) for n, r in enumerate(records)]
    await put(database, records)
    figures = (await summarise(database, window="1h")).figures
    exact = sorted(r.duration_us for r in records)[int(0.95 * 700) - 1] / 1e6
    first = sorted(r.first_us or 0 for r in records)[int(0.95 * 700) - 1] / 1e6
    assert figures.p95 == pytest.approx(exact, rel=0.04)
    assert figures.first_token_p95 == pytest.approx(first, rel=0.04)


async def test_without_calls_rates_are_unknown_rather_than_zero(database: Database) -> None:
    figures = (await summarise(database)).figures
    assert figures.total_requests == figures.total_tokens == 0
    assert figures.success_rate is figures.p95 is figures.avg_response_time is figures.cache_hit_rate is None


async def test_a_query_string_can_ask_it_and_the_answer_is_json(database: Database, make_record: MakeRecord) -> None:
    await put(database, [make_record()])
    summary = await read_summary(database, {"window": "7d", "group_by": "team", "route": "support"})
    told = msgspec.json.decode(msgspec.json.encode(summary))
    assert told["groups"]["water"]["total_requests"] == 1
    assert told["filters"] == {"route": "support"}


@pytest.mark.parametrize("window", ["", "0h", "1y", "-1h", "99999d", "1h; drop", "١h"])
def test_a_window_that_there_is_not_is_refused(window: str) -> None:
    with pytest.raises(BadRequest, match="window"):
        parse_window(window)


@pytest.mark.parametrize("query", [{"group_by": "user"}, {"outcome; drop": "x"}, {"session": "s"}])
async def test_what_figures_can_t_be_asked_by_is_refused_with_what_they_can(
    database: Database, query: dict[str, str]
) -> None:
    with pytest.raises(BadRequest, match="route, variant"):
        await read_summary(database, query)
