"""Conditions and loops in a sandbox: values and their fields, and no way out."""

from __future__ import annotations

import pytest

from comporta.errors import BadRequest
from support.prompts import prompt, refused

VARIABLES = "variables: [{name: items, type: list, required: false}, {name: who, type: object, required: false}]\n"


def jinja(text: str, variables: str = VARIABLES) -> str:
    body = "\n".join(f"  {line}" for line in text.splitlines())
    return f"template: jinja\n{variables}system_prompt: |\n{body}\n"


def test_conditions_loops_and_filters_work() -> None:
    made = prompt(jinja("{% for one in items %}\n{{ loop.index }}. {{ one.name|upper }}\n{% endfor %}\n"
                        "{% if who.allergies %}\nAllergic!\n{% endif %}\n{{ who }}"))  # fmt: skip
    text = made.render({"items": [{"name": "a"}, {"name": "b"}], "who": {"name": "Ana"}}).messages[0].text
    assert text == "1. A\n2. B\n- Name: Ana"


def test_a_field_named_like_a_method_is_the_field() -> None:
    assert prompt(jinja("{{ who.items }}|{{ who.keys }}|")).render({"who": {"items": "x"}}).messages[0].text == "x||"


@pytest.mark.parametrize(
    "text",
    [
        "{{ who.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ who|attr('__class__') }}",
        "{{ who.items() }}",
        "{{ range(10) }}",
        "{{ cycler('a') }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ 'x'|center(999999999) }}",
        "{{ 9 ** 99999999 }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro f() %}{% endmacro %}",
        "{% set x = items ~ items %}{{ x }}",
        "{% with x = 1 %}{{ x }}{% endwith %}",
        "{{ items|random }}",
        "{% if %}",
        "{{ who",
        "{{ who|nope }}",
        "{% for a in items %}",
    ],
)
def test_what_leaves_the_sandbox_is_a_mistake_of_the_file(text: str) -> None:
    assert refused(jinja(text)).startswith("prompts/support.yaml:5: system_prompt: ")


def test_a_syntax_error_says_which_line_of_the_text() -> None:
    assert "(line 2 of the text)" in refused(jinja("fine\n{% endif %}"))


@pytest.mark.parametrize(
    "text", ["{{ 'x' * 999999999 }}", "{{ items[0] * 3 }}", "{{ 1 / who.zero }}", "{{ items|sum }}"]
)
def test_what_goes_wrong_with_values_is_a_400(text: str) -> None:
    with pytest.raises(BadRequest, match=r"prompt support@1\.0\.0: "):
        prompt(jinja(text)).render({"items": ["a"], "who": {"zero": 0}})


def test_loops_that_write_without_end_are_stopped() -> None:
    inner = "{% for a in items %}{% for b in items %}{% for c in items %}0123456789{% endfor %}{% endfor %}{% endfor %}"
    with pytest.raises(BadRequest, match="2,000,000"):
        prompt(jinja(inner)).render({"items": list(range(100))})


FENCED = "variables: [{name: said, sanitization: prevent_injection, required: false}]\n"


@pytest.mark.parametrize(
    "text",
    ["{{ said|upper }}", "{{ said[:3] }}", "{% for c in said %}{{ c }}{% endfor %}", "{{ (said or '')|upper }}",
     "{{ said ~ 'x' }}", "{% if said|upper %}x{% endif %}"],
)  # fmt: skip
def test_a_fenced_value_cannot_be_taken_out_of_its_fence(text: str) -> None:
    assert "said" in refused(jinja(text, FENCED))


def test_a_fenced_value_can_be_printed_and_asked_for() -> None:
    made = prompt(jinja("{% if said and not (said is none) %}{{ said }}{% endif %}", FENCED))
    assert made.render({"said": "hi"}).messages[0].text.startswith("<untrusted_data")
    assert made.render().messages == ()


def test_an_image_can_be_asked_for_and_not_printed() -> None:
    declared = "variables: [{name: photo, type: image, required: false}]\n"
    assert "prints the image photo" in refused(jinja("{{ photo }}", declared))
    made = prompt(jinja("{% if photo %}See the photo.{% endif %}Hi", declared))
    assert made.render().messages[0].text == "Hi"
    assert made.render({"photo": "https://example.com/a.png"}).messages[0].text == "See the photo.Hi"
