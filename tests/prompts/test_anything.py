"""Whatever a file's bytes and a call's values are: our own error or a result, the same each time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comporta.errors import ConfigError
from comporta.prompts.file import KEYS
from comporta.prompts.folder import load_bytes
from support.prompts import prompt

TRICKS = [
    "{b}",
    "{{ b }}",
    "{% if b %}x{% endif %}",
    "{include: a@1.0.0}",
    "\\{b}",
    "{#",
    "${b}",
    "%(b)s",
    "{0}",
    "}}",
    "\x00",
]
TEXT = st.lists(st.sampled_from(TRICKS) | st.text(max_size=8), max_size=5).map("".join)
PLAIN = prompt("user_prompt_template: '<{a}|{b}>'\nvariables: [a, b]")
JINJA = prompt("template: jinja\nuser_prompt_template: '<{{ a }}|{{ b }}>'\nvariables: [a, b]")


@given(TEXT, TEXT)
def test_any_text_is_rendered_as_it_stands(a: str, b: str) -> None:
    for made in (PLAIN, JINJA):
        assert made.render({"a": a, "b": b}).messages[0].text == f"<{a}|{b}>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXT, below, max_size=4),
    max_leaves=12,
)
BULLETS = {
    kind: prompt(f"template: {kind}\nuser_prompt_template: '{text}'\nvariables: {{a: object, b: {{default: SEEN}}}}")
    for kind, text in (("plain", "[{a}]{b}"), ("jinja", "[{{ a }}]{{ b }}"))
}


def braces(value: Any) -> int:
    if isinstance(value, str):
        return value.count("{")
    if isinstance(value, dict):
        return sum(braces(key) + braces(one) for key, one in value.items())
    return sum(map(braces, value)) if isinstance(value, list) else 0


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_any_object_is_rendered_the_same_each_time_with_no_brace_read(value: dict[str, Any]) -> None:
    texts = {kind: [made.render({"a": value}).messages[0].text for _ in range(2)] for kind, made in BULLETS.items()}
    assert texts["plain"] == texts["jinja"] and texts["plain"][0] == texts["plain"][1]
    text = texts["plain"][0]
    # What is empty is left out, so there may be fewer braces than in the value, and never a value put in for one.
    assert text.count("SEEN") == 1 and text.endswith("]SEEN")
    assert text.count("{") <= braces(value)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_own_error(data: bytes) -> None:
    load(data)


WORDS = st.sampled_from([
    *KEYS, "history", "role", "content", "input", "output", "type", "json_schema", "schema", "properties", "required",
    "items", "function", "parameters", "default", "validation", "sanitization", "jinja", "list", "object", "image",
    "max 3 chars", "prevent_injection", "{a}", "{{ a }}", "{% for a in b %}{{ a }}{% endfor %}", "{include: a@1.0.0}",
    "1.0.0", "a-v1.2", "prompt_registry", "prompts", "pattern", "(a+", "one_of", "min", "max", "enum", "strict", "12",
])  # fmt: skip
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(WORDS, below, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_no_file_of_the_right_keys_raises_anything_but_our_own_error(fields: dict[str, Any]) -> None:
    # YAML reads JSON; what is said twice is what YAML calls a mistake of its own.
    load(json_of({"id": "a", "version": "1.0.0", **fields}).encode("utf-8", "surrogatepass"))


def json_of(value: Any) -> str:
    import json

    return json.dumps(value)


def load(data: bytes) -> None:
    try:
        found = load_bytes(data, "a.yaml")
    except ConfigError as error:
        assert error.message.startswith("a.yaml")
        return
    for one in found:
        assert one.digest
