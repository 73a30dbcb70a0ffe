"""Limits and budgets on real processes: what passes is exact, and what is refused, official SDKs understand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from comporta.testing.servers import redis_server, short_folder
from support.serving import Served
from support.talking import ask, chat, until

CONFIG = """
providers:
  scripted: {}
models:
  # A dollar for a thousand tokens, so that a few calls use a budget up.
  scripted/echo: {price: {input: $1000, output: $1000}}
  scripted/free: {}
routes:
  echo: {model: scripted/echo}
  narrow: {model: scripted/echo}
  slow: {model: scripted/echo}
limits:
  - {per: route, name: narrow, requests_per_minute: 100}
  - {per: model, name: scripted/guarded, requests_per_minute: 1}
"""


def served_on(folder: Any, config: str, redis: str | None = None, workers: int = 1) -> Served:
    if redis is not None:
        config += f"redis: {{url: '{redis}'}}\nserver: {{workers: {workers}}}\n"
    return Served(folder, config)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module", params=["memory", "redis"])
def gate(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Served]:
    """One worker in memory, and two workers that share a Redis."""
    with short_folder() as folder:
        served = served_on(folder, CONFIG, redis_url if request.param == "redis" else None, 2)
        served.start()
        yield served
        served.stop()
        assert "redis_away" not in served.output, served.output


class Sdks:
    """Official clients, closed after the test."""

    def __init__(self) -> None:
        self._open: list[Any] = []

    def openai(self, served: Served, key: str, retries: int = 0) -> openai.OpenAI:
        self._open.append(openai.OpenAI(api_key=key, base_url=f"{served.url}/v1", max_retries=retries))
        made: openai.OpenAI = self._open[-1]
        return made

    def anthropic(self, served: Served, key: str, retries: int = 0) -> anthropic.Anthropic:
        self._open.append(anthropic.Anthropic(api_key=key, base_url=served.url, max_retries=retries))
        made: anthropic.Anthropic = self._open[-1]
        return made

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
def sdks() -> Iterator[Sdks]:
    made = Sdks()
    yield made
    made.close()


def admin(served: Served, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{served.url}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=90) as response:
        return json.load(response)


def new_key(served: Served, name: str, **facts: Any) -> str:
    secret: str = admin(served, "POST", "/admin/keys", {"name": name, **facts})["secret"]
    assert until(lambda: all(models(served, secret) == 200 for _ in range(8))), "every worker knows it soon"
    return secret


def models(served: Served, secret: str) -> int:
    """The status of a call that no limit and no budget counts."""
    return ask(served, "/v1/models", key=secret).status


def budget(served: Served, name: str, limit_microusd: int, key: str, **whose: str) -> str:
    """The id of a budget that every worker knows of; it is for this key too."""
    scope, value = next(iter(whose.items())) if whose else ("all", None)
    body = {"name": name, "scope": scope, "value": value, "period": "month", "limit_microusd": limit_microusd}
    made = admin(served, "POST", "/admin/budgets", body)
    assert made["enforced"] is True
    assert until(lambda: all(unpriced(served, key) == 402 for _ in range(12))), "every worker knows it soon"
    return str(made["id"])


def unpriced(served: Served, secret: str) -> int:
    """The status of a call that costs nothing, and that any budget refuses."""
    return chat(served, "scripted/free", key=secret).status


async def ask_all(served: Served, key: str, model: str, count: int, **body: Any) -> list[int]:
    """The statuses of so many calls at once, on connections of their own: the workers share them out."""
    payload = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}

    async def one() -> int:
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.request(
            "POST", f"{served.url}/v1/chat/completions", json=payload, headers=headers
        ) as response:
            await response.read()
            return response.status

    return await asyncio.gather(*(one() for _ in range(count)))


def spent(served: Served, budget_id: str, at_least: int = 0) -> int:
    """What the ledger says, when the records have reached it."""
    found = 0

    def look() -> bool:
        nonlocal found
        found = int(admin(served, "GET", f"/admin/budgets/{budget_id}")["spent_microusd"])
        return found >= at_least

    until(look)
    return found


async def test_exactly_a_hundred_of_many_concurrent_calls_pass_a_limit_of_a_hundred_a_minute(gate: Served) -> None:
    """Two real workers included: a limit does not multiply with them."""
    key = new_key(gate, "hundred")
    statuses = await ask_all(gate, key, "narrow", 240)
    assert sorted(set(statuses)) == [200, 429]
    assert statuses.count(200) == 100


async def test_concurrent_calls_spend_no_more_than_the_budget_has_wire_29(gate: Served) -> None:
    """WIRE 29: 200 calls at once against a budget with room for about ten."""
    key = new_key(gate, "poor", team="poor")
    # Held: bytes of the input and its frame (13) and 7 to write, 20 tokens at 1,000 micro-dollars.
    id = budget(gate, "poor", 200_000, key, team="poor")
    statuses = await ask_all(gate, key, "echo", 200, max_tokens=7)
    assert set(statuses) == {200, 402}
    passed = statuses.count(200)
    assert passed >= 10
    known = await asyncio.to_thread(spent, gate, id, 1)
    await asyncio.sleep(1.5)
    known = await asyncio.to_thread(spent, gate, id, 1)
    assert 0 < known <= 200_000


def test_a_rate_limit_is_a_429_with_headers_that_sdks_understand_wire_15(gate: Served, sdks: Sdks) -> None:
    """WIRE 14, 15."""
    key = new_key(gate, "two", requests_per_minute=2, tokens_per_minute=100_000)
    client = sdks.openai(gate, key, 0)
    ask: Any = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    raw = client.chat.completions.with_raw_response.create(**ask)
    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    assert int(raw.headers["x-ratelimit-reset-requests"].rstrip("s")) in range(55, 62)
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 100_000
    with client.chat.completions.create(**ask, stream=True) as stream:
        assert stream.response.headers["x-ratelimit-remaining-requests"] == "0"
        list(stream)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**ask)
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 61
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    claude = sdks.anthropic(gate, key, 0)
    with pytest.raises(anthropic.RateLimitError) as refused:
        claude.messages.create(model="echo", max_tokens=5, messages=[{"role": "user", "content": "hello"}])
    assert refused.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]


def test_a_used_up_budget_is_a_402_that_sdks_do_not_retry_wire_14(gate: Served, sdks: Sdks) -> None:
    """WIRE 14: 402 `budget_exceeded`."""
    key = new_key(gate, "broke", feature="broke")
    budget(gate, "broke", 1, key, feature="broke")
    client = sdks.openai(gate, key, 2)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "hello"}])
    assert (caught.value.status_code, caught.value.code) == (402, "budget_exceeded")
    claude = sdks.anthropic(gate, key, 2)
    with pytest.raises(anthropic.APIStatusError) as refused:
        claude.messages.create(model="echo", max_tokens=5, messages=[{"role": "user", "content": "hello"}])
    assert refused.value.status_code == 402


def test_a_model_without_a_price_is_refused_under_a_budget(gate: Served, sdks: Sdks) -> None:
    key = new_key(gate, "priced", feature="priced")
    client = sdks.openai(gate, key, 0)
    ask: Any = {"model": "scripted/free", "messages": [{"role": "user", "content": "hello"}]}
    client.chat.completions.create(**ask)
    budget(gate, "priced", 10**9, key, feature="priced")
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ask)
    assert (caught.value.status_code, caught.value.code) == (402, "model_unpriced")


def test_a_limit_towards_a_model_holds_for_all_callers(gate: Served, sdks: Sdks) -> None:
    client = sdks.openai(gate, new_key(gate, "many"), 0)
    ask: Any = {"model": "scripted/guarded", "messages": [{"role": "user", "content": "hello"}]}
    client.chat.completions.create(**ask)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**ask)
    assert caught.value.code == "provider_limit"


def test_a_budget_made_later_knows_what_was_spent_before(gate: Served, sdks: Sdks) -> None:
    key = new_key(gate, "early", team="early", feature="early")
    client = sdks.openai(gate, key, 0)
    ask: Any = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    client.chat.completions.create(**ask)
    assert until(lambda: admin(gate, "GET", "/admin/calls?team=early")["data"])
    budget(gate, "early", 1_000, key, feature="early")
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ask)
    assert caught.value.status_code == 402


def test_what_was_spent_is_known_after_a_restart_even_by_kill(sdks: Sdks) -> None:
    """The ledger and the spool of a killed gate are the truth that live counters are rebuilt from."""
    config = CONFIG + "budgets: [{name: all, limit: $0.05, period: month}]\n"
    with short_folder() as folder:
        served = Served(folder, config)
        served.start()
        client = sdks.openai(served, served.key, 0)
        ask: Any = {"model": "echo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 7}
        passed = 0
        with pytest.raises(openai.APIStatusError):
            while passed < 50:
                client.chat.completions.create(**ask)
                passed += 1
        assert passed > 1
        for pid, command in served.processes().items():
            if "postgres" not in command:
                os.kill(pid, signal.SIGKILL)
        assert served.process is not None
        served.process.wait(60)
        served.start()
        try:
            with pytest.raises(openai.APIStatusError) as caught:
                client.chat.completions.create(**ask)
            assert caught.value.status_code == 402
            shown = admin(served, "GET", "/admin/budgets")["data"]
            assert (shown[0]["name"], shown[0]["source"]) == ("all", "file")
            assert 0 < shown[0]["spent_microusd"] <= 50_000
            with pytest.raises(urllib.error.HTTPError) as refused:
                admin(served, "DELETE", f"/admin/budgets/{shown[0]['id']}")
            assert refused.value.code == 409
            refused.value.close()
        finally:
            served.stop()
