"""Drift: switches of topic are found soon, steady streams are left in peace, figures are told with their intervals."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comporta.feedback.drift.concepts import compare_concepts
from comporta.feedback.drift.topics import compare_topics
from comporta.feedback.drift.values import Column, comparing

BENCH = str(Path(__file__).parents[3] / "bench")
COLUMNS = (Column("words", "ratio", 0.2), Column("refusals", "share", 0.05), Column("score", "points", 0.3))


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    sys.path.insert(0, BENCH)
    yield importlib.import_module("drift")
    sys.path.remove(BENCH)


def test_a_switch_of_topics_is_found_within_500_messages(bench: Any) -> None:
    told = bench.runs_of(bench.switched, 2, 7, bench.words)
    assert told.found == 2 and told.false_alarms == 0


def test_a_switch_is_told_once_and_not_again_when_the_mixed_window_has_gone_by(bench: Any) -> None:
    for run in ("1/0", "1/2"):
        told = bench.found_at(bench.switched(random.Random(run)), 2_000, bench.words)
        assert len(told) == 1 and 1_000 < told[0] <= 1_500


def test_a_steady_stream_raises_no_alarm(bench: Any) -> None:
    assert bench.found_at(bench.steady(random.Random(3)), 1_500, bench.words) == []


def figures(seed: int, n: int, refusing: float, words: float = 4.0) -> Any:
    draw = np.random.default_rng(seed)
    return np.stack([draw.normal(words, 0.5, n), draw.random(n) < refusing, draw.normal(0, 1, n)], axis=1)


def test_only_the_figure_that_changed_is_told_with_an_interval_around_the_truth() -> None:
    compare = comparing(COLUMNS)
    (change,) = compare(figures(1, 300, 0.05), figures(2, 200, 0.35), 5)
    assert change.measure == "refusals" and change.unit == "share" and change.low < 0.3 < change.high
    (longer,) = compare(figures(1, 300, 0.1), figures(2, 200, 0.1, 4.5), 5)
    assert longer.measure == "words" and longer.low < np.expm1(0.5) < longer.high
    assert compare(figures(1, 300, 0.1), figures(2, 200, 0.1), 5) == []


def test_constant_and_empty_windows_are_no_change() -> None:
    same = np.ones((50, 3))
    assert comparing(COLUMNS)(same, same, 1) == [] and comparing(COLUMNS)(same, same[:1], 1) == []
    assert compare_topics(same, same, 1) == [] and compare_topics(same[:3], same, 1) == []
    assert compare_concepts(same[:5], same, 1) == []


def test_a_score_that_fell_on_one_sort_of_inputs_is_told_and_a_rise_is_not() -> None:
    draw = np.random.default_rng(2)

    def window(n: int, good: tuple[float, float]) -> Any:
        sorts = draw.integers(0, 2, n)
        vectors = np.eye(4)[sorts] + draw.normal(0, 0.05, (n, 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.column_stack([vectors, draw.random(n) < np.array(good)[sorts]])

    before = window(300, (0.9, 0.9))
    (change,) = compare_concepts(before, window(200, (0.3, 0.9)), 1)
    assert change.before is not None and change.before > 0.8 and change.high < 0
    assert compare_concepts(window(300, (0.5, 0.5)), window(200, (0.9, 0.5)), 1) == []
