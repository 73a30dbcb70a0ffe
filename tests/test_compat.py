"""The Python names that teams have written already, over a real gate."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import comporta
from comporta.app.gate import Gate
from comporta.compat import LLMConfig, LLMFactory, LLMManager, Processor, SemanticCache
from comporta.errors import BadRequest, ComportaError, Conflict, NotFound, UpstreamFault, UpstreamTimeout
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.minilm import builder_hash
from comporta.testing.upstream import Seen, Step
from comporta.types import JSON, Usage

CONFIG = """
database: {{url: "{dsn}"}}
retry: {{attempts: 1}}
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-of-the-house-0000000000}}
  scripted: {{}}
models:
  priced:
    provider: openai
    model: priced
    price: {{input: $1, output: $10}}
routes:
  support: {{model: openai/support-a}}
"""


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def gate(tmp_path: Path, database_dsn: str, fake: FakeOpenAI) -> AsyncIterator[Gate]:
    config = tmp_path / "comporta.yaml"
    config.write_text(CONFIG.format(dsn=database_dsn, url=fake.url))
    async with comporta.open(config, data=tmp_path / "data") as gate:
        yield gate
    # A connection whose making was cancelled is let go by the collector, and PostgreSQL drops no database before that.
    gc.collect()


@pytest.fixture
def processor(gate: Gate) -> Processor:
    return LLMFactory(gate).create_processor()


async def recorded(gate: Gate) -> list[dict[str, Any]]:
    """What stands in the records once the spool is shipped."""
    assert await gate.telemetry.shipper.drain(5)
    async with await psycopg.AsyncConnection.connect(gate.database.dsn, row_factory=dict_row) as connection:
        return await (await connection.execute("select * from call order by started_at, id")).fetchall()


def limit_in(body: JSON) -> int | None:
    """OpenAI has two names for it."""
    value: int | None = body.get("max_completion_tokens", body.get("max_tokens"))
    return value


def test_the_defaults_are_those_that_people_know() -> None:
    config = LLMConfig("openai", "gpt-4o-mini", "sk-x")
    assert dataclasses.asdict(config) == {
        "provider": "openai", "model_name": "gpt-4o-mini", "api_key": "sk-x", "max_tokens": 4000, "temperature": 0.7,
        "top_p": 1.0, "timeout": 30, "retry_attempts": 3, "cache_enabled": True, "cache_ttl": 3600,
    }  # fmt: skip


def test_the_signatures_are_those_that_people_call() -> None:
    assert list(inspect.signature(LLMManager.register_model).parameters) == ["self", "name", "config"]
    assert list(inspect.signature(Processor.process_single).parameters)[:4] == ["self", "prompt", "model", "config"]
    batch = inspect.signature(Processor.process_batch).parameters
    assert list(batch)[:4] == ["self", "prompts", "model", "max_concurrent"]
    assert batch["max_concurrent"].default == 5


def test_a_configuration_does_not_show_its_key() -> None:
    assert "sk-planted" not in repr(LLMConfig("openai", "gpt-4o-mini", "sk-planted-0000000000000"))


async def test_a_registered_model_is_asked_as_its_configuration_says(
    gate: Gate, processor: Processor, fake: FakeOpenAI
) -> None:
    fake.script(Step(text="Bom dia."))
    await LLMManager(gate).register_model("mine", LLMConfig("openai", "real-name", max_tokens=50, temperature=0.1))
    assert await processor.process_single("Hello", "mine") == "Bom dia."
    sent = fake.seen[0].json
    assert (sent["model"], limit_in(sent), sent["temperature"], sent["top_p"]) == ("real-name", 50, 0.1, 1.0)


async def test_a_registered_model_brings_its_key(gate: Gate, processor: Processor, fake: FakeOpenAI) -> None:
    await LLMManager(gate).register_model("mine", LLMConfig("openai", "real-name", "sk-brought-along-00000000"))
    for _ in range(4):
        await processor.process_single("Hello", "mine")
    assert "Bearer sk-brought-along-00000000" in {seen.headers["authorization"] for seen in fake.seen}
    with pytest.raises(NotFound, match="nowhere"):
        await LLMManager(gate).register_model("other", LLMConfig("nowhere", "x", "sk-brought-along-00000000"))


async def test_a_name_of_the_configuration_is_not_registered_over(gate: Gate) -> None:
    for name in ("support", "priced"):
        with pytest.raises(Conflict, match=r"comporta\.yaml:\d+"):
            await LLMManager(gate).register_model(name, LLMConfig("openai", "other"))


async def test_a_single_prompt_may_bring_a_configuration_of_its_own(processor: Processor, fake: FakeOpenAI) -> None:
    await processor.process_single("Hello", "support", LLMConfig("openai", "support-a", max_tokens=7, temperature=0.0))
    assert (limit_in(fake.seen[0].json), fake.seen[0].json["temperature"]) == (7, 0.0)
    await processor.process_single("Hello", "support")
    assert limit_in(fake.seen[1].json) is None


async def test_a_batch_keeps_its_order_and_its_bound(processor: Processor, fake: FakeOpenAI) -> None:
    under_way: list[int] = []

    def step(seen: Seen) -> Step:
        under_way.append(fake.in_flight)
        text = seen.json["messages"][-1]["content"]
        return Step(status=500) if text == "bad" else Step(text=text.upper(), delay_s=0.03)

    fake.default = step
    results = await processor.process_batch(["a", "bad", "c", "d", "e", "f"], "support", max_concurrent=2)
    assert isinstance(results[1], UpstreamFault)
    assert [*results[:1], *results[2:]] == ["A", "C", "D", "E", "F"]
    assert max(under_way) == 2
    under_way.clear()
    assert await processor.process_batch([str(n) for n in range(12)], "support") == [str(n) for n in range(12)]
    assert max(under_way) == 5


async def test_a_stream_gives_pieces_of_text_and_may_be_left(
    gate: Gate, processor: Processor, fake: FakeOpenAI
) -> None:
    fake.script(Step(text="one two three", reasoning="hm"))
    pieces = [piece async for piece in processor.stream_response("Count.", "support")]
    assert "".join(pieces) == "one two three" and len(pieces) == 3
    fake.script(Step(text="one two three", token_delay_s=0.3))
    stream = processor.stream_response("Count.", "support")
    assert await anext(stream) == "one "
    await stream.aclose()
    async with asyncio.timeout(25):
        await fake.seen[1].gone.wait()
    assert [row["status"] for row in await recorded(gate)] == [200, 499]


async def test_monitoring_tells_cost_tokens_and_time(gate: Gate, processor: Processor, fake: FakeOpenAI) -> None:
    fake.script(Step(text="Olá.", usage=Usage(input=1000, output=100), delay_s=0.05))
    done = await processor.process_with_monitoring("Hello", "priced")
    assert (done.text, done.success, done.error) == ("Olá.", True, None)
    assert done.total_tokens == 1100
    assert done.cost_usd == pytest.approx(0.002)
    assert 0.05 <= done.latency_s < 60
    [row] = await recorded(gate)
    assert (row["cost_microusd"], row["door"]) == (2000, "python")


async def test_monitoring_tells_failures_and_raises_none(processor: Processor, fake: FakeOpenAI) -> None:
    fake.script(Step(status=500))
    failed = await processor.process_with_monitoring("Hello", "support")
    assert (failed.text, failed.success, failed.error, failed.cost_usd) == ("", False, "upstream_fault", None)
    unknown = await processor.process_with_monitoring("Hello", "suport")
    assert (unknown.success, unknown.error) == (False, "model_not_found")


async def test_the_time_limit_of_a_configuration_is_kept_and_recorded_as_one(
    gate: Gate, processor: Processor, fake: FakeOpenAI
) -> None:
    fake.default = Step(delay_s=30)
    quick = LLMConfig("openai", "slow", timeout=0.2)
    with pytest.raises(UpstreamTimeout) as given:
        await processor.process_single("Hello", "openai/slow", quick)
    await LLMManager(gate).register_model("slow", quick)
    with pytest.raises(UpstreamTimeout) as registered:
        await processor.process_single("Hello", "slow")
    with pytest.raises(UpstreamTimeout) as streamed:
        async for _ in processor.stream_response("Hello", "slow"):
            pass
    late = await processor.process_with_monitoring("Hello", "slow")
    assert given.value.code == registered.value.code == late.error == "total_timeout"
    assert streamed.value.status == 504
    async with asyncio.timeout(25):
        await asyncio.gather(*(seen.gone.wait() for seen in fake.seen))
    assert [row["status"] for row in await recorded(gate)] == [504] * 4
    with pytest.raises(BadRequest, match="timeout_s"):
        await processor.process_single("Hello", "support", LLMConfig("openai", "support-a", timeout=0))


async def test_the_time_limit_bounds_all_attempts_together(gate: Gate, processor: Processor, fake: FakeOpenAI) -> None:
    fake.default = Step(status=500, delay_s=3)
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(ComportaError):
        await processor.process_single("Hello", "support", LLMConfig("openai", "support-a", timeout=4))
    assert asyncio.get_running_loop().time() - started_s < 5.9


async def test_a_semantic_cache_is_the_gates_own(
    tmp_path: Path, database_dsn: str, fake: FakeOpenAI, pytestconfig: pytest.Config
) -> None:
    built: Path = pytestconfig.cache.mkdir(f"minilm-{builder_hash()}")
    config = tmp_path / "comporta.yaml"
    on = "\ncache: {enabled: true, semantic: {enabled: true}}\n"
    config.write_text(CONFIG.format(dsn=database_dsn, url=fake.url) + on)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cache").symlink_to(built)
    async with comporta.open(config, data=tmp_path / "data") as gate:
        cache = SemanticCache(gate)
        assert await cache.get("How do I reset my password?") is None
        await cache.set("How do I reset my password?", "By the link.", tags=["faq"])
        # A look that takes too long on a busy machine is a miss, and then nobody looks for a while.
        async with asyncio.timeout(90):
            while (found := await cache.get("How can I reset my password?")) is None:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.2)
        assert found == "By the link."
        assert await cache.get("How do I delete my account?") is None
        assert await SemanticCache(gate, "another").get("How do I reset my password?") is None
        with pytest.raises(BadRequest, match="can't be kept"):
            await cache.set("", "x")
    gc.collect()


async def test_a_semantic_cache_that_is_off_says_how_to_turn_it_on(gate: Gate) -> None:
    with pytest.raises(Conflict, match=r"cache\.semantic\.enabled"):
        await SemanticCache(gate).set("How do I reset my password?", "By the link.")
