"""A prompt written as a file again reads as the same prompt, and a difference shows what people changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import comporta.prompts
from comporta.prompts.folder import load_bytes, load_folder
from comporta.prompts.prompt import Prompt
from comporta.prompts.written import diff, text_of
from support.prompts import prompt

STARTERS = load_folder(Path(comporta.prompts.__file__).parent / "starters")
EVERYTHING = """
name: Support
description: "Helps: always"
owner: team-support
language: en
model: openai/gpt-4o
temperature: 0
top_p: 0.9
max_tokens: 500
seed: 7
stop: [END, "1.0"]
timeout: 90s
params: {presence_penalty: 0.5, logit_bias: {"50256": -100}}
template: jinja
persona: {role: helper, tone: [warm], limits: no promises}
system_prompt: "Trailing space \\nand a tab\\t {% if x %}{{ x }}{% endif %}"
reasoning: {steps: [Think., Answer.]}
messages: [{role: user, content: "hi"}, history, {role: assistant, content: "null"}]
user_prompt_template: "{{ question }}"
examples:
  - {input: {question: "a"}, output: {because: [1, 2]}}
  - {input: "0x10", output: "~"}
examples_as: text
response_format:
  type: json_schema
  json_schema: {name: kind, strict: true, schema: {type: object, properties: {kind: {type: string}}}}
tools: [{name: look, description: Looks., parameters: {type: object, properties: {at: {type: string}}}, strict: false}]
variables:
  - {name: x, required: false, type: number, validation: {min: 1, max: 5, integer: true}}
  - {name: question, validation: "string, max 100 chars, one of: a, b", sanitization: "trim, mask_pii"}
  - {name: more, default: "007", description: Of that.}
  - {name: list, type: list, required: false, validation: {max_items: 3}}
metadata: {on: "off", count: "1e5", deep: {empty: "", none: null, date: "2026-01-01"}}
guardrails: {input: [{type: pii_detection, action: block}], output: [{type: toxicity_check, threshold: 0.3}]}
"""


def again(made: Prompt) -> Prompt:
    return load_bytes(text_of(made).encode(), "again.yaml").get(made.id)


@pytest.mark.parametrize("made", list(STARTERS), ids=lambda one: one.label)
def test_every_starter_is_the_same_when_written_and_read(made: Prompt) -> None:
    assert again(made).digest == made.digest


def test_a_prompt_with_every_key_is_the_same_when_written_and_read() -> None:
    made = prompt(EVERYTHING)
    assert msgspec.structs.asdict(again(made)) == msgspec.structs.asdict(made)
    assert again(made).digest == made.digest


def test_a_prompt_is_the_same_out_of_the_database_too() -> None:
    made = prompt(EVERYTHING)
    stored = msgspec.json.decode(msgspec.json.encode(made), type=Prompt)
    assert stored == made and stored.digest == made.digest


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"), max_size=60)
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_TEXT, below, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=_TEXT, system=_TEXT, metadata=st.dictionaries(_TEXT, _VALUE, max_size=3), stop=st.lists(_TEXT, max_size=2))
def test_any_text_survives(name: str, system: str, metadata: dict[str, object], stop: list[str]) -> None:
    made = Prompt(
        id="a", version="1.0.0", name=name, system_prompt=f"x{system}".replace("{", "("), metadata=metadata,
        stop=tuple(stop), template="plain",
    )  # fmt: skip
    read = load_bytes(text_of(made).encode(), "a.yaml").get("a")
    assert (read.name, read.system_prompt, read.stop) == (made.name, made.system_prompt, made.stop)
    assert read.metadata == metadata


def test_a_difference_shows_lines_of_text_and_none_where_only_the_spelling_changed() -> None:
    old = prompt("temperature: 1\nsystem_prompt: |\n  One.\n  Two.\n")
    new = prompt("system_prompt: |\n  One.\n  Three.\ntemperature: 1.0\n")
    lines = diff(old, new).splitlines()
    assert [one for one in lines if one[:1] in "+-" and one[:3] not in ("+++", "---")] == ["-  Two.", "+  Three."]
    assert diff(old, prompt("system_prompt: |\n  One.\n  Two.\ntemperature: 1.0\n")) == ""
    assert diff(None, new).startswith("--- nothing\n+++ support@1.0.0")
