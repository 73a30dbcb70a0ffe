"""Scores: kept before anybody waits, shipped once in effect, joined with their calls, summed up, erased."""

from __future__ import annotations

import asyncio
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from comporta.errors import BadRequest, Unavailable
from comporta.store.database import Database
from comporta.store.people import People
from comporta.telemetry import score_tables
from comporta.telemetry.people import Calls
from comporta.telemetry.record import CallRecord
from comporta.telemetry.score_people import ScoresOf
from comporta.telemetry.score_reads import (
    ScoreRow,
    figures,
    list_scores,
    scores_of_call,
    scores_of_trace,
    sums_by_variant,
)
from comporta.telemetry.score_shipping import ScoreShipper
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.scores import MAX_NAMES, OTHER, Scores, call_of_reply, owner_of
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool, segments
from comporta.types import Score

MakeRecord = Callable[..., CallRecord]
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def score_spool(tmp_path: Path) -> Iterator[ScoreSpool]:
    made = ScoreSpool(tmp_path / "scores")
    yield made
    made.close()


@pytest.fixture
def scores(score_spool: ScoreSpool) -> Scores:
    return Scores(score_spool)


@pytest.fixture
def shipper(database: Database, score_spool: ScoreSpool) -> ScoreShipper:
    return ScoreShipper(database, score_spool)


@pytest.fixture
def record_calls(database: Database, spool: Spool) -> Callable[..., Any]:
    """Puts records of calls into the database."""
    records = Shipper(database, spool)

    async def put(*calls: CallRecord) -> None:
        for call in calls:
            spool.append(call)
        assert await records.drain()

    return put


def score(name: str = "rating", value: float | bool | str = 4.0, *, id: str = "", **changes: Any) -> Score:
    given: dict[str, Any] = {"trace_id": "", "call_id": None, "source": "user", **changes}
    return Score(id=id, name=name, value=value, **given)


async def fetch(database: Database, query: str) -> list[Any]:
    async with database.connection() as connection:
        return await (await connection.execute(query)).fetchall()


async def all_scores(database: Database) -> list[ScoreRow]:
    return (await list_scores(database, limit=500)).scores


# ---- adding ---------------------------------------------------------------------------------------------------------


async def test_a_score_of_a_call_gets_what_is_known_of_the_call(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    call = structs.replace(make_record(), prompt_id="support", prompt_version="2.3.1")
    await record_calls(call)
    assert scores.add(score("relevance", 0.75, call_id=call.id, source="judge", reason="on the point", who="gpt-x"))
    assert await shipper.drain()
    [row] = await scores_of_call(database, call.id)
    assert (row.name, row.value, row.source, row.reason, row.who) == (
        "relevance", 0.75, "judge", "on the point", "gpt-x",
    )  # fmt: skip
    assert (row.joined, row.route, row.variant, row.model, row.team) == (True, "support", "v1", "gpt-x", "water")
    assert (row.environment, row.feature, row.user, row.session) == ("production", "chat", "u-1", "s-1")
    assert (row.prompt, row.version) == ("support", "2.3.1")
    assert row.trace_id == call.trace_id
    assert await scores_of_trace(database, call.trace_id) == [row]


@pytest.mark.parametrize(
    "value", [0.1, -3.5, 1e300, True, False, "too long", "ação «ü» 🙂", "nul\0inside", "half \ud800 pair"]
)
async def test_a_value_comes_back_as_the_kind_it_was(
    value: Any, database: Database, scores: Scores, shipper: ScoreShipper
) -> None:
    scores.add(score("anything", value, trace_id="t-1"))
    assert await shipper.drain()
    [row] = await all_scores(database)
    told = value.replace("\0", "").replace("\ud800", "?") if isinstance(value, str) else value
    assert row.value == told and type(row.value) is type(told)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "no spaces"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"value": ""}, "value"),
        ({"value": "x" * 10_001}, "value"),
        ({"value": None}, "value"),
        ({"source": "rumour"}, "source"),
        ({"call_id": "not-a-uuid"}, "call_id"),
        ({"id": "x" * 257}, "id"),
        ({"trace_id": ""}, "trace_id"),
    ],
)
def test_what_is_no_score_is_refused_with_the_field(changes: Any, field: str, scores: Scores) -> None:
    wrong = structs.replace(score(trace_id="t-1"), **changes)
    with pytest.raises(BadRequest) as refusal:
        scores.add(wrong)
    assert refusal.value.param == field


