"""What the words of an answer are, and how long it is."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.evaluation.scorers.regexes import TIMEOUT_S, Slow, compiled, search
from support.judging import answer, error, outcome, passes, refused


@pytest.mark.parametrize(
    ("kind", "value", "options", "output", "passed"),
    [
        ("contains", "refund", {}, "Your refund is on its way.", True),
        ("contains", "refund", {}, "Your Refund is on its way.", False),
        ("contains", "refund", {"ignore_case": True}, "Your REFUND is on its way.", True),
        ("contains", ["refund", "days"], {}, "A refund takes five days.", True),
        ("contains", ["refund", "weeks"], {}, "A refund takes five days.", False),
        ("contains", "five days", {}, "five\n   days", True),
        ("contains", 14, {}, "within 14 days", True),
        ("contains_any", ["hi", "hello"], {}, "hello", True),
        ("contains_any", ["hi", "hello"], {}, "bye", False),
        ("not_contains", "guarantee", {}, "We guarantee it.", False),
        ("not_contains", ["guarantee", "promise"], {}, "We hope so.", True),
        ("starts_with", "Dear", {}, "Dear Ana", True),
        ("starts_with", ["Dear", "Hi"], {}, "Hello", False),
        ("ends_with", ["regards", "bye"], {}, "Kind regards", True),
        ("regex", r"\d+ days", {}, "in 5 days", True),
        ("regex", r"^in \d+$", {}, "in 5 days", False),
        ("regex", "DAYS", {"ignore_case": True}, "in 5 days", True),
        ("not_regex", r"\d{16}", {}, "card 1234567890123456", False),
        ("not_regex", r"\d{16}", {}, "no card", True),
        ("equals", "yes", {}, " yes\n", True),
        ("equals", "yes", {}, "yes.", False),
        ("equals", "Yes", {"ignore_case": True}, "YES", True),
        ("equals", "", {}, "", True),
        ("equals", {"a": 1, "b": [True]}, {}, '{"b": [true], "a": 1.0}', True),
        ("equals", {"a": 1}, {}, '{"a": true}', False),
        ("equals", {"a": 1}, {}, "a = 1", False),
        ("not_equals", {"a": 1}, {}, '{"a": 2}', True),
        ("not_equals", "no", {}, "no", False),
        ("max_chars", 3, {}, "abc", True),
        ("max_chars", 3, {}, "abcd", False),
        ("min_words", 2, {"max_words": 3}, "one two", True),
        ("min_words", 2, {"max_words": 3}, "one two three four", False),
        ("max_sentences", 1, {}, "Dr. Ana came. She left.", False),
        ("max_sentences", 1, {}, "Dr. Ana came.", True),
    ],
)  # fmt: skip
async def test_words_are_judged(
    kind: str, value: object, options: dict[str, object], output: str, passed: bool
) -> None:
    assert await passes(kind, value, output, **options) is passed


async def test_the_reference_of_a_case_is_compared_with() -> None:
    assert await passes("equals_reference", True, answer("42", reference="42"))
    assert not await passes("equals_reference", True, answer("41", reference="42"))
    assert "no reference" in await error("equals_reference", True, "42")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(\w+\s?)*$", r"((a{1,100}){1,100}){1,100}b"])
async def test_a_pattern_without_end_is_stopped_and_no_failure_of_the_answer(pattern: str) -> None:
    began = time.monotonic()
    told = await error("regex", pattern, "a" * 5_000 + "!")
    assert "was stopped" in told
    # Without the limit these take longer than anybody waits: any bound tells, and a busy machine is slow.
    assert time.monotonic() - began < TIMEOUT_S + 20.0


async def test_others_go_on_while_a_pattern_burns_its_time() -> None:
    looking = asyncio.create_task(search(compiled(r"(a+)+$"), "a" * 5_000 + "!"))
    gaps: list[float] = []
    while not looking.done():
        began = time.monotonic()
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - began)
    with pytest.raises(Slow):
        looking.result()
    assert len(gaps) > 10
    assert sorted(gaps)[len(gaps) // 2] < 0.3


@pytest.mark.parametrize("pattern", ["(", "[a", "a{2,1}", "(?P<a>x)(?P<a", "(" * 3_000 + ")" * 3_000])
def test_what_is_no_pattern_is_refused_when_it_is_read(pattern: str) -> None:
    assert "regex: is " in refused("regex", pattern)


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    try:
        compiled(pattern)
    except ValueError as why:
        assert str(why).startswith("is ")


async def test_a_failure_shows_what_was_said() -> None:
    found = await outcome("contains", "refund", "No money back. " * 50)
    assert found.reason.startswith("has no «refund» in «No money back.")
    assert len(found.reason) < 250
