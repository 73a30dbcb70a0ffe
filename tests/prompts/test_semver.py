"""Versions: what is one, how they are ordered, and the names that hold them."""

from __future__ import annotations

import pytest

from comporta.prompts.semver import Named, is_version, meant, named, order


@pytest.mark.parametrize("text", ["1.0.0", "0.0.1", "10.20.30", "1.0.0-alpha.1", "1.0.0-0a.b-c", "1.2.3+build.7"])
def test_three_numbers_are_a_version(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.03", "1.0.0-01", "1.0.0-", "latest", "1.2.3\n", "١.٢.٣"],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_version(text)


def test_versions_are_ordered_as_semver_orders_them() -> None:
    rising = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
              "1.0.0-rc.1", "1.0.0", "1.0.1", "1.9.0", "1.10.0", "2.0.0"]  # fmt: skip
    falling = rising[::-1]
    assert sorted(falling, key=order) == rising


def test_build_metadata_does_not_order() -> None:
    assert order("1.0.0+a") == order("1.0.0+b")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("support", Named("support", None)),
        ("support@2.3.1", Named("support", "2.3.1")),
        ("support@v2.3.1", Named("support", "2.3.1")),
        ("support-v2.3.1", Named("support", "2.3.1")),
        ("support-v1.2", Named("support", "1.2.0")),
        ("answers-by-v8", Named("answers-by-v8", None)),
        ("gpt-v4-answers", Named("gpt-v4-answers", None)),
    ],
)
def test_a_name_may_hold_its_version(written: str, found: Named) -> None:
    assert named(written) == found


def test_what_was_meant_is_guessed() -> None:
    assert [meant(text) for text in ("v2.3.1", "2.3", "2", "01.2.3", "latest")] == [
        "2.3.1", "2.3.0", "2.0.0", "1.2.3", None,
    ]  # fmt: skip
