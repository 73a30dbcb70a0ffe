"""Durations, sizes, shares and money: read exactly, written back as people write them, clear where they are wrong."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from comporta.config import values
from comporta.config.values import Duration, Money, Share, Size

KINDS: dict[str, Any] = {"duration": Duration, "size": Size, "share": Share, "money": Money}


def read(kind: str, written: object) -> Any:
    return TypeAdapter(KINDS[kind]).validate_python(written)


@pytest.mark.parametrize(
    ("kind", "written", "meant"),
    [
        ("duration", "30d", 2_592_000.0),
        ("duration", "2s", 2.0),
        ("duration", "500ms", 0.5),
        ("duration", "1h30m", 5400.0),
        ("duration", "1h 30m", 5400.0),
        ("duration", "1w", 604_800.0),
        ("duration", "1.5s", 1.5),
        ("duration", 90, 90.0),
        ("duration", 0.25, 0.25),
        ("duration", "2.5", 2.5),
        ("duration", 0, 0.0),
        ("size", "10MB", 10_000_000),
        ("size", "512KiB", 524_288),
        ("size", "1.5 kb", 1500),
        ("size", "1GiB", 2**30),
        ("size", "7B", 7),
        ("size", 4096, 4096),
        ("size", "4096", 4096),
        ("share", "5%", 0.05),
        ("share", 0.05, 0.05),
        ("share", "0.05", 0.05),
        ("share", "100%", 1.0),
        ("share", 1, 1.0),
        ("share", "99.95%", 0.9995),
        ("money", "$0.01", 10_000),
        ("money", "$10000", 10_000_000_000),
        ("money", "$10,000", 10_000_000_000),
        ("money", 0.01, 10_000),
        ("money", 0.1, 100_000),
        ("money", "0.000001", 1),
        ("money", 3, 3_000_000),
    ],
)
def test_what_people_write_becomes_one_unit(kind: str, written: object, meant: float) -> None:
    value = read(kind, written)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("kind", "written", "says"),
    [
        ("duration", "2x", "must be a duration such as"),
        ("duration", "", "must be a duration such as"),
        ("duration", "30m1h", "must be a duration such as"),
        ("duration", "1h1h", "must be a duration such as"),
        ("duration", -1, "must not be negative"),
        ("duration", "-3", "must not be negative"),
        ("duration", True, "must be a duration such as"),
        ("duration", None, "must be a duration such as"),
        ("duration", [1], "must be a duration such as"),
        ("duration", float("nan"), "must be a duration such as"),
        ("duration", float("inf"), "must be a duration such as"),
        ("duration", "1e400", "longer than a hundred years"),
        ("duration", "99999999d", "longer than a hundred years"),
        ("size", "10 potatoes", "must be a size such as"),
        ("size", "99M", "must be a size such as"),
        ("size", "0.5B", "not a whole number of bytes"),
        ("size", 1.5, "not a whole number of bytes"),
        ("size", "9999999999TB", "too large"),
        ("size", "1" * 40, "too many digits"),
        ("share", "5", "write the % sign"),
        ("share", 5, "write the % sign"),
        ("share", "101%", "more than the whole"),
        ("share", "half", "must be a share such as"),
        ("share", -0.1, "must not be negative"),
        ("money", "$0.0000001", "finer than a millionth of a dollar"),
        ("money", 0.0000001, "finer than a millionth of a dollar"),
        ("money", "10 EUR", "must be an amount of dollars such as"),
        ("money", "$1,00", "must be an amount of dollars such as"),
        ("money", 9_007_199_254.74, "put it in quotes"),
        ("money", "$99999999999999", "too large"),
        ("money", False, "must be an amount of dollars such as"),
    ],
)
def test_what_is_wrong_is_said_without_repeating_it(kind: str, written: object, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(kind, written)
    message = caught.value.errors()[0]["msg"]
    assert says in message
    if isinstance(written, str) and len(written) > 2:
        assert written not in message


@given(st.floats(min_value=0, max_value=3e9, allow_nan=False))
@example(0.001)
@example(59.999)
@example(5e-324)
@example(2_592_000.0)
def test_a_duration_reads_back_as_written(seconds: float) -> None:
    assert values.parse_duration(values.show_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=2**63 - 1))
@example(10_000_000)
@example(0)
def test_a_size_reads_back_as_written(size: int) -> None:
    assert values.parse_size(values.show_size(size)) == size


@given(st.floats(min_value=0, max_value=1, allow_nan=False))
@example(0.07)
@example(1 / 3)
@example(5e-324)
def test_a_share_reads_back_as_written(share: float) -> None:
    assert values.parse_share(values.show_share(share)) == share


@given(st.integers(min_value=0, max_value=2**63 - 1))
@example(1)
@example(10_000)
def test_money_reads_back_as_written(microusd: int) -> None:
    assert values.parse_money(values.show_money(microusd)) == microusd


@given(st.integers(min_value=0, max_value=10**15))
def test_money_as_a_plain_number_is_exact_or_refused(microusd: int) -> None:
    written = float(Decimal(microusd) / 1_000_000)
    try:
        assert values.parse_money(written) == microusd
    except PydanticCustomError:
        assert written > 2**32 - 1


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans(), st.binary()))
def test_no_value_breaks_a_reader(written: object) -> None:
    for kind in KINDS:
        try:
            assert read(kind, written) >= 0
        except ValidationError:
            continue


@pytest.mark.parametrize(
    ("number", "shown"),
    [("duration:5400", "1h30m"), ("size:10000000", "10MB"), ("money:10000", "$0.01"), ("share:0.05", "5%")],
)
def test_values_are_shown_as_people_write_them(number: str, shown: str) -> None:
    kind, text = number.split(":")
    value = float(text) if kind in ("duration", "share") else int(text)
    assert TypeAdapter(KINDS[kind]).dump_python(value, mode="json") == shown


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_schema_takes_its_own_examples_and_only_such_text(kind: str) -> None:
    schema = TypeAdapter(KINDS[kind]).json_schema()
    pattern = next(form["pattern"] for form in schema["anyOf"] if form["type"] == "string")
    for written in schema["examples"]:
        read(kind, written)
        assert re.search(pattern, written)
    assert not re.search(pattern, "")
    assert not re.search(pattern, "10 potatoes")
