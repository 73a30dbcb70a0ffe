"""Every page in a real browser: it stands, shows what there is, complains of nothing, and can be used by everybody."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from console.conftest import HOSTILE, Opened
from support.browsing import Tab

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLACES = (
    "/",
    "/calls",
    "/calls?outcome=failed",
    "/calls?live=1",
    "/sessions",
    "/costs",
    "/costs?by=user",
    "/system",
    "/system/users",
)


def trace_of(console: Opened) -> str:
    """A trace with more than one call."""
    return next(one.trace_id for one in console.calls if one.parent_id)


@pytest.mark.parametrize("place", PLACES)
async def test_a_page_stands_in_light_and_dark_at_every_width_and_can_be_used_by_everybody(
    tab: Tab, place: str
) -> None:
    page = await tab.open(place)
    assert await tab.wrong() == []
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await tab.wrong() == []
    assert not await page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), "wider than a phone"


async def test_a_trace_and_a_session_can_be_used_by_everybody(tab: Tab, console: Opened) -> None:
    session = next(one.session for one in console.calls if one.session)
    for place in (f"/traces/{trace_of(console)}", f"/session?id={session}"):
        page = await tab.open(place)
        assert await tab.wrong() == []
        await page.set_viewport_size({"width": 390, "height": 844})
        assert not await page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), place
        await page.set_viewport_size({"width": 1280, "height": 860})


async def test_the_overview_shows_figures_against_the_time_before(tab: Tab) -> None:
    page = await tab.open("/?range=7d")
    calls = await page.inner_text(".figure >> nth=0")
    assert re.search(r"Calls\s+6\d\d", calls), calls
    await expect(page.locator(".chart")).to_have_count(7)
    spoken = await page.locator(".chart").first.get_attribute("aria-label")
    assert spoken is not None and spoken.startswith("Calls: Calls ")


async def test_calls_are_filtered_by_the_address_and_by_the_form(tab: Tab) -> None:
    page = await tab.open("/calls?outcome=failed")
    outcomes = await page.locator("tbody tr td:nth-child(2)").all_inner_texts()
    assert outcomes and "ok" not in outcomes
    await page.select_option("[name=outcome]", "timeout")
    await page.select_option("[name=route]", "support")
    await page.click(".filters__form button[type=submit]")
    await page.wait_for_url(re.compile(r"outcome=timeout"))
    assert "text=" not in page.url, "fields left empty stand in no address"
    await page.wait_for_selector("tbody tr, .empty")
    assert set(await page.locator("tbody tr td:nth-child(2)").all_inner_texts()) <= {"timeout"}


async def test_words_of_users_are_found_and_shown_as_they_were_typed(tab: Tab) -> None:
    page = await tab.open("/calls?text=vegan")
    asked = await page.locator("tbody tr td:nth-child(3) .grid__text").all_inner_texts()
    assert asked and all("vegan" in one for one in asked)
    assert any(HOSTILE.strip()[:20] in one for one in asked), "hostile words are shown, as words"


async def test_pages_of_calls_lead_to_older_ones_and_back(tab: Tab) -> None:
    page = await tab.open("/calls")
    newest = page.locator("tbody tr").first
    first = await newest.get_attribute("data-row")
    assert first and first.startswith("/traces/")
    await page.click("a[rel=next]")
    await page.wait_for_url(re.compile("after="))
    await expect(newest).not_to_have_attribute("data-row", first)
    await page.click("text=Newest")
    await expect(newest).to_have_attribute("data-row", first)


async def test_rows_are_walked_and_opened_with_the_keyboard(tab: Tab) -> None:
    page = await tab.open("/calls")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("/traces/"))
    await tab.stands(".fall__row")
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await page.wait_for_url(re.compile("/sessions$"))
    await tab.stands()
    await page.keyboard.press("/")
    await page.keyboard.type("soup")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/calls\?text=soup"))
    await tab.stands("tbody tr")
    await page.keyboard.press("?")
    await expect(page.locator("dialog#keys")).to_be_visible()


async def test_a_trace_shows_its_spans_the_conversation_and_what_was_judged(tab: Tab, console: Opened) -> None:
    judged = next(one for one in console.calls if one.outcome == "guardrail_blocked")
    page = await tab.open(f"/traces/{judged.trace_id}?call={judged.id}")
    text = await tab.text()
    assert "guard.injection" in text and "asks to forget its instructions" in text
    assert "You answer customers of a delivery app" in text and "find_order" in text
    await page.locator(".fall__row", has_text="request").first.click()
    await expect(page.locator(".span-detail")).to_contain_text("upstream_error")


async def test_another_call_of_a_trace_is_chosen_in_its_waterfall(tab: Tab, console: Opened) -> None:
    child = next(one for one in console.calls if one.parent_id)
    page = await tab.open(f"/traces/{child.trace_id}?call={child.parent_id}")
    await page.locator(".fall__row", has=page.locator(".fall__call")).nth(1).click()
    await page.wait_for_url(re.compile(f"call={child.id}"))
    await page.wait_for_selector(".facts")
    assert child.id in await tab.text()


async def test_a_trace_that_is_not_there_says_so(stranger: Tab, tab: Tab) -> None:
    response = await tab.page.goto(f"{tab.url}/traces/{'0' * 32}")
    assert response is not None and response.status == 404
    assert "There is no trace" in await tab.text()
    tab.complaints.clear()


@pytest.mark.parametrize("place", ["/nowhere", "/calls/of/nobody", "/prompts/none", "/calls?least_cost=much"])
async def test_what_can_not_be_shown_stands_under_a_heading_with_the_reason(tab: Tab, place: str) -> None:
    response = await tab.page.goto(tab.url + place)
    assert response is not None and 400 <= response.status < 500
    await tab.page.wait_for_selector(".page__inside .notice")
    assert await tab.wrong() == []
    assert await tab.page.locator(".side__link").count() > 10, "the way on is there"
    tab.complaints.clear()


async def test_a_session_shows_its_turns_with_their_costs(tab: Tab, console: Opened) -> None:
    session = next(one.session for one in console.calls if one.session)
    turns = [one for one in console.calls if one.session == session and one.parent_id is None]
    page = await tab.open(f"/session?id={session}")
    await expect(page.locator(".turn")).to_have_count(len(turns))


async def test_costs_are_told_apart_and_add_up(tab: Tab, console: Opened) -> None:
    page = await tab.open("/costs?by=team&range=30d")
    cells = await page.locator("tbody tr td:nth-child(2)").all_inner_texts()
    total = sum(one.cost_microusd or 0 for one in console.calls) / 1e6
    shown = sum(float(one.strip("$")) for one in cells)
    assert abs(shown - total) < 0.02 * len(cells)


async def test_the_console_speaks_portuguese(tab: Tab) -> None:
    page = await tab.open("/")
    await page.click("[data-language=pt]")
    await expect(page.locator("h1")).to_have_text("Visão geral")
    assert await page.locator("html").get_attribute("lang") == "pt-BR"
    assert await tab.wrong() == []


async def test_the_chosen_theme_stays(tab: Tab) -> None:
    page = await tab.open("/")
    await page.click("[data-theme]:is(button)")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await tab.open("/calls")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_what_comes_in_shows_by_itself(tab: Tab, console: Opened) -> None:
    page = await tab.open("/calls?live=1&text=live-tail-probe")
    await expect(page.locator("tbody tr")).to_have_count(0)
    from support.talking import chat

    assert chat(console.served, "support", "live-tail-probe, hello").status == 200
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_the_menu_opens_on_a_phone(tab: Tab) -> None:
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    page = await tab.open("/")
    link = page.locator(".side__link", has_text="Costs")
    await expect(link).not_to_be_visible()
    await page.click("[data-menu]")
    await expect(link).to_be_visible()
    await link.click()
    await page.wait_for_url(re.compile("/costs"))


async def test_the_doctor_is_asked_on_the_page(tab: Tab) -> None:
    page = await tab.open("/system")
    await page.click("text=Ask the doctor")
    await expect(page.locator("main")).to_contain_text("python", ignore_case=True, timeout=60_000)


async def test_a_table_is_taken_along_as_csv(tab: Tab) -> None:
    page = await tab.open("/calls?outcome=failed")
    async with page.expect_download() as waiting:
        await page.click("a[download]")
    path = await (await waiting.value).path()
    lines = path.read_text().splitlines()
    assert lines[0].startswith("started_at,id,trace_id,outcome") and len(lines) > 5
    assert all(",ok," not in line for line in lines[1:])
