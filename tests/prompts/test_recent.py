"""Prompts made ready are kept within so many bytes, the lately used ones."""

from __future__ import annotations

from comporta.prompts.prompt import Prompt
from comporta.prompts.recent import Recent


def made(id: str, version: str = "1.0.0", text: str = "x") -> Prompt:
    return Prompt(id=id, version=version, system_prompt=text)


def test_the_one_that_was_not_used_for_longest_goes_first() -> None:
    recent = Recent(lambda: 30)
    for id in "abc":
        recent.put(made(id), 10)
    assert recent.get("a", "1.0.0") is not None
    recent.put(made("d"), 10)
    assert [id for id in "abcd" if recent.get(id, "1.0.0") is None] == ["b"]
    assert (recent.bytes, len(recent)) == (30, 3)


def test_a_large_one_takes_the_place_of_several_and_one_that_is_too_large_of_none() -> None:
    recent = Recent(lambda: 30)
    for id in "abc":
        recent.put(made(id), 10)
    recent.put(made("d"), 31)
    assert len(recent) == 3 and recent.get("d", "1.0.0") is None
    recent.put(made("d"), 25)
    assert (recent.bytes, len(recent)) == (25, 1)


def test_the_same_version_again_replaces_itself() -> None:
    recent = Recent(lambda: 30)
    recent.put(made("a"), 20)
    other = made("a", text="y")
    recent.put(other, 25)
    assert recent.get("a", "1.0.0") is other and recent.bytes == 25


def test_a_smaller_limit_holds_from_the_next_one_on() -> None:
    limit = [30]
    recent = Recent(lambda: limit[0])
    recent.put(made("a"), 10)
    recent.put(made("b"), 10)
    limit[0] = 10
    recent.put(made("c"), 10)
    assert len(recent) == 1 and recent.get("c", "1.0.0") is not None
