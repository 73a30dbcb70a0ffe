"""Calls are found by whatever one looks for, page by page, however many there are; sessions and traces likewise."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.telemetry import call_search
from comporta.telemetry.call_search import Wanted, search
from comporta.telemetry.record import CallRecord
from comporta.telemetry.session_reads import list_sessions, read_turns, some_sessions
from comporta.telemetry.traces import read_trace
from support.filling import Filler, drawn, fill


@pytest.fixture
async def calls(database: Database) -> list[CallRecord]:
    filler = Filler(seed=3, hostile=' "quoted" 100%_sure \\')
    made = drawn(filler, 120, 5)
    await fill(database, made, filler)
    return made


async def found(database: Database, wanted: Wanted) -> set[str]:
    return {one.call.id for one in (await search(database, wanted, limit=500)).found}


async def test_pages_hold_every_call_once_the_newest_first(database: Database, calls: list[CallRecord]) -> None:
    seen, after = [], None
    while True:
        page = await search(database, Wanted(), after=after, limit=17)
        seen += [one.call for one in page.found]
        after = page.next
        if after is None:
            break
    assert sorted(one.id for one in seen) == sorted(one.id for one in calls)
    assert [one.started_at for one in seen] == sorted((one.started_at for one in seen), reverse=True)


async def test_each_filter_finds_what_it_says(database: Database, calls: list[CallRecord]) -> None:
    cases: list[tuple[Wanted, Callable[[CallRecord], bool]]] = [
        (Wanted(filters={"route": "support"}), lambda one: one.route == "support"),
        (Wanted(filters={"prompt_version": "1.3.0"}), lambda one: one.prompt_version == "1.3.0"),
        (Wanted(outcome="failed"), lambda one: one.outcome != "ok"),
        (Wanted(outcome="timeout"), lambda one: one.outcome == "timeout"),
        (Wanted(cache="hit"), lambda one: one.cache != "miss"),
        (Wanted(cache="miss"), lambda one: one.cache == "miss"),
        (Wanted(least_microusd=3000), lambda one: (one.cost_microusd or 0) >= 3000),
        (Wanted(least_us=900_000), lambda one: one.duration_us >= 900_000),
        (Wanted(judged="guard"), lambda one: one.outcome == "guardrail_blocked"),
    ]
    for wanted, fits in cases:
        assert await found(database, wanted) == {one.id for one in calls if fits(one)}, wanted


async def test_good_and_bad_judgements_are_told_apart(database: Database, calls: list[CallRecord]) -> None:
    good, bad = await found(database, Wanted(judged="good")), await found(database, Wanted(judged="bad"))
    assert good and bad and not good & bad
    assert await found(database, Wanted(judged="any")) == good | bad


async def test_words_are_found_whatever_signs_are_in_them(database: Database, calls: list[CallRecord]) -> None:
    assert await found(database, Wanted(text='"quoted" 100%_sure \\')) == {one.id for one in calls}
    assert await found(database, Wanted(text="VEGAN")) == {one.id for one in calls if "vegan" in (one.prompt or "")}
    assert await found(database, Wanted(text="100x_sure")) == set()
    assert await found(database, Wanted(text="a\0b")) == set()


async def test_an_id_of_a_call_a_trace_or_a_session_is_looked_up(database: Database, calls: list[CallRecord]) -> None:
    one = next(one for one in calls if one.session)
    assert await found(database, Wanted(text=one.id)) == {one.id}
    assert one.id in await found(database, Wanted(text=one.trace_id))
    assert one.session is not None
    assert await found(database, Wanted(text=one.session)) == {c.id for c in calls if c.session == one.session}


async def test_time_bounds_a_search(database: Database, calls: list[CallRecord]) -> None:
    middle = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    late = await found(database, Wanted(since=middle))
    early = await found(database, Wanted(until=middle))
    assert late | early == {one.id for one in calls} and not late & early
    assert all(one.started_us / 1e6 >= middle.timestamp() for one in calls if one.id in late)


async def test_a_search_that_takes_too_long_says_how_far_it_came_and_goes_on_from_there(
    database: Database, calls: list[CallRecord]
) -> None:
    page = await search(database, Wanted(text="vegan"), within_s=0.0)
    assert page.found == [] and page.searched_to is not None and page.next is not None
    whole = await search(database, Wanted(text="vegan"), after=page.next, limit=500)
    assert {one.call.id for one in whole.found} == {one.id for one in calls if "vegan" in (one.prompt or "")}


async def test_a_slice_of_time_that_takes_too_long_is_cut_into_shorter_ones(
    database: Database, calls: list[CallRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_of, tried = call_search._Look._slice, list[float]()

    async def slow(self: Any, begin: datetime.datetime, place: Any, limit: int, left_s: float) -> Any:
        tried.append((place[0] - begin).total_seconds())
        return None if tried[-1] > 7200 else await slice_of(self, begin, place, limit, left_s)

    monkeypatch.setattr(call_search._Look, "_slice", slow)
    page = await search(database, Wanted(), limit=500, within_s=30)
    assert {one.call.id for one in page.found} == {one.id for one in calls}
    assert max(tried) > 7200, "longer ones were tried too"


async def test_what_was_asked_last_stands_beside_each_call(database: Database, calls: list[CallRecord]) -> None:
    page = await search(database, Wanted(), limit=500)
    assert all(one.snippet and '"quoted"' in one.snippet for one in page.found)


@pytest.mark.parametrize("after", ["x", "e30=", "é"])
async def test_an_address_of_a_page_that_is_not_ours_is_refused(database: Database, after: str) -> None:
    with pytest.raises(BadRequest):
        await search(database, Wanted(), after=after)
    with pytest.raises(BadRequest):
        await list_sessions(database, after=after)


async def test_a_filter_that_there_is_not_is_refused(database: Database) -> None:
    with pytest.raises(BadRequest, match="can't be filtered"):
        await search(database, Wanted(filters={"password": "x"}))


async def test_sessions_are_listed_once_with_all_their_calls(database: Database, calls: list[CallRecord]) -> None:
    seen, after = [], None
    while True:
        page = await list_sessions(database, after=after, limit=3)
        seen += page.sessions
        after = page.next
        if after is None:
            break
    expected = {one.session for one in calls if one.session}
    assert sorted(one.session for one in seen) == sorted(expected)
    for one in seen:
        mine = [call for call in calls if call.session == one.session]
        assert (one.calls, one.cost_microusd or 0) == (len(mine), sum(call.cost_microusd or 0 for call in mine))


async def test_the_turns_of_a_session_come_in_order_and_page_by_page(
    database: Database, calls: list[CallRecord]
) -> None:
    session = max((one.session for one in calls if one.session), key=lambda s: sum(c.session == s for c in calls))
    mine = sorted(
        (one for one in calls if one.session == session and not one.parent_id), key=lambda one: one.started_us
    )
    last = await read_turns(database, session, limit=2)
    before = await read_turns(database, session, after=last.next, limit=100)
    assert [turn.call.id for turn in (*before.turns, *last.turns)] == [one.id for one in mine]
    assert await some_sessions(database, ["no such"]) == {}


async def test_a_trace_has_its_calls_and_what_their_stages_did(database: Database, calls: list[CallRecord]) -> None:
    child = next(one for one in calls if one.parent_id)
    trace = await read_trace(database, child.trace_id)
    assert [one.id for one in trace.calls] == [child.parent_id, child.id]
    assert [span.name for span in trace.spans[child.id]] == [span.name for span in child.spans]
    empty = await read_trace(database, "nothing")
    assert (empty.calls, empty.others, empty.cut) == ([], [], False)
