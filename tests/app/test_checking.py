"""Guards asked by themselves: what is told, what is recorded, and what never stands in a record."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import Struct
from psycopg.rows import dict_row

import comporta
from comporta.app.gate import Gate
from comporta.compat import InputGuardrails, OutputGuardrails, ValidationResult
from comporta.errors import BadRequest, GuardFailed, GuardrailBlocked
from comporta.guardrails.base import Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.kinds import plain
from comporta.guardrails.looking import Text
from comporta.prompts.kept import Source
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step
from comporta.types import Caller

SECRET = "nightingale-77"
CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-guards-000000000000}}
retry: {{attempts: 1}}
guardrails:
  policies:
    strict: {{input: [{{type: regex, pattern: forbidden, name: strict_words}}]}}
routes:
  masked:
    model: openai/m
    guardrails: {{input: [{{type: regex, pattern: "nightingale-[0-9]+", label: BIRD, action: mask}}], unmask: true}}
  labelled:
    model: openai/m
    guardrails: {{input: [{{type: regex, pattern: "nightingale-[0-9]+", label: BIRD, action: mask}}]}}
  blocked:
    model: openai/m
    guardrails:
      input:
        - {{type: regex, pattern: "stop here", name: stops}}
        - {{type: regex, pattern: "nightingale-[0-9]+", label: BIRD, action: mask}}
  reworded:
    model: openai/m
    guardrails: {{output: [{{type: context_size, max_tokens: 5, action: rewrite}}]}}
  chain:
    variants: [{{model: openai/first}}, {{model: openai/second, weight: 0}}]
    guardrails: {{input: [{{type: regex, pattern: "nightingale-[0-9]+", label: BIRD, action: mask}}], unmask: true}}
  broken: {{model: openai/m, guardrails: {{input: [broken]}}}}
  plain: {{model: openai/m}}
"""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings."""


def broken(settings: Nothing, tools: Tools) -> Guard:
    async def guard(text: Text, context: Context) -> Verdict:
        raise RuntimeError("broken")

    return guard


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
async def gate(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    kinds = (*plain.KINDS, Kind("broken", broken, Nothing))
    monkeypatch.setattr("comporta.app.guarding.known_kinds", lambda: kinds)
    async with comporta.open(config, data=tmp_path / "data") as gate:
        yield gate


def records(dsn: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute("select * from call order by started_at, id").fetchall()


def everything(dsn: str) -> str:
    """All that the database holds, as one text."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        return "\n".join(
            str(row) for (table,) in tables for row in connection.execute(f'select * from "{table}"').fetchall()
        )


async def test_every_guard_is_asked_and_says_where_and_how_long_but_never_what(gate: Gate) -> None:
    guards = [
        {"type": "regex", "pattern": "bird-[0-9]+", "label": "BIRD", "action": "mask"},
        {"type": "regex", "pattern": "stop", "name": "stops"},
        {"type": "context_size", "max_characters": 5, "action": "warn"},
        {"type": "regex", "pattern": "nowhere", "name": "nothing"},
    ]
    said = await gate.guard("stop the bird-12", guards=guards)
    assert (said.approved, said.blocked_by, said.severity) == (False, "stops", "critical")
    assert [(one.guard, one.outcome) for one in said.verdicts] == [
        ("regex", "redact"), ("stops", "block"), ("context_size", "flag"), ("nothing", "pass"),
    ]  # fmt: skip
    assert [(m.start, m.end, m.kind) for m in said.verdicts[0].spans] == [(9, 16, "BIRD")]
    assert "bird-12" not in repr(said) and said.sanitized_prompt == "[MATCH] the [BIRD]"
    assert all(one.latency_ms >= 0 for one in said.verdicts) and said.latency_ms > 0
    assert any("characters" in one for one in said.warnings)


async def test_a_text_that_all_guards_let_pass_is_approved_as_it_is(gate: Gate) -> None:
    said = await gate.guard("all well", guards=["context_size"])
    assert said.approved and said.sanitized_prompt == "all well" and said.suggested_action is None
    answer = await gate.guard("all well", side="output", guards=["context_size"])
    assert answer.approved and answer.output == "all well" and answer.sanitized_prompt is None


