"""Which prompt is meant, as people write it."""

from __future__ import annotations

import pytest

from comporta.prompts.refs import label_of, ref_of, written
from comporta.types import PromptRef


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("support", PromptRef("support")), ("support@2.3.1", PromptRef("support", "2.3.1")),
        ("support-v2.3.1", PromptRef("support", "2.3.1")), ("support@1.2", PromptRef("support", "1.2.0")),
        ("support@2.0.0-beta.1", PromptRef("support", "2.0.0-beta.1")),
        ("support@staging", PromptRef("support", None, "staging")), ("a.b_c", PromptRef("a.b_c")),
    ],
)  # fmt: skip
def test_a_version_a_label_or_neither_stands_behind_the_id(text: str, ref: PromptRef) -> None:
    assert ref_of(text) == ref


@pytest.mark.parametrize("text", ["", "@1.0.0", "support@", "sup port", "support@1.2.3.4", "support@-x", "a/b", "é"])
def test_what_means_nothing_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"id of a prompt|version|label"):
        ref_of(text)


@pytest.mark.parametrize("text", ["support", "support@2.3.1", "support@staging"])
def test_it_is_written_as_it_was_read(text: str) -> None:
    assert written(ref_of(text)) == text


def test_the_label_is_what_is_named_else_the_environment_else_production() -> None:
    assert label_of(ref_of("a@1.0.0"), "staging") is None
    assert label_of(ref_of("a@canary"), "staging") == "canary"
    assert label_of(ref_of("a"), "staging") == "staging"
    assert label_of(ref_of("a"), None) == "production"
