"""Prompts of the registry in the calls of a whole gate: asked with, recorded, summed up, erased with their users."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import comporta
from comporta.app.gate import Gate
from comporta.errors import BadRequest, NotFound, UpstreamFault
from comporta.prompts.kept import Commit, Source
from comporta.telemetry.calls import list_calls, one_call
from comporta.telemetry.summary import summarise
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-prompts-000000000000}}
routes:
  support:
    variants:
      - {{prompt: support}}
      - {{prompt: support@1.0.0, model: openai/spare, weight: 0}}
  quiet: {{variants: [{{prompt: support@1.0.0}}], content: hashed}}
retry: {{attempts: 1}}
budgets:
  - {{name: all, limit: $100, period: month}}
spending: {{unpriced: allow}}
"""
FILE = """
id: support
version: {version}
model: openai/{model}
temperature: 0.1
system_prompt: You are version {version}.
user_prompt_template: "{{question}}"
variables:
  - {{name: question, validation: "string, max 40 chars"}}
  - {{name: count, type: number, required: false}}
"""


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def config(tmp_path: Path, database_dsn: str, fake: FakeOpenAI) -> Iterator[Path]:
    path = tmp_path / "comporta.yaml"
    path.write_text(CONFIG.format(dsn=database_dsn, url=fake.url))
    yield path
    gc.collect()


@pytest.fixture
async def gate(config: Path, tmp_path: Path) -> AsyncIterator[Gate]:
    async with comporta.open(config, data=tmp_path / "data") as gate:
        files = [Source("support.yaml", FILE.format(version=v, model=m)) for v, m in (("1.0.0", "a"), ("2.0.0", "b"))]
        for file in files:
            await gate.prompts.push([file], "ana", commit=Commit("c0ffee1", "Ana", "More"))
        await gate.prompts.deploy("support", "1.0.0", "production", "ana", "first")
        await gate.prompts.deploy("support", "2.0.0", "staging", "ana", "next")
        yield gate


def asks(question: str = "Where is it?", **more: Any) -> dict[str, Any]:
    return {"id": "support", "variables": {"question": question}, **more}


async def test_a_call_with_a_prompt_reaches_the_model_that_the_prompt_names(gate: Gate, fake: FakeOpenAI) -> None:
    reply = await gate.chat(prompt=asks(), user="ana")
    sent = fake.seen[-1].json
    assert reply.text and sent["model"] == "a" and sent["temperature"] == 0.1
    assert [m["content"] for m in sent["messages"]] == ["You are version 1.0.0.", "Where is it?"]


async def test_the_record_keeps_prompt_version_values_variant_and_deploy(gate: Gate, database_dsn: str) -> None:
    await gate.chat(prompt=asks(), user="ana")
    await gate.chat(model="support", prompt={"variables": {"question": "Why?"}})
    await gate.chat(model="quiet", prompt={"variables": {"question": "Secret?"}})
    await gate.telemetry.shipper.drain(5)
    page = await list_calls(gate.database, filters={"prompt": "support", "prompt_version": "1.0.0"})
    hashed, routed, named = page.calls
    assert (named.prompt_id, named.prompt_version, named.prompt_label) == ("support", "1.0.0", "production")
    assert named.deploy is not None and (named.deploy["commit_sha"], named.deploy["author"]) == ("c0ffee1", "Ana")
    assert {"model_version"} <= set(named.deploy)
    assert (routed.route, routed.variant, routed.model) == ("support", "support", "a")
    assert hashed.prompt_label is None and hashed.deploy is None
    assert (await one_call(gate.database, named.id)).variables == {"question": "Where is it?"}
    kept = (await one_call(gate.database, hashed.id)).variables
    assert set(kept["question"]) == {"type", "length", "sha256"} and "Secret" not in str(kept)
    assert not (await list_calls(gate.database, filters={"prompt_version": "9.9.9"})).calls
    with psycopg.connect(database_dsn, row_factory=dict_row) as connection:
        spans = connection.execute("select attributes from span where name = 'prompt' order by started_at").fetchall()
    assert spans[0]["attributes"]["commit_sha"] == "c0ffee1" and spans[0]["attributes"]["version"] == "1.0.0"


async def test_versions_are_compared_by_their_figures(gate: Gate) -> None:
    for label in ("production", "staging", "staging"):
        await gate.chat(prompt=asks(label=label))
    await gate.telemetry.shipper.drain(5)
    found = await summarise(gate.database, filters={"prompt": "support"}, group_by="prompt_version")
    assert {name: figures.total_requests for name, figures in found.groups.items()} == {"1.0.0": 1, "2.0.0": 2}


async def test_a_variant_that_fails_is_followed_by_the_next_with_its_own_prompt(gate: Gate, fake: FakeOpenAI) -> None:
    await gate.prompts.deploy("support", "2.0.0", "production", "ana", "up")
    fake.script(Step(status=500), model="b")
    await gate.chat(model="support", prompt={"variables": {"question": "?"}})
    assert [(one.json["model"], one.json["messages"][0]["content"]) for one in fake.seen] == [
        ("b", "You are version 2.0.0."), ("spare", "You are version 1.0.0."),
    ]  # fmt: skip


async def test_erasing_a_user_takes_the_values_too(gate: Gate) -> None:
    await gate.chat(prompt=asks("Where is Ana?"), user="ana")
    await gate.telemetry.shipper.drain(5)
    [call] = (await list_calls(gate.database)).calls
    await gate.people.erase("ana", by="admin")
    found = await one_call(gate.database, call.id)
    assert found.variables is None and found.call.prompt_version == "1.0.0"


async def test_a_refusal_is_told_to_the_program_and_recorded_with_the_prompt(gate: Gate) -> None:
    with pytest.raises(BadRequest, match=r"support@1.0.0: variable question is missing"):
        await gate.chat(prompt={"id": "support"})
    with pytest.raises(NotFound):
        await gate.chat(prompt=asks(label="nowhere"))
    await gate.telemetry.shipper.drain(5)
    refused = (await list_calls(gate.database, filters={"prompt": "support"})).calls
    assert [(call.outcome, call.prompt_version) for call in refused] == [("invalid_variable", "1.0.0")]


async def test_a_provider_that_fails_everywhere_is_told_as_ever(gate: Gate, fake: FakeOpenAI) -> None:
    fake.script(Step(status=500), Step(status=500))
    with pytest.raises(UpstreamFault):
        await gate.chat(model="support", prompt={"variables": {"question": "?"}})
