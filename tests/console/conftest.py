"""One gate with its console, filled with a week of hostile records, and one browser, for all tests of the pages."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from playwright.async_api import Error as BrowserError

from comporta.console.words import COOKIE as LANGUAGE
from comporta.store.database import Database
from comporta.telemetry.record import CallRecord
from comporta.testing.servers import run_apart, short_folder
from support.browsing import Tab, new_context, opened_browser, sign_in
from support.filling import Filler, drawn, fill
from support.serving import Served, free_port

#: In the texts that users type, in tags, in names of keys: none of it may become HTML, wherever it is shown.
HOSTILE = ' <img src=x onerror="window.planted=1">"\'`${window.planted=2}{{window.planted=3}}</script>'
CONFIG = """
providers:
  scripted: {}
  offline: {}
routes:
  support: {model: scripted/echo}
logging: {format: json}
"""


class Opened:
    """A running console: where it is, its first password, and what it was filled with."""

    def __init__(self, served: Served, port: int) -> None:
        self.served = served
        self.url = f"http://127.0.0.1:{port}"
        self.password = (served.data / "console.password").read_text().strip()
        self.dsn: str = json.loads((served.data / "run.json").read_text())["dsn"]
        self.calls: list[CallRecord] = []

    def wait(self, within_s: float = 90.0) -> None:
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=10):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError(f"the console was not there within {within_s} s:\n{self.served.output}")

    def fill(self, calls: int = 600, days: float = 6, *, hostile: str = HOSTILE) -> None:
        filler = Filler(hostile=hostile)
        self.calls = drawn(filler, calls, days)

        async def put() -> None:
            async with Database(self.dsn) as database:
                await fill(database, self.calls, filler)

        run_apart(put())


@pytest.fixture(scope="session")
def console() -> Iterator[Opened]:
    """One for all: tests keep apart by the names of what they make."""
    port = free_port()
    with short_folder() as folder:
        served = Served(folder, CONFIG, {"COMPORTA_CONSOLE": "1", "COMPORTA_CONSOLE_PORT": str(port)})
        served.start(within_s=200)
        opened = Opened(served, port)
        opened.fill()
        opened.wait()
        yield opened
        code = served.stop()
        left = served.processes()
        assert code == 0, served.output
        assert not left, f"still running: {left}"


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    # Nothing takes so long but on a machine that much else is asked of; what goes well costs none of it.
    expect.set_options(timeout=60_000)
    async with opened_browser() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def signed_in(console: Opened, browser: Browser) -> AsyncIterator[BrowserContext]:
    """A profile in which the admin is signed in: one, since a fresh one loads megabytes of scripts anew."""
    context = await new_context(browser)
    first = Tab(await context.new_page(), console.url)
    await sign_in(first, "admin", console.password)
    await first.page.close()
    yield context
    await context.close()


async def last_look(page: Page) -> object:
    """What a text planted in a page left there; what was chosen for good goes: the theme, the language.

    A page may be on its way to another, at any moment: then that one is looked at.
    """
    for _ in range(20):
        with contextlib.suppress(BrowserError):
            return await page.evaluate("() => { localStorage.clear(); return window.planted }")
        await page.wait_for_load_state()
    raise AssertionError("the page never came to rest")


@pytest_asyncio.fixture(loop_scope="session")
async def tab(console: Opened, signed_in: BrowserContext) -> AsyncIterator[Tab]:
    """A tab in which the admin is signed in; at its end the browser must have complained of nothing."""
    made = Tab(await signed_in.new_page(), console.url)
    yield made
    planted = await last_look(made.page)
    await signed_in.clear_cookies(name=LANGUAGE)
    await made.page.close()
    assert planted is None, "a text that somebody typed was run"
    assert not made.complaints, made.complaints


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(console: Opened, browser: Browser) -> AsyncIterator[Tab]:
    """A tab in which nobody is signed in."""
    context = await new_context(browser)
    yield Tab(await context.new_page(), console.url)
    await context.close()
