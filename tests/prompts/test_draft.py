"""Prompts that are texts in a program."""

from __future__ import annotations

import pytest

from comporta import compat
from comporta.errors import BadRequest, ConfigError
from comporta.prompts.draft import PromptTemplate, optimize_prompt, validate_prompt


def test_a_template_takes_values_and_tells_its_variables() -> None:
    template = PromptTemplate("Answer {name}: {question}", ["name"])
    assert template.variables == ("name", "question")
    assert (
        template.render(name="Ana", question="{name}?")
        == "Answer Ana: {name}?"
        == template.format(name="Ana", question="{name}?")
    )


def test_its_variables_have_the_rules_of_prompt_files() -> None:
    template = PromptTemplate("{order}", [{"name": "order", "type": "object"}])
    assert template.render(order={"total": 3}) == "- Total: 3"
    with pytest.raises(BadRequest, match="variable order is missing"):
        template.render()
    with pytest.raises(ConfigError):
        PromptTemplate("{a}", [{"name": "a", "type": "color"}])


def test_text_of_any_kind_is_a_template() -> None:
    text = 'Say "{word}" \\ 🌊\n\tand {"json": 1}'
    assert PromptTemplate(text).render(word="água") == 'Say "água" \\ 🌊\n\tand {"json": 1}'


def test_a_prompt_is_validated_as_a_file_is_checked() -> None:
    fine = validate_prompt("Answer {question} briefly.")
    assert fine and fine.valid and not fine.errors
    assert not validate_prompt("  ")
    bad = validate_prompt("Use the key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD to answer.")
    assert not bad and any("secret" in one or "key" in one for one in bad.errors)
    assert validate_prompt("Return only JSON.").warnings
    assert validate_prompt(PromptTemplate("{a}"))


def test_a_prompt_is_optimized_within_its_tokens() -> None:
    assert optimize_prompt("Be   brief.\n\n\nBe brief.\n") == "Be brief."
    assert len(optimize_prompt("word " * 10_000)) < 10_000 * 5
    with pytest.raises(BadRequest):
        optimize_prompt("a", max_tokens=0)


def test_the_names_stand_where_teams_look_for_them() -> None:
    assert compat.PromptTemplate is PromptTemplate
    assert compat.validate_prompt is validate_prompt and compat.optimize_prompt is optimize_prompt
