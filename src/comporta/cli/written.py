"""What people write on the command line: durations, money, name=value pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer
from pydantic_core import PydanticCustomError

from comporta.config.values import parse_duration, parse_money

T = TypeVar("T")


def duration_s(text: str | None, option: str) -> float | None:
    """Seconds of `30d`, `12h`, `90s`."""
    return None if text is None else _read(parse_duration, text, option)


def money_microusd(text: str | None, option: str) -> int | None:
    """Micro-dollars of `$12.50` or `12.5`."""
    return None if text is None else _read(parse_money, text, option)


def pairs(written: Iterable[str], option: str) -> dict[str, str]:
    """`name=value`, each name once."""
    found: dict[str, str] = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{one!r} is not name=value", param_hint=option)
        found[name.strip()] = value
    return found


def json_pairs(written: Iterable[str], option: str) -> dict[str, Any]:
    """The same with JSON values; what is no JSON is text: `temperature=0.2`, `style=short`."""
    found: dict[str, Any] = {}
    for name, text in pairs(written, option).items():
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _read(parse: Callable[[object], T], text: str, option: str) -> T:
    try:
        return parse(text)
    except PydanticCustomError as error:
        raise typer.BadParameter(error.message(), param_hint=option) from None
