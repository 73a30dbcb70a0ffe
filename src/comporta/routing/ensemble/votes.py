"""Counting answers: which are the same but for how they are written, and which was given most."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct

#: `1,000.50`, `1000.5` and `+1000.50` are one number.
_NUMBER = re.compile(r"(?:(?<![\w.])[+-])?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
#: A dot stays within a number, and a sign before one.
_MARKS = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<=\w)-|-(?!\d)|[^\w\s.\-]|_")
_SPACE = re.compile(r"\s+")


class Tally(Struct, frozen=True):
    """What came of a vote: the winning answer's key, and each key with its weight, the heaviest first."""

    winner: str
    weights: tuple[tuple[str, float], ...]
    #: The keys that have as much as the winner; the winner alone where there is no tie.
    leading: tuple[str, ...]

    @property
    def tie(self) -> bool:
        return len(self.leading) > 1

    @property
    def share(self) -> float:
        """The winner's part of all votes."""
        return dict(self.weights)[self.winner] / math.fsum(weight for _, weight in self.weights)


def same_as(answer: Any) -> str:
    """What an answer counts as. Texts: without case, blank space, punctuation, and the ways to write a number.

    JSON values count by what they are: numbers by their value, objects whatever the order of their fields.
    """
    if isinstance(answer, bool) or answer is None:
        return str(answer).lower()
    if isinstance(answer, int | float):
        return _number(repr(answer))
    if isinstance(answer, list):
        return "[" + "|".join(same_as(one) for one in answer) + "]"
    if isinstance(answer, dict):
        return "{" + "|".join(f"{key}:{same_as(value)}" for key, value in sorted(answer.items())) + "}"
    text = unicodedata.normalize("NFKC", str(answer)).casefold().replace("\u2212", "-")
    text = _NUMBER.sub(lambda found: f" {_number(found[0])} ", text)
    return _SPACE.sub(" ", _MARKS.sub(" ", text)).strip()


def tally(keys: Sequence[str], weights: Sequence[float]) -> Tally:
    """Count votes, given with the preferred voter first: a tie goes to the answer that it gave, or the next one."""
    sums: dict[str, list[float]] = {}
    for key, weight in zip(keys, weights, strict=True):
        sums.setdefault(key, []).append(weight)
    # Added up exactly, so that the order of the voters makes no difference.
    totals = {key: math.fsum(given) for key, given in sums.items()}
    most = max(totals.values())
    leading = tuple(key for key, total in totals.items() if math.isclose(total, most, rel_tol=1e-9))
    ranked = sorted(totals.items(), key=lambda one: -one[1])
    return Tally(leading[0], tuple(ranked), leading)


def _number(text: str) -> str:
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return text
    if not value.is_finite() or abs(value.adjusted()) > 300:
        return text
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain
