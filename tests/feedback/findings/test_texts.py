"""What a user asked, taken out of what a prompt made of it."""

from __future__ import annotations

import pytest

from comporta.feedback.findings.texts import MOST_CHARACTERS, question_of


def message(text: str, role: str = "user") -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "text": text}]}


@pytest.mark.parametrize(
    ("said", "variables", "question"),
    [
        ("Where is my order?", None, "Where is my order?"),
        ("Where is my order?", {"company": "Shop & Sons Ltd"}, "Where is my order?"),
        ("Answer this: where is my order? In a word.", {"question": "where is my order?"}, "where is my order?"),
        ("Say when in en: hello", {"language": "en"}, "Say when in en: hello"),
        ("Review: too late and cold", {"text": {"text": "too late and cold", "length": 17}}, "too late and cold"),
        ("A: one two. B: three four.", {"a": "one two", "b": "three four"}, "one two\nthree four"),
    ],
)
def test_of_a_message_that_a_prompt_made_the_users_part_counts(said: str, variables: object, question: str) -> None:
    assert question_of({"messages": [message("Be kind.", "system"), message(said)]}, variables) == question


def test_of_a_prompt_without_a_message_the_values_count_and_of_nothing_kept_nothing_is_told() -> None:
    assert question_of({"messages": [message("Be kind.", "system")]}, {"order": "4711", "note": None}) == "4711"
    assert question_of(None) is None and question_of([{"sha256": "00", "role": "user"}]) is None
    assert len(question_of({"messages": [message("a " * MOST_CHARACTERS)]}) or "") == MOST_CHARACTERS
