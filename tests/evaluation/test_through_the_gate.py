"""Judges asked through a real gate are paid for and never answered from its cache; likeness by the real model."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import comporta
from comporta.app.gate import Gate
from comporta.embedding.minilm import MiniLM
from comporta.evaluation.base import JudgeModel, Tools
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.minilm import builder_hash
from comporta.testing.upstream import Step
from comporta.types import Caller, Usage
from support.judging import outcome

CONFIG = """
database: {{url: "{dsn}"}}
retry: {{attempts: 1}}
cache: {{enabled: true, min_cost: $0}}
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-of-the-house-0000000000}}
models:
  judge-model: {{provider: openai, model: judge, price: {{input: $1, output: $10}}}}
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
    gc.collect()


async def test_a_judge_is_asked_each_time_and_its_cost_is_counted(gate: Gate, fake: FakeOpenAI) -> None:
    said = json.dumps({"reason": "Polite.", "score": 9})
    fake.default = Step(text=said, usage=Usage(input=1000, output=100))
    tools = Tools(ask=gate.ask, judge=JudgeModel("judge-model", 2), caller=Caller("key-of-tests"), trace_id="a" * 32)
    for _ in range(2):
        found = await outcome("judge", "Polite?", "Good day.", tools)
        assert (found.error, found.passed, found.values) == (None, True, (0.9, 0.9))
        assert found.cost_microusd == 2 * 2000
    assert len(fake.seen) == 4
    sent = fake.seen[0].json
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]


async def test_an_unknown_judge_is_told_by_its_name(gate: Gate) -> None:
    found = await outcome("judge", "Polite?", "Good day.", Tools(ask=gate.ask, judge=JudgeModel("jugde-model")))
    assert found.error is not None and "model_not_found" in found.error and "jugde-model" in found.error


async def test_the_same_said_otherwise_is_near_and_another_matter_is_far(pytestconfig: pytest.Config) -> None:
    model = MiniLM(pytestconfig.cache.mkdir(f"minilm-{builder_hash()}"))
    meant, tools = "Refunds take five working days.", Tools(embedder=model)
    try:
        near = await outcome("similar_to", meant, "You get your money back within five business days.", tools)
        far = await outcome("similar_to", meant, "Our shop opens at nine.", tools)
    finally:
        model.close()
    assert (near.passed, far.passed) == (True, False)
    assert (near.value or 0) > 0.7 and (far.value or 1) < 0.3