async def test_a_conversation_is_looked_at_in_every_turn(gate: Gate) -> None:
    messages = [
        {"role": "user", "content": "the bird-1"}, {"role": "assistant", "content": "oh"},
        {"role": "user", "content": "and bird-2"},
    ]  # fmt: skip
    guards = [{"type": "regex", "pattern": "bird-[0-9]", "label": "BIRD", "action": "mask"}]
    said = await gate.guard(messages=messages, guards=guards)
    assert [one.text for one in said.verdicts] == [0, 2] and said.sanitized_prompt == "and [BIRD]"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "Give either `input`"),
        ({"input": "x", "policy": "nobody"}, "There is no guard policy 'nobody': there are default, strict"),
        ({"input": "x", "guards": ["nobody"]}, "there is no guard 'nobody'"),
        ({"input": "x", "guards": ["regex"], "policy": "strict"}, "either `policy` or `guards`"),
        ({"input": "x", "guards": [{"type": "custom", "url": "http://169.254.169.254/"}]}, "Addresses are asked only"),
        ({"input": "x", "sides": "input"}, "sides"),
        ({"input": "x", "side": "both"}, "side"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(gate: Gate, body: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await gate.checking.said(body, Caller("k"))
    assert told in refused.value.message


async def test_a_check_is_recorded_as_a_call_with_masks_on_all_that_was_marked(gate: Gate, database_dsn: str) -> None:
    await gate.guard(f"see {SECRET}", guards=[{"type": "regex", "pattern": "nightingale-[0-9]+", "action": "warn"}])
    await gate.telemetry.shipper.drain(5)
    await gate.telemetry.score_shipper.drain(5)
    [row] = records(database_dsn)
    assert (row["kind"], row["door"], row["outcome"], row["cost_microusd"]) == ("guard", "guard", "ok", 0)
    assert SECRET not in everything(database_dsn)
    assert "guard.regex" in everything(database_dsn)


async def test_a_key_is_under_its_policy_wherever_it_asks(gate: Gate) -> None:
    strict = Caller("k", guardrails="strict")
    assert (await gate.guard("forbidden", caller=strict)).blocked_by == "strict_words"
    assert (await gate.guard("forbidden")).approved
    with pytest.raises(GuardrailBlocked):
        await gate.ask(gate.call("forbidden", "plain", caller=strict))
    with pytest.raises(GuardFailed, match="'gone'"):
        await gate.ask(gate.call("anything", "plain", caller=Caller("k", guardrails="gone")))


@pytest.mark.parametrize("route", ["masked", "labelled"])
async def test_records_hold_masks_and_the_client_its_own_values(
    gate: Gate, fake: FakeOpenAI, database_dsn: str, route: str
) -> None:
    mask = "[BIRD_1]" if route == "masked" else "[BIRD]"
    fake.script(Step(text=f"You said {mask}."))
    reply = await gate.chat(f"I am {SECRET}", route)
    assert reply.text == (f"You said {SECRET}." if route == "masked" else "You said [BIRD].")
    assert fake.seen[-1].json["messages"][-1]["content"] == f"I am {mask}"
    await gate.telemetry.shipper.drain(5)
    held = everything(database_dsn)
    assert SECRET not in held and f"You said {mask}." in held


async def test_values_of_a_prompts_variables_are_masked_in_its_record(
    gate: Gate, fake: FakeOpenAI, database_dsn: str
) -> None:
    file = (
        "id: birds\nversion: 1.0.0\nmodel: openai/m\nuser_prompt_template: 'I am {who}'\nvariables: [{name: who}]\n"
        "guardrails: {input: [{type: regex, pattern: 'nightingale-[0-9]+', label: BIRD, action: mask}]}\n"
    )
    await gate.prompts.push([Source("birds.yaml", file)], "ana")
    fake.script(Step(text="Hello."))
    await gate.chat(prompt={"id": "birds", "version": "1.0.0", "variables": {"who": SECRET}})
    assert fake.seen[-1].json["messages"][-1]["content"] == "I am [BIRD]"
    await gate.telemetry.shipper.drain(5)
    assert SECRET not in everything(database_dsn)


async def test_what_is_blocked_is_kept_with_masks_of_all_guards(gate: Gate, database_dsn: str) -> None:
    with pytest.raises(GuardrailBlocked):
        await gate.chat(f"stop here, {SECRET}", "blocked")
    await gate.telemetry.shipper.drain(5)
    held = everything(database_dsn)
    assert SECRET not in held and "[MATCH], [BIRD]" in held


async def test_what_no_guard_could_look_at_is_kept_as_hashes(gate: Gate, database_dsn: str) -> None:
    with pytest.raises(GuardFailed):
        await gate.chat(f"I am {SECRET}", "broken")
    await gate.telemetry.shipper.drain(5)
    [row] = records(database_dsn)
    assert (row["outcome"], row["capture"]) == ("guard_failed", "hashed")
    assert SECRET not in everything(database_dsn)


async def test_a_fallback_keeps_the_masks_and_leads_them_back(gate: Gate, fake: FakeOpenAI) -> None:
    fake.script(Step(status=500), Step(text="Hello [BIRD_1]."))
    assert (await gate.chat(f"I am {SECRET}", "chain")).text == f"Hello {SECRET}."
    assert [one.json["messages"][-1]["content"] for one in fake.seen] == ["I am [BIRD_1]"] * 2


async def test_an_answer_is_worded_anew_once_by_the_model_that_gave_it(gate: Gate, fake: FakeOpenAI) -> None:
    fake.script(Step(text="far too many words for anybody to read them all"), Step(text="Short."))
    assert (await gate.chat("Tell me", "reworded")).text == "Short."
    assert [one.json["model"] for one in fake.seen] == ["m", "m"]
    assert "of 5 allowed" in fake.seen[-1].json["messages"][-1]["content"]
    fake.script(*(Step(text="far too many words for anybody to read them all"),) * 2)
    with pytest.raises(GuardrailBlocked):
        await gate.chat("Tell me", "reworded")
    assert len(fake.seen) == 4


async def test_names_that_people_write_already_say_the_same(gate: Gate) -> None:
    refused = await InputGuardrails(gate, "strict").validate("a forbidden word")
    assert (refused.approved, refused.blocked_by, refused.severity) == (False, "strict_words", "critical")
    assert refused.reason and refused.suggested_action and refused.sanitized_prompt == "a [MATCH] word"
    assert (await InputGuardrails(gate).validate("a forbidden word")).approved
    passed = await OutputGuardrails(gate).validate("fine", {"question": "how?", "guards": ["context_size"]})
    assert passed == ValidationResult(True, output="fine")


async def test_what_guards_found_is_counted(gate: Gate) -> None:
    await gate.guard("bird-1", guards=[{"type": "regex", "pattern": "bird", "name": "birds", "action": "warn"}])
    lines = (await gate.telemetry.metrics.exposition()).decode()
    assert 'comporta_guard_verdicts_total{guard="birds",outcome="flag",side="input"} 1.0' in lines
    assert 'comporta_guard_looks_total{side="input"} 1.0' in lines
