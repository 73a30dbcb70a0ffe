"""Answers that are data are held against schemas and paths, whatever they hold."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.evaluation.jsonpath import parse, values
from comporta.evaluation.replied import json_of
from comporta.evaluation.schemas import NoSchema, compiled
from support.judging import outcome, passes

DOC = {"a": {"b": [1, 2, {"c": "x"}], "d e": None}, "c": "y", "on": True}
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "maximum": 5}}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [DOC]), ("$.c", ["y"]), ("c", ["y"]), ("a.b[0]", [1]), ("$.a.b[-1].c", ["x"]), ("$['a']['d e']", [None]),
        ('$["a"].b[1]', [2]), ("$.a.b[*]", [1, 2, {"c": "x"}]), ("$.a.b[0:2]", [1, 2]), ("$.a.b[1:]", [2, {"c": "x"}]),
        ("$..c", ["x", "y"]), ("$.nothing", []), ("$.c.d", []), ("$.a.b[9]", []), ("$.a.*", [[1, 2, {"c": "x"}], None]),
    ],
)  # fmt: skip
def test_a_path_finds_what_it_says(path: str, found: list[Any]) -> None:
    assert sorted(map(json.dumps, values(parse(path), DOC))) == sorted(map(json.dumps, found))


@pytest.mark.parametrize("path", ["$.", "$[", "$[a]", "$.a b", "$[?(@.a)]", "..a", "$" + ".a" * 300, "$ab cd"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"JSON path|longer|needs a dot"):
        parse(path)


@given(st.text(alphabet="$.[]'\"ab01*:-\\ ", max_size=20))
def test_any_text_is_a_path_or_refused(path: str) -> None:
    try:
        values(parse(path), DOC)
    except ValueError:
        return


def test_deep_and_wide_documents_take_no_long() -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    began = time.process_time()
    assert len(values(parse("$..*"), deep)) == 10_000
    assert len(values(parse("$[*][*]"), [[1] * 2_000] * 2_000)) == 10_000
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("value", "options", "passed"),
    [
        ("$.c", {}, True), ("$.z", {}, False), ("$.z", {"exists": False}, True), ("$.c", {"exists": False}, False),
        ("$.c", {"equals": "y"}, True), ("$.a['d e']", {"equals": None}, True), ("$.on", {"equals": 1}, False),
        ("$.a.b[*]", {"equals": 2}, True), ("$.a.b[*]", {"equals": 2, "every": True}, False),
        ("$.a.b[0:2]", {"at_least": 1, "at_most": 2, "every": True}, True), ("$.c", {"at_least": 1}, False),
        ("$.c", {"contains": "y"}, True), ("$.a.b", {"contains": 2}, True), ("$.c", {"regex": "^y$"}, True),
        ("$.c", {"one_of": ["x", "y"]}, True), ("$.a.b", {"min_items": 3, "max_items": 3}, True),
        ("$.a.b", {"min_items": 4}, False),
    ],
)  # fmt: skip
async def test_a_value_at_a_path_is_judged(value: str, options: dict[str, Any], passed: bool) -> None:
    assert await passes("json_path", value, json.dumps(DOC), **options) is passed


@pytest.mark.parametrize(
    ("output", "options", "passed"),
    [
        ('{"n": 3}', {}, True), ('{"n": 9}', {}, False), ("{}", {}, False), ("n is 3", {}, False),
        ('```json\n{"n": 3}\n```', {}, False), ('```json\n{"n": 3}\n```', {"anywhere": True}, True),
        ('Here you are: {"n": 3}. [1] Enjoy!', {"anywhere": True}, True), ("", {"anywhere": True}, False),
    ],
)  # fmt: skip
async def test_an_answer_is_held_against_a_schema(output: str, options: dict[str, Any], passed: bool) -> None:
    assert await passes("json_schema", SCHEMA, output, **options) is passed


async def test_a_fenced_answer_says_what_would_take_it() -> None:
    assert "`anywhere: true`" in (await outcome("is_json", True, '```json\n{"n": 3}\n```')).reason
    assert await passes("is_json", True, "[1]")


async def test_what_does_not_fit_is_told_with_its_path() -> None:
    assert (await outcome("json_schema", SCHEMA, '{"n": "x"}')).reason.startswith("$.n: ")


@pytest.mark.parametrize("output", ["[" * 100_000, '{"a":' * 100_000, "{" * 5_000, "\ud800", "{[" * 3_000])
def test_odd_answers_are_no_json_and_take_no_long(output: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="no JSON"):
        json_of(output, anywhere=True)
    assert time.process_time() - began < 20


def test_a_schema_that_refers_to_itself_or_backtracks_ends() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    assert compiled({"$ref": "#"})({}) == []
    assert len(compiled({"type": "array", "items": {"$ref": "#"}})(nested)) == 1
    began = time.process_time()
    assert compiled({"pattern": "^(a+)+$"})("a" * 50_000 + "!")
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "schema", [{"type": 3}, {"$ref": "file:///etc/passwd"}, {"$ref": "#/nowhere"}, {"pattern": "("}]
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(NoSchema, match="is no JSON schema"):
        compiled(schema)
