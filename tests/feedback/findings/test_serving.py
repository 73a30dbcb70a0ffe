"""Serving skew in the database: what production asks against what the prompt is tested with."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Any

from comporta.feedback.findings import tables
from comporta.feedback.findings.acting import Acting
from comporta.feedback.findings.looking import Looking
from comporta.feedback.findings.reads import get_finding, list_findings
from comporta.feedback.findings.settings import FindingsSection
from comporta.feedback.findings.shapes import Finding
from comporta.prompts.cases import TestCase, put_cases
from comporta.store.database import Database
from support.judged import Said, put_calls

NOW = datetime.datetime.now(datetime.UTC).replace(hour=12, minute=0, second=0, microsecond=0)
START = NOW - datetime.timedelta(hours=2)
LATER = NOW + datetime.timedelta(minutes=10)
ORDERS = ("where is my pizza", "the courier is late with the soup", "my burger came cold", "has my order left yet")
TAXES = ("how is a pension taxed", "deduct rent from my declaration", "which form declares dividends", "tax on salary")


async def put_tests(database: Database, texts: Sequence[str], prompt: str = "help") -> None:
    async with database.connection() as connection:
        known = "insert into prompt (id, highest) values (%s, '1.0.0') on conflict do nothing"
        await connection.execute(known, [prompt])
        await put_cases(connection, {prompt: [TestCase(f"c{n}", text) for n, text in enumerate(texts)]}, by="ana")


def said(texts: Sequence[str], n: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [f"{draw.choice(texts)} {draw.choice(['please', 'today', 'again'])}" for _ in range(n)]


async def look(database: Database, at: datetime.datetime = NOW, **settings: Any) -> None:
    section = FindingsSection(vectors="words", reference=150, current=100, every=50, **settings)
    await Looking(database, section, lambda kind: [], clock=lambda: at).round()


async def skews(database: Database) -> list[Finding]:
    return (await list_findings(database, filters={"kind": "serving_skew"})).findings


async def test_what_no_test_asks_is_found_once_with_route_version_size_time_and_examples(database: Database) -> None:
    await put_tests(database, said(ORDERS, 50))
    asked = said(ORDERS, 60, 2) + said(TAXES, 60, 3)
    random.Random(4).shuffle(asked)
    await put_calls(database, [Said(text) for text in asked], START)
    await look(database)
    (one,) = await skews(database)
    assert (one.measure, one.route, one.prompt_id, one.prompt_version) == ("topics", "support", "help", "1.0.0")
    assert one.size > 0.6 and one.facts["new_low"] > 0.2 and one.facts["vectors"] == "words-512"
    assert one.n_before == 50 <= one.n_after <= 100 and START <= one.since <= NOW
    assert "not tested with" in one.title and "help@1.0.0" in one.title
    examples = (await get_finding(database, one.id)).examples
    assert len(examples) == 5 and all(any(text in (e.input or "") for text in TAXES) for e in examples)
    # More of the same, looked at by a worker that knows nothing but what the database holds: no other finding.
    await put_calls(database, [Said(text) for text in said(TAXES, 150, 5)], LATER)
    await look(database, LATER + datetime.timedelta(minutes=20))
    assert len(await skews(database)) == 1


async def test_tests_that_ask_what_production_asks_are_left_in_peace(database: Database) -> None:
    await put_tests(database, said(ORDERS, 24))
    await put_calls(database, [Said(text) for text in said(ORDERS, 250, 2)], START)
    await look(database)
    assert await skews(database) == []
    async with database.connection() as connection:
        (stream,) = await tables.rows(connection, "select tested from drift_stream where kind = 'skew'")
    assert stream["tested"] > 0


async def test_other_tests_are_looked_at_anew(database: Database) -> None:
    await put_tests(database, said(ORDERS, 24))
    await put_calls(database, [Said(text) for text in said(TAXES, 120)], START)
    await look(database)
    assert len(await skews(database)) == 1
    await put_tests(database, said((ORDERS[0],), 30))
    await put_calls(database, [Said(text) for text in said(TAXES, 120)], LATER)
    await look(database, LATER + datetime.timedelta(minutes=20))
    assert len(await skews(database)) == 2
    await put_tests(database, said(TAXES, 30))
    await put_calls(database, [Said(text) for text in said(TAXES, 120)], LATER + datetime.timedelta(hours=1))
    await look(database, LATER + datetime.timedelta(hours=2))
    assert len(await skews(database)) == 2


async def test_longer_questions_and_another_language_are_told_as_such(database: Database) -> None:
    await put_tests(database, said(ORDERS, 24))
    words = " and I have been waiting for it since the early morning with my whole family at the new address"
    portuguese = "onde está o meu pedido que eu fiz ontem à noite para a minha casa e ainda não chegou"
    asked = [Said(text + words) for text in said(ORDERS, 70, 2)] + [Said(portuguese)] * 50
    random.Random(5).shuffle(asked)
    await put_calls(database, asked, START)
    await look(database)
    told = {one.measure: one for one in await skews(database)}
    assert told["words"].facts["unit"] == "ratio" and told["words"].size > 1 and "longer" in told["words"].title
    assert told["pt"].before == 0 and (told["pt"].after or 0) > 0.3
    assert told["pt"].title.endswith("of the inputs are in Portuguese, and 0% of its tests (help@1.0.0)")


async def test_a_few_tests_a_prompt_without_any_and_calls_without_a_prompt_are_left_out(database: Database) -> None:
    await put_tests(database, said(ORDERS, 9))
    await put_calls(database, [Said(text) for text in said(TAXES, 120)], START)
    async with database.connection() as connection:
        await connection.execute("update call set prompt_id = null where id in (select id from call limit 5)")
    await look(database)
    assert await skews(database) == []
    async with database.connection() as connection:
        assert await tables.rows(connection, "select 1 from drift_stream where kind = 'skew'") == []


async def test_examples_that_were_gathered_count_as_tests_and_go_with_their_user(database: Database) -> None:
    await put_tests(database, said(ORDERS, 24))
    ids = await put_calls(database, [Said(text) for text in said(TAXES, 120)], START, user="bia")
    await look(database)
    (one,) = await skews(database)

    async def nobody(*_: Any) -> Any:
        raise AssertionError("nobody is asked")

    async with database.connection() as connection:
        await connection.execute("insert into finding_act (finding_id, action) values (%s, 'add_to_dataset')", [one.id])
    assert await Acting(database, nobody, nobody, lambda: None).round() == 1
    await put_calls(database, [Said(text) for text in said(TAXES, 5)], LATER)
    await look(database, LATER + datetime.timedelta(minutes=20))
    async with database.connection() as connection:
        kept = "select user_id, call_id::text from drift_item where stream like 'skew%%' and reference"
        held = await tables.rows(connection, kept)
    assert len(held) == 29 and [row["user_id"] for row in held].count("bia") == 5
    assert {row["call_id"] for row in held if row["call_id"]} <= set(ids)
