"""`comporta metrics`: what is asked of the gate, and what people see of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from comporta.cli import metrics
from comporta.cli.main import program


class Gate:
    """Answers as the admin API does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, method: str, path: str, *, query: dict[str, Any]) -> Any:
        self.asked.append((path, query))
        if path.endswith("/top"):
            one = {"name": "ana", "value": 0.5, "calls": 3, "cost_usd": 0.5, "error_rate": 0.25}
            return {"data": [one]}
        if path.endswith("/targets"):
            return {"data": []}
        names = query["names"].split(",")
        line = {"group": "support", "points": {n: [1.0] for n in names}, "total": dict.fromkeys(names, 1.0), "calls": 1}
        return {"lines": [line]}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()

    def find(data: Path) -> Gate:
        return made

    monkeypatch.setattr(metrics, "find", find)
    return made


def said(*words: str) -> str:
    result = CliRunner().invoke(program("metrics"), ["metrics", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_a_line_for_each_group_holds_the_usual_figures_and_those_that_are_named(gate: Gate) -> None:
    assert "support" in said("--by", "route")
    assert 5 <= len(gate.asked[0][1]["names"].split(",")) <= 12
    said("p95", "relevance_score", "--by", "route")
    assert gate.asked[2][1]["names"] == "p95,relevance_score"


@pytest.mark.parametrize(
    ("words", "columns"),
    [((), ["user", "cost", "calls", "error_rate"]), (("tokens",), ["user", "tokens", "calls", "cost", "error_rate"])],
)
def test_a_list_of_users_has_each_column_once(gate: Gate, words: tuple[str, ...], columns: list[str]) -> None:
    head, _, row = said(*words, "--by", "user").splitlines()[:3]
    assert head.split() == columns
    assert row.split()[0] == "ana" and "$0.5" in row and "25%" in row


def test_a_filter_that_is_none_is_told_before_anybody_is_asked(gate: Gate) -> None:
    result = CliRunner().invoke(program("metrics"), ["metrics", "--where", "rout=x"])
    assert result.exit_code == 2 and gate.asked == []
