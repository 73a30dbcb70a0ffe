"""Reviews: kept before anybody waits, shipped once in effect, claimed, decided, scored, erased."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comporta.errors import BadRequest, Conflict, NotFound, Unavailable
from comporta.store.database import Database
from comporta.store.people import People
from comporta.telemetry import review_tables
from comporta.telemetry.people import Calls
from comporta.telemetry.record import CallRecord
from comporta.telemetry.review_tables import ReviewRow, ReviewShipper, ReviewsOf
from comporta.telemetry.reviews import CLAIM_S, Decision, Reviews
from comporta.telemetry.score_reads import scores_of_call
from comporta.telemetry.score_shipping import ScoreShipper
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.scores import Scores
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool

MakeRecord = Callable[..., CallRecord]


class Clock:
    """A clock that is set by hand, from now on."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


class Queue:
    """Reviews with all that stands around them."""

    def __init__(self, database: Database, root: Path) -> None:
        self.clock = Clock()
        self.spool = ScoreSpool(root / "reviews")
        self.score_spool = ScoreSpool(root / "scores")
        self.scores = Scores(self.score_spool)
        self.reviews = Reviews(
            database, self.spool, self.scores, clean=lambda text: text.replace("sk-secret", "***"), clock=self.clock
        )
        self.shipper = ReviewShipper(database, self.spool)

    async def put(self, kind: str = "consensus", reason: str = "They do not agree.", **more: Any) -> ReviewRow:
        id = self.reviews.add(kind, reason, **more)
        assert id is not None and await self.shipper.drain()
        return await self.reviews.get(id)


@pytest.fixture
def queue(database: Database, tmp_path: Path) -> Iterator[Queue]:
    made = Queue(database, tmp_path)
    yield made
    made.spool.close()
    made.score_spool.close()


async def test_what_is_put_up_is_listed_with_all_it_holds(queue: Queue) -> None:
    call = "01a1fe20-fe98-7c13-8d29-2acd8d5ea556"
    row = await queue.put(
        call_id=call, trace_id="t", route="support", user="ana", payload={"similarity": 0.5, "texts": {"a": "x\0y"}}
    )
    assert (row.state, row.kind, row.call_id, row.route, row.user) == ("open", "consensus", call, "support", "ana")
    assert row.payload == {"similarity": 0.5, "texts": {"a": "xy"}} and row.by is None


