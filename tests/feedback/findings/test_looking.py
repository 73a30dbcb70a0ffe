"""Looking for drift in the database: found once, with its size, its time and its examples, across restarts."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Any

import pytest

from comporta.feedback.findings import tables
from comporta.feedback.findings.looking import Looking
from comporta.feedback.findings.reads import get_finding, list_findings
from comporta.feedback.findings.settings import FindingsSection
from comporta.feedback.findings.shapes import Finding
from comporta.store.database import Database
from support.judged import Said, put_calls, put_scores

NOW = datetime.datetime.now(datetime.UTC).replace(hour=12, minute=0, second=0, microsecond=0)
ORDERS = ("where is my pizza", "the courier is late with the soup", "my burger came cold", "has my order left yet")
TAXES = ("how is a pension taxed", "deduct rent from my declaration", "which form declares dividends", "tax on salary")


def looking(database: Database, at: datetime.datetime, **settings: Any) -> Looking:
    section = FindingsSection(vectors="words", reference=150, current=100, every=50, reference_lasts=0, **settings)
    return Looking(database, section, lambda kind: ["alert_team"], clock=lambda: at)


def asked(texts: Sequence[str], n: int, seed: int = 1, **more: Any) -> list[Said]:
    draw = random.Random(seed)
    return [Said(f"{draw.choice(texts)} {draw.choice(['please', 'today', 'again'])}", **more) for _ in range(n)]


async def found(database: Database) -> list[Finding]:
    return (await list_findings(database)).findings


async def test_other_topics_are_found_once_with_examples_of_them_by_whichever_worker_comes(database: Database) -> None:
    start = NOW - datetime.timedelta(hours=1)
    await put_calls(database, asked(ORDERS, 250), start)
    assert await looking(database, start + datetime.timedelta(minutes=30)).round() == 0
    changed = start + datetime.timedelta(minutes=31)
    await put_calls(database, asked(TAXES, 120), changed)
    # Each round is another worker's, which knows nothing but what the database holds.
    assert await looking(database, NOW).round() == 1
    assert await looking(database, NOW + datetime.timedelta(minutes=1)).round() == 0
    (one,) = await found(database)
    assert (one.kind, one.route, one.prompt_id, one.prompt_version) == ("input_drift", "support", "help", "1.0.0")
    assert one.size > 0.7 and one.low is not None and one.low > 0.6 and one.facts["new"] > 0.2
    assert abs((one.since - changed).total_seconds()) < 30
    whole = await get_finding(database, one.id)
    assert len(whole.examples) == 5 and all("tax" in (e.input or "") or "d" in (e.input or "") for e in whole.examples)
    assert all(any(text in (e.input or "") for text in TAXES) for e in whole.examples)
    assert [(act.action, act.state) for act in whole.acts] == [("alert_team", "waiting")]


async def test_refusals_length_and_cost_are_told_apart(database: Database) -> None:
    start = NOW - datetime.timedelta(hours=1)
    await put_calls(database, asked(ORDERS, 150), start)
    no = "I'm sorry, but I can't help with that."
    await put_calls(database, asked(ORDERS, 100, answer=no, cost=300), start + datetime.timedelta(minutes=10))
    assert await looking(database, NOW).round() >= 2
    told = {(one.kind, one.measure): one for one in await found(database)}
    refusals, cost = told["answer_drift", "refusals"], told["cost_drift", "cost"]
    assert (refusals.before, refusals.after, refusals.size) == (0, 1, 1)
    assert cost.size == pytest.approx(2, rel=0.05) and cost.facts["unit"] == "ratio"
    assert not any(kind == "input_drift" for kind, _ in told)


async def test_a_falling_score_is_found_and_where_inputs_stayed_the_same_that_is_told(database: Database) -> None:
    start = NOW - datetime.timedelta(hours=2)
    draw = random.Random(3)
    for part, good in ((0, 0.9), (1, 0.2)):
        at = start + datetime.timedelta(minutes=30 * part)
        said = asked((ORDERS[0],), 150, part) + asked((TAXES[0],), 150, part)
        ids = await put_calls(database, said, at)
        thumbs = [draw.random() < (good if n < 150 else 0.9) for n in range(300)]
        order = draw.sample(range(300), 300)
        await put_scores(database, "thumbs", [thumbs[n] for n in order], at, calls=[ids[n] for n in order])
        async with database.connection() as connection:
            await connection.execute("update score set called_at = c.started_at from call c where c.id = score.call_id")
    await looking(database, NOW).round()
    told = {one.kind: one for one in await found(database)}
    assert told["score_drift"].measure == "thumbs" and told["score_drift"].size < -0.15
    concept = told["concept_drift"]
    assert concept.before is not None and concept.after is not None
    assert concept.before > 0.8 and concept.after < 0.5 and concept.high is not None and concept.high < 0
    examples = (await get_finding(database, concept.id)).examples
    assert examples and all("pizza" in (one.input or "") for one in examples)


async def test_steady_traffic_is_left_in_peace_and_windows_stay_bounded(database: Database) -> None:
    for part in range(3):
        await put_calls(database, asked(ORDERS, 200, part), NOW - datetime.timedelta(hours=4 - part))
    assert await looking(database, NOW).round() == 0
    async with database.connection() as connection:
        rows = await tables.rows(connection, "select stream, count(*) as n from drift_item group by stream")
    assert {row["n"] for row in rows} <= set(range(100, 251)) and len(rows) == 3


async def test_a_version_that_asks_the_same_in_other_words_is_no_change_of_topics(database: Database) -> None:
    frames = ("Read what our customer writes and answer kindly: {}", "Mensagem do cliente, em qualquer idioma: {} Fim.")
    for part, frame in enumerate(frames):
        texts = [one.question for one in asked(ORDERS, 200, part)]
        said = [Said(frame.format(text), variables={"text": text, "tone": "kind"}) for text in texts]
        at = NOW - datetime.timedelta(hours=2 - part)
        await put_calls(database, said, at, version=f"1.{part}.0")
    assert await looking(database, NOW).round() == 0


async def test_what_was_not_kept_and_routes_not_wanted_are_left_out(database: Database) -> None:
    await put_calls(database, asked(ORDERS, 5), NOW - datetime.timedelta(minutes=30), route="other")
    await looking(database, NOW, routes=["support"]).round()
    async with database.connection() as connection:
        assert await tables.rows(connection, "select 1 from drift_stream") == []
        await connection.execute("update call set prompt = null, reply = null, started_at = started_at")
        await connection.execute("delete from drift_cursor")
    await looking(database, NOW).round()
    async with database.connection() as connection:
        rows = await tables.rows(connection, "select kind from drift_stream")
    assert [row["kind"] for row in rows] == ["costs"]


async def test_a_stream_that_can_t_be_read_holds_up_no_other(database: Database) -> None:
    start = NOW - datetime.timedelta(hours=1)
    await put_calls(database, asked(ORDERS, 200), start)
    await looking(database, start + datetime.timedelta(minutes=30)).round()
    async with database.connection() as connection:
        await connection.execute("update drift_item set vector = '\\x0011' where stream like 'inputs%'")
    no = "I'm sorry, but I can't help with that."
    await put_calls(database, asked(ORDERS, 100, answer=no), start + datetime.timedelta(minutes=31))
    assert await looking(database, NOW).round() >= 1
    assert {one.kind for one in await found(database)} == {"answer_drift"}


async def test_only_one_worker_looks_at_a_time(database: Database) -> None:
    await put_calls(database, asked(ORDERS, 5), NOW - datetime.timedelta(minutes=30))
    async with database.connection() as connection:
        await connection.execute(tables.ALONE)
        assert await looking(database, NOW).round() == 0
    async with database.connection() as connection:
        assert await tables.rows(connection, "select 1 from drift_cursor") == []
