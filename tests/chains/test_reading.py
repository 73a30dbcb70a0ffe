"""Chain files: what they may say, and every mistake with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from comporta.chains.expression import Expression
from comporta.chains.folder import Survey, survey
from comporta.chains.values import Chain, Parallel, Retry, Router, Step
from comporta.errors import ConfigError
from comporta.prompts.prompt import Prompt
from comporta.types import PromptRef

Write = Callable[..., Survey]


@pytest.fixture
def surveyed(tmp_path: Path) -> Write:
    """Files as they are given by name, read."""

    def write(**files: str) -> Survey:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(dedent(text))
        return survey(tmp_path)

    return write


def only(found: Survey) -> Chain:
    assert not found.mistakes, [str(one) for one in found.mistakes]
    (read,) = found.reads
    return read.chain


def told(found: Survey, folder: Path) -> list[str]:
    return [str(one).removeprefix(f"{folder}/") for one in sorted(found.mistakes, key=lambda one: one.place)]


WHOLE = """
id: document-analysis
description: Tells what a document is, and answers.
model: openai/gpt-4o-mini
timeout: 90s
output: reply
variables:
  customer: {required: false, default: somebody}
steps:
  - name: classify
    prompt: "What is this? {input}"
    schema: {type: object, properties: {kind: {type: string}}, required: [kind]}
    send_schema: true
    output_key: kind
    retry: {attempts: 3, wait: 250ms}
    timeout: 10s
    temperature: 0
    params: {top_p: 0.5}
  - parallel:
      - {name: summary, prompt: "Summarise {input}"}
      - {name: people, prompt: {system: "Name people.", user: "{input}"}, history: true}
    when: kind.kind == 'letter'
  - name: triage
    router:
      decision_prompt: "Where to? {summary}"
      default: other
      routes:
        billing:
          about: money and invoices
          steps:
            - {name: bill, prompt: support@2.3.1, variables: {topic: kind.kind}}
        technical: chain:tech
        other:
          - {name: note, prompt: {id: notes, label: staging}, attach: true}
  - name: reply
    prompt: "Answer {customer}: {summary} {people}"
    condition: "triage != 'other'"
    retry: 2
