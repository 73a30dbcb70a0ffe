"""What names, tags and points in time may look like, wherever rows take them from people."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import overload

from comporta.errors import BadRequest

NAME_LIMIT = 100
TAG_LIMIT = 50
TAG_VALUE_LIMIT = 256
NAMES_LIMIT = 1000
#: The year 9999: what lies beyond is a slip (milliseconds taken for seconds).
LAST_INSTANT_S = 253_402_300_799.0


@overload
def in_utc(at: datetime.datetime) -> datetime.datetime: ...
@overload
def in_utc(at: None) -> None: ...
def in_utc(at: datetime.datetime | None) -> datetime.datetime | None:
    """The same moment in UTC, which a moment without a zone is taken to be in; None stays None.

    A database refuses zones of sixteen hours and more, and no calendar holds what lies beyond its ends.
    """
    if at is None:
        return None
    if at.tzinfo is None:
        return at.replace(tzinfo=datetime.UTC)
    try:
        return at.astimezone(datetime.UTC)
    except OverflowError:
        return at.replace(tzinfo=datetime.UTC)


def checked_name(value: object, param: str, limit: int = NAME_LIMIT) -> str:
    """A name: printable, without space around it, of bounded length."""
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{param} is missing: give a text of 1 to {limit} characters.", param=param)
    if len(value) > limit:
        raise BadRequest(f"{param} has {len(value)} characters; at most {limit} are allowed.", param=param)
    if not value.isprintable():
        raise BadRequest(f"{param} holds a control character or another one that can't be shown.", param=param)
    if value != value.strip():
        raise BadRequest(f"{param} begins or ends with a space.", param=param)
    return value


def optional_name(value: object, param: str, limit: int = NAME_LIMIT) -> str | None:
    return None if value is None else checked_name(value, param, limit)


def checked_names(values: object, param: str, limit: int = 2 * NAME_LIMIT) -> tuple[str, ...]:
    """Several names, each once, in the order given."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise BadRequest(f"{param} must be a list of names.", param=param)
    found = tuple(dict.fromkeys(checked_name(value, param, limit) for value in values))
    if len(found) > NAMES_LIMIT:
        raise BadRequest(f"{param} has {len(found)} names; at most {NAMES_LIMIT} are allowed.", param=param)
    return found


def checked_tags(values: object, param: str = "tags") -> dict[str, str]:
    if not isinstance(values, Mapping):
        raise BadRequest(f"{param} must be an object of texts.", param=param)
    if len(values) > TAG_LIMIT:
        raise BadRequest(f"{param} has {len(values)} entries; at most {TAG_LIMIT} are allowed.", param=param)
    return {
        checked_name(name, param): checked_name(value, f"{param}.{name}", TAG_VALUE_LIMIT)
        for name, value in values.items()
    }


def checked_number(value: object, param: str, low: float, high: float) -> float:
    """A finite number within bounds; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequest(f"{param} must be a number.", param=param)
    if not low <= value <= high:
        raise BadRequest(f"{param} must lie between {low:g} and {high:g}; it is {value:g}.", param=param)
    return value


def optional_count(value: object, param: str, most: int) -> int | None:
    """A whole number from 1; None = none is set."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadRequest(f"{param} must be a whole number from 1 to {most}.", param=param)
    return value


def future_instant(value: object, param: str, now_s: float) -> float | None:
    """A point in time to come, in seconds since 1970; None = never."""
    if value is None:
        return None
    instant_s = checked_number(value, param, 0, LAST_INSTANT_S)
    if instant_s <= now_s:
        raise BadRequest(f"{param} lies in the past.", param=param)
    return instant_s
