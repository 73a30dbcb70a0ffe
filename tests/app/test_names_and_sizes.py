"""What a whole gate does about several names of one route, about inputs that were too long, and about missing keys."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import structlog

import comporta
from comporta.app.gate import Gate
from comporta.errors import RateLimited, UpstreamRejected
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: {openai}/v1, api_key: sk-in-process-000000000000, models: [gpt-only-here, gpt-large]}}
  anthropic: {{base_url: {anthropic}, api_key: sk-ant-in-process-0000000, models: [claude-small]}}
retry: {{attempts: 1}}
models:
  anthropic/claude-small: {{context: 1000}}
routes:
  long: {{model: anthropic/claude-small, larger_context: openai/gpt-large}}
  strict: {{model: anthropic/claude-small}}
"""
Opened = Callable[[str], AbstractAsyncContextManager[Gate]]


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def anthropic() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as fake:
        yield fake


@pytest.fixture
def opened(tmp_path: Path, database_dsn: str, openai: FakeOpenAI, anthropic: FakeAnthropic) -> Opened:
    def make(more: str = "") -> AbstractAsyncContextManager[Gate]:
        config = tmp_path / "comporta.yaml"
        config.write_text(CONFIG.format(dsn=database_dsn, openai=openai.url, anthropic=anthropic.url) + more)
        return comporta.open(config, data=tmp_path / "data")

    return make


# ---- several names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limited", ["gpt-only-here", "openai/gpt-only-here"])
async def test_a_routes_limit_counts_all_names_that_lead_there_together(opened: Opened, limited: str) -> None:
    limits = f"limits:\n  - {{per: route, name: {limited}, requests_per_minute: 2}}\n"
    async with opened(limits) as gate:
        await gate.chat("one", "openai/gpt-only-here")
        await gate.chat("two", "gpt-only-here")
        for name in ("openai/gpt-only-here", "gpt-only-here"):
            with pytest.raises(RateLimited, match="openai/gpt-only-here"):
                await gate.chat("three", name)
        await gate.chat("another", "openai/gpt-large")


async def test_a_limit_for_each_route_counts_a_models_names_together(opened: Opened) -> None:
    async with opened("limits: [{per: route, requests_per_minute: 1}]\n") as gate:
        await gate.chat("one", "gpt-only-here")
        with pytest.raises(RateLimited):
            await gate.chat("two", "openai/gpt-only-here")
        await gate.chat("one", "gpt-large")


# ---- too long -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_provider_refuses_and_can_not_have_fitted_goes_to_the_larger_model(
    opened: Opened, anthropic: FakeAnthropic, openai: FakeOpenAI, stream: bool
) -> None:
    anthropic.script(Step(status=400, error="invalid_request_error"), model="claude-small")
    openai.script(Step(text="It fits here."), model="gpt-large")
    async with opened("") as gate:
        if stream:
            events = [event async for event in gate.stream("long " * 2000, "long")]
            assert "".join(delta.text for event in events for delta in event.deltas) == "It fits here."
        else:
            assert (await gate.chat("long " * 2000, "long")).text == "It fits here."


async def test_a_refusal_of_what_may_have_fitted_stays_what_it_is(opened: Opened, anthropic: FakeAnthropic) -> None:
    refused = Step(status=400, error="invalid_request_error", message="prompt is too long: 9 tokens > 1 maximum")
    anthropic.script(refused, refused, Step(status=404, error="not_found_error"), model="claude-small")
    async with opened("") as gate:
        with pytest.raises(UpstreamRejected) as short:
            await gate.chat("short", "long")
        assert short.value.code == "upstream_rejected", "the text of a message says nothing"
        with pytest.raises(UpstreamRejected) as long:
            await gate.chat("long " * 2000, "strict")
        assert (long.value.code, long.value.status) == ("context_length_exceeded", 400)
        with pytest.raises(UpstreamRejected) as missing:
            await gate.chat("long " * 2000, "strict")
        assert missing.value.code == "model_not_found"


# ---- missing keys ---------------------------------------------------------------------------------------------------


async def test_a_key_that_is_not_there_is_told_at_start_and_once(opened: Opened, tmp_path: Path) -> None:
    keys = """
  groq: {credentials: [{name: main, env: NO_SUCH_VARIABLE}, {name: other, file: no-such.key}]}
  mistral: {}
  vllm: {base_url: "http://127.0.0.1:9/v1"}
"""
    text = CONFIG.replace("\nretry:", keys.replace("{", "{{").replace("}", "}}") + "retry:", 1)
    with structlog.testing.capture_logs() as logs, pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "CONFIG", text)
        patch.delenv("MISTRAL_API_KEY", raising=False)
        async with opened("") as gate:
            await gate.take(gate.loaded)
    told = [
        (line["event"], line["provider"], line.get("credential"))
        for line in logs
        if "key" in line["event"] or "credential" in line["event"]
    ]
    assert told == [
        ("credential_missing", "groq", "main"), ("credential_missing", "groq", "other"),
        ("provider_without_key", "mistral", None),
    ]  # fmt: skip
    places = [line["looked_for"] for line in logs if line["event"] == "credential_missing"]
    assert places == ["the variable NO_SUCH_VARIABLE", f"the file {tmp_path / 'no-such.key'}"]
    assert all(
        line["log_level"] == logging.getLevelName(logging.WARNING).lower()
        for line in logs
        if "missing" in line["event"]
    )
