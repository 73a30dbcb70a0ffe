"""Prompt files are read whole, and what is wrong with them is told with file and line, all of it at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from comporta.errors import ConfigError, NotFound
from comporta.prompts.folder import load_bytes, load_folder
from comporta.prompts.values import MASK_PII, Guard, Rules, Variable
from support.prompts import HEAD, prompt, refused

SHAPES = """
prompt_registry:
  prompts:
    - id: customer-support-v2.3.1
      model: openai/gpt-4o
      temperature: 0.3
      top_p: 0.9
      max_tokens: 500
      timeout: 30s
      system_prompt: Help.
      user_prompt_template: "{customer_name} of {city} asks: {question}"
      variables:
        - {name: customer_name, required: true, validation: "string, max 100 chars", sanitization: "strip_html, trim"}
        - {name: question, required: true, sanitization: "strip_html, prevent_injection"}
    - id: customer-support-v1.2
      system_prompt: Old.
"""


def test_a_registry_in_one_file_loads_and_a_placeholder_without_declaration_is_a_required_text() -> None:
    prompts = load_bytes(SHAPES.encode(), "registry.yaml")
    made = prompts.get("customer-support")
    assert (made.id, made.version, len(prompts)) == ("customer-support", "2.3.1", 2)
    assert prompts.get("customer-support-v1.2") is prompts.get("customer-support@1.2.0")
    assert made.variables[0] == Variable(
        "customer_name", rules=Rules(max_length=100), sanitization=("strip_html", "trim")
    )
    assert made.variables[2] == Variable("city", implied=True)
    assert prompts.warnings == (
        "registry.yaml:11: prompt_registry.prompts[0].user_prompt_template: {city} is not declared under variables "
        "(taken as a required text)",
    )
    with pytest.raises(ConfigError, match=r"registry\.yaml:11"):
        load_bytes(SHAPES.encode(), "registry.yaml", strict=True)


def test_the_name_of_the_file_is_the_id_where_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text("version: 1.0.0\nsystem_prompt: Hi\n")
    assert load_folder(tmp_path).get("hello").version == "1.0.0"


def test_variables_may_be_a_mapping_a_list_or_names() -> None:
    variables = prompt("""
    system_prompt: "{a}{b}{c}"
    variables:
      a: string, max 10 chars
      b: {type: number, validation: {min: 1, max: 5}, default: 2}
      c:
    """).variables
    assert variables == (
        Variable("a", rules=Rules(max_length=10)),
        Variable("b", type="number", required=False, default=2, rules=Rules(minimum=1, maximum=5)),
        Variable("c"),
    )


def test_every_mistake_is_told_with_its_line() -> None:
    told = refused("""
    temprature: 0.5
    temperature: hot
    max_tokens: 0
    system_prompt: "{x} {{ y }}"
    variables:
      - {name: x, validation: "string, rather short", sanitization: strip_thml}
      - {name: 1x}
    messages: [{role: robot, content: x}, {role: user}]
    examples: [{input: x}]
    response_format: {type: object, properties: {a: {type: text}}, required: [b]}
    """)
    lines = told.splitlines()
    for line, part in [
        (4, "temprature: unknown key; did you mean 'temperature'?"),
        (5, "temperature: must be a number"),
        (6, "max_tokens: must be a whole number of at least 1"),
        (7, "system_prompt: holds {{ as jinja has it: say template: jinja"),
        (9, "variables[0].validation: has the rule 'rather short', which means nothing here"),
        (9, "variables[0].sanitization: has 'strip_thml', which is no sanitization; did you mean 'strip_html'?"),
        (10, "variables[1]: is no name of a variable"),
        (11, "messages[0].role: must be one of system, developer, user"),
        (11, "messages[1]: needs content"),
        (12, "examples[0]: needs an input and an output"),
        (13, "response_format.properties.a.type: must be one of object"),
        (13, "response_format.required: names b, which properties don't have"),
    ]:
        assert any(one.startswith(f"prompts/support.yaml:{line}: {part}") for one in lines), (part, told)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("1.2", "is no version by semver: three numbers; write 1.2.0"),
        ("v1.2.3", "is no version by semver: three numbers; write 1.2.3"),
        ("latest", "is no version by semver: three numbers, such as 1.4.0"),
    ],
)
def test_a_version_that_is_no_semver_is_told_with_what_was_meant(version: str, told: str) -> None:
    assert told in refused(f"version: {version}\nsystem_prompt: x", head="id: a\n")


def test_a_version_is_needed_and_must_be_that_of_the_id() -> None:
    assert "needs a version" in refused("id: a\nsystem_prompt: x", head="")
    assert "says 1.0.0, and the id says 2.0.0" in refused("id: a-v2.0.0\nversion: 1.0.0\nsystem_prompt: x", head="")


@pytest.mark.parametrize("text", ["", "name: empty\n"])
def test_a_prompt_that_says_nothing_is_a_mistake(text: str) -> None:
    assert "says nothing" in refused(text)


def test_guards_are_read_as_they_are_written() -> None:
    text = """
    system_prompt: "{a}"
    variables: [{name: a, sanitization: "trim, mask_pii"}]
    guardrails:
      input: [{type: pii_detection, action: block}, jailbreak_detection]
      output: [{type: toxicity_check, threshold: 0.3, action: rewrite}]
    """
    made = prompt(text)
    found = made.guardrails
    assert found.input == (Guard("pii_detection", "block"), Guard("jailbreak_detection"))
    assert found.output == (Guard("toxicity_check", "rewrite", {"threshold": 0.3}),)
    assert made.guarded.input == (*found.input, MASK_PII)


def test_whoever_knows_the_guards_says_what_is_wrong_with_one_where_it_stands() -> None:
    text = """
    system_prompt: hi
    guardrails:
      input: [pii_detection, {type: nobody}]
      output: [nobody]
    """
    heard = []

    def check(side: str, guard: Guard) -> str | None:
        heard.append((side, guard.type))
        return f"there is no guard '{guard.type}'" if guard.type == "nobody" else None

    told = refused(text, guards=check)
    assert "prompts/support.yaml:6: guardrails.input[1]: there is no guard 'nobody'" in told
    assert "prompts/support.yaml:7: guardrails.output[0]: there is no guard 'nobody'" in told
    assert heard == [("input", "pii_detection"), ("input", "nobody"), ("output", "nobody")]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
WIDE = f"metadata:\n  a: &a {'x' * 100_000}\n  b: [{', '.join(['*a'] * 50)}]\nsystem_prompt: x\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (BOMB.encode(), "once its aliases"),
        ((HEAD + WIDE).encode(), "longer than 1,000,000 characters once its aliases"),
        ((HEAD + "metadata: &a {b: *a}\nsystem_prompt: x").encode(), "refers to an anchor (&…) that isn't complete"),
        (b"system_prompt: " + b"x" * 5_000_000, "is larger than 1,000,000 bytes; a prompt file is never that large"),
        (b"id: a\nsystem_prompt: \xe9t\xe9", "prompts/a.yaml:2: is not UTF-8 text"),
        (b'id: a\nversion: 1.0.0\nsystem_prompt: "\\ud800"', "prompts/a.yaml:3: "),
        (b'id: a\nversion: 1.0.0\nsystem_prompt: "\\0"', "holds U+0000"),
        ((HEAD + "metadata: {a: .inf}\nsystem_prompt: x").encode(), "is a number without an end"),
        (b"id: a\n  b: c", "is not valid YAML"),
        (b"- a\n- b", "must be a mapping"),
        (b"!!python/object/apply:os.system [ls]", "YAML tag"),
        (("[" * 500).encode(), "nested more than 100 levels"),
    ],
)
def test_what_no_file_may_be_is_one_clear_sentence(data: bytes, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_bytes(data, "prompts/a.yaml")
    assert told in caught.value.message
    assert len(caught.value.message.splitlines()) <= 2


HUGE = {
    "placeholders": HEAD + "system_prompt: '" + "".join(f"{{v{n}}}" for n in range(20_000)) + "'",
    "variables": HEAD + "system_prompt: x\nvariables: [" + ", ".join(f"v{n}" for n in range(20_000)) + "]",
    "keys": HEAD + "".join(f"k{n}: 1\n" for n in range(20_000)),
    "versions": "id: a\nsystem_prompt: x\nversion: '" + "1." * 200_000 + "'",
    "loops": HEAD + "template: jinja\nsystem_prompt: '" + "{% if a %}" * 3_000 + "'",
    "brackets": HEAD + "template: jinja\nsystem_prompt: '{{ " + "(" * 5_000 + " }}'",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_file_with_too_much_of_anything_is_refused_soon(text: str) -> None:
    begun_s = time.perf_counter()
    with pytest.raises(ConfigError):
        load_bytes(text.encode(), "a.yaml")
    assert time.perf_counter() - begun_s < 60


def test_an_id_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("id: x\nversion: 1.0.0\nsystem_prompt: a\n")
    (tmp_path / "b.yaml").write_text("# other\nid: x\nversion: 2.0.0\nsystem_prompt: b\n")
    with pytest.raises(ConfigError) as caught:
        load_folder(tmp_path)
    assert caught.value.message == (
        f"{tmp_path}/b.yaml:2: id: the id x stands in {tmp_path}/a.yaml:1 already; one place for each prompt"
    )


def test_mistakes_of_all_files_are_told_and_nothing_is_half_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("id: a\nversion: 1.0.0\nsystem_prompt: a\n")
    (tmp_path / "b.yaml").write_text("id: b\nversion: x\n")
    (tmp_path / "c.yaml").write_bytes(b"\xff")
    (tmp_path / ".hidden.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as caught:
        load_folder(tmp_path)
    assert [line.split(":")[0].rpartition("/")[2] for line in caught.value.message.splitlines()] == ["b.yaml", "c.yaml"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        load_folder(tmp_path / "none")


def test_an_unknown_prompt_or_version_is_a_404_with_a_guess() -> None:
    prompts = load_bytes((HEAD + "system_prompt: x").encode(), "a.yaml")
    with pytest.raises(NotFound, match="did you mean 'support'"):
        prompts.get("suport")
    with pytest.raises(NotFound, match=r"has no version 2\.0\.0; it has 1\.0\.0"):
        prompts.get("support", "2.0.0")


def declared(fields: str) -> str:
    """What is told about a variable."""
    return refused(f"system_prompt: '{{a}}'\nvariables: [{{name: a, {fields}}}]")


def test_a_default_must_keep_the_rules() -> None:
    assert "at most 3 characters" in declared("validation: max 3 chars, default: long")
    assert "is never used" in declared("required: true, default: x")


def test_a_rule_that_the_type_cannot_keep_is_a_mistake() -> None:
    assert "only string can keep" in declared("type: list, validation: max 3 chars")
    assert "no regular expression" in declared("validation: {pattern: '('}")
    assert "nothing fits" in declared("validation: {min_length: 5, max_length: 2}")


def test_the_digest_is_that_of_what_is_said_and_not_of_how() -> None:
    first = prompt("system_prompt: Hi {a}\nvariables: [a]")
    same = prompt("# a comment\nvariables:\n  - name: a\nsystem_prompt: 'Hi {a}'")
    assert first.digest == same.digest == prompt("system_prompt: Hi {a}\nvariables: [{name: a}]").digest
    assert first.digest != prompt("system_prompt: Hi, {a}\nvariables: [a]").digest
