"""Files of tests: what they say, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from msgspec import structs

from comporta.errors import BadRequest, ConfigError
from comporta.evaluation.composing import Version, question
from comporta.evaluation.reading_suite import find_suites, load_suite, load_suite_bytes
from comporta.evaluation.suite import Metric
from comporta.prompts.folder import load_folder
from comporta.prompts.starter import write_starter_tests, write_starters
from support.answering import suite, version

WHOLE = """
    description: What support must do.
    model: support-route
    judge: {model: openai/gpt-4o-mini, repeats: 3, temperature: 0}
    action: {one_of: [refund, escalate], model: small}
    gate:
      pass_rate: 90%
      margin: 2%
      confidence: 90%
      metrics:
        polite: 0.1
        cost: 10%
        words: {margin: 5, lower_is_better: true}
    defaults:
      repeats: 2
      tags: [all]
      language: pt_br
      variables: {company: Acme}
      assert:
        - contains: sorry
    cases:
      - id: refund
        input: I want my money back.
        variables: {order: 7}
        history: [{role: user, content: Hi}, {role: assistant, content: Hello}]
        expected_behavior: refund
        reference: You get it back.
        required: true
        repeats: 5
        tags: [money]
        assert:
          - {better_than: baseline, name: preferred}
      - input: Thanks!
        language: en
