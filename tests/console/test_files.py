"""The files that pages give: their heads, their rows, and that they are narrowed as the page is."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from comporta.console.page import File, Page
from comporta.console.pages.every import PAGES
from comporta.console.recalled import given
from comporta.store.database import Database
from console.conftest import Opened
from console.test_acting import TAGS, asked, deploy, push
from console.test_bound_viewers import got
from console.test_signing_in import cookie_of, enter


@pytest.fixture(scope="module")
def cookie(console: Opened) -> str:
    return cookie_of(enter(console, "admin", console.password))


def rows(console: Opened, cookie: str, path: str) -> list[dict[str, str]]:
    status, text = got(console, path, cookie)
    assert status == 200, text
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("page", "file"), [(page, file) for page in PAGES for file in page.files], ids=lambda one: getattr(one, "path", "")
)
def test_a_page_with_a_file_leads_to_it(console: Opened, cookie: str, page: Page, file: File) -> None:
    query = {"/review": "?state=done", "/alerts": ""}.get(page.path, "?range=30d")
    _, shown = got(console, page.path + query, cookie)
    _, text = got(console, file.path, cookie)
    head = next(csv.reader(io.StringIO(text)))
    assert len(head) > 5 and all(name == name.strip().lower() for name in head)
    # Of these there may be nothing yet; where there is, their own tests look for it.
    if page.path not in ("/review", "/alerts", "/prompts", "/rollouts"):
        assert file.path in shown, "the page has a link to its file"


def test_verdicts_are_given_whole_and_by_guard(console: Opened, cookie: str) -> None:
    found = rows(console, cookie, "/guardrails.csv?range=30d")
    assert found and {one["source"] for one in found} == {"guard"}
    name = found[0]["name"]
    narrowed = rows(console, cookie, f"/guardrails.csv?range=30d&guard={name}")
    assert narrowed == [one for one in found if one["name"] == name]
    assert rows(console, cookie, "/guardrails.csv?range=30d&route=nowhere") == []


def test_feedback_is_what_people_said(console: Opened, cookie: str) -> None:
    found = rows(console, cookie, "/feedback.csv?range=30d")
    assert found and {one["source"] for one in found} <= {"user", "human"}
    route = found[0]["route"]
    narrowed = rows(console, cookie, f"/feedback.csv?range=30d&route={route}")
    assert 0 < len(narrowed) < len(found) and {one["route"] for one in narrowed} == {route}


def test_reviews_are_given_to_their_end_and_as_a_spreadsheet_takes_them(console: Opened, cookie: str) -> None:
    for n in range(3):
        body = {"kind": "filed", "reason": "=1+1 is no formula here", "payload": {}, "id": f"filed/{n}"}
        asked(console, "POST", "/admin/reviews", body)
    found: list[dict[str, str]] = []
    while len(found) < 3:
        found = rows(console, cookie, "/review.csv?kind=filed")
    assert {one["id"] for one in found} == {f"filed/{n}" for n in range(3)}
    assert {one["reason"] for one in found} == {"'=1+1 is no formula here"}


def test_keys_come_with_what_they_used_and_by_pages(console: Opened, cookie: str) -> None:
    made = [asked(console, "POST", "/admin/keys", {"name": f"filed-{n:03}"})["id"] for n in range(101)]
    found = {one["id"]: one for one in rows(console, cookie, "/keys.csv")}
    assert set(made) <= set(found) and found[made[0]]["state"] == "active"
    assert all("secret" not in name for name in found[made[0]])
    _, first = got(console, "/keys", cookie)
    assert made[-1] in first and made[0] not in first, "a hundred on a page, the newest first"
    _, second = got(console, f"/keys?after={made[1]}", cookie)
    assert made[0] in second and made[-1] not in second


def test_versions_of_prompts_come_with_the_environments_that_point_at_them(console: Opened, cookie: str) -> None:
    for version in ("1.0.0", "1.1.0"):
        push(console, "filed", version)
    deploy(console, "filed", "1.0.0")
    push(console, "filed-too", "2.0.0")
    found = {(one["id"], one["version"]): one for one in rows(console, cookie, "/prompts.csv")}
    told = {key[1]: one["environments"] for key, one in found.items() if key[0] == "filed"}
    assert told == {"1.1.0": "", "1.0.0": "production"}
    assert found["filed-too", "2.0.0"]["author"] == "Rui" and found["filed-too", "2.0.0"]["digest"]
    _, page = got(console, "/prompts", cookie)
    assert "/prompts.csv" in page


def test_rollouts_and_experiments_come_apart_and_as_a_spreadsheet_takes_them(console: Opened, cookie: str) -> None:
    for version in ("1.0.0", "1.1.0"):
        push(console, "filed-out", version)
    deploy(console, "filed-out", "1.0.0")
    body = {"prompt": "filed-out", "label": "production", "to": {"prompt": "filed-out@1.1.0"},
            "tags": {**TAGS, "author": "=SUM(A1)"}, "name": "=1+1"}  # fmt: skip
    made = asked(console, "POST", "/admin/rollouts", body)
    try:
        found = next(one for one in rows(console, cookie, "/rollouts.csv") if one["id"] == made["id"])
        assert (found["name"], found["kind"], found["environment"]) == ("'=1+1", "rollout", "production")
        assert (found["to_prompt"], found["started_by"]) == (made["to"]["prompt"], made["started_by"])
        assert datetime.fromisoformat(found["started_at"]) == datetime.fromisoformat(made["started_at"])
        assert '"author": "=SUM(A1)"' in found["tags"]
        assert made["id"] not in {one["id"] for one in rows(console, cookie, "/rollouts.csv?kind=experiment")}
        _, page = got(console, "/rollouts", cookie)
        assert "/rollouts.csv" in page
    finally:
        asked(console, "POST", f"/admin/rollouts/{made['id']}/abort", {})


def test_hits_of_both_caches_come_without_what_was_said(console: Opened, cookie: str) -> None:
    hits = {one.id: one for one in console.calls if one.cache in ("exact", "semantic")}
    found = rows(console, cookie, "/cache.csv?range=30d")
    given = {one["id"]: one for one in found}
    assert set(hits) <= set(given) and {one["cache"] for one in found} == {"exact", "semantic"}
    one = given[next(iter(hits))]
    assert (one["similarity"], one["saved_usd"]) == ("0.947", "0.0009")
    assert [one["started_at"] for one in found] == sorted((one["started_at"] for one in found), reverse=True)
    assert len(rows(console, cookie, "/cache.csv?range=1h")) < len(found)


async def test_hits_are_read_by_batches_without_losing_or_repeating_one(console: Opened) -> None:
    hits = [one.id for one in console.calls if one.cache in ("exact", "semantic")]
    since, until = datetime.now(UTC) - timedelta(days=30), datetime.now(UTC)
    async with Database(console.dsn) as database:
        whole = [row[1] async for row in given(database, since, until, 10_000)]
        by_three = [row[1] async for row in given(database, since, until, 10_000, batch=3)]
        assert by_three == whole and set(hits) <= set(whole) and len(set(whole)) == len(whole)
        assert [row[1] async for row in given(database, since, until, 5, batch=3)] == whole[:5]