"""


def test_every_key_of_a_file_is_read(surveyed: Write) -> None:
    chain = only(surveyed(a=WHOLE))
    assert (chain.name, chain.model, chain.timeout_s, chain.output) == (
        "document-analysis", "openai/gpt-4o-mini", 90, "reply",
    )  # fmt: skip
    classify, both, triage, reply = chain.steps
    assert isinstance(classify, Step)
    assert (classify.output_key, classify.output, classify.send_schema) == ("kind", "json", True)
    assert (classify.retry, classify.timeout_s) == (Retry(3, 0.25), 10)
    assert classify.params == {"top_p": 0.5, "temperature": 0}
    assert isinstance(both, Parallel)
    assert [step.name for step in both.steps] == ["summary", "people"]
    assert isinstance(both.condition, Expression)
    people = both.steps[1]
    assert isinstance(people, Step) and isinstance(people.prompt, Prompt)
    assert people.prompt.system_prompt == "Name people." and people.history
    assert isinstance(triage, Router) and list(triage.routes) == ["billing", "technical", "other"]
    assert triage.about == {"billing": "money and invoices"}
    (bill,), (tech,), (note,) = triage.routes.values()
    assert bill.prompt == PromptRef("support", "2.3.1") and bill.variables["topic"].names == {"kind"}
    assert tech.model == "chain:tech"
    assert note.prompt == PromptRef("notes", label="staging") and note.attach
    assert isinstance(reply, Step) and reply.attempts == 2


def test_the_id_is_the_files_name_where_it_says_none(surveyed: Write) -> None:
    assert only(surveyed(triage="steps: [{prompt: 'Say {input}'}]")).name == "triage"


def test_a_step_without_a_name_is_called_by_its_key_or_its_number(surveyed: Write) -> None:
    chain = only(surveyed(a="steps: [{prompt: 'Say {input}', output_key: said}, {prompt: 'And {said}'}]"))
    assert [step.name for step in chain.steps] == ["said", "step 2"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("support", PromptRef("support")),
        ("support@2.3.1", PromptRef("support", "2.3.1")),
        ("support-v1.2", PromptRef("support", "1.2.0")),
        ("support@staging", PromptRef("support", label="staging")),
    ],
)
def test_one_word_is_the_name_of_a_prompt(surveyed: Write, written: str, meant: PromptRef) -> None:
    step = only(surveyed(a=f"steps: [{{name: a, prompt: {written}}}]")).steps[0]
    assert isinstance(step, Step) and step.prompt == meant


def test_a_placeholder_that_nothing_gives_is_a_required_variable_and_a_warning(surveyed: Write) -> None:
    found = surveyed(a="steps:\n  - name: a\n    prompt: 'Say {input} in {langage}'\nvariables: {language: string}")
    assert [(one.name, one.required) for one in only(found).variables] == [("language", True), ("langage", True)]
    (warning,) = found.warnings
    assert "a.yaml:3" in str(warning) and "did you mean 'language'?" in str(warning)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", "a.yaml:1: must be a mapping"),
        ("id: a", "a.yaml:1: needs steps"),
        ("steps: []", "a.yaml:1: steps: has no steps"),
        ("id: a b\nsteps: [{prompt: 'x {input}'}]", "a.yaml:1: id: must be letters"),
        ("stepz: []\nsteps: [{prompt: 'x {input}'}]", "a.yaml:1: stepz: unknown key; did you mean 'steps'?"),
        ("steps:\n  - prompt: 'a b'\n    promt: c", "a.yaml:3: steps[0].promt: unknown key; did you mean 'prompt'?"),
        ("steps:\n  - name: a", "a.yaml:2: steps[0].prompt: step 'a' needs a prompt"),
        ("steps:\n  - just words", "a.yaml:2: steps[0]: must be a step"),
        ("steps:\n  - prompt: 'a b'\n    condition: a ==", "a.yaml:3: steps[0].condition: 'step 1': condition is no"),
        ("steps:\n  - prompt: 'a b'\n    when: lost > 1", "a.yaml:3: steps[0].when: asks for lost, which no"),
        ("steps:\n  - prompt: 'a b'\n    timeout: soon", "a.yaml:3: steps[0].timeout: "),
        ("steps:\n  - prompt: 'a b'\n    retry: 0", "a.yaml:3: steps[0].retry: must be a whole number"),
        ("steps:\n  - prompt: 'a b'\n    retry: 99", "a.yaml:3: steps[0].retry: 'step 1': a step is asked 1 to 10"),
        ("steps:\n  - prompt: 'a b'\n    output: yaml", "a.yaml:3: steps[0].output: must be one of text, json"),
        ("steps:\n  - prompt: 'a b'\n    output_key: 1x", "a.yaml:3: steps[0].output_key: "),
        ("steps:\n  - prompt: 'a b'\n    schema: {type: objekt}", "a.yaml:3: steps[0].schema.type: must be one of"),
        ("steps:\n  - prompt: 'a b'\n    schema: {type: string, minLength: x}", "a.yaml:3: steps[0].schema: is no"),
        ("steps:\n  - prompt: 'a {{b}}'", "a.yaml:2: steps[0].prompt: "),
        ("steps:\n  - prompt: {id: a, version: 1.0.0, label: b}", "a.yaml:2: steps[0].prompt.label: stands beside"),
        ("steps:\n  - prompt: 'a b'\n    chain: b\n    model: c", "a.yaml:3: steps[0].chain: is asked in place"),
        ("steps:\n  - parallel: [{parallel: [{prompt: 'a b'}]}]", "a.yaml:2: steps[0].parallel: parallel 'parallel'"),
        ("steps:\n  - router: {decide: input, routes: {}}", "a.yaml:2: steps[0].router.routes: router 'step 1' has no"),
        ("steps:\n  - router: {routes: {a: chain:b}}", "a.yaml:2: steps[0].router.decision_prompt: "),
        (
            "steps:\n  - router:\n      decide: input\n      default: c\n      routes: {a: chain:b}",
            "a.yaml:4: steps[0].router.default: router 'step 1' has no route 'c'",
        ),
        ("output: nothing\nsteps: [{prompt: 'a b'}]", "a.yaml:1: output: names nothing, which no step"),
        ("variables: [input]\nsteps: [{prompt: 'a b'}]", "a.yaml:1: variables: declares input, which is what the"),
    ],
)
def test_a_mistake_is_told_with_its_line(surveyed: Write, tmp_path: Path, text: str, line: str) -> None:
    found = told(surveyed(a=text), tmp_path)
    assert any(one.startswith(line) for one in found), found


def test_names_and_keys_are_used_once_and_only_after_they_are_there(surveyed: Write, tmp_path: Path) -> None:
    text = """\
    steps:
      - {name: a, prompt: "Say {b}"}
      - {name: b, prompt: "x {input}"}
      - {name: b, prompt: "x {input}", output_key: c}
      - {name: d, prompt: "x {input}", output_key: c}
      - parallel:
          - {name: e, prompt: "x {input}"}
          - {name: f, prompt: "x {e}"}
          - {name: g, prompt: "x {input}", output_key: e}
    """
    found = told(surveyed(a=text), tmp_path)
    assert [one.partition(": ")[0] for one in found] == ["a.yaml:2", "a.yaml:4", "a.yaml:5", "a.yaml:8", "a.yaml:9"]
    assert "{b} is the output of a later step" in found[0]
    assert "has the name of an earlier step, b" in found[1]
    assert "has the output_key c" in found[2]
    assert "or of one at the same time" in found[3]
    assert "which another of the parallel steps has" in found[4]


def test_routes_may_use_the_same_names_since_one_alone_is_taken(surveyed: Write) -> None:
    text = """\
    steps:
      - router:
          decide: input
          routes:
            a: [{name: reply, prompt: "A {input}"}]
            b: {steps: [{name: reply, prompt: "B {input}"}]}
      - {name: end, prompt: "Then {reply}"}
    """
    assert len(only(surveyed(a=text)).steps) == 2


def test_a_mistake_within_a_route_has_its_own_line(surveyed: Write, tmp_path: Path) -> None:
    text = "steps:\n  - router:\n      decide: input\n      routes:\n        a:\n          steps:\n            - prompt: 'x {later}'\n  - {name: later, prompt: 'a b'}\n"  # noqa: E501
    (found,) = told(surveyed(a=text), tmp_path)
    assert found.startswith("a.yaml:7: steps[0].router.routes.a.steps[0].prompt")


def test_every_mistake_of_every_file_is_told_at_once(surveyed: Write, tmp_path: Path) -> None:
    found = surveyed(a="id: a\nstep: 1\n", b="id: b\nsteps: [{}]\n", c="id: same\nsteps: [{prompt: 'a b'}]",
                     d="id: same\nsteps: [{prompt: 'a b'}]")  # fmt: skip
    lines = told(found, tmp_path)
    assert {line[0] for line in lines} == {"a", "b", "d"}
    assert "the id same stands in" in lines[-1]
    with pytest.raises(ConfigError) as error:
        found.demand()
    assert len(error.value.message.splitlines()) == len(lines)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"steps: [\xff]", "is not UTF-8 text"),
        (b"steps: [", "is not valid YAML"),
        (b"a: &a [*a]\nsteps: *a", "a.yaml"),
        (b"x: &x [a, a]\ny: &y [*x, *x]\nsteps: " + b"[" + b"*y, " * 10 + b"*y]", "must be a step"),
        (b"#" * 1_000_001, "is larger than"),
        (b"steps: [{prompt: 'a \\0'}]", "a.yaml"),
    ],
)
def test_a_file_that_is_none_is_told_in_a_sentence(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    found = survey(tmp_path)
    assert found.mistakes or found.reads
    if found.mistakes:
        assert any(why in str(one) for one in found.mistakes), [str(one) for one in found.mistakes]


def test_too_many_steps_and_routers_too_deep_are_refused(surveyed: Write, tmp_path: Path) -> None:
    many = "steps:\n" + "\n".join(f"  - {{name: s{at}, prompt: 'a b'}}" for at in range(101))
    deep = "{prompt: 'a b'}"
    for at in range(6):
        deep = f"{{name: r{at}, router: {{decide: input, routes: {{a: [{deep}]}}}}}}"
    found = told(surveyed(many=many, deep=f"steps: [{deep}]"), tmp_path)
    assert any("has 101 steps" in one for one in found)
    assert any("more than 4 deep" in one for one in found)
