"""A real browser for tests of the console, and what every page must be like for people who see or move otherwise."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

MISSING = "Chromium is missing: install it (apt-get install chromium), or set CHROMIUM to its path."
#: Nothing but this machine can be reached: a page that needs more is broken.
_ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
_PLACES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: What is wrong with a page as it stands, in words: names, contrast, order of headings, ids.
_LOOK = (Path(__file__).parent / "looking.js").read_text()


def chromium() -> str:
    """The browser's path; fails the test where there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _PLACES)), None)
    if not found or not Path(found).exists():
        pytest.fail(MISSING, pytrace=False)
    return found


@asynccontextmanager
async def opened_browser() -> AsyncIterator[Browser]:
    """A headless browser."""
    path = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        await browser.close()


class Tab:
    """A page that remembers what the browser complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.set_default_timeout(60_000)

    async def open(self, place: str = "/", ready: str = ".page__inside") -> Page:
        """Go there, and wait until the page stands."""
        await self.page.goto(self.url + place)
        await self.stands(ready)
        return self.page

    async def stands(self, ready: str = ".page__inside") -> None:
        """Wait until the page that it is on hears what is typed and clicked; it shows before that."""
        await self.page.wait_for_selector(ready)
        await self.page.wait_for_load_state()
        await self.page.wait_for_function("window.did_handshake === true || !window.socket")

    async def open_until(self, place: str, text: str, within_s: float = 90.0) -> Page:
        """Go there again and again until the page says so: records are on their way for a moment."""
        until_s = time.monotonic() + within_s
        while True:
            page = await self.open(place)
            said = await self.text()
            if text in said:
                return page
            assert time.monotonic() < until_s, f"{place} does not say '{text}' but:\n{said[:3000]}"

    async def wrong(self) -> list[str]:
        """What is wrong with the page for people who use a screen reader, a keyboard, or weak eyes."""
        found: list[str] = await self.page.evaluate(_LOOK)
        return found

    async def text(self, selector: str = "main") -> str:
        return await self.page.inner_text(selector)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")


async def new_context(browser: Browser, **settings: Any) -> BrowserContext:
    """A person's own browser profile: nothing of it is left to the next."""
    chosen = {"viewport": {"width": 1280, "height": 860}, "locale": "en-US", "timezone_id": "UTC", **settings}
    return await browser.new_context(**chosen)


async def sign_in(tab: Tab, name: str, password: str) -> None:
    await tab.page.goto(tab.url + "/sign-in")
    await tab.page.fill("[name=name]", name)
    await tab.page.fill("[name=password]", password)
    await tab.page.click("button[type=submit]")
    await tab.page.wait_for_selector(".frame")
