"""The `.env` file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.config.variables import parse_env


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=x", "x"),
        ("  export A = x  ", "x"),
        ("A=", ""),
        ("A=x y # a comment", "x y"),
        ("A=x#y", "x#y"),
        ("A=#x", "#x"),
        ("A= # x", ""),
        ("A='x # $Y \\n'", "x # $Y \\n"),
        ('A="x # \\"y\\" \\n\\$" # comment', 'x # "y" \n$'),
        ('A="two\nlines"', "two\nlines"),
        ("A=x=y==", "x=y=="),
        ("A=x\r\nB=y\r\n", "x"),
        ("A=it's", "it's"),
        ("A=1\nA=2", "2"),
    ],
)
def test_a_variable_is_read(text: str, value: str) -> None:
    found, mistakes = parse_env(text, ".env")
    assert (found["A"], mistakes) == (value, [])


@pytest.mark.parametrize("line", ["nonsense", "=x", "1A=x", 'A="open', "A='x'y", "A B=x"])
def test_a_line_that_is_none_is_told_with_its_number_only(line: str) -> None:
    found, mistakes = parse_env(f"# first\n\n{line}\nB=2\n", ".env")
    assert [str(one) for one in mistakes] == [".env:3: is not NAME=value, a comment or an empty line"]
    assert found == {"B": "2"}


@given(st.text())
def test_any_text_is_read_to_its_end(text: str) -> None:
    found, mistakes = parse_env(text + "\nLAST=1", ".env")
    assert found.get("LAST") == "1" or mistakes or '"' in text or "'" in text
