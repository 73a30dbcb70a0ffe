"""Pairs are read whatever is wrong in a file, decided as live, and counted so that every figure can be checked."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from comporta.cache.measuring import Bad, Look, Pair, Rows, Trial, measured, plotted, read_rows, tried
from comporta.errors import BadRequest


def written(path: Path, lines: Iterable[Any]) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


def trial(reach: float, right: bool) -> Trial:
    return Trial(1, reach, right, reach, right, "a", "b")


def test_rows_of_pairs_are_read_under_the_names_that_people_use(tmp_path: Path) -> None:
    rows = read_rows(
        written(
            tmp_path / "pairs.jsonl.gz",
            [
                {"a": "x", "b": "y", "label": 1},
                {"question1": "x", "question2": "z", "is_duplicate": "0"},
                {"sentence1": "v", "sentence2": "w", "label": True},
                "",
                {"text1": "v", "text2": "u", "label": 0.0},
            ],
        )
    )
    assert rows.pairs == (
        Pair(1, "x", "y", True), Pair(2, "x", "z", False), Pair(3, "v", "w", True), Pair(5, "v", "u", False),
    )  # fmt: skip
    assert rows.texts() == ["x", "y", "z", "v", "w", "u"]


def test_each_of_several_similar_questions_is_asked(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "f.jsonl", [{"origin": "o", "similar": ["s", "t"]}]))
    assert (rows.kind, rows.looks) == ("retrieval", (Look(1, "o", "s"), Look(1, "o", "t")))


def test_lines_that_cannot_be_used_are_named_and_left_out(tmp_path: Path) -> None:
    lines: list[Any] = [
        {"a": "x", "b": "y", "label": 1}, "{", "[1]", {"a": "x", "b": " ", "label": 1}, {"a": "x", "b": "y"},
        {"a": "x", "b": "y", "label": "maybe"}, {"a": 1, "b": "y", "label": 1}, {"text": "x"}, {"origin": "x"},
        {"origin": "x", "similar": "y"}, {"a": "x", "b": "y", "label": {}},
    ]  # fmt: skip
    rows = read_rows(written(tmp_path / "f.jsonl", lines))
    assert len(rows.pairs) == 1
    assert sorted(one.line for one in rows.bad) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert all(isinstance(one, Bad) and one.why for one in rows.bad)


@pytest.mark.parametrize("lines", [[], ["no json"], [{"q": 1}]])
def test_a_file_without_any_row_says_what_rows_look_like(tmp_path: Path, lines: list[Any]) -> None:
    with pytest.raises(BadRequest, match="`origin`, `similar`"):
        read_rows(written(tmp_path / "f.jsonl", lines))


def test_a_file_that_is_not_there_or_cut_off_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="can't be read"):
        read_rows(tmp_path / "none.jsonl")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"a": "x", "b": "y", "label": 1}\n' * 99)[:-12])
    with pytest.raises(BadRequest, match="can't be read"):
        read_rows(cut)


def test_figures_are_shares_of_all_pairs_and_of_those_that_should_hit() -> None:
    pairs = tuple(Pair(i, "a", "b", same) for i, same in enumerate((True, True, True, False, False)))
    trials = [trial(0.99, True), trial(0.95, True), trial(0.5, True), trial(0.93, False), trial(0.0, False)]
    found = measured(Rows("pairs", pairs=pairs), trials, 0.92)
    assert (found.pairs, found.hits, found.right, found.wrong) == (5, 3, 2, 1)
    assert (found.positives, found.negatives) == (3, 2)
    assert (found.hit_rate, found.precision, found.recall, found.false_hit_rate) == (0.6, 0.6667, 0.6667, 0.2)
    assert found.at_precision is not None
    assert (found.at_precision.hits, found.at_precision.threshold) == (2, 0.95)


def test_a_threshold_of_nothing_still_hits_nothing_that_was_told_apart() -> None:
    rows = Rows("pairs", pairs=(Pair(1, "a", "b", False),))
    found = measured(rows, [trial(0.0, False)], 0.0)
    assert (found.hits, found.precision, found.at_precision) == (0, None, None)


def test_the_curve_only_falls_and_is_drawn_line_by_line() -> None:
    rows = Rows("pairs", pairs=tuple(Pair(i, "a", "b", True) for i in range(4)))
    found = measured(rows, [trial(reach, True) for reach in (0.41, 0.6, 0.8, 1.0)], 0.92)
    hits = [point.hits for point in found.curve]
    assert hits == sorted(hits, reverse=True)
    assert (hits[0], hits[-1]) == (4, 1)
    lines = list(plotted(found.curve))
    assert lines[0].startswith("0.40 |##########")
    assert len(lines) == len(hits) == 61


def test_an_answer_of_another_origin_is_wrong_and_no_candidate_is_a_miss() -> None:
    rows = Rows(
        "retrieval",
        looks=(
            Look(1, "How do I pay?", "how do i pay??"),
            Look(2, "Where is Oslo?", "What are your opening times?"),
            Look(3, "When are you open?", "what are your opening times?"),
        ),
    )
    east, north = (1.0, 0.0), (0.0, 1.0)
    vectors = {
        "How do I pay?": east, "how do i pay??": east, "When are you open?": north, "Where is Oslo?": (-1.0, 0.0),
        "What are your opening times?": north, "what are your opening times?": (0.0, -1.0),
    }  # fmt: skip
    trials = tried(rows, vectors, verifier=False)
    assert [(one.kept, one.right) for one in trials] == [
        ("How do I pay?", True), ("When are you open?", False), ("", False),
    ]  # fmt: skip
    found = measured(rows, trials, 0.9)
    assert (found.pairs, found.hits, found.right, found.wrong, found.positives) == (3, 2, 1, 1, 3)
