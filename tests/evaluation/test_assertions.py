"""Assertions are read from files, each mistake with its line, and never raise for what an answer is."""

from __future__ import annotations

import pytest

from comporta.errors import ConfigError, UpstreamFault
from comporta.evaluation.assertions import node_of, read_assertion
from comporta.evaluation.base import Tools, Unjudged, Verdict, added
from comporta.evaluation.kinds import KINDS
from support.judging import answer, mistakes, outcome, read, refused


def test_a_list_of_assertions_is_read_with_names_and_places() -> None:
    found = read(
        """
        assert:
          - contains: refund
          - regex: "[0-9]+ days"
            name: says how long
            optional: true
          - json_path: $.a.b
            equals: 3
        """
    )
    assert [(one.kind, one.name, one.optional) for one in found] == [
        ("contains", "contains: refund", False),
        ("regex", "says how long", True),
        ("json_path", "json_path: $.a.b", False),
    ]
    assert [one.place.line for one in found if one.place] == [3, 4, 7]


async def test_an_outcome_says_where_its_assertion_stands() -> None:
    [found] = read("assert: [{contains: refund}]")
    said = await found(answer("A refund."), Tools())
    assert (said.passed, said.kind, said.place) == (True, "contains", "tests/support.yaml:1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("assert: [{contians: x}]", "assert[0].contians: names no kind of assertion; did you mean 'contains'?"),
        ("assert: [{contains: x, regex: y}]", "says contains and regex at once"),
        ("assert: [{contains: x, ignore_csae: true}]", "did you mean 'ignore_case'?"),
        ("assert: [text]", "must be a mapping"),
        ("assert: {contains: x}", "must be a list"),
        ("assert: [{name: only}]", "names no kind of assertion"),
        ("assert: [{contains: }]", "needs a text"),
        ("assert: [{contains: [a, '']}]", "none may be empty"),
        ("assert: [{regex: '('}]", "is no regular expression"),
        ("assert: [{min_chars: 9, max_chars: 3}]", "nothing could pass"),
        ("assert: [{max_words: 1.5}]", "whole number"),
        ("assert: [{json_schema: {type: text}}]", "assert[0].json_schema.type: is no JSON schema"),
        ("assert: [{json_schema: {pattern: '(?=a)b'}}]", "without look-around"),
        ("assert: [{json_schema: {$ref: 'http://a.example/b'}}]", "schemas are not fetched"),
        ("assert: [{json_path: '$[?(@.a)]'}]", "can't be read as a JSON path"),
        ("assert: [{json_path: $.a, exists: false, equals: 1}]", "nothing that could pass"),
        ("assert: [{language: klingonese tongue}]", "BCP-47"),
        ("assert: [{tone: empathic}]", "did you mean 'empathetic'?"),
        ("assert: [{tone: friendly, by: dice}]", "must be one of"),
        ("assert: [{empathy_at_least: 3}]", "more than the whole"),
        ("assert: [{judge: {rubrik: x}}]", "did you mean 'rubric'?"),
        ("assert: [{judge: polite, repeats: 26}]", "must be"),
        ("assert: [{judge: []}]", "criteria"),
        ("assert: [{cost_at_most: dear}]", "an amount of dollars"),
        ("assert: [{latency_at_most: soon}]", "a duration"),
        ("assert: [{tool_called: {arguments: {}}}]", "needs the tool's name"),
        ("assert: [{python: 'not a name!'}]", "module:function"),
        ("assert: [{guard_triggered: false}]", "needs a guard's name"),
        ("assert: [{equals_reference: false}]", "must be true"),
        ("assert: [{is_json: maybe}]", "must be true"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, told: str) -> None:
    found = mistakes("name: x\n" + text)
    assert any(told in one for one in found), found
    assert all(one.startswith("tests/support.yaml:2: ") for one in found)


def test_every_mistake_of_a_list_is_told_at_once() -> None:
    assert len(mistakes("assert: [{regex: '('}, {contains: ''}, {nothing: 1}]")) == 3


def test_more_assertions_than_anybody_writes_are_refused() -> None:
    assert "more than 200" in mistakes(f"assert: [{', '.join(['{contains: x}'] * 201)}]")[0]


def test_one_node_alone_is_read_or_refused() -> None:
    assert read_assertion(node_of({"contains": "x"})).kind == "contains"
    with pytest.raises(ConfigError, match="names no kind"):
        read_assertion(node_of({"containss_not": "x"}))
    assert "needs a text" in refused("contains", "")


def test_every_kind_has_a_word_of_its_own_and_says_what_it_is() -> None:
    assert len({kind.word for kind in KINDS}) == len(KINDS)
    assert all(kind.says for kind in KINDS)


def test_what_is_not_known_of_a_cost_stays_unknown() -> None:
    assert added([1, 2]) == 3
    assert added([1, None]) is None


async def test_what_a_scorer_cannot_judge_is_an_error_and_no_failure() -> None:
    [found] = read("assert: [{contains: x}]")

    async def unsure(given: object, tools: object) -> Verdict:
        raise Unjudged("nobody knows", asked=2, cost_microusd=None)

    async def broken(given: object, tools: object) -> Verdict:
        raise UpstreamFault("The provider failed.")

    for scorer, told in ((unsure, "nobody knows"), (broken, "The provider failed.")):
        said = await type(found)("x", "x", scorer)(answer(), Tools())
        assert (said.passed, said.error) == (None, told)


async def test_an_optional_assertion_says_that_it_is() -> None:
    assert (await outcome("contains", "x", "y", optional=True)).optional
