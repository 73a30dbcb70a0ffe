"""The worst conversations: what weighs how much, what is listed, and what goes from the list again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from comporta.errors import BadRequest
from comporta.feedback.problems import ProblemsOf, keep, list_problems
from comporta.feedback.weighing import WEIGHTS, Scored, reason_of, weigh
from comporta.store.database import Database
from comporta.store.people import person_of
from comporta.telemetry.partitions import ensure_partitions
from comporta.telemetry.score_tables import insert, join
from comporta.telemetry.scores import record_of
from comporta.types import Score, Source
from support.put_calls import put

KEEP_S = 86_400.0


def scored(name: str, number: float | None = None, source: str = "user", label: str | None = None) -> Scored:
    kind = "text" if number is None else "number" if name == "rating" else "boolean"
    return Scored("c", name, kind, source, number, label)


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (scored("thumbs", 0), "thumbs_down"),
        (scored("thumbs", 1), None),
        (scored("rating", 2), "low_rating"),
        (scored("rating", 3), None),
        (scored("correction", label="It is late"), "correction"),
        (scored("comment", label="Bad"), None),
        (scored("follow_up", 1, "behaviour"), "follow_up"),
        (scored("abandoned", 0, "behaviour"), None),
        (scored("guard.pii", source="guard", label="block"), "guard_block"),
        (scored("guard.pii", source="guard", label="redact"), None),
        (scored("short", 0, "code"), "low_quality"),
        (Scored("c", "relevance", "number", "judge", 0.4, None), "low_quality"),
        (Scored("c", "relevance", "number", "judge", 0.6, None), None),
        (Scored("c", "own", "number", "user", 0.1, None), None),
    ],
)
def test_what_speaks_against_an_answer(score: Scored, reason: str | None) -> None:
    assert reason_of(score) == reason


def test_points_add_up_and_a_reason_counts_three_times_at_most() -> None:
    downs = [Scored(f"c-{n}", "thumbs", "boolean", "user", 0.0, None) for n in range(9)]
    weighed = weigh({"c-0": "ok", "c-1": "timeout", "c-2": "refused"}, downs)
    assert weighed.points == 3 * WEIGHTS["thumbs_down"] + WEIGHTS["error"]
    assert [(one.reason, one.count) for one in weighed.reasons] == [("thumbs_down", 9), ("error", 1)]
    assert weighed.call_id == "c-1"
    assert weigh({"c": "ok"}, []).points == 0


async def say(database: Database, call: str, name: str, value: Any, source: Source = "user") -> None:
    score = Score(f"{name}-{call}", "", call, name, value, source)
    async with database.connection() as connection:
        await insert(connection, [record_of(score, now_s=time.time())])
    async with database.connection() as connection:
        await join(connection, 100)


async def test_the_worst_come_first_and_one_that_was_made_good_goes(database: Database) -> None:
    await ensure_partitions(database)
    bad = await put(database, "one", 60, session="bad", user="u-1")
    await put(database, "two", 50, session="bad", user="u-1", outcome="timeout")
    worse = await put(database, "three", 40, session="fair", route="sales")
    alone = await put(database, "four", 30, session=None)
    await put(database, "five", 20, session="good")
    await say(database, bad, "thumbs", False)
    await say(database, worse, "follow_up", True, "behaviour")
    await say(database, alone, "rating", 1)
    await keep(database, KEEP_S)
    page = await list_problems(database)
    found = [(one.kind, one.id, one.points) for one in page.problems]
    trace = f"t-{alone}"
    assert found == [("session", "bad", 8.0), ("trace", trace, 4.0), ("session", "fair", 2.0)]
    assert [one.reason for one in page.problems[0].reasons] == ["thumbs_down", "error"]
    assert (page.problems[0].call_id, page.problems[0].calls) == (bad, 2)
    assert [one.id for one in (await list_problems(database, filters={"route": "sales"})).problems] == ["fair"]
    first = await list_problems(database, limit=1)
    assert first.next is not None
    assert [one.id for one in (await list_problems(database, after=first.next, limit=1)).problems] == [trace]
    await say(database, alone, "rating", 5)
    await keep(database, KEEP_S)
    assert trace not in [one.id for one in (await list_problems(database)).problems]


async def test_the_list_is_read_from_its_index_and_says_what_it_can_not_be_asked(database: Database) -> None:
    for wrong in ({"filters": {"colour": "red"}}, {"after": "nonsense"}, {"limit": 0}):
        with pytest.raises(BadRequest):
            await list_problems(database, **wrong)


async def test_an_erased_user_leaves_the_list(database: Database) -> None:
    await ensure_partitions(database)
    await say(database, await put(database, "one", 60, user="ana"), "thumbs", False)
    await keep(database, KEEP_S)
    person, holding = person_of("ana"), ProblemsOf(database)
    assert len((await holding.page(person, None, 10)).rows) == 1
    assert (await holding.erase(person, None)).count == 1
    assert not (await list_problems(database)).problems