def test_adding_waits_for_nobody(score_spool: ScoreSpool, scores: Scores) -> None:
    """No database is anywhere near: a thousand scores are on the disk in a moment."""
    started_s = time.perf_counter()
    for n in range(1000):
        assert scores.add(score(trace_id=f"t-{n}"))
    assert time.perf_counter() - started_s < 30, "one that waited for a database would wait for seconds"
    assert score_spool.bytes > 1000 * 20


def test_secrets_are_taken_out_of_texts(score_spool: ScoreSpool) -> None:
    scores = Scores(score_spool, clean=lambda text: text.replace("sk-secret", "[SECRET]"))
    scores.add(score("comment", "my key is sk-secret", reason="saw sk-secret", trace_id="t"))
    [path] = score_spool.sealed()
    assert b"sk-secret" not in path.read_bytes() and path.read_bytes().count(b"[SECRET]") == 2


async def test_a_full_spool_says_so_and_takes_scores_again_once_they_are_shipped(
    tmp_path: Path, database: Database
) -> None:
    spool = ScoreSpool(tmp_path / "small", max_bytes=1000)
    scores, shipper = Scores(spool), ScoreShipper(database, spool)
    kept = [scores.add(score(id=f"s{n}", trace_id="t")) for n in range(20)]
    assert kept[0] and not kept[-1]
    assert scores.figures()["scores_lost"] == kept.count(False)
    assert scores.figures()["score_count:user:rating"] == kept.count(True)
    assert await shipper.drain()
    assert scores.add(score(id="again", trace_id="t"))
    assert await shipper.drain()
    assert len(await all_scores(database)) == kept.count(True) + 1
    spool.close()


def test_names_told_apart_in_metrics_are_bounded(scores: Scores) -> None:
    for n in range(MAX_NAMES + 50):
        scores.add(score(f"n{n}", 2.0, trace_id="t"))
    told = scores.figures()
    assert told[f"score_count:user:{OTHER}"] == 50 and told[f"score_sum:user:{OTHER}"] == 100.0
    assert len([key for key in told if key.startswith("score_count:")]) == MAX_NAMES + 1


# ---- shipping -------------------------------------------------------------------------------------------------------


async def test_the_same_score_twice_is_one_and_the_later_value_counts(
    database: Database, score_spool: ScoreSpool, shipper: ScoreShipper
) -> None:
    now_s = 1_800_000_000.0
    scores = Scores(score_spool)
    for at_s, value in ((now_s, True), (now_s, True), (now_s + 20, False), (now_s + 10, True)):
        scores.add(score("thumbs", value, id="once", trace_id="t", at_s=at_s))
        await shipper.drain()
    scores.add(score("thumbs", True, id="in-one-batch", trace_id="t", at_s=now_s))
    scores.add(score("thumbs", False, id="in-one-batch", trace_id="t", at_s=now_s + 1))
    await shipper.drain()
    assert {row.id: row.value for row in await all_scores(database)} == {"once": False, "in-one-batch": False}


async def test_ids_of_two_teams_are_two_scores(database: Database, scores: Scores, shipper: ScoreShipper) -> None:
    for owner in ("team/a", "team/b", "key/k"):
        scores.add(score(id="1", trace_id="t"), owner=owner)
    await shipper.drain()
    assert len(await all_scores(database)) == 3


