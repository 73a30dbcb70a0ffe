"""Checks one variable's value: its type, its rules, and then what makes it harmless; made ready once for each variable.

What is wrong with a value is said without repeating it: it may be a customer's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from comporta.prompts.bullets import shown
from comporta.prompts.images import image_of
from comporta.prompts.sanitizing import cleaned_all, cleaner, fenced
from comporta.prompts.values import Rules, Type, Variable

Take = Callable[[Any], Any]
Rule = Callable[[Any], None]

DEEPEST = 20
_WANTED: Mapping[Type, str] = {
    "string": "text", "number": "a number", "boolean": "true or false", "list": "a list", "object": "an object",
    "image": "an image: a URL, a data URL, or an object with url, or data and media_type",
}  # fmt: skip
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@.]{1,63}(?:\.[^\s@.]{1,63}){1,8}")
_URL = re.compile(r"https?://[^\s/?#]++\S*+", re.IGNORECASE)


class Wrong(Exception):
    """A value breaks a rule; the text is the rule in words."""


def taker(variable: Variable, whole: bool) -> Take:
    """What turns a given value into what stands in the prompt, or raises Wrong.

    `whole` keeps lists, objects and numbers as they are, for templates with loops; otherwise all becomes text.
    """
    if variable.type == "image":
        return lambda value: _image(value)
    check, rules = _TYPES[variable.type], tuple(_rules(variable.rules))
    clean, name = cleaner(variable.sanitization), variable.name
    fence = "prevent_injection" in variable.sanitization
    if variable.type == "string" and not (rules or clean or fence):
        return check

    def take(value: Any) -> Any:
        value = check(value)
        if clean is not None:
            value = cleaned_all(clean, value)
        for rule in rules:
            rule(value)
        if fence:
            return fenced(name, shown(value))
        return value if whole else shown(value)

    return take


def wanted(kind: Type) -> str:
    """A type in words."""
    return _WANTED[kind]


def _image(value: Any) -> Any:
    image = image_of(value)
    if image is None:
        raise Wrong(f"must be {_WANTED['image']} (type: image)")
    return image


def _type(kind: Type) -> Wrong:
    return Wrong(f"must be {_WANTED[kind]} (type: {kind})")


def _string(value: Any) -> Any:
    if type(value) is not str:
        raise _type("string")
    return value


def _number(value: Any) -> Any:
    if type(value) not in (int, float):
        raise _type("number")
    if not -1e308 <= value <= 1e308:
        raise Wrong("must be a finite number (type: number)")
    return value


def _boolean(value: Any) -> Any:
    if type(value) is not bool:
        raise _type("boolean")
    return value


def _list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _type("list")
    return _plain(value)


def _object(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _type("object")
    return _plain(value)


_TYPES: Mapping[Type, Take] = {
    "string": _string, "number": _number, "boolean": _boolean, "list": _list, "object": _object,
}  # fmt: skip


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON values only, as lists and dicts of our own: a template meets no other object."""
    if depth > DEEPEST:
        raise Wrong(f"must not be nested more than {DEEPEST} levels deep")
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int:
        return value
    if kind is float and math.isfinite(value):
        return value
    if kind is list or isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if (kind is dict or isinstance(value, Mapping)) and all(type(key) is str for key in value):
        return {key: _plain(one, depth + 1) for key, one in value.items()}
    raise Wrong("must hold nothing but what JSON knows: text, finite numbers, true, false, null, lists and objects")


def _rules(rules: Rules) -> list[Rule]:
    found: list[Rule] = []
    if rules.min_length is not None or rules.max_length is not None:
        found.append(_size(rules.min_length, rules.max_length, "character", "length"))
    if rules.min_items is not None or rules.max_items is not None:
        found.append(_size(rules.min_items, rules.max_items, "entry", "items", "entries"))
    if rules.minimum is not None or rules.maximum is not None:
        found.append(_range(rules.minimum, rules.maximum))
    if rules.integer:
        found.append(_integer)
    if rules.one_of:
        found.append(_one_of(rules.one_of))
    if rules.pattern is not None:
        found.append(_pattern(rules.pattern))
    if rules.format is not None:
        found.append(_format(rules.format))
    return found


def _size(least: int | None, most: int | None, unit: str, rule: str, units: str = "") -> Rule:
    def words(count: int) -> str:
        return f"{count:,} {unit if count == 1 else units or unit + 's'}"

    def check(value: Any) -> None:
        size = len(value)
        if most is not None and size > most:
            raise Wrong(f"is too long: it has {size:,} and may have at most {words(most)} (max_{rule})")
        if least is not None and size < least:
            raise Wrong(f"is too short: it has {size:,} and needs at least {words(least)} (min_{rule})")

    return check


def _range(least: float | None, most: float | None) -> Rule:
    def check(value: Any) -> None:
        if least is not None and value < least:
            raise Wrong(f"must be at least {shown(least)} (min)")
        if most is not None and value > most:
            raise Wrong(f"must be at most {shown(most)} (max)")

    return check


def _integer(value: Any) -> None:
    if type(value) is float and not value.is_integer():
        raise Wrong("must be a whole number (integer)")


def _one_of(known: tuple[str | float | bool, ...]) -> Rule:
    words = ", ".join(shown(one) for one in known)

    def check(value: Any) -> None:
        # True is 1 in Python, and nobody means it so.
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in known):
            raise Wrong(f"must be one of {words} (one_of)")

    return check


def _pattern(pattern: str) -> Rule:
    search = re.compile(pattern).fullmatch

    def check(value: Any) -> None:
        if search(value) is None:
            raise Wrong(f"must match {pattern} as a whole (pattern)")

    return check


def _format(name: str) -> Rule:
    fits = _FORMATS[name]

    def check(value: Any) -> None:
        if not fits(value):
            raise Wrong(f"must be {'an' if name == 'email' else 'a'} {name} (format)")

    return check


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "url": lambda text: _URL.fullmatch(text) is not None,
    "date": lambda text: _reads(date.fromisoformat, text),
    "uuid": lambda text: _reads(UUID, text),
}
