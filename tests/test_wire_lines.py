"""Each of WIRE's thirty lines is held by tests that name it: whoever asks what holds line 17 finds it by its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
LINES = range(1, 31)
#: `WIRE 11`, `WIRE 26, 28`, `WIRE 10 and 11` in a docstring; `wire_10_and_11` in a name.
SAID = re.compile(r"WIRE ((?:\d+(?:, | and )?)+)")
NAMED = re.compile(r"wire_(\d+(?:_and_\d+)*)(?!\d)")


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions of a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def lines_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """The lines of WIRE that a test says it holds."""
    said = [*SAID.findall(ast.get_docstring(test) or ""), *NAMED.findall(test.name)]
    return {int(number) for text in said for number in re.findall(r"\d+", text)}


def held() -> dict[int, set[str]]:
    """By line: the tests that name it."""
    found: dict[int, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for test in functions(path.read_text("utf-8")):
            for line in lines_of(test):
                found.setdefault(line, set()).add(f"{path.relative_to(TESTS)}::{test.name}")
    return found


def test_every_line_is_named_by_a_test_and_no_test_names_a_line_that_there_is_not() -> None:
    named = held()
    assert set(LINES) - set(named) == set(), "lines that no test names"
    assert {line: tests for line, tests in named.items() if line not in LINES} == {}


def test_every_line_is_held_over_real_sockets_by_a_running_gate_or_against_a_real_counterpart() -> None:
    """A line about bytes, statuses and money is not held by functions that were never connected."""
    end_to_end = {line for line, tests in held().items() if any(test.startswith("endtoend/") for test in tests)}
    assert set(LINES) - end_to_end == set()


def test_numbers_are_read_from_names_and_docstrings_however_they_are_joined() -> None:
    source = """
def test_a_wire_10_and_11(): "WIRE 26, 28: and 3 more."
async def test_b_wire_5(): "WIRE 2, WIRE 6"
def test_c(): "Nothing of the kind: 7."
def other_wire_9(): ...
"""
    assert [lines_of(test) for test in functions(source)] == [{10, 11, 26, 28}, {5, 2, 6}, set()]
