"""The page on assertions shows every kind, and every example on it can be read."""

from __future__ import annotations

import pytest

from comporta.config.parsing import parse
from comporta.evaluation.assertions import COMMON, read_assertions
from comporta.evaluation.kinds import KINDS
from comporta.evaluation.scorers.likeness import _AT_LEAST
from comporta.prompts.reading import Reading
from support.documents import Block, blocks, codes, page

EXAMPLES = [block for block in blocks("yaml") if block.mark == "assertions.yaml"]
PAGE = page("reference/assertions.md")


def kinds_of(block: Block) -> set[str]:
    tree, mistakes = parse(block.text, block.name)
    assert tree is not None and not mistakes
    reading = Reading(tree)
    found = read_assertions(reading, ("assert",))
    assert found and not reading.mistakes
    return {one.kind for one in found}


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.name)
def test_an_example_can_be_read(block: Block) -> None:
    assert kinds_of(block)


def test_every_kind_has_an_example() -> None:
    shown = set().union(*map(kinds_of, EXAMPLES))
    written = "\n".join(block.text for block in EXAMPLES)
    missing = [kind.word for kind in KINDS if not kind.refused and kind.word not in shown | set(_keys(written))]
    assert not missing


def _keys(text: str) -> list[str]:
    return [word.strip(" -{") for line in text.splitlines() for word in line.replace(",", ":").split(":")]


def test_the_page_names_every_kind_and_every_option() -> None:
    named = codes(PAGE)
    assert {kind.word for kind in KINDS} <= named
    # What stands beside a kind is explained, or shown in an example.
    shown = "\n".join(block.text for block in EXAMPLES)
    options = {option for kind in KINDS for option in kind.options} | set(COMMON)
    assert not [one for one in options if one not in named and f"{one}:" not in shown]


def test_the_page_tells_the_likeness_that_is_asked_for() -> None:
    assert f"{_AT_LEAST:g} unless `at_least` says otherwise" in PAGE
