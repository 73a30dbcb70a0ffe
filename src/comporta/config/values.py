"""What people write in a configuration: durations, sizes, shares and money, read into plain numbers in one unit.

`Duration` becomes float seconds, `Size` integer bytes, `Share` a float from 0 to 1, `Money` integer micro-dollars.
Every reader has a writer (`show_duration` …) that gives back a text which reads as the same value. No message ever
repeats what was written: it could be a secret that landed in the wrong place.

A default in the code is already in the unit (`price: Money = 10_000` is one cent); only what a file says is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

#: The keyword under which the JSON Schema says which of these a value is; the reference page reads it.
KIND = "x-comporta-value"

_DURATION_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[wdhms])\s*", re.ASCII)
_DURATION_MOST_S = 100 * 366 * 86_400
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b|b)?", re.ASCII | re.IGNORECASE)
_SIZE_UNITS = {"b": 1} | {
    unit + middle + "b": base**power
    for power, unit in enumerate("kmgt", start=1)
    for middle, base in (("", 1000), ("i", 1024))
}
_SHARE = re.compile(r"(\d+(?:\.\d+)?(?:e-?\d{1,3})?)\s*(%)?", re.ASCII | re.IGNORECASE)
_MONEY = re.compile(r"\$?\s*((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)", re.ASCII)
_MOST_INTEGER = 2**63 - 1
#: From here on a float's steps are coarser than half a micro-dollar, so that its text may not be what was written.
_MONEY_FLOAT_MOST = 2**32

_DURATION_HELP = "a duration such as 500ms, 2s, 1h30m or 30d (a plain number is seconds)"
_SIZE_HELP = "a size such as 512KiB or 10MB (a plain number is bytes)"
_SHARE_HELP = "a share such as 5% or 0.05"
_MONEY_HELP = "an amount of dollars such as $0.01 or 10000"


def parse_duration(written: object) -> float:
    """Seconds. Takes a number, or text of parts from weeks to milliseconds in falling order."""
    if isinstance(written, str) and not _is_number(written):
        seconds = float(_duration_parts(written.strip()))
    else:
        seconds = float(_number(written, _DURATION_HELP))
    if seconds > _DURATION_MOST_S:
        raise _wrong("is longer than a hundred years")
    return seconds


def show_duration(seconds: float) -> str:
    """The shortest usual text for a number of seconds, which reads back as the same number."""
    if seconds == 0:
        return "0s"
    if not float(seconds).is_integer():
        milliseconds = round(seconds * 1000)
        short = seconds < 1 and milliseconds / 1000 == seconds
        return f"{milliseconds}ms" if short else f"{_plain(seconds)}s"
    return _whole_duration(int(seconds))


def parse_size(written: object) -> int:
    """Bytes. KB, MB … are thousands, KiB, MiB … are 1024s; case does not matter."""
    if not isinstance(written, str):
        return _integer(_number(written, _SIZE_HELP), "is not a whole number of bytes")
    match = _SIZE.fullmatch(written.strip())
    if match is None:
        raise _wrong(f"must be {_SIZE_HELP}")
    amount, unit = match.groups()
    return _integer(Decimal(amount) * _SIZE_UNITS[(unit or "b").lower()], "is not a whole number of bytes")


def show_size(size: int) -> str:
    """The largest unit that divides the size."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % _SIZE_UNITS[unit.lower()] == 0:
            return f"{size // _SIZE_UNITS[unit.lower()]}{unit}"
    return f"{size}B"


def parse_share(written: object) -> float:
    """A float from 0 to 1."""
    percent = False
    if isinstance(written, str):
        match = _SHARE.fullmatch(written.strip())
        if match is None:
            raise _wrong(f"must be {_SHARE_HELP}")
        value, percent = Decimal(match[1]), match[2] is not None
    else:
        value = _number(written, _SHARE_HELP)
    if value > (100 if percent else 1):
        raise _wrong("is more than the whole; a share is at most 100% or 1 (write the % sign if you mean percent)")
    return float(value / 100 if percent else value)


def show_share(share: float) -> str:
    """Percent where that reads back exactly, else the plain number."""
    percent = f"{_plain(share * 100)}%"
    return percent if len(percent) <= 6 and parse_share(percent) == share else _plain(share)


