"""The files that pages give: their heads, their rows, and that they are narrowed as the page is."""

from __future__ import annotations

import csv
import io

import pytest

from comporta.console.page import File, Page
from comporta.console.pages.every import PAGES
from console.conftest import Opened
from console.test_acting import asked
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
    if page.path not in ("/review", "/alerts"):
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
