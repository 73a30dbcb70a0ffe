"""Of other teams a viewer who is bound to some sees nothing, whichever page or file or figure they ask for."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import AsyncIterator

import psycopg
import pytest

from comporta.budget.costs import costs
from comporta.console.accounts import Accounts
from comporta.console.facets import facets
from comporta.console.happenings import happenings
from comporta.console.passwords import Passwords
from comporta.console.sessions import Sessions
from comporta.console.teams import VIEWS, TeamDatabases
from comporta.errors import BadRequest, NotFound
from comporta.feedback.findings.reads import clusters, list_findings, trends
from comporta.store.database import Database
from comporta.telemetry import score_tables
from comporta.telemetry.call_search import Wanted, search
from comporta.telemetry.calls import one_call
from comporta.telemetry.observability import facets as summed
from comporta.telemetry.score_reads import list_scores
from comporta.telemetry.series import series, top
from comporta.telemetry.session_reads import list_sessions, read_turns
from comporta.telemetry.traces import read_trace
from support.filling import Filler, drawn, fill

NOW = datetime.datetime.now(datetime.UTC)
AGO = NOW - datetime.timedelta(days=4)


class Seen:
    """A database with calls of three teams, as all see it and as who is bound to `care` does."""

    def __init__(self, whole: Database, narrow: TeamDatabases) -> None:
        self.whole = whole
        self.narrow = narrow
        self.care = narrow.of(("care",))
        filler = Filler()
        self.calls = drawn(filler, 150, 3)
        self.filler = filler
        self.own = [one for one in self.calls if one.team == "care"]
        self.others = [one for one in self.calls if one.team != "care"]


@pytest.fixture
async def seen(database: Database) -> AsyncIterator[Seen]:
    narrow = TeamDatabases(database.dsn)
    made = Seen(database, narrow)
    await fill(database, made.calls, made.filler)
    # Figures of all teams are then read from sums that tell no team from another.
    await summed.refresh(database, grace_s=0)
    yield made
    await narrow.close()


async def test_lists_hold_the_calls_of_their_teams_alone(seen: Seen) -> None:
    found = await search(seen.care, Wanted(), limit=500)
    assert {one.call.id for one in found.found} == {one.id for one in seen.own}
    asked = await search(seen.care, Wanted(filters={"team": "growth"}), limit=500)
    assert asked.found == []
    known = await facets(seen.care)
    assert known.teams == ["care"]
    sessions = await list_sessions(seen.care)
    assert sum(one.calls for one in sessions.sessions) == sum(one.session is not None for one in seen.own)


async def test_another_teams_call_trace_and_session_are_as_if_they_were_not(seen: Seen) -> None:
    other = next(one for one in seen.others if one.session and one.parent_id is None)
    with pytest.raises(NotFound):
        await one_call(seen.care, other.id)
    trace = await read_trace(seen.care, other.trace_id)
    assert all(one.team == "care" for one in trace.calls) and other.id not in trace.spans
    turns = await read_turns(seen.care, other.session or "")
    assert other.id not in {turn.call.id for turn in turns.turns}
    mine = await read_trace(seen.care, seen.own[0].trace_id)
    assert mine.spans[seen.own[0].id], "of their own they see the spans too"
    whole = await read_trace(seen.whole, other.trace_id)
    assert other.id in whole.spans


async def test_figures_and_costs_are_those_of_their_teams(seen: Seen) -> None:
    for step_s in (None, 3600, 60 * 30):
        line = (await series(seen.care, ("calls", "cost"), since=AGO, step_s=step_s)).lines[0]
        assert line.calls == len(seen.own)
        spent = sum(one.cost_microusd or 0 for one in seen.own)
        assert round((line.total["cost"] or 0.0) * 1e6) == spent
    by_team = await series(seen.care, ("calls",), since=AGO, group_by="team")
    assert [one.group for one in by_team.lines] == ["care"]
    by_model = await series(seen.care, ("calls",), since=AGO, group_by="model")
    assert sum(one.calls for one in by_model.lines) == len(seen.own)
    hour = datetime.timedelta(hours=1)
    begin = AGO.replace(minute=0, second=0, microsecond=0)
    ledger = await costs(seen.care, ("team",), begin, begin + 5 * 24 * hour)
    assert [one.by["team"] for one in ledger.rows] == ["care"]
    assert ledger.total.cost_microusd == spent


async def test_of_scores_and_what_is_made_of_everybodys_they_find_their_own_or_nothing(seen: Seen) -> None:
    scores = await list_scores(seen.care, limit=500)
    assert scores.scores and {one.team for one in scores.scores} == {"care"}
    assert await top(seen.care, "user", "cost", since=AGO) == []
    assert (await list_findings(seen.care)).findings == []
    assert await clusters(seen.care, since=AGO, until=NOW) == []
    weeks = sum(week.n for one in await trends(seen.care) if one.name != "mood" for week in one.weeks)
    everybody = sum(week.n for one in await trends(seen.whole) if one.name != "mood" for week in one.weeks)
    assert 0 < weeks < everybody
    assert await happenings(seen.care, AGO, NOW) == []


async def test_scores_are_shortened_while_somebody_bound_to_a_team_is_connected(seen: Seen) -> None:
    before = len((await list_scores(seen.care, limit=500)).scores)
    async with seen.whole.connection() as connection:
        sizes = await (await connection.execute(score_tables.SIZE)).fetchall()
    assert await score_tables.keep_within(seen.whole, sizes[0][0] // 2)
    after = await list_scores(seen.care, limit=500)
    assert 0 < len(after.scores) < before and {one.team for one in after.scores} == {"care"}


async def test_who_is_bound_to_two_teams_sees_both_and_nobody_sees_anothers_meanwhile(seen: Seen) -> None:
    growth, both = seen.narrow.of(("growth",)), seen.narrow.of(("care", "growth"))
    named = {"care": seen.care, "growth": growth}

    async def ids(base: Database) -> set[str]:
        return {one.call.id for one in (await search(base, Wanted(), limit=500)).found}

    results = await asyncio.gather(*(ids(base) for _ in range(6) for base in (seen.care, growth, both)))
    for at, found in enumerate(results):
        teams = (("care",), ("growth",), ("care", "growth"))[at % 3]
        assert found == {one.id for one in seen.calls if one.team in teams}
    assert set(named) == {"care", "growth"}


@pytest.mark.parametrize("statement", [
    "select * from audit", "select * from console_user", "select * from virtual_key_secret", "select * from prompt",
])  # fmt: skip
async def test_a_table_that_was_not_thought_of_is_not_there(seen: Seen, statement: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with seen.care.reading() as connection:
            await connection.execute(statement.encode())


async def test_nothing_is_written_and_without_a_team_nothing_is_read(seen: Seen) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        async with seen.care.connection() as connection:
            await connection.execute("update call set team = 'care'")
    assert (await search(seen.narrow.of(()), Wanted())).found == []
    with pytest.raises(psycopg.Error):
        async with seen.narrow._wide.reading() as connection:
            await connection.execute("select count(*) from call")


async def test_every_table_has_its_columns_for_them_too(seen: Seen) -> None:
    columns = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
    for table in VIEWS:
        found = []
        for base in (seen.whole, seen.care):
            async with base.reading() as connection:
                rows = await (await connection.execute(columns, [table])).fetchall()
                found.append({row[0] for row in rows})
        assert found[0] and (found[1] == found[0] or re.match("facet_stale", table)), table


async def test_a_binding_holds_for_viewers_and_a_change_of_it_ends_what_was_open(database: Database) -> None:
    accounts, sessions = Accounts(database, Passwords()), Sessions(database, idle_s=60, longest_s=600)
    await accounts.add("ana", "admin", password=None, by="test")
    await accounts.add("vera", "viewer", password=None, by="test", teams=[" care ", "ops", "care"])
    secret = await sessions.start("vera")
    session = await sessions.live(secret)
    assert session is not None and session.teams == ("care", "ops")
    await accounts.set_role("vera", "admin", by="test")
    assert await sessions.live(secret) is None
    secret = await sessions.start("vera")
    session = await sessions.live(secret)
    assert session is not None and session.teams is None, "admins see all"
    await accounts.set_role("vera", "viewer", by="test")
    assert await sessions.live(secret) is None, "a page that shows all must not stay open"
    secret = await sessions.start("vera")
    await accounts.set_teams("vera", None, by="test")
    assert await sessions.live(secret) is None
    assert (await accounts.get("vera")).teams is None
    for wrong in ([], [""], ["x" * 101], ["a\nb"]):
        with pytest.raises(BadRequest):
            await accounts.set_teams("vera", wrong, by="test")


async def test_whom_the_provider_gives_other_teams_starts_anew(database: Database) -> None:
    accounts, sessions = Accounts(database, Passwords()), Sessions(database, idle_s=60, longest_s=600)
    who = {"subject": "https://issuer#1", "by": "oidc"}
    name = await accounts.vouched("rui@example.com", "viewer", teams=["care"], **who)
    secret = await sessions.start(name)
    await accounts.vouched("rui@example.com", "viewer", teams=["care"], **who)
    assert await sessions.live(secret) is not None, "the same teams: nothing ends"
    await accounts.vouched("rui@example.com", "viewer", teams=["ops"], **who)
    assert await sessions.live(secret) is None
    assert (await accounts.get(name)).teams == ["ops"]