"""


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        suite(text)
    return caught.value.message


def test_a_suite_says_all_of_this() -> None:
    found = suite(WHOLE)
    first, second = found.cases
    assert (found.prompt, found.model) == ("support", "support-route")
    assert found.judge is not None and (found.judge.model, found.judge.repeats) == ("openai/gpt-4o-mini", 3)
    assert found.acting.one_of == ("refund", "escalate") and found.acting.model == "small"
    assert (found.rules.pass_rate, found.rules.margin, found.rules.alpha) == (0.9, 0.02, 0.1)
    assert found.rules.metrics == (
        Metric("polite", 0.1), Metric("cost", 0.1, True, True), Metric("words", 5, False, True),
    )  # fmt: skip
    assert (first.case.id, first.repeats, first.required, first.expected_behavior) == ("refund", 5, True, "refund")
    assert first.case.variables == {"company": "Acme", "order": 7} and first.case.tags == ("all", "money")
    assert [one.text for one in first.case.messages] == ["Hi", "Hello"] and first.case.reference == "You get it back."
    assert [one.name for one in first.case.assertions] == ["contains: sorry", "preferred"]
    assert first.against_baseline == ("preferred",)
    assert (second.case.id, second.repeats, second.case.language, second.required) == ("case-2", 2, "en", False)
    assert first.case.language == "pt-BR" and found.tries == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: []", "cases: needs at least one case"),
        ("casses: [{input: x}]", "casses: unknown key; did you mean 'cases'?"),
        ("cases: [{imput: x}]", "cases[0].imput: unknown key; did you mean 'input'?"),
        ("cases: [{tags: [a]}]", "cases[0]: says nothing to the prompt"),
        ("cases: [{id: a, input: x}, {id: a, input: y}]", "cases[1].id: is the id of cases[0] already"),
        ("cases: [{input: x, assert: [{contans: y}]}]", "did you mean 'contains'?"),
        ("cases: [{input: x, repeats: 0}]", "cases[0].repeats: must be a whole number from 1 to 100"),
        ("cases: [{input: x, language: klingonisch!}]", "cases[0].language:"),
        ("cases: [{input: x}]\ngate: {margin: 200%}", "gate.margin"),
        ("cases: [{input: x}]\ngate: {metrics: {polite: much}}", "gate.metrics.polite: must be a number"),
        ("cases: [{input: x}]\naction: {one_of: [refund]}", "action.one_of: needs 2 to 50 actions"),
        ("cases: [{input: x}]\naction: {json: '$['}", "action.json: can't be read as a JSON path"),
        ("cases: [{input: x}]\njudge: {repeats: 3}", "judge: needs a model"),
        ("cases: [3]", "cases[0]: must be a mapping"),
        ("- input: x", "must be a mapping"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, said: str) -> None:
    assert said in refused(text) and refused(text).startswith("prompts/tests/support.yaml:")


def test_all_mistakes_are_told_at_once_in_the_order_of_lines() -> None:
    told = refused("cases:\n  - {input: x, repeats: no}\n  - {inpt: y}\nmodle: z\n").splitlines()
    assert [line.split(":")[1] for line in told if "support.yaml" in line] == ["2", "3", "3", "4"]


def test_bytes_that_are_no_text_and_bombs_are_one_clear_sentence() -> None:
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_suite_bytes(b"cases: [{input: \xff}]", "a.yaml")
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
    )
    with pytest.raises(ConfigError):
        load_suite_bytes(bomb.encode(), "a.yaml")


def test_another_question_is_another_digest_and_another_gate_is_the_same() -> None:
    one, gated = suite("cases: [{input: x}]"), suite("cases: [{input: x}]\ngate: {margin: 1%}")
    assert one.cases[0].digest == gated.cases[0].digest
    for other in ("cases: [{input: y}]", "cases: [{input: x}]\ndefaults: {assert: [{contains: a}]}",
                  "cases: [{input: x}]\njudge: m"):  # fmt: skip
        assert suite(other).cases[0].digest != one.cases[0].digest


# ---- where files of tests are found ---------------------------------------------------------------------------------


def test_tests_are_found_in_the_prompts_folder_and_beside_it(tmp_path: Path) -> None:
    for place in ("prompts/tests", "tests/prompts"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / f"{place[0]}.yaml").write_text("cases: [{input: x}]")
    (tmp_path / "tests" / "beside.yaml").write_text("cases: [{input: x}]")
    assert {one.name for one in find_suites(tmp_path / "prompts")} == {"p.yaml", "t.yaml", "beside.yaml"}
    (tmp_path / "tests" / "test_it.py").write_text("")
    assert {one.name for one in find_suites(tmp_path / "prompts")} == {"p.yaml", "t.yaml"}


def test_the_tests_of_the_prompts_to_start_from_hold_and_fit_them(tmp_path: Path) -> None:
    write_starters(tmp_path)
    write_starter_tests(tmp_path / "tests")
    prompts = load_folder(tmp_path)
    found = [load_suite(one) for one in find_suites(tmp_path)]
    assert {one.prompt for one in found} == set(prompts.ids) and len(found) == 15
    for one in found:
        for trying in one.cases:
            body = Version(prompts.get(one.prompt)).body(one, trying)
            assert trying.case.input[:20] in body["messages"][-1]["content"], one.path
            assert trying.case.assertions


# ---- a case as a call -----------------------------------------------------------------------------------------------

ONE = "cases: [{input: Where is it?}]"


def test_the_input_fills_the_one_variable_that_is_open() -> None:
    body = version().body(suite(ONE), suite(ONE).cases[0])
    assert body["model"] == "m"
    assert body["messages"] == [{"role": "system", "content": "Help."}, {"role": "user", "content": "Where is it?"}]


def test_with_two_variables_open_the_file_must_say_which() -> None:
    two = version("variables: [message, name]\n")
    with pytest.raises(BadRequest, match=r"has message, name open.*input_variable"):
        two.body(suite(ONE), suite(ONE).cases[0])
    said = suite(ONE + "\ninput_variable: message\ndefaults: {variables: {name: Ana}}")
    assert two.body(said, said.cases[0])["messages"][-1]["content"] == "Where is it?"


def test_without_an_open_place_the_input_follows_the_history() -> None:
    said = suite("cases: [{input: And now?, history: [{role: user, content: Hi}, {role: assistant, content: Yes?}]}]")
    prompt = version().prompt
    assert prompt is not None
    bare = Version(structs.replace(prompt, user_prompt_template="", variables=()))
    contents = [one["content"] for one in bare.body(said, said.cases[0])["messages"]]
    assert contents == ["Help.", "Hi", "Yes?", "And now?"]


def test_a_variable_that_the_prompt_has_not_is_a_mistake() -> None:
    said = suite("cases: [{input: x, variables: {colour: red}}]")
    with pytest.raises(BadRequest, match="has no variable colour; it has message"):
        version().body(said, said.cases[0])


def test_parameters_tools_and_form_of_the_prompt_go_along() -> None:
    more = dedent("""
        variables: [message]
        temperature: 0.2
        max_tokens: 50
        response_format: json
        tools: [{name: refund, parameters: {type: object}}]
    """)
    body = version(more).body(suite(ONE), suite(ONE).cases[0])
    assert (body["temperature"], body["max_tokens"], body["response_format"]) == (0.2, 50, {"type": "json_object"})
    assert body["tools"][0]["function"]["name"] == "refund"


def test_who_says_the_model_wins_in_this_order() -> None:
    said, bare = suite(ONE + "\nmodel: of-suite"), suite(ONE)
    own = version("variables: [message]\nmodel: of-prompt\n", model=None)
    assert [version(model="typed").asked(said), own.asked(said), own.asked(bare), version(model=None).asked(bare)] == [
        "typed", "of-suite", "of-prompt", "default",
    ]  # fmt: skip


def test_a_route_is_asked_the_bare_question() -> None:
    body = Version(None, model="support").body(suite(ONE), suite(ONE).cases[0])
    assert body == {"model": "support", "messages": [{"role": "user", "content": "Where is it?"}]}
    only = suite("cases: [{variables: {a: 1}}]")
    with pytest.raises(BadRequest, match="variables alone"):
        Version(None, model="support").body(only, only.cases[0])
    assert question(only.cases[0]) == "a: 1"
