"""A program's own store of prompts: nobody waits but the first, and nothing stops when the gate is away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from comporta.client import Fallback, Prompts
from comporta.errors import BadRequest, ConfigError, Forbidden, NotFound, Unavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Gate:
    """Answers like a gate: `text` is what its prompt says, `refusal` what it refuses with."""

    def __init__(self) -> None:
        self.text = "Hello."
        self.refusal: tuple[int, str] | None = None
        self.seen: list[tuple[str, str, dict[str, Any], str | None]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        app = web.Application()
        app.router.add_get("/v1/prompts/{id}", self._answer)
        app.router.add_post("/v1/prompts/{id}/render", self._answer)
        self._runner = web.AppRunner(app)
        self.url = ""

    async def start(self, port: int = 0) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.hold.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        asked = dict(request.query) if request.method == "GET" else await request.json()
        held = request.headers.get("if-none-match")
        self.seen.append((request.method, request.path, asked, held))
        assert request.headers["authorization"] == "Bearer cmp-key"
        await self.hold.wait()
        if self.refusal is not None:
            status, code = self.refusal
            return web.json_response({"error": {"message": "no", "code": code, "param": None}}, status=status)
        body = {
            "object": "prompt", "id": request.match_info["id"], "version": "1.0.0", "label": "production",
            "model": "openai/m", "messages": [{"role": "system", "content": self.text}], "tools": [],
            "response_format": None, "parameters": {"temperature": 0.2},
        }  # fmt: skip
        etag = f'"{hash(json.dumps(body))}"'
        if held == etag:
            return web.Response(status=304, headers={"etag": etag})
        return web.json_response(body, headers={"etag": etag})


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    made = Gate()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def prompts(gate: Gate, clock: Clock) -> AsyncIterator[Prompts]:
    async with Prompts(gate.url, "cmp-key", timeout_s=60, clock=clock) as made:
        yield made


async def until(seen: list[Any], count: int) -> None:
    for _ in range(12_000):
        if len(seen) >= count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"asked {len(seen)} times and not {count}")


async def settled(prompts: Prompts) -> None:
    await asyncio.gather(*prompts._asking.values(), return_exceptions=True)


async def test_a_prompt_comes_ready_for_a_chat_completion(gate: Gate, prompts: Prompts) -> None:
    found = await prompts.get("support", label="staging")
    assert (found.version, found.source, found.model) == ("1.0.0", "gate", "openai/m")
    assert found.body == {
        "model": "openai/m", "messages": [{"role": "system", "content": "Hello."}], "temperature": 0.2,
    }  # fmt: skip
    assert gate.seen == [("GET", "/v1/prompts/support", {"label": "staging"}, None)]


async def test_values_stand_in_the_body_and_not_in_the_address(gate: Gate, prompts: Prompts) -> None:
    await prompts.get("support", version="1.0.0", variables={"name": "Ana", "order": {"id": 3}})
    wanted = {"version": "1.0.0", "variables": {"name": "Ana", "order": {"id": 3}}}
    assert gate.seen == [("POST", "/v1/prompts/support/render", wanted, None)]


async def test_for_a_minute_it_is_asked_once_for_each_set_of_values(gate: Gate, prompts: Prompts, clock: Clock) -> None:
    for _ in range(3):
        await prompts.get("support", variables={"a": 1, "b": 2})
        await prompts.get("support", variables={"b": 2, "a": 1})
        clock.now_s += 19
    assert len(gate.seen) == 1
    assert (await prompts.get("support", variables={"a": 1, "b": 2})).source == "cache"
    await prompts.get("support", variables={"a": 2})
    assert len(gate.seen) == 2


async def test_after_it_the_old_one_is_given_at_once_and_renewed_beside_it(
    gate: Gate, prompts: Prompts, clock: Clock
) -> None:
    await prompts.get("support")
    clock.now_s += 61
    gate.text = "Good day."
    gate.hold.clear()
    old = await prompts.get("support")
    assert (old.messages[0]["content"], old.source) == ("Hello.", "stale")
    await prompts.get("support")
    gate.hold.set()
    await until(gate.seen, 2)
    await settled(prompts)
    new = await prompts.get("support")
    assert (new.messages[0]["content"], new.source) == ("Good day.", "cache")
    assert len(gate.seen) == 2 and gate.seen[1][3] is not None


async def test_what_has_not_changed_is_fresh_again(gate: Gate, prompts: Prompts, clock: Clock) -> None:
    await prompts.get("support")
    clock.now_s += 61
    await prompts.get("support")
    await settled(prompts)
    assert (await prompts.get("support")).source == "cache" and len(gate.seen) == 2


async def test_many_who_want_the_same_at_once_ask_once(gate: Gate, prompts: Prompts) -> None:
    gate.hold.clear()
    asking = [asyncio.create_task(prompts.get("support")) for _ in range(20)]
    await until(gate.seen, 1)
    asking[0].cancel()
    gate.hold.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError) and len(gate.seen) == 1
    assert {one.version for one in found[1:] if not isinstance(one, BaseException)} == {"1.0.0"}


async def test_while_the_gate_is_away_what_is_kept_goes_on_however_old(
    gate: Gate, prompts: Prompts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await prompts.get("support")
    port = int(gate.url.rpartition(":")[2])
    await gate.stop()
    with caplog.at_level(logging.WARNING, "comporta.client"):
        clock.now_s += 61
        assert (await prompts.get("support")).source == "stale"
        await settled(prompts)
        clock.now_s += 100_000
        assert (await prompts.get("support")).source == "stale"
    assert any("could not be renewed" in one.message for one in caplog.records)
    back = Gate()
    await back.start(port)
    back.text = "Back."
    clock.now_s += 61
    assert (await prompts.get("support")).messages[0]["content"] == "Back."
    await back.stop()


async def test_a_gate_that_is_away_is_not_asked_at_every_call(gate: Gate, prompts: Prompts, clock: Clock) -> None:
    await prompts.get("support")
    gate.refusal = (503, "unavailable")
    clock.now_s += 61
    for _ in range(5):
        await prompts.get("support")
        await settled(prompts)
    assert len(gate.seen) == 2
    clock.now_s += 6
    await prompts.get("support")
    await settled(prompts)
    assert len(gate.seen) == 3


FALLBACK = Fallback([{"role": "system", "content": "Help {name} with {{that}} {x}."}], "openai/spare", {"seed": 1})


async def test_what_was_never_asked_comes_from_the_program_itself(
    gate: Gate, prompts: Prompts, caplog: pytest.LogCaptureFixture
) -> None:
    await gate.stop()
    with pytest.raises(Unavailable):
        await prompts.get("support")
    with caplog.at_level(logging.WARNING, "comporta.client"):
        found = await prompts.get("support", variables={"name": "{x}", "x": "y"}, fallback=FALLBACK)
    assert found.messages == [{"role": "system", "content": "Help {x} with {{that}} y."}]
    assert (found.source, found.version, found.body["model"], found.body["seed"]) == (
        "fallback",
        None,
        "openai/spare",
        1,
    )
    assert "fallback" in caplog.text


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (403, Forbidden)])
async def test_what_the_gate_refuses_is_raised_and_a_fallback_stands_in_for_it(
    gate: Gate, prompts: Prompts, status: int, kind: type[Exception]
) -> None:
    gate.refusal = (status, "prompt_not_found")
    with pytest.raises(kind):
        await prompts.get("support")
    assert (await prompts.get("support", fallback=FALLBACK)).source == "fallback"


async def test_wrong_values_are_a_mistake_that_no_fallback_hides(gate: Gate, prompts: Prompts) -> None:
    gate.refusal = (400, "invalid_variable")
    with pytest.raises(BadRequest) as refused:
        await prompts.get("support", variables={"a": 1}, fallback=FALLBACK)
    assert refused.value.code == "invalid_variable"
    with pytest.raises(BadRequest):
        await prompts.get("support", variables={"a": object()})


async def test_a_prompt_that_is_gone_is_not_given_any_more(gate: Gate, prompts: Prompts, clock: Clock) -> None:
    await prompts.get("support")
    gate.refusal = (404, "prompt_not_found")
    clock.now_s += 61
    await prompts.get("support")
    await settled(prompts)
    with pytest.raises(NotFound):
        await prompts.get("support")


async def test_a_slow_gate_is_as_good_as_away(gate: Gate, clock: Clock) -> None:
    gate.hold.clear()
    async with Prompts(gate.url, "cmp-key", timeout_s=0.05, clock=clock) as prompts:
        assert (await prompts.get("support", fallback=FALLBACK)).source == "fallback"


async def test_closing_stops_what_is_being_asked(gate: Gate, clock: Clock) -> None:
    gate.hold.clear()
    prompts = Prompts(gate.url, "cmp-key", clock=clock)
    asking = asyncio.create_task(prompts.get("support"))
    await until(gate.seen, 1)
    await prompts.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_where_the_gate_is_comes_from_the_environment_or_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMPORTA_URL", "COMPORTA_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="COMPORTA_URL"):
        Prompts()
    monkeypatch.setenv("COMPORTA_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("COMPORTA_KEY", "cmp-key")
    Prompts()
