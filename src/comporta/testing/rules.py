"""What the honest fakes check requests with: small predicates that raise `Broken`, as a provider would answer 400."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Collection
from typing import Any

from comporta.types import JSON

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Broken(Exception):
    """The request breaks a rule of the API; `status` and `kind` are what it answers with."""

    def __init__(self, message: str, *, status: int = 400, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind


def need(condition: object, message: str) -> None:
    if not condition:
        raise Broken(message)


def known(value: JSON, allowed: Collection[str], where: str) -> None:
    """Refuse fields that the API doesn't have, and nulls, which stand for «the caller left it out»."""
    for name, inner in value.items():
        need(name in allowed, f"{where}{name}: unknown field")
        need(inner is not None, f"{where}{name}: null is not a value")


def object_at(value: Any, where: str) -> JSON:
    need(isinstance(value, dict), f"{where}: an object is wanted")
    result: JSON = value
    return result


def list_at(value: Any, where: str) -> list[Any]:
    need(isinstance(value, list) and value, f"{where}: a list with something in it is wanted")
    result: list[Any] = value
    return result


def text_at(value: Any, where: str) -> str:
    need(isinstance(value, str) and value.strip(), f"{where}: text of more than white space is wanted")
    result: str = value
    return result


def number_at(value: Any, where: str, low: float, high: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    need(good, f"{where}: a number from {low} to {high} is wanted")


def base64_at(value: Any, where: str) -> bytes:
    need(isinstance(value, str) and value, f"{where}: base64 is wanted")
    try:
        return b64decode(value, validate=True)
    except (Base64Error, ValueError):
        raise Broken(f"{where}: this is no base64") from None


def name_at(value: Any, where: str) -> str:
    need(isinstance(value, str) and _NAME.fullmatch(value), f"{where}: only letters, digits, _ and - make a name")
    result: str = value
    return result


def one_of(value: Any, words: Collection[str], where: str) -> str:
    need(isinstance(value, str) and value in words, f"{where}: one of {', '.join(sorted(words))} is wanted")
    result: str = value
    return result
