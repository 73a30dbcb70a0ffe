"""Reading bodies: how deep they may be, and what is told of numbers and texts that are none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.errors import BadRequest
from comporta.gateway.doors import reading
from comporta.gateway.doors.reading import MAX_DEPTH, body_of, integer, number


def refusal(body: bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        body_of(body)
    assert caught.value.code == "invalid_json"
    return caught.value.message


def nested(levels: int, inside: str = "", *, objects: bool = False) -> bytes:
    """A body so many levels deep, itself the first of them."""
    opening, closing = ('{"a":', "}") if objects else ("[", "]")
    inside = inside or ("1" if objects else "")
    return ('{"x":' + opening * (levels - 1) + inside + closing * (levels - 1) + "}").encode()


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("beside", [0, 30_000])
def test_a_hundred_levels_are_read_and_one_more_is_refused_however_much_stands_beside(
    objects: bool, beside: int
) -> None:
    more = b'{"y":[' + b"{}," * beside + b'1],"x":'
    for levels, good in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False)):
        body = more + nested(levels, objects=objects)[5:]
        if good:
            assert body_of(body)
        else:
            assert "nested more than 100 levels" in refusal(body)


TEXTS = st.text(alphabet=st.sampled_from('[]{}"\\a\n'), max_size=6)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


@given(value=st.dictionaries(TEXTS, VALUES, max_size=4), levels=st.integers(0, 4))
def test_both_ways_to_measure_depth_agree_whatever_the_texts_hold(value: dict[str, Any], levels: int) -> None:
    body: Any = value
    for _ in range(MAX_DEPTH - levels):
        body = {"in": body}
    text = json.dumps(body).encode()
    assert _fits(reading._check_depth, body) == _fits(reading._check_text, text)


def _fits(check: Any, value: Any) -> bool:
    try:
        check(value)
    except BadRequest:
        return False
    return True


def test_millions_of_objects_are_measured_in_a_moment() -> None:
    body = b'{"x":[' + b"{}," * 1_000_000 + b"1]}"
    began_s = time.process_time()
    reading._check_text(body)
    assert time.process_time() - began_s < 20


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (rb'{"a":"\ud83d"}', "without its other half"),
        (rb'{"a":"\ude00"}', "without its other half"),
        (rb'{"a":"\ud83dx\ude00"}', "without its other half"),
        (rb'{"a":"\ud83d\ude00"', "truncated"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"[1]", "not an array"),
    ],
)
def test_a_body_that_is_no_object_is_told_why(body: bytes, words: str) -> None:
    assert words in refusal(body)


def test_whole_surrogate_pairs_are_read() -> None:
    assert body_of(rb'{"a":"\ud83d\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize("value", [10**4000, -(10**4000), 1e300, 10**30])
def test_absurd_numbers_are_refused_and_told_in_short(value: float) -> None:
    for read in (number(0, 2), integer(1), integer(0, 20)):
        with pytest.raises(BadRequest) as caught:
            read(value, "field")
        assert caught.value.param == "field" and len(caught.value.message) < 120


def test_a_number_beyond_64_bits_is_told_as_such() -> None:
    with pytest.raises(BadRequest, match="fit into 64 bits"):
        integer(1)(2**63, "max_tokens")
