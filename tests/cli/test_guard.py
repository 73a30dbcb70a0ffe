"""`comporta guard`: a text tried, the kinds listed, guards measured on a file of examples."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from comporta.guardrails.watermark import Marker

from .conftest import Type

CONFIG = """
providers: {offline: {}}
guardrails:
  input: [{type: regex, pattern: "bird-[0-9]+", label: BIRD, action: mask, name: birds}]
  policies:
    strict: {input: [{type: regex, pattern: forbidden, name: strict_words}]}
"""
REGEX = json.dumps({"type": "regex", "pattern": "bad[a-z]*", "label": "BAD"})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPORTA_DATA", str(tmp_path / "data"))
    (tmp_path / "comporta.yaml").write_text(CONFIG)
    return tmp_path


def test_a_text_is_shown_to_the_configurations_own_policy(typed: Type) -> None:
    done = typed("guard", "test", "see bird-12")
    assert done.code == 0, done.err
    assert "BIRD 4-11" in done.out and "see [BIRD]" in done.out and "redact" in done.out
    said = json.loads(typed("guard", "test", "--json", stdin="see bird-12").out)
    assert said["approved"] and said["verdicts"][0]["guard"] == "birds"


def test_the_exit_code_says_whether_it_would_be_blocked(typed: Type) -> None:
    done = typed("guard", "test", "a forbidden word", "--policy", "strict")
    assert done.code == 1 and "Blocked by strict_words" in done.out
    assert typed("guard", "test", "a word", "--policy", "strict").code == 0
    wrong = typed("guard", "test", "x", "--policy", "nobody")
    assert wrong.code == 1 and "there are default, strict" in wrong.err
    assert "there is no guard 'nobody'" in typed("guard", "test", "x", "--guard", "nobody").err


def test_every_kind_is_listed(typed: Type) -> None:
    rows = json.loads(typed("guard", "list", "--json").out)
    assert {"regex", "context_size"} <= {one["name"] for one in rows}
    assert all(one["about"] and one["sides"] for one in rows)
    assert "regex" in typed("guard", "list").out


def test_a_watermark_is_detected_by_its_key_alone(typed: Type) -> None:
    marker = Marker("our key")
    # Many different words: a sign behind a word that was there before says nothing new.
    words = [a + b + c for a in ("ba", "lo", "mi", "su", "te") for b in ("ra", "ne", "co", "pi") for c in "stlmnr"]
    marked = marker.mark(" ".join(words) + " ")
    done = typed("guard", "detect", "--key", "our key", stdin=marked)
    assert done.code == 0 and done.out.startswith("Marked"), done.out
    other = typed("guard", "detect", "--key", "another", "--json", stdin=marked)
    assert other.code == 1 and json.loads(other.out)["marked"] is False


def examples(path: Path, rows: list[Any]) -> Path:
    lines = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


ROWS: list[Any] = [
    {"text": "a badger", "label": 1, "lang": "en", "source": "x", "spans": [[2, 8, "BAD"]]},
    {"text": "um badalo", "label": "toxic", "lang": "pt", "source": "x",
     "spans": [{"start": 0, "end": 2, "type": "bad"}]},
    {"text": "all well", "label": 0, "lang": "en", "source": "y", "spans": []},
    {"text": "tudo bem", "label": False, "lang": "pt", "source": "y"},
]  # fmt: skip


@pytest.mark.parametrize("name", ["examples.jsonl", "examples.jsonl.gz"])
def test_guards_are_measured_on_anybodys_examples(typed: Type, place: Path, name: str) -> None:
    file = examples(place / name, ROWS)
    done = typed("guard", "check", str(file), "--guard", REGEX, "--json", "--draws", "100")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["guard"], told["n"], told["all"]["accuracy"], told["all"]["auc"]) == ("regex", 4, 1.0, 1.0)
    assert set(told["by_lang"]) == {"en", "pt"} and set(told["by_source"]) == {"x", "y"}
    assert told["by_lang"]["en"]["n"] == 2 and told["all"]["intervals"]["accuracy"] == [1.0, 1.0]
    # In the second line the span is marked where nothing was found.
    assert told["spans"]["BAD"] == {"marked": 2, "found": 2, "right": 1, "precision": 0.5, "recall": 0.5}
    text = typed("guard", "check", str(file), "--guard", REGEX, "--draws", "100").out
    assert "recall at 1 % FPR" in text and "lang pt" in text and "source y" in text


def test_lines_that_can_not_be_used_are_named_and_left_out(typed: Type, place: Path) -> None:
    file = examples(
        place / "e.jsonl",
        [
            *ROWS,
            "{",
            {"label": 1},
            {"text": "x"},
            {"text": "x", "label": "perhaps"},
            {"text": "x", "spans": [[0, 9, "A"]]},
        ],
    )
    done = typed("guard", "check", str(file), "--guard", REGEX, "--json", "--draws", "100")
    told = json.loads(done.out)
    assert (told["n"], told["skipped"]) == (4, 5)
    for line, why in (
        (5, "is no JSON"),
        (6, "has no `text`"),
        (7, "neither `label` nor"),
        (8, "'perhaps'"),
        (9, "a span"),
    ):
        assert any(f"e.jsonl:{line} " in one and why in one for one in done.err.splitlines()), done.err


def test_a_file_that_is_not_there_or_holds_nothing_is_told(typed: Type, place: Path) -> None:
    gone = typed("guard", "check", str(place / "gone.jsonl"))
    assert gone.code == 1 and "can't be read" in gone.err
    empty = typed("guard", "check", str(examples(place / "empty.jsonl", [])))
    assert empty.code == 1 and "holds no example" in empty.err
    cut = place / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b"x" * 1000)[:20])
    assert "can't be read" in typed("guard", "check", str(cut)).err
