"""A candidate is a hit where nothing tells it apart and the verifier is as sure as the threshold asks."""

from __future__ import annotations

import math

import pytest

from comporta.cache.agreement import confidence, decide, question_of

RESET = question_of("How do I reset my password?", "en")


def test_what_is_told_apart_is_no_hit_however_alike() -> None:
    found = decide(0.9999, question_of("How do I enable 2FA?", "en"), question_of("How do I disable 2FA?", "en"), 0.0)
    assert not found.hit
    assert not found.doubtful
    assert found.reason == "opposite: enable or disable"


def test_a_rewording_far_below_the_threshold_in_likeness_is_a_hit() -> None:
    found = decide(0.83, question_of("What can I do to recover my password?", "en"), RESET)
    assert found.hit
    assert found.confidence >= 0.92


def test_a_higher_threshold_asks_for_more() -> None:
    other = question_of("I can't remember my login, where do I get a new password?", "en")
    sure = confidence(0.72, other, RESET)
    assert 0.0 < sure < 1.0
    assert decide(0.72, other, RESET, sure - 0.001).hit
    above = decide(0.72, other, RESET, min(1.0, sure + 0.001))
    assert not above.hit
    assert above.doubtful


def test_another_subject_is_neither_hit_nor_doubt() -> None:
    found = decide(0.3, question_of("Which wines go with fish?", "en"), RESET)
    assert (found.hit, found.doubtful) == (False, False)


def test_the_same_text_is_always_a_hit() -> None:
    assert decide(0.2, question_of("how do i reset  my PASSWORD?", "en"), RESET, 1.0).hit


def test_without_the_verifier_the_likeness_itself_must_reach_the_threshold() -> None:
    other = question_of("What can I do to recover my password?", "en")
    assert not decide(0.83, other, RESET, verifier=False).hit
    assert decide(0.93, other, RESET, verifier=False).hit


def test_in_languages_that_it_was_not_trained_in_the_likeness_decides() -> None:
    a, b = question_of("Como mudo a senha?", "pt"), question_of("Como altero minha senha?", "pt")
    assert confidence(0.81, a, b) == 0.81


@pytest.mark.parametrize("similarity", [math.nan, math.inf, -math.inf, -1.0, 2.0])
def test_a_likeness_that_is_none_breaks_nothing(similarity: float) -> None:
    other = question_of("What can I do to recover my password?", "en")
    assert 0.0 <= confidence(similarity, other, RESET) <= 1.0
