"""A viewer who is bound to a team, at every page and file as a browser asks for them."""

from __future__ import annotations

import csv
import http.client
import io
import json
import re
import urllib.parse
import urllib.request

import pytest

from comporta.console.accounts import Accounts
from comporta.console.page import Page
from comporta.console.pages.every import PAGES
from comporta.console.passwords import Passwords
from comporta.store.database import Database
from comporta.telemetry.record import CallRecord
from comporta.testing.servers import run_apart
from console.conftest import Opened
from console.test_signing_in import cookie_of, enter

PASSWORD = "correct horse battery"
FILES = [(page, file) for page in PAGES for file in page.files]


@pytest.fixture(scope="module")
def cookie(console: Opened) -> str:
    """Of somebody who sees the calls of `care` alone."""

    async def add() -> None:
        async with Database(console.dsn) as database:
            accounts = Accounts(database, Passwords())
            await accounts.add("bound", "viewer", password=PASSWORD, by="test", teams=["care"])

    run_apart(add())
    return cookie_of(enter(console, "bound", PASSWORD))


def got(console: Opened, path: str, cookie: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", urllib.parse.urlsplit(console.url).port or 0, timeout=90)
    try:
        connection.request("GET", path, headers={"cookie": cookie})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def of_others(console: Opened) -> list[CallRecord]:
    mine = {one.trace_id for one in console.calls if one.team == "care"}
    return [one for one in console.calls if one.team != "care" and one.trace_id not in mine]


def told_of_others(console: Opened, text: str) -> list[str]:
    """What a text says of other teams: their keys, their calls, their sessions."""
    names = {"growth-backend", "ops-backend"} | {one.id for one in of_others(console)}
    return [name for name in names if name in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_shows_their_team_or_is_refused(console: Opened, cookie: str, page: Page) -> None:
    own = next(one for one in console.calls if one.team == "care" and one.session)
    path = page.path.replace("{trace}", own.trace_id).replace("{id}", "x").replace("{place:path}", "nowhere")
    query = {"/session": f"?id={own.session}", "/": "?range=7d"}.get(page.path, "")
    status, text = got(console, path + query, cookie)
    assert status == (404 if path == "/nowhere" else 200 if page.teams else 403), path
    assert told_of_others(console, text) == []
    if not page.teams:
        assert "care" in text, "it says why"


@pytest.mark.parametrize("place", ["/calls?live=1", "/calls?team=growth", "/costs?by=key&range=30d", "/costs?by=user",
                                   "/sessions?by=cost", "/guardrails?range=30d", "/feedback?range=30d"])  # fmt: skip
def test_no_way_of_asking_shows_another_teams(console: Opened, cookie: str, place: str) -> None:
    status, text = got(console, place, cookie)
    assert status == 200
    assert told_of_others(console, text) == []


def test_another_teams_trace_and_session_are_not_there(console: Opened, cookie: str) -> None:
    sessions = {one.session for one in console.calls if one.team == "care"}
    other = next(one for one in of_others(console) if one.session and one.session not in sessions)
    for path in (f"/traces/{other.trace_id}?call={other.id}", f"/session?id={other.session}"):
        status, text = got(console, path, cookie)
        assert status == 404, path
        assert other.model is None or f"user-{other.user}" not in text


@pytest.mark.parametrize(("page", "path"), [(page, file.path) for page, file in FILES], ids=lambda one: str(one)[:30])
def test_a_file_holds_their_teams_rows_or_is_refused(console: Opened, cookie: str, page: Page, path: str) -> None:
    status, text = got(console, path, cookie)
    assert status == (200 if page.teams else 403)
    assert told_of_others(console, text) == []
    rows = list(csv.DictReader(io.StringIO(text)))
    if path == "/calls.csv":
        assert len(rows) >= sum(one.team == "care" for one in console.calls)
        assert {row["team"] for row in rows} == {"care"}


def test_of_budgets_they_see_their_teams(console: Opened, cookie: str) -> None:
    for name, team in (("care-money", "care"), ("growth-money", "growth")):
        body = {"name": name, "limit_microusd": 5_000_000, "scope": "team", "value": team, "period": "month"}
        request = urllib.request.Request(
            f"{console.served.url}/admin/budgets", json.dumps(body).encode(),
            {"authorization": f"Bearer {console.served.key}", "content-type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(request, timeout=90).close()
    _, text = got(console, "/costs", cookie)
    assert "care-money" in text and "growth-money" not in text


def test_their_navigation_leads_to_what_they_may_see(console: Opened, cookie: str) -> None:
    _, text = got(console, "/", cookie)
    letters = re.search(r"window.comportaFrame = (\{.*?\});", text)
    assert letters is not None
    places = set(json.loads(letters[1])["letters"].values())
    assert places == {page.path for page in PAGES if page.teams and page.letter}