def parse_money(written: object) -> int:
    """Micro-dollars, exactly: more than six decimals are refused rather than rounded."""
    if isinstance(written, str):
        match = _MONEY.fullmatch(written.strip())
        if match is None:
            raise _wrong(f"must be {_MONEY_HELP}")
        dollars = Decimal(match[1].replace(",", ""))
    elif isinstance(written, float) and abs(written) > _MONEY_FLOAT_MOST:
        raise _wrong("is too large to be exact as a number with decimals; put it in quotes")
    else:
        dollars = _number(written, _MONEY_HELP)
    return _integer(dollars * 1_000_000, "is finer than a millionth of a dollar, the smallest unit kept")


def show_money(microusd: int) -> str:
    """Dollars: whole, or with at least two decimals."""
    whole, rest = divmod(microusd, 1_000_000)
    decimals = f"{rest:06d}".rstrip("0")
    return f"${whole}.{decimals:0<2}" if decimals else f"${whole}"


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("comporta_value", "{text}", {"text": text})


def _is_number(text: str) -> bool:
    try:
        Decimal(text.strip())
    except InvalidOperation:
        return False
    return True


def _number(written: object, expected: str) -> Decimal:
    # repr gives a float's shortest text, which is what was written: 0.1 stays 0.1.
    if isinstance(written, bool) or not isinstance(written, int | float | Decimal | str):
        raise _wrong(f"must be {expected}")
    number = Decimal(repr(written) if isinstance(written, float) else written)
    if not number.is_finite():
        raise _wrong(f"must be {expected}")
    if number.is_signed() and number:
        raise _wrong("must not be negative")
    return abs(number)


def _integer(number: Decimal, otherwise: str) -> int:
    # Decimal rounds products to 28 digits; with fewer than that in, what comes out is exact.
    if len(number.as_tuple().digits) > 26:
        raise _wrong("has too many digits")
    if number > _MOST_INTEGER:
        raise _wrong("is too large")
    if number != number.to_integral_value():
        raise _wrong(otherwise)
    return int(number)


def _duration_parts(text: str) -> Decimal:
    order = list(_DURATION_UNITS_MS)
    total_ms, position, last = Decimal(0), 0, -1
    while position < len(text):
        match = _DURATION_PART.match(text, position)
        if match is None or order.index(match[2]) <= last:
            raise _wrong(f"must be {_DURATION_HELP}")
        last, position = order.index(match[2]), match.end()
        total_ms += Decimal(match[1]) * _DURATION_UNITS_MS[match[2]]
    if last < 0:
        raise _wrong(f"must be {_DURATION_HELP}")
    return total_ms / 1000


def _whole_duration(seconds: int) -> str:
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, _DURATION_UNITS_MS[unit] // 1000)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _plain(number: float) -> str:
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _schema(kind: str, pattern: str, *examples: str) -> WithJsonSchema:
    forms: list[dict[str, Any]] = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]
    return WithJsonSchema({KIND: kind, "anyOf": forms, "examples": list(examples)})


def _writer(write: Callable[[Any], str]) -> PlainSerializer:
    return PlainSerializer(write, return_type=str, when_used="json")


_PART = r"(\d+(\.\d+)?\s*{}\s*)?"
_DURATION_PATTERN = rf"^(?=.*\d)\s*(\d+(\.\d+)?|{''.join(_PART.format(unit) for unit in _DURATION_UNITS_MS)})\s*$"

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _writer(show_duration),
    _schema("duration", _DURATION_PATTERN, "500ms", "2s", "1h30m", "30d"),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    _writer(show_size),
    _schema("size", r"^\s*\d+(\.\d+)?\s*(([kKmMgGtT][iI]?)?[bB])?\s*$", "512KiB", "10MB"),
]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    _writer(show_share),
    _schema("share", r"^\s*\d+(\.\d+)?([eE]-?\d+)?\s*%?\s*$", "5%", "0.05"),
]
Money = Annotated[
    int,
    BeforeValidator(parse_money),
    _writer(show_money),
    _schema("money", r"^\s*\$?\s*(\d{1,3}(,\d{3})+|\d+)(\.\d{1,6}0*)?\s*$", "$0.01", "$10000"),
]
