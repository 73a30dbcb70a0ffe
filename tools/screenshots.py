"""Pictures of the console's pages for the documents: `make screenshots`, or with names (`ONLY="overview calls"`) some.

A gate is started in a folder of its own, filled with two weeks of drawn records, and looked at by a real browser. The
pictures are written to docs/images/console; what the browser complains of ends it with an error.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Browser

from comporta.testing.servers import short_folder
from console.conftest import Opened
from support.browsing import Tab, new_context, opened_browser, sign_in
from support.serving import Served, free_port

OUT = Path(__file__).parent.parent / "docs" / "images" / "console"
_CONFIG = "providers: {offline: {}, scripted: {}}\nroutes: {support: {model: scripted/echo}}\n"
_CALLS, _DAYS = 6000, 14
_ASKED = "Our kitchen is open from 10:00 to 23:30. Deliveries take about 30 minutes. When does the kitchen close?"


class Picture(NamedTuple):
    """A view and how it is looked at."""

    name: str
    place: str
    theme: str = "light"
    width: int = 1360
    height: int = 860
    #: Taken with the week of `comporta demo` in it, too.
    demo: bool = False
    #: Whether the first row of the list is opened.
    first: bool = False


PICTURES = (
    Picture("overview", "/?range=7d"),
    Picture("overview-dark", "/?range=7d", "dark"),
    Picture("overview-phone", "/?range=7d", width=390, height=844),
    Picture("calls", "/calls?range=7d"),
    Picture("trace", "{trace}", height=1100),
    Picture("sessions", "/sessions"),
    Picture("session", "{session}"),
    Picture("costs", "/costs?range=30d"),
    Picture("system", "/system"),
    Picture("playground", "/playground?model=offline/extractive,scripted/echo", demo=True),
    Picture("prompts", "/prompts", demo=True),
    Picture("prompt", "/prompts/courier-support?at=1.4.0", demo=True),
    Picture("prompt-dark", "/prompts/courier-support?at=1.4.0", "dark", demo=True),
    Picture("rollouts", "/rollouts", demo=True),
    Picture("rollout", "/rollouts", demo=True, first=True),
    Picture("rollout-phone", "/rollouts", width=390, height=844, demo=True, first=True),
    Picture("guardrails", "/guardrails", demo=True),
    Picture("cache", "/cache", demo=True),
    Picture("cache-dark", "/cache", "dark", demo=True),
    Picture("feedback", "/feedback", demo=True),
    Picture("review", "/review", demo=True),
    Picture("review-one", "/review?kind=feedback", demo=True, first=True),
    Picture("alerts", "/alerts", demo=True),
    Picture("alerts-phone", "/alerts", width=390, height=844, demo=True),
    Picture("keys", "/keys", demo=True),
)


def main() -> None:
    """Names of pictures as arguments; all of them without any."""
    wanted = [one for one in PICTURES if not sys.argv[1:] or one.name in sys.argv[1:]]
    OUT.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with short_folder() as folder:
        served = Served(folder, _CONFIG, {"COMPORTA_CONSOLE": "1", "COMPORTA_CONSOLE_PORT": str(port)})
        served.start()
        try:
            opened = Opened(served, port)
            opened.fill(_CALLS, _DAYS, hostile="")
            opened.wait()
            asyncio.run(_take(opened, [one for one in wanted if not one.demo]))
            if any(one.demo for one in wanted):
                subprocess.run([sys.executable, "-m", "comporta.cli.main", "demo"], env=served.environment, check=True)
                asyncio.run(_take(opened, [one for one in wanted if one.demo]))
        finally:
            served.stop()


async def _take(opened: Opened, wanted: list[Picture]) -> None:
    async with opened_browser() as browser:
        for one in wanted:
            await _one(browser, opened, one)
            print(OUT / f"{one.name}.png")


async def _one(browser: Browser, opened: Opened, one: Picture) -> None:
    size = {"width": one.width, "height": one.height}
    context = await new_context(browser, viewport=size, color_scheme=one.theme, device_scale_factor=1)
    tab = Tab(await context.new_page(), opened.url)
    await sign_in(tab, "admin", opened.password)
    child = next(call for call in opened.calls if call.parent_id and call.outcome == "ok")
    session = next(call.session for call in opened.calls if call.session)
    place = one.place.format(trace=f"/traces/{child.trace_id}", session=f"/session?id={session}")
    page = await tab.open(place)
    if one.first:
        await page.locator("tbody tr").first.click()
        await page.wait_for_url(lambda url: url != opened.url + place)
        await page.wait_for_selector(".page__inside h1")
    if one.name.startswith("playground"):
        await page.locator(".play__line textarea").nth(1).fill(_ASKED)
        await page.click(".play__asked >> text=Run")
        await page.wait_for_selector(".play__figures .badge")
    # Charts are drawn once their place in the page is known.
    await page.wait_for_timeout(800)
    await page.screenshot(path=OUT / f"{one.name}.png")
    await context.close()
    if tab.complaints:
        raise SystemExit(f"{one.name}: {tab.complaints}")


if __name__ == "__main__":
    main()
