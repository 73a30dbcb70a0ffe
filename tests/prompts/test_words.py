"""Rules in words come to the rules that people mean."""

from __future__ import annotations

import pytest

from comporta.prompts.values import Rules
from comporta.prompts.words import Said, Unclear, understood


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("string, max 100 chars", Said(Rules(max_length=100), "string")),
        ("string, max 1,000 characters, min 3 chars", Said(Rules(min_length=3, max_length=1000), "string")),
        ("text, up to 20 letters", Said(Rules(max_length=20), "string")),
        ("texto, máx 50 caracteres", Said(Rules(max_length=50), "string")),
        ("string, max 100", Said(Rules(max_length=100), "string")),
        ("3-100 chars", Said(Rules(min_length=3, max_length=100))),
        ("max length 80 chars", Said(Rules(max_length=80))),
        ("100 chars max", Said(Rules(max_length=100))),
        ("list, max 5 items", Said(Rules(max_items=5), "list")),
        ("list, max 5", Said(Rules(max_items=5), "list")),
        ("number between 1 and 5", Said(Rules(minimum=1, maximum=5), "number")),
        ("number, >= 0.5, <= 10", Said(Rules(minimum=0.5, maximum=10), "number")),
        ("min -2", Said(Rules(minimum=-2), "number")),
        ("integer", Said(Rules(integer=True), "number")),
        ("one of: low, high", Said(Rules(one_of=("low", "high")))),
        ("required, one of low | high", Said(Rules(one_of=("low", "high")), required=True)),
        ("optional, email", Said(Rules(format="email"), required=False)),
        ("matches: [A-Z]{2,3}-[0-9]+", Said(Rules(pattern="[A-Z]{2,3}-[0-9]+"))),
        ("string, not empty", Said(Rules(min_length=1), "string")),
        ("list, not empty", Said(Rules(min_items=1), "list")),
    ],
)
def test_words_are_understood(words: str, said: Said) -> None:
    assert understood(words) == said


@pytest.mark.parametrize(
    "words", ["string, rather short", "max lots of chars", "max 1.5 chars", "min -1 chars", "x" * 999]
)
def test_a_word_that_means_nothing_is_told_apart(words: str) -> None:
    with pytest.raises(Unclear):
        understood(words)
