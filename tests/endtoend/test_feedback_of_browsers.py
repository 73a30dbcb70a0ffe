"""Feedback from a page of another origin in a real browser, live quality, and the worst conversations, on a gate."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from comporta.testing.servers import short_folder
from support.browsing import Tab, new_context, opened_browser
from support.serving import Served
from support.talking import Answer, ask, chat, until

CONFIG = """
providers:
  scripted: {{}}
routes:
  echo: {{model: scripted/echo}}
  broken: {{model: scripted/script, retry: {{attempts: 1}}}}
feedback: {{tokens: true, origins: ["{origin}"], per_minute: 20}}
live_quality:
  routes:
    echo:
      sample: 100%
      assert: [{{max_words: 5, name: short}}, {{not_contains: secret}}]
      groundedness: true
logging: {{format: json}}
"""

_PAGE = """<!doctype html><html lang="pt"><head><title>Shop</title><meta charset="utf-8"></head><body>
<p id="answer">A sua encomenda chega amanhã.</p>
<div id="box" data-comporta-feedback="{token}" data-answer="#answer"></div>
<script src="{gate}/feedback.js"></script></body></html>"""


class Shop:
    """A page of another origin: what it serves is put together when it is asked for."""

    def __init__(self) -> None:
        self.body = b""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Shown, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Shown(BaseHTTPRequestHandler):
    def __init__(self, shop: Shop, *given: Any) -> None:
        self._shop = shop
        super().__init__(*given)

    def do_GET(self) -> None:
        # As strict as pages get: the script may add no style and no script of its own.
        body = self._shop.body
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gate(shop: Shop) -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG.format(origin=shop.url))
        served.start()
        yield served
        assert served.stop() == 0, served.output


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(shop: Shop) -> AsyncIterator[Page]:
    async with opened_browser() as browser:
        context = await new_context(browser, locale="pt-PT")
        tab = Tab(await context.new_page(), shop.url)
        yield tab.page
        await context.close()
        complaints = [one for one in tab.complaints if "404" not in one and "403" not in one]
        assert not complaints, complaints


def scores(gate: Served, call: str) -> dict[str, Any]:
    found = ask(gate, f"/admin/scores?call={call}").json["data"]
    return {one["name"]: one for one in found}


def by_token(gate: Served, body: Any, *, method: str = "POST", **headers: str) -> Answer:
    return ask(gate, "/v1/feedback", body, key=None, method=method, **headers)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_of_another_origin_judges_its_answer_and_tells_what_its_reader_did(
    gate: Served, shop: Shop, page: Page
) -> None:
    answer = chat(gate, "echo", "Where is my parcel?", x_comporta_session="s-page")
    token = answer.headers["x-comporta-feedback-token"]
    shop.body = _PAGE.format(token=token, gate=gate.url).encode()
    await page.goto(shop.url)
    await page.get_by_role("button", name="Má resposta").focus()
    await page.keyboard.press("Enter")
    await page.get_by_text("Obrigado.").wait_for()
    assert await page.get_by_role("button", name="Má resposta").get_attribute("aria-pressed") == "true"
    await page.get_by_role("textbox", name="O que correu mal?").fill("Chegou tarde <b>demais</b>")
    await page.get_by_role("button", name="Enviar").click()
    await page.get_by_text("O que correu mal?").wait_for(state="hidden")
    await page.locator("#answer").select_text()
    await page.keyboard.press("Control+C")
    await page.goto("about:blank")
    wanted = {"thumbs", "comment", "copied", "dwell_ms", "abandoned"}
    assert until(lambda: wanted <= scores(gate, answer.call).keys()), scores(gate, answer.call)
    found = scores(gate, answer.call)
    assert (found["thumbs"]["value"], found["thumbs"]["source"], found["thumbs"]["who"]) == (False, "user", "browser")
    assert found["comment"]["value"] == "Chegou tarde <b>demais</b>"
    assert found["copied"]["value"] is True and found["copied"]["source"] == "behaviour"
    assert found["dwell_ms"]["value"] > 0 and found["abandoned"]["value"] is False
