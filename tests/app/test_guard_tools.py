"""What guards get from a gate: a judge that is asked as a child call, hooks, knowledge, another model; and mistakes."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import comporta
from comporta.app.folder import Folder
from comporta.app.gate import Gate
from comporta.app.guarding import Guarding
from comporta.app.loaded import Places, load_settings
from comporta.errors import ConfigError, GuardFailed, GuardrailBlocked
from comporta.guardrails.base import Tools
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-guards-000000000000}}
retry: {{attempts: 1}}
guardrails:
  judge: openai/judge
  knowledge: {{shop: shop.md}}
routes:
  judged:
    model: openai/m
    guardrails:
      output: [{{type: groundedness, judge: always, system: true, action: block}}]
  known:
    model: openai/m
    guardrails: {{output: [{{type: fact_check, knowledge: shop, judge: never, action: block}}]}}
  hooked:
    model: openai/m
    guardrails: {{input: [{{type: custom, url: "http://127.0.0.1:1/check", timeout_s: 1}}]}}
  careful:
    model: openai/m
    guardrails:
      input: [{{type: regex, pattern: odd, action: restrict, restrict: {{temperature: 0, model: openai/small}}}}]
"""


DOCUMENT = "The shop opens at 9 and closes at 18. It stands in Lisbon."


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def config(tmp_path: Path, database_dsn: str, fake: FakeOpenAI) -> Iterator[Path]:
    (tmp_path / "shop.md").write_text("Shoes can be returned within 30 days of delivery.", "utf-8")
    path = tmp_path / "comporta.yaml"
    path.write_text(CONFIG.format(dsn=database_dsn, url=fake.url))
    yield path
    gc.collect()


@pytest.fixture
async def gate(config: Path, tmp_path: Path) -> AsyncIterator[Gate]:
    async with comporta.open(config, data=tmp_path / "data") as gate:
        yield gate


MESSAGES = [{"role": "system", "content": DOCUMENT}, {"role": "user", "content": "When does the shop open?"}]


async def test_the_judge_is_asked_as_a_call_of_the_callers_own_and_decides(gate: Gate, fake: FakeOpenAI) -> None:
    fake.script(Step(text="It opens at 9."), Step(text="It opens at 9."), model="m")
    fake.script(
        Step(text='{"ok": true, "confidence": 0.9}'), Step(text='{"ok": false, "confidence": 0.9}'), model="judge"
    )
    assert (await gate.chat(MESSAGES, "judged")).text == "It opens at 9."
    with pytest.raises(GuardrailBlocked, match="groundedness"):
        await gate.chat(MESSAGES, "judged")
    assert [one.json["model"] for one in fake.seen] == ["m", "judge", "m", "judge"]
    assert DOCUMENT in fake.seen[1].json["messages"][-1]["content"]


async def test_a_judge_that_fails_lets_nothing_through(gate: Gate, fake: FakeOpenAI) -> None:
    fake.script(Step(status=500), model="judge")
    with pytest.raises(GuardFailed, match="groundedness"):
        await gate.chat(MESSAGES, "judged")


async def test_answers_are_held_against_a_knowledge_base_of_the_configuration(gate: Gate, fake: FakeOpenAI) -> None:
    right, wrong = (
        "Shoes can be returned within 30 days of delivery.",
        "Shoes can be returned within 99 days of delivery.",
    )
    fake.script(Step(text=right), Step(text=wrong))
    assert (await gate.chat("May I return shoes?", "known")).text == right
    with pytest.raises(GuardrailBlocked, match="fact_check"):
        await gate.chat("May I return shoes?", "known")


async def test_a_hook_that_is_not_there_fails_closed_before_any_model_is_asked(gate: Gate, fake: FakeOpenAI) -> None:
    with pytest.raises(GuardFailed, match="custom"):
        await gate.chat("Hello", "hooked")
    assert not fake.seen


async def test_a_suspicious_question_goes_to_the_other_model(gate: Gate, fake: FakeOpenAI) -> None:
    await gate.chat("something odd", "careful", temperature=1.0)
    await gate.chat("something else", "careful", temperature=1.0)
    assert [(one.json["model"], one.json["temperature"]) for one in fake.seen] == [("small", 0), ("m", 1.0)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("guardrails: {knowledge: {shop: nowhere.md}}", "no file or folder nowhere.md"),
        ("guardrails: {knowledge: {shop: empty}}", "holds no file"),
        ("guardrails: {output: [{type: fact_check, knowledge: shop}]}", "no knowledge base 'shop'"),
        ("guardrails: {output: [{type: groundedness, judge: always}]}", "guardrails.judge"),
        ("guardrails: {input: [{type: custom, function: 'os:system'}]}", "not listed"),
    ],
)
def test_mistakes_are_told_at_start(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    file = tmp_path / "comporta.yaml"
    file.write_text(text)
    loaded = load_settings(Places(file, Folder(tmp_path / "data")), {})
    with pytest.raises(ConfigError) as told:
        Guarding(Tools(), lambda call, side, report: None).read(loaded)
    assert why in told.value.message
    assert "comporta.yaml" in told.value.message


def test_guards_outlive_a_reload_that_changes_nothing_for_them(tmp_path: Path) -> None:
    file = tmp_path / "comporta.yaml"
    guarding = Guarding(Tools(), lambda call, side, report: None)

    def take(text: str) -> object:
        file.write_text(text)
        guarding.take(load_settings(Places(file, Folder(tmp_path / "data")), {}))
        return guarding.named("default").input[0].guard

    first = take("guardrails: {input: [model_theft]}")
    assert take("guardrails: {input: [model_theft], refusal: no}") is first
    assert take("guardrails: {input: [model_theft], judge: openai/x}") is not first