async def test_scores_of_a_killed_process_are_shipped_by_another(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "scores"
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from comporta.telemetry.score_spool import ScoreSpool\n"
        "from comporta.telemetry.scores import Scores\n"
        "from comporta.types import Score\n"
        "scores = Scores(ScoreSpool(Path(sys.argv[1])))\n"
        "for n in range(50): scores.add(Score(str(n), 't', None, 'rating', 1.0, 'user'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(root))
    assert await process.wait() == -9
    spool = ScoreSpool(root)
    assert await ScoreShipper(database, spool).drain()
    assert len(await all_scores(database)) == 50
    assert [path for path in root.iterdir() if path.is_dir()] == []


async def test_a_torn_file_loses_only_what_is_torn(
    database: Database, score_spool: ScoreSpool, scores: Scores, shipper: ScoreShipper
) -> None:
    for n in range(3):
        scores.add(score(id=str(n), trace_id="t"))
    [path] = score_spool.sealed()
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(bytes(data[:-5]))
    assert await shipper.drain()
    assert [row.id for row in await all_scores(database)] == ["1"]
    assert sorted(reason for _, reason, _ in shipper.quarantine.entries()) == ["checksum", "torn"]


async def test_a_score_that_the_database_refuses_is_put_aside_alone(
    database: Database, scores: Scores, shipper: ScoreShipper
) -> None:
    for n in range(5):
        # A time that no calendar knows.
        scores.add(score(id=str(n), trace_id="t", at_s=1e300 if n == 2 else 0.0))
    assert await shipper.drain()
    assert sorted(row.id for row in await all_scores(database)) == ["0", "1", "3", "4"]
    assert len(shipper.quarantine.entries()) == 1


async def test_a_database_that_is_away_loses_no_score(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = ScoreSpool(tmp_path / "scores")
    scores, shipper = Scores(spool), ScoreShipper(database, spool)

    async def away(*_: Any) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(score_tables, "insert", away)
        scores.add(score(id="kept", trace_id="t"))
        assert not await shipper.drain()
        scores.add(score(id="later", trace_id="t"))
    assert await shipper.drain()
    assert sorted(row.id for row in await all_scores(database)) == ["kept", "later"]
    spool.close()
    assert list((tmp_path / "scores").glob("*/*")) == []


async def test_what_is_closed_unshipped_waits_for_the_next(tmp_path: Path, database: Database) -> None:
    first = ScoreSpool(tmp_path / "scores")
    Scores(first).add(score(id="left", trace_id="t"))
    first.close()
    assert [len(segments(path)) for path in (tmp_path / "scores").iterdir()] == [1]
    assert await ScoreShipper(database, ScoreSpool(tmp_path / "scores")).drain()
    assert [row.id for row in await all_scores(database)] == ["left"]


# ---- joining --------------------------------------------------------------------------------------------------------


async def test_a_score_that_comes_before_its_record_is_joined_later(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    call = make_record()
    scores.add(score(trace_id=call.trace_id))
    await shipper.drain()
    [row] = await all_scores(database)
    assert not row.joined and row.route is None
    assert await figures(database) == []
    await record_calls(call)
    await shipper.drain()
    [row] = await all_scores(database)
    assert row.joined and row.call_id == call.id and row.route == "support"
    assert [one.n for one in await figures(database)] == [1]


async def test_a_score_finds_its_call_by_the_id_that_the_client_saw(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    theirs = structs.replace(make_record(), reply_id="chatcmpl-upstreams-own")
    ours = make_record()
    await record_calls(theirs, ours)
    scores.add(score(id="a"), reply_id="chatcmpl-upstreams-own")
    scores.add(score(id="b"), reply_id="msg_" + ours.id.replace("-", ""))
    scores.add(score(id="c"), reply_id="chatcmpl-nobodys")
    await shipper.drain()
    assert {row.id: row.call_id for row in await all_scores(database)} == {"a": theirs.id, "b": ours.id, "c": None}


def test_only_an_id_of_our_own_making_names_a_call() -> None:
    assert call_of_reply("chatcmpl-" + "0" * 32) == "00000000-0000-0000-0000-000000000000"
    assert call_of_reply("chatcmpl-" + "0" * 31) is None
    assert call_of_reply("x-" + "0" * 32) is None


async def test_a_score_of_a_trace_is_of_its_last_outer_call(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    first, last, inner = (structs.replace(make_record(), trace_id="shared") for _ in range(3))
    first = structs.replace(first, started_us=last.started_us - 9_000_000)
    inner = structs.replace(inner, started_us=last.started_us + 1_000_000, parent_id=last.id, variant="judge")
    await record_calls(first, inner, last)
    scores.add(score(trace_id="shared"))
    await shipper.drain()
    [row] = await all_scores(database)
    assert row.call_id == last.id


async def test_a_score_joins_only_calls_of_its_own_team(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    water, alone = make_record(), structs.replace(make_record(), team=None, key_id="key-7")
    await record_calls(water, alone)
    for call, owner in (
        (water, "team/water"), (water, "team/fire"), (water, "key/key-1"), (alone, "key/key-7"), (alone, "key/key-8"),
        (water, ""),
    ):  # fmt: skip
        scores.add(score(id=owner or "ours", call_id=call.id), owner=owner)
    await shipper.drain()
    joined = {row.id for row in await all_scores(database) if row.joined}
    # A key of no team is the one that called; here the call was made for a team by that very key.
    assert joined == {"team/water", "key/key-1", "key/key-7", "ours"}


def test_an_owner_is_the_team_else_the_key() -> None:
    assert owner_of("k", "water", False) == "team/water"
    assert owner_of("k", None, False) == "key/k"
    assert owner_of("k", "water", True) == ""


async def test_the_first_pages_of_what_waits_dont_keep_the_others_from_their_calls(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    call = make_record()
    scores.add(score(id="old", call_id=call.id))
    await shipper.drain()
    for n in range(1100):
        scores.add(score(id=str(n), trace_id=f"never-made-{n}"))
    await shipper.drain()
    await record_calls(call)
    await shipper.drain()
    assert [row.id for row in await scores_of_call(database, call.id) if row.joined] == ["old"]


# ---- reading --------------------------------------------------------------------------------------------------------


async def test_figures_tell_the_sides_of_a_rollout_apart(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    sides = {"a": [1.0, 3.0], "b": [5.0, 5.0, 2.0]}
    for variant, values in sides.items():
        for n, value in enumerate(values):
            call = structs.replace(make_record(), variant=variant)
            await record_calls(call)
            scores.add(score("rating", value, call_id=call.id))
            scores.add(score("thumbs", n == 0, call_id=call.id))
            scores.add(score("comment", "slow", call_id=call.id))
    await shipper.drain()
    found = await sums_by_variant(database, "support", ["rating", "thumbs", "comment"], LONG_AGO)
    assert {v: (f["rating"].n, f["rating"].sum, f["rating"].sum_squares) for v, f in found.items()} == {
        "a": (2, 4.0, 10.0), "b": (3, 12.0, 54.0),
    }  # fmt: skip
    assert found["a"]["thumbs"].mean == 0.5 and found["b"]["thumbs"].mean == pytest.approx(1 / 3)
    assert "comment" not in found["a"]
    assert await sums_by_variant(database, "another", ["rating"], LONG_AGO) == {}
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert await sums_by_variant(database, "support", ["rating"], later) == {}
    [comments] = await figures(database, names=["comment"])
    assert (comments.n, comments.labels, comments.mean) == (5, {"slow": 5}, None)


async def test_pages_of_scores_follow_each_other_without_gap(
    database: Database, scores: Scores, shipper: ScoreShipper
) -> None:
    for n in range(25):
        scores.add(score(id=f"{n:02}", trace_id="t", at_s=1_800_000_000.0 + n // 3))
    await shipper.drain()
    seen, after = [], None
    while True:
        page = await list_scores(database, limit=7, after=after)
        seen += [row.id for row in page.scores]
        after = page.next
        if after is None:
            break
    assert seen == [f"{n:02}" for n in reversed(range(25))]


async def test_what_cant_be_asked_is_said(database: Database) -> None:
    for wrong in (
        list_scores(database, filters={"colour": "red"}),
        list_scores(database, limit=0),
        list_scores(database, after="nonsense"),
        figures(database, group_by="user"),
    ):
        with pytest.raises(BadRequest):
            await wrong
    assert (await list_scores(database, filters={"call": "no-uuid"})).scores == []


# ---- how long, and whose --------------------------------------------------------------------------------------------


async def test_old_scores_go_and_those_that_waited_in_vain(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    call = make_record()
    await record_calls(call)
    scores.add(score(id="old", call_id=call.id, at_s=time.time() - 11 * 86_400))
    scores.add(score(id="young", call_id=call.id))
    scores.add(score(id="vain", trace_id="never"))
    await shipper.drain()
    await fetch(database, "update score set taken_at = now() - interval '25 hours' where id = 'vain' returning 1")
    assert await score_tables.prune(database, 10) == 2
    assert [row.id for row in await all_scores(database)] == ["young"]


async def test_the_oldest_scores_go_where_they_take_too_much(
    database: Database, scores: Scores, shipper: ScoreShipper
) -> None:
    for n in range(3000):
        scores.add(score("comment", "word " * 100, id=str(n), trace_id="t", at_s=1_800_000_000.0 + n))
    await shipper.drain(20)
    assert not await score_tables.keep_within(database, 100 << 20)
    [(size,)] = await fetch(database, "select pg_total_relation_size('score')")
    assert await score_tables.keep_within(database, size // 2)
    [(kept, oldest, now)] = await fetch(
        database, "select count(*), min(id::int), pg_total_relation_size('score') from score"
    )
    assert 0 < kept < 1500 and oldest == 3000 - kept and now <= size // 2
    # The table is as it was: the same score is still the same, and indexes serve.
    scores.add(score("comment", "another", id="2999", trace_id="t", at_s=1_900_000_000.0))
    await shipper.drain()
    assert await fetch(database, "select label from score where id = '2999'") == [("another",)]


async def test_a_users_scores_are_exported_and_erased_so_that_figures_stay(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    people = People(database, [Calls(database), ScoresOf(database)], shipper.drain)
    mine, other = structs.replace(make_record(), user="ana"), structs.replace(make_record(), user="rui")
    await record_calls(mine, other)
    for call in (mine, other):
        scores.add(score("rating", 5.0, id=f"r-{call.id}", call_id=call.id, reason="Ana said so"))
        scores.add(score("comment", "from Ana", id=f"c-{call.id}", call_id=call.id))
    scores.add(score("checked", True, id="as-reviewer", call_id=other.id, source="human", who="ana"))
    exported = [row for row in (await people.export("ana")).rows if row["kind"] == "scores"]
    exported += [row for row in (await people.export("ana", "scores:")).rows if row["kind"] == "scores"]
    assert {row["score"]["id"] for row in exported} == {f"r-{mine.id}", f"c-{mine.id}", "as-reviewer"}
    done = await people.erase("ana", "admin")
    assert done.removed["scores"] == 3 and done.next is None
    rows = {row.id: row for row in await all_scores(database)}
    assert set(rows) == {f"r-{mine.id}", f"r-{other.id}", f"c-{other.id}", "as-reviewer"}
    left = rows[f"r-{mine.id}"]
    assert (left.value, left.user, left.session, left.reason, left.route) == (5.0, None, None, None, "support")
    assert rows["as-reviewer"].who == "" and rows[f"r-{other.id}"].user == "rui"


async def test_a_score_that_comes_after_its_user_was_erased_holds_no_person(
    database: Database, scores: Scores, shipper: ScoreShipper, record_calls: Any, make_record: MakeRecord
) -> None:
    people = People(database, [Calls(database), ScoresOf(database)])
    call = structs.replace(make_record(), user="ana")
    await record_calls(call)
    await people.erase("ana", "admin")
    scores.add(score("rating", 2.0, id="r", call_id=call.id, reason="Ana"))
    scores.add(score("comment", "Ana's words", id="c", call_id=call.id))
    await shipper.drain()
    [row] = await all_scores(database)
    assert (row.id, row.value, row.user, row.reason, row.joined) == ("r", 2.0, None, None, True)


async def test_many_workers_join_at_once_without_standing_in_each_others_way(
    database: Database,
    scores: Scores,
    shipper: ScoreShipper,
    record_calls: Any,
    make_record: MakeRecord,
    tmp_path: Path,
) -> None:
    calls = [make_record() for _ in range(40)]
    for call in calls:
        scores.add(score(call_id=call.id))
    await shipper.drain()
    await record_calls(*calls)
    others = [ScoreShipper(database, ScoreSpool(tmp_path / f"other-{n}")) for n in range(4)]
    assert all(await asyncio.gather(*(one.drain() for one in (shipper, *others))))
    assert all(row.joined for row in await all_scores(database))
