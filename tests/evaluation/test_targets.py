"""Gates asked over HTTP and inside the process: answers, costs, guards, patience, and what failures are called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

import comporta
from comporta.errors import BadRequest, ComportaError, RateLimited, UpstreamTimeout
from comporta.evaluation.targets import InProcess, OverHTTP
from comporta.pipeline import Call
from comporta.prompts.values import Guard, Guardrails
from comporta.testing.servers import short_folder
from comporta.types import Caller, Input, Message, Text

BODY = {"model": "support", "messages": [{"role": "user", "content": "Hi"}]}
CONFIG = """
providers: {scripted: {options: {script: {polite: {text: Good morning.}, "*": {}}}}}
routes: {support: {model: scripted/polite}}
"""


class Served:
    """A gate's door that answers as it is told, one answer after another."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.heads: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.url = ""
        self.delay_s = 0.0

    async def door(self, request: web.Request) -> web.Response:
        self.heads.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(await request.json())
        await asyncio.sleep(self.delay_s)
        return self.answers.pop(0)

    def says(self, text: str, **headers: str) -> None:
        whole = {
            "id": "1", "object": "chat.completion", "model": "m-1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }  # fmt: skip
        self.answers.append(web.json_response(whole, headers=headers))

    def refuses(self, status: int, code: str, message: str, **headers: str) -> None:
        error = {"error": {"message": message, "code": code, "param": None}}
        self.answers.append(web.json_response(error, status=status, headers=headers))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.door)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_an_answer_over_http_has_its_text_cost_and_model_and_is_never_from_a_cache(served: Served) -> None:
    served.says("Hello.", **{"x-comporta-cost-usd": "0.001234", "x-comporta-model": "gpt"})
    async with OverHTTP(f"{served.url}/v1/", "secret") as target:
        sent = await target.send(BODY)
    assert (sent.reply.text, sent.cost_microusd, sent.model) == ("Hello.", 1234, "gpt") and sent.latency_s > 0
    assert served.heads[0]["authorization"] == "Bearer secret" and served.heads[0]["cache-control"] == "no-store"
    assert served.bodies[0] == BODY


async def test_a_cost_that_nobody_knows_is_none_and_a_local_models_is_nothing(served: Served) -> None:
    served.says("a")
    served.says("b", **{"x-comporta-provider": "scripted"})
    async with OverHTTP(served.url, "k") as target:
        assert [(await target.send(BODY)).cost_microusd for _ in range(2)] == [None, 0]


async def test_a_judge_over_http_is_asked_with_its_form_and_its_cost_is_kept(served: Served) -> None:
    served.says("{}", **{"x-comporta-cost-usd": "0.5"})
    asked = Input(messages=(Message("user", (Text("q"),)),), temperature=0.0)
    call = Call(kind="chat", input=asked, model="judge", caller=Caller(key_id=""))
    async with OverHTTP(served.url, "k") as target:
        assert (await target.ask(call)).text == "{}"
    assert call.cost_microusd == 500_000 and served.bodies[0]["temperature"] == 0


async def test_a_gate_that_says_when_to_come_back_is_asked_again_then(served: Served) -> None:
    served.refuses(429, "rate_limit_exceeded", "too many", **{"retry-after": "0"})
    served.refuses(503, "unavailable", "soon", **{"retry-after": "0"})
    served.says("At last.")
    async with OverHTTP(served.url, "k") as target:
        assert (await target.send(BODY)).reply.text == "At last."


async def test_a_gate_that_wants_too_much_patience_is_not_waited_for(served: Served) -> None:
    served.refuses(429, "rate_limit_exceeded", "in an hour", **{"retry-after": "3600"})
    async with OverHTTP(served.url, "k") as target:
        with pytest.raises(RateLimited, match="in an hour"):
            await target.send(BODY)


async def test_failures_keep_the_gates_own_words_and_codes(served: Served) -> None:
    served.refuses(400, "invalid_variable", "prompt support: message is too long")
    served.refuses(404, "model_not_found", "There is no model x.")
    served.answers.append(web.Response(status=502, text="<html>"))
    async with OverHTTP(served.url, "k") as target:
        with pytest.raises(BadRequest, match="message is too long"):
            await target.send(BODY)
        with pytest.raises(ComportaError) as caught:
            await target.send(BODY)
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")
        with pytest.raises(ComportaError, match="not as a Comporta gate does"):
            await target.send(BODY)


async def test_what_a_guard_refused_is_an_answer_that_names_it(served: Served) -> None:
    served.refuses(400, "guardrail_blocked", "The guard jailbreak stopped this.")
    async with OverHTTP(served.url, "k") as target:
        sent = await target.send(BODY)
    assert sent.reply.text == "" and sent.guards is not None and sent.guards[0].action == "block"


async def test_a_gate_that_is_not_there_or_too_slow_is_told(served: Served) -> None:
    async with OverHTTP("http://127.0.0.1:9", "k") as target:
        with pytest.raises(ComportaError, match=r"can't be reached .* Is it running\?"):
            await target.send(BODY)
    served.says("late")
    served.delay_s = 0.3
    async with OverHTTP(served.url, "k") as target:
        with pytest.raises(UpstreamTimeout, match=r"within 0.05 s"):
            await target.send(BODY, 0.05)


async def test_a_gate_in_this_process_answers_with_cost_and_guards() -> None:
    with short_folder() as folder:
        config = folder / "comporta.yaml"
        config.write_text(CONFIG)
        async with comporta.open(config, data=folder / "data") as gate:
            target = InProcess(gate)
            sent = await target.send(BODY)
            assert (sent.reply.text, sent.cost_microusd, sent.guards) == ("Good morning.", 0, ())
            blocked = Guardrails(input=(Guard("pii_detection", "block"),))
            text = "My card is 4111 1111 1111 1111, my e-mail ana.lima@company-of-ana.com"
            found = await target.send(
                {"model": "support", "messages": [{"role": "user", "content": text}]}, guardrails=blocked
            )
            assert found.guards and found.guards[0].guard == "pii_detection" and found.reply.text == ""
            with pytest.raises(ComportaError):
                await target.send({"model": "nothing/at-all", "messages": BODY["messages"]})
