"""Who may come in, by a browser and by hand: sessions, roles, and what another site's page may cause."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import time
import urllib.parse

import pytest
from playwright.async_api import Browser, expect

from console.conftest import Opened
from support.browsing import Tab, new_context, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


def ask(console: Opened, method: str, path: str, body: str | None = None, **headers: str) -> http.client.HTTPResponse:
    """One request without a browser."""
    parts = urllib.parse.urlsplit(console.url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=90)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def enter(console: Opened, name: str, password: str, **headers: str) -> http.client.HTTPResponse:
    body = urllib.parse.urlencode({"name": name, "password": password, "next": "/"})
    return ask(console, "POST", "/sign-in", body, **{"origin": console.url, **headers})


def cookie_of(response: http.client.HTTPResponse) -> str:
    return (response.getheader("set-cookie") or "").split(";")[0]


async def test_nobody_sees_anything_before_signing_in_and_then_gets_where_they_were_going(
    stranger: Tab, console: Opened
) -> None:
    await stranger.page.goto(f"{console.url}/calls?outcome=failed")
    assert urllib.parse.urlsplit(stranger.page.url).path == "/sign-in"
    assert await stranger.wrong() == []
    await stranger.page.fill("[name=name]", "admin")
    await stranger.page.fill("[name=password]", console.password)
    await stranger.page.click("button[type=submit]")
    await stranger.page.wait_for_url(re.compile(r"/calls\?outcome=failed"))


async def test_a_wrong_password_is_told_without_telling_whether_the_name_was_right(
    stranger: Tab, console: Opened
) -> None:
    texts = set()
    for name in ("admin", "nobody-of-that-name"):
        await stranger.page.goto(f"{console.url}/sign-in")
        await stranger.page.fill("[name=name]", name)
        await stranger.page.fill("[name=password]", "wrong-password")
        await stranger.page.click("button[type=submit]")
        texts.add(await stranger.page.inner_text("[role=alert]"))
    assert texts == {"That name and password do not fit."}


async def test_guessing_is_stopped_after_a_few_tries(console: Opened) -> None:
    statuses = [enter(console, "guessed", f"guess-{n}").status for n in range(7)]
    assert statuses[:5] == [401] * 5
    assert statuses[5:] == [429, 429]


@pytest.mark.parametrize("path", ["/", "/calls", "/calls.csv", "/costs.csv", "/traces/x", "/system/users", "/nothing"])
async def test_without_a_session_every_path_leads_to_the_sign_in(console: Opened, path: str) -> None:
    response = ask(console, "GET", path)
    assert response.status == 303
    assert (response.getheader("location") or "").startswith("/sign-in")


async def test_a_session_that_a_stranger_planted_is_not_taken_over(console: Opened) -> None:
    name = f"comporta_console_{urllib.parse.urlsplit(console.url).port}"
    response = enter(console, "admin", console.password, cookie=f"{name}=planted")
    cookie = cookie_of(response)
    assert response.status == 303 and cookie and cookie != f"{name}=planted"
    assert ask(console, "GET", "/", cookie=f"{name}=planted").status == 303
    assert ask(console, "GET", "/", cookie=cookie).status == 200


async def test_the_cookie_is_kept_from_scripts_and_other_sites(console: Opened) -> None:
    told = (enter(console, "admin", console.password).getheader("set-cookie") or "").lower()
    assert "httponly" in told and "samesite=lax" in told


async def test_signing_out_ends_the_session_on_the_server(console: Opened) -> None:
    cookie = cookie_of(enter(console, "admin", console.password))
    assert ask(console, "GET", "/", cookie=cookie).status == 200
    assert ask(console, "POST", "/sign-out", "", cookie=cookie, origin=console.url).status == 303
    assert ask(console, "GET", "/", cookie=cookie).status == 303


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
async def test_another_sites_page_can_sign_nobody_in_or_out(console: Opened, origin: str) -> None:
    cookie = cookie_of(enter(console, "admin", console.password))
    headers = {"cookie": cookie, **({"origin": origin} if origin else {})}
    assert ask(console, "POST", "/sign-out", "", **headers).status == 403
    assert enter(console, "admin", console.password, origin=origin).status == 403
    assert ask(console, "GET", "/", cookie=cookie).status == 200


@pytest.mark.parametrize(
    ("case", "status"),
    [("own page", 101), ("no session", 403), ("other origin", 403), ("no origin", 403), ("page of another", 403)],
)
async def test_a_socket_is_opened_for_the_session_of_its_page_alone(console: Opened, case: str, status: int) -> None:
    cookie, other = (cookie_of(enter(console, "admin", console.password)) for _ in range(2))
    client = re.search(r"'client_id': '([0-9a-f-]{36})'", page_text(console, cookie))
    assert client is not None
    headers = {
        "cookie": {"no session": "", "page of another": other}.get(case, cookie),
        "origin": {"other origin": "http://evil.example", "no origin": ""}.get(case, console.url),
        "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    sent = {name: value for name, value in headers.items() if value}
    query = f"client_id={client[1]}&next_message_id=0&tab_id=t&document_id=d"
    path = f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&{query}"
    assert upgrade(console, path, sent) == status


def page_text(console: Opened, cookie: str) -> str:
    parts = urllib.parse.urlsplit(console.url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=90)
    try:
        connection.request("GET", "/system/users", headers={"cookie": cookie})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def upgrade(console: Opened, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", urllib.parse.urlsplit(console.url).port or 0, timeout=90)
    try:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            return response.status
    finally:
        connection.close()


async def test_polling_is_no_way_round_the_socket(console: Opened) -> None:
    cookie = cookie_of(enter(console, "admin", console.password))
    assert ask(console, "GET", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", cookie=cookie).status == 403


async def test_a_name_that_dns_was_tricked_into_is_no_way_in(console: Opened) -> None:
    assert ask(console, "GET", "/sign-in", host="rebound.example").status == 421


@pytest.mark.parametrize("way", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_signing_in_leads_to_no_other_site(console: Opened, way: str) -> None:
    body = urllib.parse.urlencode({"name": "admin", "password": console.password, "next": way})
    response = ask(console, "POST", "/sign-in", body, origin=console.url)
    assert response.getheader("location") == "/"


async def test_a_viewer_sees_but_does_not_act(tab: Tab, console: Opened, browser: Browser) -> None:
    page = await tab.open("/system/users")
    await page.fill("label:has-text('Name') input", "vera")
    await page.click("text=Make user")
    password = (await page.inner_text("pre.code")).strip()
    context = await new_context(browser)
    viewer = Tab(await context.new_page(), console.url)
    await sign_in(viewer, "vera", password)
    await viewer.open("/calls")
    assert await viewer.page.locator("tbody tr").count() > 5
    await viewer.open("/system")
    await expect(viewer.page.locator("text=Console users")).to_have_count(0)
    response = await viewer.page.goto(f"{console.url}/system/users")
    assert response is not None and response.status == 403
    assert "your role is viewer" in await viewer.text()
    await context.close()


async def test_who_is_made_a_viewer_meanwhile_can_act_no_more_on_a_page_left_open(
    tab: Tab, console: Opened, browser: Browser
) -> None:
    page = await tab.open("/system/users")
    await page.fill("label:has-text('Name') input", "otto")
    await page.select_option("label:has-text('Role') select", "admin")
    await page.click("text=Make user")
    password = (await page.inner_text("pre.code")).strip()
    context = await new_context(browser)
    other = Tab(await context.new_page(), console.url)
    await sign_in(other, "otto", password)
    await other.open("/system/users")
    await tab.open("/system/users")
    await page.locator(".events__one", has_text="otto").get_by_text("Make viewer").click()
    await expect(page.locator(".events__one", has_text="otto").get_by_text("Make admin")).to_be_visible()
    await other.page.fill("label:has-text('Name') input", "smuggled")
    await other.page.click("text=Make user")
    await expect(other.page.locator(".q-notification")).to_contain_text("your role is viewer")
    await tab.open("/system/users")
    assert "smuggled" not in await tab.text()
    await context.close()


async def test_an_admin_binds_a_viewer_to_a_team_and_sets_them_free(
    tab: Tab, console: Opened, browser: Browser
) -> None:
    page = await tab.open("/system/users")
    await page.fill("label:has-text('Name') input", "tied")
    await page.fill("label:has-text('Teams') input", "care, ops")
    await page.click("text=Make user")
    password = (await page.inner_text("pre.code")).strip()
    context = await new_context(browser)
    other = Tab(await context.new_page(), console.url)
    await sign_in(other, "tied", password)
    await expect(other.page.locator(".side__link")).to_have_count(6)
    await other.open("/calls?live=1")
    await tab.open("/system/users")
    row = page.locator(".events__one", has_text="tied")
    await expect(row).to_contain_text("care, ops")
    await row.get_by_text("Teams", exact=True).click()
    await page.fill(".q-dialog input", "")
    await page.locator(".q-dialog").get_by_text("Save").click()
    await expect(row).not_to_contain_text("care, ops")
    # What was opened with other teams ends, and the next sign-in shows all.
    await other.page.wait_for_url(re.compile("/sign-in"))
    await sign_in(other, "tied", password)
    await expect(other.page.locator(".side__link", has_text="Keys")).to_be_visible()
    await context.close()


async def test_a_page_left_open_ends_with_its_session(tab: Tab, console: Opened, browser: Browser) -> None:
    page = await tab.open("/system/users")
    await page.fill("label:has-text('Name') input", "gone")
    await page.click("text=Make user")
    password = (await page.inner_text("pre.code")).strip()
    context = await new_context(browser)
    other = Tab(await context.new_page(), console.url)
    await sign_in(other, "gone", password)
    await other.open("/calls?live=1")
    await tab.open("/system/users")
    await page.locator(".events__one", has_text="gone").get_by_text("Remove").click()
    await page.locator(".dialog").get_by_text("Remove", exact=True).click()
    await other.page.wait_for_url(re.compile("/sign-in"))
    await context.close()


async def test_a_console_that_was_killed_comes_back_and_who_was_signed_in_still_is(console: Opened) -> None:
    cookie = cookie_of(enter(console, "admin", console.password))
    before = console_pid(console)
    os.kill(before, signal.SIGKILL)
    until_s = time.monotonic() + 120
    while console_pid(console) in (0, before):
        assert time.monotonic() < until_s, console.served.output
        await asyncio.sleep(0.1)
    console.wait(120)
    assert ask(console, "GET", "/calls", cookie=cookie).status == 200


def console_pid(console: Opened) -> int:
    """Of the console's process; 0 where there is none."""
    found = console.served.processes().items()
    return next((pid for pid, command in found if "console_process" in command), 0)
