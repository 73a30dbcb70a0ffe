"""A text made shorter says the same, until it has to lose its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.text.shortening import shortened
from comporta.text.tokens import estimate_tokens


def test_blank_space_is_collapsed_and_indents_stay() -> None:
    assert (
        shortened("  You   are\thelpful. \n\n\n\n- one\n  - two  words\n", 100)
        == "  You are helpful.\n\n- one\n  - two words"
    )


def test_a_line_that_comes_again_stays_once_and_rules_stay_always() -> None:
    text = "Be brief.\n---\nBe  brief.\nBe kind.\n---\n}\n}"
    assert shortened(text, 100) == "Be brief.\n---\nBe kind.\n---\n}\n}"


def test_code_stays_as_it_is() -> None:
    code = "```python\nx  =  1\n\n\nx  =  1\n```"
    assert shortened(f"Look:\n{code}\nLook:\n", 100) == f"Look:\n{code}"
    assert shortened("````\n```\na  b\n````\nc  d", 100) == "````\n```\na  b\n````\nc d"


def test_what_is_too_long_is_cut_after_a_whole_word() -> None:
    text = " ".join(f"word{n}" for n in range(200))
    cut = shortened(text, 20)
    assert text.startswith(cut) and text[len(cut)] == " " and 15 <= estimate_tokens(cut) <= 20


def test_a_limit_below_one_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        shortened("a", 0)


@given(st.text(alphabet="ab `~\n\t-_{}é漢", max_size=200), st.integers(1, 60))
def test_it_never_grows_and_keeps_to_the_limit_and_changes_nothing_the_second_time(text: str, limit: int) -> None:
    once = shortened(text, limit)
    assert len(once) <= len(text) and estimate_tokens(once) <= limit
    assert shortened(once, limit) == once
