"""What admins do in the console, in a real browser: playing, releasing, pausing, keys, judging, reviewing."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from console.conftest import HOSTILE, Opened
from support.browsing import Tab, new_context, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLACES = (
    "/playground", "/prompts", "/rollouts", "/rollouts?kind=experiment", "/keys", "/keys?new=1", "/guardrails",
    "/cache", "/feedback", "/review", "/alerts",
)  # fmt: skip
PROMPT = """id: {id}
version: {version}
model: scripted/echo
system_prompt: |
  You help. {more}
user_prompt_template: "{{question}}"
variables:
  - name: question
    description: {hostile}
"""
#: What viewers may press: nothing of it changes anything. Those of a folded form have no text.
HARMLESS = {"", "Copy", "Filter", "Add a model", "Add a message", "Open", "Skip"}
TAGS = {"commit_sha": "abc1234", "author": "Ana", "model_version": "echo"}


def asked(console: Opened, method: str, path: str, body: Any = None) -> Any:
    """What the gate says to its admin."""
    request = urllib.request.Request(
        console.served.url + path, None if body is None else json.dumps(body).encode(),
        {"authorization": f"Bearer {console.served.key}", "content-type": "application/json"}, method=method,
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None


def push(console: Opened, id: str, version: str, more: str = "") -> None:
    text = PROMPT.format(id=id, version=version, more=more, hostile=json.dumps(HOSTILE))
    asked(console, "POST", "/admin/prompts/push", {"files": [{"name": f"{id}.yaml", "text": text, "author": "Rui"}]})


def deploy(console: Opened, id: str, version: str) -> None:
    body = {"version": version, "environment": "production", "why": "test", "tags": TAGS}
    asked(console, "POST", f"/admin/prompts/{id}/deploy", body)


def label(console: Opened, id: str) -> str | None:
    labels = asked(console, "GET", f"/admin/prompts/{id}")["labels"]
    return next((one["version"] for one in labels if one["environment"] == "production"), None)


async def confirm(page: Page) -> None:
    await page.click(".q-dialog .dialog__acts .button:last-child")


@pytest.mark.parametrize("place", PLACES)
async def test_a_page_stands_in_both_themes_at_every_width_and_can_be_used_by_everybody(tab: Tab, place: str) -> None:
    page = await tab.open(place)
    assert await tab.wrong() == []
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await tab.wrong() == []
    assert not await page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), "wider than a phone"


async def test_several_models_answer_side_by_side_as_they_go(tab: Tab) -> None:
    page = await tab.open("/playground?model=scripted/echo")
    await page.locator(".play__line textarea").nth(1).fill("hello there " + HOSTILE)
    await page.click("text=Add a model")
    await page.locator(".play__column input").nth(1).fill("support")
    await page.click(".play__asked >> text=Run")
    for n in (0, 1):
        await expect(page.locator(".play__answer").nth(n)).to_contain_text("hello there")
        await expect(page.locator(".play__figures").nth(n)).to_contain_text("tokens")
    await page.locator(".play__column >> text=Trace").first.click()
    await page.wait_for_url(re.compile("/traces/"))
    await page.wait_for_selector(".page__inside h1")


async def test_what_is_wrong_with_a_model_stands_in_its_column_alone(tab: Tab) -> None:
    page = await tab.open("/playground?model=scripted/echo,nobody/nothing")
    await page.locator(".play__line textarea").nth(1).fill("hello")
    await page.click(".play__asked >> text=Run")
    await expect(page.locator(".play__answer").nth(0)).to_contain_text("hello")
    await expect(page.locator(".play__answer.bad")).to_have_count(1)


async def test_a_prompt_is_tried_changed_and_saved_as_a_version_and_as_a_test_case(tab: Tab, console: Opened) -> None:
    push(console, "played", "1.0.0")
    page = await tab.open("/playground?prompt=played@1.0.0")
    await page.locator("textarea").first.fill("where is my soup?")
    await page.click(".play__asked >> text=Run")
    await expect(page.locator(".play__answer")).to_contain_text("soup")
    await page.click("text=Save as test case")
    await page.locator(".q-dialog textarea").fill("It says where the order is.")
    await confirm(page)
    await expect(page.locator(".q-notification")).to_contain_text("Saved")
    await page.click("details.fold summary")
    written = page.locator("details.fold textarea")
    await written.fill((await written.input_value()).replace("You help.", "You help quickly."))
    await page.click("text=Save as version")
    await confirm(page)
    await page.wait_for_url(re.compile(r"/prompts/played\?at=1\.0\.1"))
    await expect(page.locator(".diff")).to_contain_text("You help quickly.")
    await tab.open_until("/prompts/played?at=1.0.1", "1 saved cases")


async def test_a_kept_call_is_asked_again(tab: Tab, console: Opened) -> None:
    call = next(one for one in console.calls if one.prompt_id is None and one.outcome == "ok")
    page = await tab.open(f"/playground?call={call.id}")
    written = await page.locator(".play__line textarea").evaluate_all("all => all.map((one) => one.value).join(' ')")
    assert "You answer customers of a delivery app" in written


async def test_a_prompt_is_deployed_and_rolled_back(tab: Tab, console: Opened) -> None:
    push(console, "released", "1.0.0")
    push(console, "released", "1.1.0", more="Be brief.")
    deploy(console, "released", "1.0.0")
    page = await tab.open("/prompts/released")
    await expect(page.locator(".diff")).to_contain_text("Be brief.")
    await page.click("text=Deploy 1.1.0 to production")
    await page.wait_for_url(re.compile("deploy=production"))
    fields = page.locator(".filters__form.bare input")
    for at, value in enumerate(("abc1234", "Ana", "echo", "shorter answers")):
        await fields.nth(at).fill(value)
    await page.click(".filters__form.bare >> text=Deploy")
    await page.wait_for_url(re.compile(r"/prompts/released(\?at=1\.1\.0)?$"))
    await expect(page.locator("main")).to_contain_text("1.0.0 → 1.1.0")
    assert label(console, "released") == "1.1.0"
    await page.click("text=Roll back")
    await confirm(page)
    await expect(page.locator("main")).to_contain_text("1.1.0 → 1.0.0")
    assert label(console, "released") == "1.0.0"


async def test_a_rollout_is_paused_and_goes_on_and_is_aborted(tab: Tab, console: Opened) -> None:
    push(console, "rolled", "1.0.0")
    push(console, "rolled", "1.1.0", more="Be brief.")
    deploy(console, "rolled", "1.0.0")
    body = {"prompt": "rolled", "label": "production", "to": {"prompt": "rolled@1.1.0"}, "tags": TAGS, "name": "r1"}
    made = asked(console, "POST", "/admin/rollouts", body)
    page = await tab.open("/rollouts")
    await page.locator("tbody tr", has_text="r1").click()
    await page.wait_for_selector(".steps__one--here")
    assert await tab.wrong() == []
    for word, state in (("Pause", "paused"), ("Resume", "running"), ("Abort", "aborted")):
        await page.click(f".head__acts >> text={word}")
        await page.fill(".q-dialog input", f"{word} by test")
        await confirm(page)
        await expect(page.locator(".head__acts .badge")).to_have_text(state)
        assert asked(console, "GET", f"/admin/rollouts/{made['id']}")["state"] == state
    events = asked(console, "GET", f"/admin/rollouts/{made['id']}/events")["data"]
    assert {one["by"] for one in events if "by test" in one["why"]} == {"admin"}


async def test_a_key_is_made_used_given_a_new_secret_and_revoked(tab: Tab, console: Opened) -> None:
    page = await tab.open("/keys?new=1")
    await page.locator(".filters__form.bare input").nth(0).fill("browser-made")
    await page.locator(".filters__form.bare input").nth(1).fill(HOSTILE[:60])
    await page.click("text=Make the key")
    secret = await page.inner_text(".once .command__text")
    assert works(console, secret)
    await tab.open("/keys")
    assert secret not in await page.content(), "the secret is shown once"
    await page.locator("tbody tr", has_text="browser-made").click()
    await page.wait_for_selector(".facts")
    await page.click("text=New secret")
    await confirm(page)
    newer = await page.inner_text(".once .command__text")
    assert works(console, newer) and not works(console, secret)
    await page.click("main >> text=Revoke")
    await confirm(page)
    await page.wait_for_url(re.compile(r"/keys(\?|$)"))
    deadline = time.monotonic() + 90
    while works(console, newer):
        assert time.monotonic() < deadline, "a revoked key is still taken"


def works(console: Opened, secret: str) -> bool:
    request = urllib.request.Request(f"{console.served.url}/v1/models", headers={"authorization": f"Bearer {secret}"})
    try:
        with urllib.request.urlopen(request, timeout=90):
            return True
    except urllib.error.HTTPError as error:
        assert error.code == 401
        return False


async def test_a_verdict_is_judged_and_counts_as_a_score(tab: Tab, console: Opened) -> None:
    page = await tab.open("/guardrails?range=30d")
    await page.locator(".judging >> text=Wrong").first.click()
    await expect(page.locator(".judging span").first).to_have_text("found wrong")
    await tab.open_until("/guardrails?range=30d", "found wrong")
    found = asked(console, "GET", "/admin/scores?source=human&name=verdict_right.injection")["data"]
    assert [(one["value"], one["who"]) for one in found] == [(False, "admin")]


async def test_a_review_is_done_by_keyboard(tab: Tab, console: Opened) -> None:
    call = next(one for one in console.calls if one.outcome == "ok")
    for n in range(2):
        body = {
            "kind": "consensus", "reason": f"Models disagree {n}{HOSTILE}", "call_id": call.id,
            "trace_id": call.trace_id,
            "payload": {"texts": {"one": "first" + HOSTILE, "two": "second"}, "given": "one"}, "id": f"browser/{n}",
        }  # fmt: skip
        asked(console, "POST", "/admin/reviews", body)
    until_s = time.monotonic() + 90
    while len(asked(console, "GET", "/admin/reviews?kind=consensus&state=waiting")["data"]) < 2:
        assert time.monotonic() < until_s
    page = await tab.open("/review?kind=consensus")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await tab.stands(".chat__one")
    first = page.url
    await page.keyboard.press("a")
    there = "(first) => location.href !== first && document.querySelector('.chat__one')"
    await page.wait_for_function(there, arg=first)
    await expect(page.locator("h1")).to_contain_text("Models disagree")
    await tab.stands(".chat__one")
    await page.keyboard.press("x")
    await page.wait_for_url(re.compile(r"/review(\?kind=consensus)?$"))
    found = asked(console, "GET", "/admin/reviews?kind=consensus&state=done")["data"]
    assert sorted(one["verdict"] for one in found) == ["accept", "reject"] and {one["by"] for one in found} == {"admin"}


async def test_an_alert_is_silenced_and_heard_again(tab: Tab) -> None:
    page = await tab.open("/alerts")
    box = page.locator(".card", has_text="cost_per_hour").first
    await box.locator("text=Silence").click()
    await page.fill(".q-dialog input", "a load test")
    await confirm(page)
    await expect(page.locator(".card", has_text="cost_per_hour").first).to_contain_text("silenced")
    await page.locator(".card", has_text="cost_per_hour").first.locator("text=End the silence").click()
    await expect(page.locator(".card", has_text="cost_per_hour").first).not_to_contain_text("silenced")


async def test_viewers_see_every_page_and_can_act_on_none(console: Opened, browser: Browser, tab: Tab) -> None:
    page = await tab.open("/system/users")
    await page.locator(".filters__form.bare input").first.fill("looker")
    await page.locator(".filters__form.bare select").select_option("viewer")
    await page.locator(".filters__form.bare .button--main").click()
    password = (await page.inner_text("main pre.code")).strip()
    context = await new_context(browser)
    other = Tab(await context.new_page(), console.url)
    await sign_in(other, "looker", password)
    for place in (*PLACES, "/prompts"):
        seen = await other.open(place)
        buttons = seen.locator("main button.button:not([disabled])")
        assert set(await buttons.all_inner_texts()) <= HARMLESS, place
    # What the page would not do, the server does not do either.
    play = await other.open("/playground?model=scripted/echo")
    await play.locator(".play__line textarea").nth(1).fill("hello")
    await play.evaluate("document.querySelectorAll('main button[disabled]').forEach((one) => one.disabled = false)")
    await play.click(".play__asked >> text=Run")
    await play.wait_for_timeout(400)
    assert "The answer comes here." in await other.text(".play__answer")
    assert not other.complaints
    await context.close()
