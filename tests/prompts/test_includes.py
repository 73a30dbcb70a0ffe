"""Shared pieces stand in for their text, at one version, and never in a circle."""

from __future__ import annotations

import pytest

from comporta.errors import ConfigError
from comporta.prompts.folder import Prompts, load_bytes


def registry(*prompts: str) -> Prompts:
    listed = "".join(f"    - {one}\n" for one in prompts)
    return load_bytes(f"prompt_registry:\n  prompts:\n{listed}".encode(), "r.yaml")


TONE = "{id: tone-v1.2, system_prompt: 'Be kind to {who}. {include: rules@1.0.0}', variables: {who: {default: all}}}"
RULES = "{id: rules-v1.0.0, system_prompt: No lies.}"


def test_a_piece_is_put_in_with_its_variables_and_its_own_pieces() -> None:
    prompts = registry("{id: a-v1.0.0, system_prompt: 'Hello. {include: tone@1.2.0}'}", TONE, RULES)
    assert prompts.get("a").render().messages[0].text == "Hello. Be kind to all. No lies."
    assert prompts.get("a").render({"who": "{x}"}).messages[0].text == "Hello. Be kind to {x}. No lies."
    assert prompts.warnings == ()


def test_an_include_without_quotes_means_the_same() -> None:
    prompts = registry("{id: a-v1.0.0, system_prompt: {include: rules@1.0.0}}", RULES)
    assert prompts.get("a").render().messages[0].text == "No lies."


def test_a_declaration_of_its_own_wins() -> None:
    own = "{id: a-v1.0.0, system_prompt: '{include: tone@1.2}', variables: {who: {default: you}}}"
    assert registry(own, TONE, RULES).get("a").render().messages[0].text == "Be kind to you. No lies."


def test_a_piece_may_come_from_elsewhere() -> None:
    elsewhere = registry(RULES)
    data = b"id: a\nversion: 1.0.0\nsystem_prompt: '{include: rules@1.0.0}'"
    found = load_bytes(data, "a.yaml", lambda name, version: elsewhere.get(name, version))
    assert found.get("a").render().messages[0].text == "No lies."


@pytest.mark.parametrize(
    ("prompts", "told"),
    [
        (("{id: a-v1.0.0, system_prompt: '{include: a@1.0.0}'}",), "goes in a circle: a@1.0.0 → a@1.0.0"),
        (
            (
                "{id: a-v1.0.0, system_prompt: '{include: b@1.0.0}'}",
                "{id: b-v1.0.0, system_prompt: '{include: a@1.0.0}'}",
            ),
            "goes in a circle: a@1.0.0 → b@1.0.0 → a@1.0.0",
        ),
        (("{id: a-v1.0.0, system_prompt: '{include: tone@9.0.0}'}",), "leads nowhere"),
        (("{id: a-v1.0.0, system_prompt: '{include: tone}'}",), "needs a version, as in {include: tone@1.0.0}"),
        (
            ("{id: a-v1.0.0, template: jinja, system_prompt: '{include: tone@1.2.0}'}", TONE, RULES),
            "is written for template: plain, and this prompt for jinja",
        ),
        (
            ("{id: a-v1.0.0, system_prompt: '{include: b@1.0.0}'}", "{id: b-v1.0.0, messages: [{content: x}]}"),
            "it has no text to share",
        ),
    ],
)  # fmt: skip
def test_an_include_that_cannot_be_resolved_is_told(prompts: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry(*prompts)
    assert told in caught.value.message and caught.value.message.startswith("r.yaml:3: ")


def test_pieces_that_double_each_other_are_stopped() -> None:
    double = [
        f"{{id: p{n}-v1.0.0, system_prompt: '{{include: p{n + 1}@1.0.0}}{{include: p{n + 1}@1.0.0}}'}}"
        for n in range(18)
    ]
    with pytest.raises(ConfigError, match=r"longer than 1,000,000 characters"):
        registry(*double, f"{{id: p18-v1.0.0, system_prompt: {'x' * 100}}}")
