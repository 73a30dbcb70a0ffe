"""Feedback from a page of another origin in a real browser, live quality, and the worst conversations, on a gate."""

from __future__ import annotations

import threading
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


def test_a_token_can_judge_its_own_answer_and_do_nothing_else(gate: Served, shop: Shop) -> None:
    mine, other = chat(gate, "echo", "mine"), chat(gate, "echo", "other")
    token = mine.headers["x-comporta-feedback-token"]
    taken = by_token(gate, {"token": token, "thumbs": "up", "id": "one"}, origin=shop.url)
    assert taken.status == 202 and taken.headers["access-control-allow-origin"] == shop.url
    assert taken.json["call_id"] is None and [one["name"] for one in taken.json["scores"]] == ["thumbs"]
    for more in (
        {"call_id": other.call, "thumbs": False}, {"trace_id": other.call}, {"name": "own", "value": 1},
        {"thumbs": True, "source": "human"}, {"thumbs": True, "who": "admin"}, {"scores": [{"name": "a", "value": 1}]},
    ):  # fmt: skip
        refused = by_token(gate, {"token": token, **more}, origin=shop.url)
        assert refused.status == 400, (more, refused.text)
        assert refused.headers["access-control-allow-origin"] == shop.url
    assert by_token(gate, {"token": token + "x", "thumbs": True}).json["error"]["code"] == "invalid_feedback_token"
    assert by_token(gate, {"token": token, "thumbs": True}, origin="https://evil.example").status == 403
    assert ask(gate, "/v1/feedback", {"comment": "x" * 20_000}, key=token).status == 413
    for path in ("/v1/models", f"/admin/calls/{mine.call}", f"/admin/scores?call={mine.call}"):
        assert ask(gate, path, key=token).status == 401, path
    assert until(lambda: scores(gate, mine.call).get("thumbs", {}).get("value") is True)
    assert "thumbs" not in scores(gate, other.call)


def test_browsers_may_ask_first_and_a_token_can_be_used_only_so_often(gate: Served, shop: Shop) -> None:
    asked = by_token(gate, None, method="OPTIONS", origin=shop.url)
    assert asked.status == 204 and "authorization" in asked.headers["access-control-allow-headers"]
    assert by_token(gate, None, method="OPTIONS", origin="https://evil.example").status == 403
    script = ask(gate, "/feedback.js", key=None)
    assert script.status == 200 and len(script.body) < 6_000
    assert ask(gate, "/feedback.js", key=None, if_none_match=script.headers["etag"]).status == 304
    token = chat(gate, "echo", "often").headers["x-comporta-feedback-token"]
    found = [ask(gate, "/v1/feedback", {"thumbs": True}, key=token).status for _ in range(21)]
    assert found == [202] * 20 + [429]


def test_a_program_gets_tokens_for_what_its_team_called(gate: Served) -> None:
    keys = [ask(gate, "/admin/keys", {"name": name, "team": name}).json["secret"] for name in ("shop", "bank")]
    answer = chat(gate, "echo", "whose", key=keys[0])
    made = ask(gate, "/v1/feedback/token", {"call_id": answer.call, "lifetime_s": 60}, key=keys[0])
    assert made.status == 200 and made.json["call_id"] == answer.call, made.text
    assert by_token(gate, {"token": made.json["token"], "rating": 5}).status == 202
    refused = ask(gate, "/v1/feedback/token", {"call_id": answer.call}, key=keys[1])
    assert (refused.status, refused.json["error"]["code"]) == (403, "not_your_call")
    for body, status in (({}, 400), ({"call_id": answer.call, "lifetime_s": 1e9}, 400), ({"call": 1}, 400)):
        assert ask(gate, "/v1/feedback/token", body, key=keys[0]).status == status, body


def test_live_answers_are_scored_after_they_are_given(gate: Served) -> None:
    answer = chat(gate, "echo", "one two three four five six seven")
    assert until(lambda: scores(gate, answer.call).get("not_contains", {}).get("route") == "echo")
    found = scores(gate, answer.call)
    assert (found["short"]["value"], found["not_contains"]["value"]) == (False, True)
    assert (found["short"]["source"], found["short"]["who"]) == ("code", "live_quality")
    listed = ask(gate, "/admin/conversations/problematic?limit=5")
    assert listed.status == 200 and listed.json.keys() == {"data", "next"}
