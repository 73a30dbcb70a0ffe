"""Versions by Semantic Versioning 2.0, their order, and the names people write them into (`support-v2.3.1`)."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_WORD = r"(?:0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_WORD}(?:\.{_WORD})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_SHORT = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{0,1}}")
_NAMED = re.compile(r"(.+?)(?:@v?|-v(?=[0-9]+\.[0-9]))([0-9][0-9A-Za-z.+-]*)")
LONGEST = 64
_LONGEST_NAME = 200

Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


class Named(NamedTuple):
    """A prompt's id, and the version that was written with it; None where there was none."""

    id: str
    version: str | None


def is_version(text: str) -> bool:
    """Whether it is a version as Semantic Versioning 2.0 wants it: three numbers, perhaps `-beta.1` or `+build`."""
    return len(text) <= LONGEST and _VERSION.fullmatch(text) is not None


def order(version: str) -> Order:
    """What sorts versions; a pre-release stands before its release. Raises ValueError for what is no version."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError("no version by Semantic Versioning 2.0")
    before = tuple((not one.isdigit(), int(one) if one.isdigit() else 0, one) for one in (match[4] or "").split("."))
    return int(match[1]), int(match[2]), int(match[3]), match[4] is None, before


def named(text: str) -> Named:
    """`support`, `support@2.3.1` or `support-v2.3.1`; two numbers mean a third that is 0 (`-v1.2` = 1.2.0)."""
    match = _NAMED.fullmatch(text) if len(text) <= _LONGEST_NAME else None
    if match is None:
        return Named(text, None)
    return Named(match[1], whole(match[2]))


def whole(text: str) -> str:
    """`1.2` as 1.2.0, and `1` as 1.0.0; anything else as it stands."""
    return text + ".0" * (2 - text.count(".")) if _SHORT.fullmatch(text) else text


def meant(text: str) -> str | None:
    """The version that somebody meant who wrote `v2.3.1`, `2.3` or `01.2.3`."""
    guess = whole(re.sub(r"(?:^|(?<=\.))0+(?=[0-9])", "", text.strip().lstrip("vV=")))
    return guess if is_version(guess) else None
