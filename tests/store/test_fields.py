"""What names, tags and numbers may look like."""

from __future__ import annotations

from typing import Any

import pytest

from comporta.errors import BadRequest
from comporta.store.fields import checked_name, checked_names, checked_number, checked_tags, future_instant


@pytest.mark.parametrize("name", ["a", "team red", "gpt-4o/ação", "x" * 100])
def test_a_decent_name_passes(name: str) -> None:
    assert checked_name(name, "name") == name


@pytest.mark.parametrize("name", ["", None, 7, "x" * 101, "a\nb", "a\x00b", " a", "a ", "\ud800", "a\u202eb"])
def test_a_name_that_would_hurt_is_refused_by_its_field(name: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_name(name, "team")
    assert caught.value.param == "team"


def test_names_come_once_and_in_order() -> None:
    assert checked_names(["b", "a", "b"], "allow") == ("b", "a")


@pytest.mark.parametrize("names", ["support", 5, None, ["ok", ""], [str(n) for n in range(1001)]])
def test_names_that_are_no_list_of_names_are_refused(names: Any) -> None:
    with pytest.raises(BadRequest):
        checked_names(names, "allow")


@pytest.mark.parametrize("tags", [[], {"a": 1}, {"": "b"}, {"a": "x" * 257}, {str(n): "x" for n in range(51)}])
def test_tags_that_are_no_short_texts_are_refused(tags: Any) -> None:
    with pytest.raises(BadRequest):
        checked_tags(tags)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "5", None, -1, 11])
def test_a_number_out_of_bounds_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest):
        checked_number(value, "overlap_s", 0, 10)


def test_an_end_lies_in_the_future_or_nowhere() -> None:
    assert future_instant(None, "expires_at_s", 100.0) is None
    assert future_instant(101, "expires_at_s", 100.0) == 101
    for wrong in (100, 99.0, 4e12):
        with pytest.raises(BadRequest):
            future_instant(wrong, "expires_at_s", 100.0)