async def test_secrets_are_taken_out_of_everything_that_is_said(queue: Queue) -> None:
    row = await queue.put(reason="It says sk-secret.", payload={"deep": [{"text": "key sk-secret!"}]})
    assert row.reason == "It says ***." and row.payload == {"deep": [{"text": "key ***!"}]}
    done = await queue.reviews.decide(row.id, "rui", Decision("correct", correction="no sk-secret", note="sk-secret"))
    assert (done.correction, done.note) == ("no ***", "***")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"kind": "Not A Kind"}, "kind"),
        ({"reason": "  "}, "reason"),
        ({"call_id": "nonsense"}, "call_id"),
        ({"payload": {"far": "x" * 300_000}}, "payload"),
        ({"payload": {"what": object()}}, "payload"),
        ({"id": "i" * 300}, "id"),
    ],
)
async def test_what_is_no_review_is_refused_by_its_field(queue: Queue, given: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await queue.put(**given)
    assert refused.value.param == param


async def test_the_same_put_up_twice_is_one_review(queue: Queue) -> None:
    await queue.put(id="once", reason="first")
    assert (await queue.put(id="once", reason="second")).reason == "first"


async def test_a_database_that_is_away_loses_no_review(
    queue: Queue, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(ReviewShipper, "_put", away)
        id = queue.reviews.add("guard", "In doubt.")
        assert id is not None and not await queue.shipper.drain()
    assert await queue.shipper.drain()
    assert (await queue.reviews.get(id)).kind == "guard"


async def test_what_a_process_that_died_had_put_up_is_shipped_by_another(
    queue: Queue, database: Database, tmp_path: Path
) -> None:
    died = ScoreSpool(tmp_path / "reviews")
    id = Reviews(database, died, queue.scores).add("guard", "In doubt.")
    died.close()
    assert id is not None and await queue.shipper.drain()
    assert (await queue.reviews.get(id)).state == "open"


async def test_a_full_disk_is_told(database: Database, tmp_path: Path) -> None:
    spool = ScoreSpool(tmp_path / "small", max_bytes=10)
    assert Reviews(database, spool, Scores(spool)).add("guard", "In doubt.") is None
    spool.close()


async def test_pages_hold_every_review_once_in_either_order(queue: Queue) -> None:
    for n in range(7):
        queue.clock.now_s += n % 2
        queue.reviews.add("guard", f"{n}", id=f"r{n}")
    assert await queue.shipper.drain()
    for oldest_first in (True, False):
        found, after = list[str](), None
        while True:
            page = await queue.reviews.list(oldest_first=oldest_first, after=after, limit=3)
            found += [one.id for one in page.reviews]
            if (after := page.next) is None:
                break
        assert found == [f"r{n}" for n in (range(7) if oldest_first else reversed(range(7)))]
    with pytest.raises(BadRequest, match="earlier page"):
        await queue.reviews.list(after="nonsense")


async def test_filters_narrow_the_list_and_counts_tell_what_there_is(queue: Queue) -> None:
    one = await queue.put("consensus", route="support")
    other = await queue.put("guard", route="support")
    third = await queue.put("guard", route="billing")
    await queue.reviews.claim(other.id, "ana")
    await queue.reviews.decide(third.id, "rui", Decision("accept"))

    async def ids(**filters: str) -> set[str]:
        return {row.id for row in (await queue.reviews.list(filters=filters)).reviews}

    assert await ids(state="waiting") == {one.id, other.id}
    assert await ids(state="done") == await ids(by="rui") == await ids(verdict="accept") == {third.id}
    assert await ids(kind="guard", route="support") == {other.id}
    assert await ids(call="no-id-at-all") == set()
    with pytest.raises(BadRequest, match="can't be filtered by 'colour'"):
        await ids(colour="red")
    later = datetime.datetime.now() + datetime.timedelta(days=2)
    assert (await queue.reviews.list(since=later)).reviews == []
    assert await queue.reviews.counts() == {
        "consensus": {"open": 1, "claimed": 0, "done": 0}, "guard": {"open": 0, "claimed": 1, "done": 1},
    }  # fmt: skip


async def test_a_claim_keeps_others_out_until_it_lapses(queue: Queue) -> None:
    row = await queue.put()
    await queue.reviews.claim(row.id, "ana")
    for do in (
        queue.reviews.claim(row.id, "rui"), queue.reviews.release(row.id, "rui"),
        queue.reviews.decide(row.id, "rui", Decision("accept")),
    ):  # fmt: skip
        with pytest.raises(Conflict, match="ana looks at this review"):
            await do
    assert (await queue.reviews.claim(row.id, "ana")).by == "ana"
    queue.clock.now_s += CLAIM_S + 5
    assert (await queue.reviews.claim(row.id, "rui")).by == "rui"
    given_back = await queue.reviews.release(row.id, "rui")
    assert (given_back.state, given_back.by, given_back.claimed_at) == ("open", None, None)


async def test_only_one_of_many_who_decide_at_once_does(queue: Queue) -> None:
    row = await queue.put()
    deciding = (queue.reviews.decide(row.id, f"person-{n}", Decision("accept")) for n in range(5))
    results = await asyncio.gather(*deciding, return_exceptions=True)
    assert sum(isinstance(one, ReviewRow) for one in results) == 1
    assert {type(one) for one in results} == {ReviewRow, Conflict}


async def test_a_review_that_is_not_there_is_not_found(queue: Queue) -> None:
    for do in (queue.reviews.get("x"), queue.reviews.claim("x", "ana"), queue.reviews.release("x", "ana")):
        with pytest.raises(NotFound):
            await do


@pytest.mark.parametrize("decision", [Decision("correct"), Decision("accept", correction="x"), Decision("maybe")])  # type: ignore[arg-type]
async def test_a_decision_that_says_too_little_or_too_much_is_refused(queue: Queue, decision: Decision) -> None:
    row = await queue.put()
    with pytest.raises(BadRequest):
        await queue.reviews.decide(row.id, "ana", decision)
    assert (await queue.reviews.get(row.id)).state == "open"


async def test_a_decision_is_a_score_of_the_call_once_its_record_is_there(
    queue: Queue, database: Database, spool: Spool, make_record: MakeRecord
) -> None:
    record = make_record()
    spool.append(record)
    assert await Shipper(database, spool).drain()
    row = await queue.put(call_id=record.id, trace_id=record.trace_id)
    decision = Decision("correct", choice="openai/b", correction="Within 14 days.", note="old policy")
    await queue.reviews.decide(row.id, "ana", decision)
    assert await ScoreShipper(database, queue.score_spool).drain()
    found = {one.name: one for one in await scores_of_call(database, record.id)}
    assert {name: one.value for name, one in found.items()} == {
        "review": False, "review_choice": "openai/b", "correction": "Within 14 days.",
    }  # fmt: skip
    assert {(one.source, one.who, one.joined) for one in found.values()} == {("human", "ana", True)}
    assert found["review"].reason == "old policy" and found["review"].route == "support"
    assert queue.scores.figures()["score_count:human:review"] == 1


async def test_a_review_of_no_call_scores_nothing(queue: Queue, database: Database) -> None:
    row = await queue.put("drift", "Answers got longer.")
    await queue.reviews.decide(row.id, "ana", Decision("reject"))
    async with database.connection() as connection:
        assert await (await connection.execute("select from score")).fetchall() == []


async def test_a_users_reviews_are_exported_and_erased_and_late_ones_never_come(
    queue: Queue, database: Database
) -> None:
    people = People(database, [Calls(database), ReviewsOf(database)])
    mine = [await queue.put(user="ana", reason=f"{n}") for n in range(3)]
    other = await queue.put(user="rui")
    rows, after = list[dict[str, Any]](), None
    while True:
        page = await people.export("ana", after)
        rows += page.rows
        if (after := page.next) is None:
            break
    assert sorted(row["review"]["id"] for row in rows) == sorted(row.id for row in mine)

    late = queue.reviews.add("guard", "In doubt.", user="ana")
    assert (await people.erase("ana", "rui")).removed["reviews"] == 3
    assert await queue.shipper.drain() and late is not None
    with pytest.raises(NotFound):
        await queue.reviews.get(late)
    assert (await queue.reviews.get(other.id)).user == "rui"
    queue.clock.now_s = time.time() + 1
    assert (await queue.put(user="ana")).user == "ana", "who comes back begins anew"


async def test_what_is_old_goes(queue: Queue, database: Database) -> None:
    now_s = queue.clock.now_s
    queue.clock.now_s -= 10 * 86_400
    await queue.put(id="old")
    queue.clock.now_s = now_s
    await queue.put(id="new")
    assert await review_tables.prune(database, 5) == 1
    assert [row.id for row in (await queue.reviews.list()).reviews] == ["new"]
