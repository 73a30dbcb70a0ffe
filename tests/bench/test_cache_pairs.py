"""Our own pairs are as many as promised, and nothing that is measured was trained on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comporta.cache.agreement import agreement, question_of

ROOT = Path(__file__).parents[2]
PLACES = (str(ROOT / "bench"), str(ROOT / "tools"))


@pytest.fixture(scope="module", autouse=True)
def on_the_path() -> Iterator[None]:
    sys.path[:0] = PLACES
    yield
    for place in PLACES:
        sys.path.remove(place)


@pytest.fixture(scope="module")
def cache_pairs() -> Any:
    return importlib.import_module("cache_pairs")


@pytest.mark.parametrize("language", ["en", "pt", "es"])
@pytest.mark.parametrize("kind", ["number", "name", "negation", "antonym"])
def test_there_are_300_adversarial_pairs_of_a_kind_and_rules_tell_99_in_100_apart(
    cache_pairs: Any, kind: str, language: str
) -> None:
    rows = cache_pairs.adversarial(kind, language)
    assert len(rows) >= 300
    assert all(row["a"] != row["b"] and row["label"] == 0 for row in rows)
    agreeing = [r for r in rows if agreement(question_of(r["a"], None), question_of(r["b"], None)).agrees]
    assert len(agreeing) <= 0.01 * len(rows), agreeing


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_every_kind_of_change_is_told_apart(cache_pairs: Any, language: str) -> None:
    rows = [row for kind in cache_pairs.kinds(language) for row in cache_pairs.adversarial(kind, language)]
    agreeing = [r for r in rows if agreement(question_of(r["a"], language), question_of(r["b"], language)).agrees]
    assert len(agreeing) <= 0.01 * len(rows), agreeing


def test_there_are_500_paraphrases_of_our_own_with_neighbours(cache_pairs: Any) -> None:
    rows = list(cache_pairs.pairs("rewordings"))
    assert sum(row["label"] for row in rows) >= 500
    assert sum(not row["label"] for row in rows) >= 500


@pytest.mark.parametrize("language", ["pt", "es"])
def test_rules_leave_rewordings_alone_in_other_languages_too(cache_pairs: Any, language: str) -> None:
    same = [row for row in cache_pairs.pairs("rewordings", language) if row["label"]]
    assert len(same) >= 150
    agreeing = [r for r in same if agreement(question_of(r["a"], language), question_of(r["b"], language)).agrees]
    assert len(agreeing) >= 0.9 * len(same)


def test_what_is_measured_was_not_trained_on(cache_pairs: Any) -> None:
    train_agreement = importlib.import_module("train_agreement")
    assert set(cache_pairs.HELD_OUT) == set(train_agreement.HELD_OUT)
    trained = {
        text.strip()
        for path in train_agreement.QUESTIONS.glob("*.txt")
        if path.stem not in train_agreement.HELD_OUT
        for group in train_agreement.groups(path)
        for text in group
    }
    measured = {row["similar"] for kind in ("rewordings", "questions") for row in cache_pairs.looks(kind)}
    assert len(measured & trained) <= 0.03 * len(measured), sorted(measured & trained)
