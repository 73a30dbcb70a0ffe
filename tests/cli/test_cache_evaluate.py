"""`comporta cache evaluate` prints figures for people, or exactly JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from comporta.cli.main import program
from comporta.testing.minilm import builder_hash

ROWS = (
    '{"a": "How do I reset my password?", "b": "How can I reset my password?", "label": 1}\n'
    '{"a": "How do I enable roaming?", "b": "How do I disable roaming?", "label": 0}\n'
    "nothing\n"
)


@pytest.fixture
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "cache").symlink_to(request.config.cache.mkdir(f"minilm-{builder_hash()}"))
    return tmp_path


def test_json_holds_the_figures_that_were_promised(data: Path) -> None:
    (data / "pairs.jsonl").write_text(ROWS, "utf-8")
    asked = ["cache", "evaluate", str(data / "pairs.jsonl"), "--data", str(data), "--json"]
    said = CliRunner().invoke(program("cache"), asked)
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    expected = {"pairs": 2, "hits": 1, "hit_rate": 0.5, "right": 1, "wrong": 0, "precision": 1.0, "false_hit_rate": 0.0}
    assert {name: found[name] for name in expected} == expected
    assert (found["positives"], found["recall"], found["skipped"]) == (1, 1.0, 1)
    assert "curve" not in found
    assert "pairs.jsonl:3" in said.stderr


def test_people_get_sentences_and_a_curve(data: Path) -> None:
    (data / "looks.jsonl").write_text(
        '{"origin": "Where is my parcel?", "similar": ["where is my package"]}\n', "utf-8"
    )
    asked = ["cache", "evaluate", str(data / "looks.jsonl"), "--data", str(data), "--curve", "--threshold", "0.9"]
    said = CliRunner().invoke(program("cache"), asked)
    assert said.exit_code == 0, said.output
    assert "1 look-ups at threshold 0.9" in said.stdout
    assert "0.90 |####" in said.stdout
