"""Expressions of chains: what they may say, what they may not, and that none of them takes long."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.chains.expression import LONGEST, Expression, Unanswerable, Unreadable

CONTEXT: dict[str, Any] = {
    "input": "Olá, mundo",
    "kind": {"name": "invoice", "pages": 3, "tags": ["paid", "late"], "total": None},
    "skipped": None,
    "count": 7,
    "done": True,
    "names": ["ana", "rui"],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("kind.name == 'invoice'", True),
        ('kind["name"] != "letter"', True),
        ("kind.pages > 2 and kind.pages <= 3", True),
        ("2 < kind.pages < 3", False),
        ("'late' in kind.tags", True),
        ("'lost' not in kind.tags", True),
        ("'mundo' in input", True),
        ("'name' in kind", True),
        ("not done or count == 7", True),
        ("len(input) + len(names) - 2", 10),
        ("len(skipped)", 0),
        ("lower(kind.name) == 'invoice'", True),
        ("upper('a') + 'b'", "Ab"),
        ("starts_with(input, 'Olá') and ends_with(input, 'mundo')", True),
        ("strip('  a ')", "a"),
        ("number('12.5') > 12", True),
        ("number('none of the sort') == null", True),
        ("text(count) == '7'", True),
        ("names[0]", "ana"),
        ("names[-1]", "rui"),
        ("names[9] == None", True),
        ("kind.missing == null", True),
        ("kind.missing.deeper == null", True),
        ("skipped.anything == null", True),
        ("skipped > 3", False),
        ("skipped < 3", False),
        ("'a' in skipped", False),
        ("kind.name if done else 'no'", "invoice"),
        ("-count", -7),
        ("kind.name in ['invoice', 'letter']", True),
        ("true and not false", True),
        ("done is not None", True),
        ("[1] + [2] == [1, 2]", True),
    ],
)
def test_an_expression_says_what_it_says_in_python(text: str, value: Any) -> None:
    assert Expression(text)(CONTEXT) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("kind.name ==", "is no expression"),
        ("x" * (LONGEST + 1), "is longer than"),
        ("+".join("a" * 150), "parts"),
        ("(" * 400 + ")" * 400, "is no expression"),
        ("__import__('os')", "is no function here"),
        ("lowr(input)", "did you mean 'lower'"),
        ("input.lower()", "lower(name) and not name.lower()"),
        ("[x for x in names]", "not allowed here (ListComp)"),
        ("lambda: 1", "not allowed here (Lambda)"),
        ("{'a': 1}", "not allowed here (Dict)"),
        ("f'{input}'", "not allowed here (JoinedStr)"),
        ("(a := 1)", "not allowed here (NamedExpr)"),
        ("'a' * 1000000000", "more than + and -"),
        ("9 ** 9 ** 9", "more than + and -"),
        ("names[0:2]", "takes a slice"),
        ("~count", "a sign that is not allowed"),
        ("b'bytes'", "no data has"),
        ("1j", "no data has"),
        ("len(names, input)", "other than 1 value"),
        ("len(x=names)", "other than 1 value"),
        ("await input", "not allowed here (Await)"),
        ("a; b", "is no expression"),
        ("import os", "is no expression"),
        ("a\x00b", "is no expression"),
    ],
)
def test_what_is_not_allowed_is_refused_when_it_is_read(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as told:
        Expression(text)
    assert why in str(told.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nowhere", "asks for nowhere, which is not there"),
        ("kidn.name", "did you mean 'kind'"),
        ("input.length", "only objects have fields"),
        ("names.first", "entries of a list have numbers"),
        ("input > 3", "compares a text with a number"),
        ("kind < kind", "compares an object with an object"),
        ("input - 1", "has a text beside -"),
        ("done + 1", "has true or false beside +"),
        ("1 in count", "looks for something in a number"),
        ("len(count)", "asks how long a number is"),
        ("lower(names)", "takes a list for a text"),
    ],
)
def test_a_question_without_an_answer_says_why_and_not_what_the_values_were(text: str, why: str) -> None:
    with pytest.raises(Unanswerable) as told:
        Expression(text)(CONTEXT)
    assert why in str(told.value)
    assert "mundo" not in str(told.value)


def test_the_names_of_an_expression_are_those_it_looks_up() -> None:
    assert Expression("len(a.b) > c['d'] and true").names == {"a", "c"}


def test_objects_have_fields_of_data_only() -> None:
    class Odd:
        secret = 1

    with pytest.raises(Unanswerable, match="something that is no data"):
        Expression("odd.secret")({"odd": Odd()})
    assert Expression("kind.__class__ == null")(CONTEXT) is True


def test_values_that_are_nested_without_an_end_are_told_and_not_fallen_over() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        deep, other = [deep], [other]
    with pytest.raises(Unanswerable, match="nested too deep"):
        Expression("a == b")({"a": deep, "b": other})


def test_the_longest_expression_over_large_values_is_quick() -> None:
    large = "x" * 1_000_000
    text = " or ".join(["lower(a) == 'y'"] * 20)
    expression = Expression(text)
    begun_s = time.process_time()
    assert expression({"a": large}) is False
    assert time.process_time() - begun_s < 20


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_is_refused_in_words(text: str) -> None:
    try:
        expression = Expression(text)
    except Unreadable as why:
        assert str(why)
        return
    try:
        expression({"input": "a"})
    except Unanswerable as why:
        assert str(why)
