"""Figures over time: right by step, group and filter, against the time before, and from the rollups alone."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import msgspec
import pytest

from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.telemetry import score_tables
from comporta.telemetry.observability import tops
from comporta.telemetry.partitions import ensure_days
from comporta.telemetry.record import CallRecord
from comporta.telemetry.scores import record_of
from comporta.telemetry.series import Line, compare, series, top
from comporta.telemetry.shipping import insert_batch
from comporta.types import Score, Source, Usage

MakeRecord = Callable[..., CallRecord]
change = msgspec.structs.replace
NOW = datetime.datetime(2026, 11, 20, 12, 30, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def at(record: CallRecord, when: datetime.datetime, **changes: object) -> CallRecord:
    """A record of its own that began then."""
    return change(record, id=str(uuid.uuid4()), started_us=int(when.timestamp() * 1e6), **changes)


async def put(database: Database, *records: CallRecord) -> None:
    days = {datetime.datetime.fromtimestamp(r.started_us / 1e6, datetime.UTC).date() for r in records}
    await ensure_days(database, days)
    await insert_batch(database, records)


async def score(
    database: Database, record: CallRecord, name: str, value: float | bool | str, *, id: str = "", who: str = "",
    source: Source = "user", when: datetime.datetime = NOW,
) -> None:  # fmt: skip
    said = Score(id or str(uuid.uuid4()), "", record.id, name, value, source, who=who, at_s=when.timestamp())
    async with database.connection() as connection:
        await score_tables.insert(connection, [record_of(said, now_s=when.timestamp())])
    async with database.connection() as connection:
        await score_tables.join(connection, 100)


async def one(database: Database, *names: str, **asked: object) -> Line:
    given = {"since": NOW - HOUR, "until": NOW, "now": NOW, **asked}
    found = await series(database, names, **given)  # type: ignore[arg-type]
    return found.lines[0]


FAILED = {"outcome": "upstream_error", "outcome_class": "upstream", "status": 502}
REFUSED = {"outcome": "rate_limited", "outcome_class": "refused", "status": 429}


async def test_calls_fall_into_the_step_that_they_began_in(database: Database, make_record: MakeRecord) -> None:
    record = make_record()
    await put(database, *[at(record, NOW - datetime.timedelta(minutes=m)) for m in (50, 50, 20, 1)])
    found = await series(database, ["calls"], since=NOW - HOUR, until=NOW, step_s=900, now=NOW)
    assert found.lines[0].points == {"calls": [2.0, 0.0, 1.0, 1.0]}
    assert found.lines[0].total == {"calls": 4.0}
    assert [t.minute for t in found.times] == [30, 45, 0, 15]


async def test_groups_beyond_a_charts_fifty_are_told_to_whoever_asks_for_all(
    database: Database, make_record: MakeRecord
) -> None:
    record = make_record()
    await put(database, *[at(record, NOW - HOUR / 2, key_id=f"key-{n:02}") for n in range(60)])
    drawn = await series(database, ["calls"], since=NOW - HOUR, until=NOW, group_by="key", now=NOW)
    every = await series(database, ["calls"], since=NOW - HOUR, until=NOW, group_by="key", now=NOW, most=1_000)
    assert (len(drawn.lines), drawn.others) == (50, 10)
    assert (len(every.lines), every.others) == (60, 0)
    assert all(line.total["calls"] == 1.0 for line in every.lines)


async def test_what_is_still_to_come_is_unknown_and_not_nothing(database: Database, make_record: MakeRecord) -> None:
    await put(database, at(make_record(), NOW))
    later = NOW + HOUR
    found = await series(database, ["calls"], since=NOW, until=later, step_s=1800, now=NOW + HOUR / 4)
    assert found.lines[0].points == {"calls": [1.0, None]}


async def test_groups_come_with_the_most_calls_first(database: Database, make_record: MakeRecord) -> None:
    records = [at(make_record(route=r), NOW - HOUR / 2) for r in ("a", "b", "b", "c", "c", "c")]
    await put(database, *[change(r, route=r.asked) for r in records])
    found = await series(database, ["calls"], since=NOW - HOUR, until=NOW, group_by="route", now=NOW)
    assert [(line.group, line.calls) for line in found.lines] == [("c", 3), ("b", 2), ("a", 1)]


async def test_a_filter_leaves_the_others_out(database: Database, make_record: MakeRecord) -> None:
    await put(database, at(make_record(team="x"), NOW - HOUR / 2), at(make_record(team="y"), NOW - HOUR / 2))
    assert (await one(database, "calls", filters={"team": "x"})).total == {"calls": 1.0}


async def test_availability_leaves_out_what_callers_brought_about(database: Database, make_record: MakeRecord) -> None:
    good = at(make_record(), NOW - HOUR / 2)
    await put(
        database, good, *[at(good, NOW - HOUR / 2) for _ in range(2)], at(good, NOW - HOUR / 2, **FAILED),
        at(good, NOW - HOUR / 2, **REFUSED),
    )  # fmt: skip
    found = (await one(database, "availability", "error_rate", "success_rate")).total
    assert found == {"availability": 0.75, "error_rate": 0.4, "success_rate": 0.6}


async def test_times_and_speeds_are_those_of_the_calls(database: Database, make_record: MakeRecord) -> None:
    slow = at(make_record(duration_us=4_000_000), NOW - HOUR / 2, usage=Usage(input=10, output=200))
    hit = at(make_record(duration_us=1_000), NOW - HOUR / 2, cache="hit", usage=Usage(input=10, output=200))
    await put(database, slow, at(slow, NOW - HOUR / 2), hit)
    found = (await one(database, "p95", "token_rate", "throughput", "average_response_time")).total
    assert found["p95"] == pytest.approx(4.0, rel=0.04)
    assert found["token_rate"] == pytest.approx(50.0), "an answer given again has no speed"
    assert found["throughput"] == pytest.approx(3 / 3600)
    assert found["average_response_time"] == pytest.approx(8.001 / 3)


async def test_money_counts_what_has_a_price_and_what_was_saved(database: Database, make_record: MakeRecord) -> None:
    paid = at(make_record(), NOW - HOUR / 2, cost_microusd=2_000_000, usage=Usage(input=500, output=500))
    unpriced = at(paid, NOW - HOUR / 2, cost_microusd=None)
    hit = at(paid, NOW - HOUR / 2, cost_microusd=0, cache="hit", notes={"cache": {"saved_microusd": 1_500_000}})
    shorter = at(paid, NOW - HOUR / 2, cost_microusd=0, notes={"tokens": {"saved_microusd": 250_000}, "cache": "odd"})
    await put(database, paid, unpriced, hit, shorter)
    names = ("cost_per_hour", "cost_per_request", "cost_per_1k_tokens", "cache_saving", "token_saving")
    found = (await one(database, *names)).total
    assert found == {
        "cost_per_hour": 2.0, "cost_per_request": pytest.approx(2 / 3), "cost_per_1k_tokens": 1.0,
        "cache_saving": 1.5, "token_saving": 0.25,
    }  # fmt: skip


async def test_the_days_spending_begins_at_midnight(database: Database, make_record: MakeRecord) -> None:
    dollar = at(make_record(), NOW, cost_microusd=1_000_000)
    hours = (13, 11, 2)
    await put(database, *[at(dollar, NOW - HOUR * back) for back in hours])
    assert (await one(database, "daily_spend", since=NOW - HOUR)).total == {"daily_spend": 2.0}
    found = await series(database, ["daily_spend"], since=NOW - HOUR * 26, until=NOW, step_s=3600, now=NOW)
    spent = found.lines[0].points["daily_spend"]
    assert [spent[n] for n in (12, 13, 14, 15, 23, 24)] == [0.0, 1.0, 0.0, 1.0, 1.0, 2.0]


async def test_tries_that_helped_are_told_from_those_that_did_not(database: Database, make_record: MakeRecord) -> None:
    again = at(make_record(), NOW - HOUR / 2, retries=2)
    await put(database, again, at(again, NOW - HOUR / 2), at(again, NOW - HOUR / 2, **FAILED), at(make_record(), NOW))
    assert (await one(database, "retry_success_rate")).total == {"retry_success_rate": pytest.approx(2 / 3)}


async def test_quality_is_read_from_what_was_judged(database: Database, make_record: MakeRecord) -> None:
    call = at(make_record(), NOW - HOUR / 2)
    await put(database, call, at(call, NOW - HOUR / 2))
    when = NOW - HOUR / 2
    for name, value in (("thumbs", True), ("thumbs", False), ("thumbs", True), ("rating", 5.0), ("correction", "no"),
                        ("groundedness", 0.2), ("groundedness", 0.9), ("relevance", 0.5)):  # fmt: skip
        await score(database, call, name, value, when=when)
    names = ("thumbs_up_ratio", "user_satisfaction", "correction_rate", "hallucination_rate", "relevance_score")
    assert (await one(database, *names)).total == {
        "thumbs_up_ratio": pytest.approx(2 / 3), "user_satisfaction": 0.75, "correction_rate": 0.5,
        "hallucination_rate": 0.5, "relevance_score": 0.5,
    }  # fmt: skip
    assert (await one(database, "score.rating", filters={"route": "support"})).total == {"score.rating": 5.0}
    assert (await one(database, "score.rating", filters={"route": "other"})).total == {"score.rating": None}


async def test_a_mind_that_was_changed_counts_once_and_as_it_is_now(
    database: Database, make_record: MakeRecord
) -> None:
    call = at(make_record(), NOW - HOUR / 2)
    await put(database, call)
    await score(database, call, "thumbs", True, id="one", when=NOW - HOUR / 2)
    await score(database, call, "thumbs", False, id="one", when=NOW - HOUR / 4)
    async with database.connection() as connection:
        rows = await (await connection.execute("select sum(n)::int, sum(total) from score_minute")).fetchone()
    assert rows == (1, 0.0)
    assert (await one(database, "thumbs_up_ratio")).total == {"thumbs_up_ratio": 0.0}


async def test_what_guards_found_is_counted_by_kind_and_by_what_became_of_it(
    database: Database, make_record: MakeRecord
) -> None:
    call = at(make_record(), NOW - HOUR / 2)
    await put(database, call)
    for who, outcome in (("pii_detection", "redact"), ("pii_detection", "block"), ("toxicity_check", "flag"),
                         ("jailbreak_detection", "block"), ("prompt_injection", "flag")):  # fmt: skip
        await score(database, call, f"guard.{who}", outcome, who=who, source="guard", when=NOW - HOUR / 2)
    names = ("guardrail_blocks", "pii_detected", "toxicity_flagged", "jailbreak_attempts")
    assert list((await one(database, *names)).total.values()) == [2.0, 2.0, 1.0, 2.0]


async def test_scores_go_on_being_summed_up_after_their_table_was_shortened(
    database: Database, make_record: MakeRecord
) -> None:
    call = at(make_record(), NOW - HOUR / 2)
    await put(database, call)
    await score(database, call, "thumbs", True, when=NOW - HOUR)
    assert await score_tables.keep_within(database, 1)
    await score(database, call, "thumbs", True, when=NOW - HOUR / 2)
    assert (await one(database, "thumbs_up_ratio", since=NOW - 2 * HOUR)).total == {"thumbs_up_ratio": 1.0}
    async with database.connection() as connection:
        assert await (await connection.execute("select sum(n)::int from score_hour")).fetchone() == (2,)


async def test_long_windows_say_the_same_as_short_ones(database: Database, make_record: MakeRecord) -> None:
    call = at(make_record(), NOW - HOUR * 3)
    await put(database, call, at(call, NOW - HOUR * 4, **FAILED))
    await score(database, call, "thumbs", True, when=NOW - HOUR * 3)
    names = ("calls", "error_rate", "thumbs_up_ratio", "latency_p50", "cost")
    short = await one(database, *names, since=NOW - HOUR * 5)
    long = await one(database, *names, since=NOW - HOUR * 24 * 30)
    assert short.total == long.total and short.total["calls"] == 2.0


async def test_it_never_reads_the_calls(database: Database, make_record: MakeRecord) -> None:
    await put(database, at(make_record(), NOW - HOUR / 2))
    async with database.connection() as connection:
        await connection.execute("drop table call, span, score cascade")
    names = ("calls", "latency_p99", "thumbs_up_ratio", "daily_spend")
    assert (await one(database, *names)).total["calls"] == 1.0
    assert [t.name for t in await top(database, "model", "calls", since=NOW - HOUR, until=NOW, now=NOW)] == ["gpt-x"]


async def test_a_window_is_held_against_the_one_before(database: Database, make_record: MakeRecord) -> None:
    call = make_record()
    await put(database, *[at(call, NOW - HOUR / 2) for _ in range(3)], *[at(call, NOW - HOUR * 1.5) for _ in range(2)])
    found = await compare(database, ["calls", "thumbs_up_ratio"], since=NOW - HOUR, until=NOW, now=NOW)
    assert (found["calls"].value, found["calls"].before, found["calls"].change) == (3.0, 2.0, 0.5)
    assert found["thumbs_up_ratio"].change is None


async def test_the_dearest_users_are_listed_by_the_hour(database: Database, make_record: MakeRecord) -> None:
    call = at(make_record(), NOW, cost_microusd=1_000_000)
    await put(
        database, at(call, NOW, user="ana"), at(call, NOW - HOUR, user="ana"), at(call, NOW, user="bo", **FAILED),
        at(call, NOW, user=None, session=None),
    )  # fmt: skip
    assert await tops.make(database, NOW) == 2
    found = await top(database, "user", "cost", since=NOW - HOUR * 2, until=NOW + HOUR, now=NOW)
    assert [(t.name, t.value, t.calls, t.error_rate) for t in found] == [("ana", 2.0, 2, 0.0), ("bo", 1.0, 1, 1.0)]
    assert await tops.make(database, NOW) == 0, "nothing has changed"
    by_errors = await top(database, "user", "error_rate", since=NOW - HOUR * 2, until=NOW + HOUR, n=1, now=NOW)
    assert [t.name for t in by_errors] == ["bo"]


async def test_an_hour_keeps_only_its_first(
    database: Database, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tops, "KEPT", 2)
    call = at(make_record(), NOW, session=None)
    names = ["many"] * 3 + ["some"] * 2 + ["few", "fewer"]
    await put(database, *[at(call, NOW, user=name, cost_microusd=0) for name in names])
    await tops.make(database, NOW)
    async with database.connection() as connection:
        rows = await (await connection.execute("select name from top_hour")).fetchall()
    assert {name for (name,) in rows} == {"many", "some"}


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (["cots"], {}),
        (["calls"], {"group_by": "shoe"}),
        (["calls"], {"filters": {"user": "ana"}}),
        (["calls"], {"until": NOW - HOUR * 2}),
        (["calls"], {"since": NOW - HOUR * 24 * 300, "step_s": 60}),
    ],
)
async def test_what_can_not_be_asked_is_said(database: Database, names: list[str], asked: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        await one(database, *names, **asked)


async def test_a_slip_in_a_name_is_told_with_the_right_one(database: Database) -> None:
    with pytest.raises(BadRequest, match="did you mean 'error_rate'"):
        await one(database, "eror_rate")
