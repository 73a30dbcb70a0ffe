"""How many tokens a text is: counted where the tokenizer's own table is at hand, else estimated for the model's family.

An estimate is for display, for cutting and for choosing, not for the bill: `bench/tokens.py` shows how far off it is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

from comporta.text.token_families import DEFAULT, family_of
from comporta.text.token_pieces import classes, is_foreign, pieces
from comporta.text.token_tables import Tables

#: What a piece of no known class comes to.
_UNKNOWN = 1.0


class Count(Struct, frozen=True):
    """How many tokens, and how that is known: `exact` by a table, or an estimate for the family `by`."""

    tokens: int
    exact: bool
    by: str

    @property
    def how(self) -> Literal["table", "estimate"]:
        return "table" if self.exact else "estimate"


class Counter:
    """Counts with the tables that are at hand; without any it estimates."""

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = tables if tables is not None and tables.families else None

    def count(self, text: str, model: str | None = None) -> Count:
        """The tokens of a text for a model, named as in a call; without a name, for the newest public table."""
        family = family_of(model)
        counting = None if self.tables is None else self.tables.of(family)
        if counting is not None:
            return Count(counting(text), True, family)
        return Count(estimate(text, family), False, family)


def count(text: str, model: str | None = None) -> Count:
    """An estimate of a text's tokens for a model."""
    family = family_of(model)
    return Count(estimate(text, family), False, family)


def estimate_tokens(text: str) -> int:
    """About how many tokens a current model makes of a text."""
    return estimate(text, DEFAULT)


def estimate(text: str, family: str) -> int:
    """About how many tokens the tokenizers of a family make of a text."""
    if not text:
        return 0
    rates = _rates()[family]
    found = pieces(text)
    foreign = is_foreign(found)
    total = 0.0
    for piece, times in found.items():
        for name, size in classes(piece, foreign):
            total += times * size * rates.get(name, _UNKNOWN)
    return max(math.ceil(total - 0.5), 1)


@lru_cache(1)
def _rates() -> dict[str, dict[str, float]]:
    """By family the mean tokens of each class of pieces; made by `tools/token_rates.py`."""
    text = files("comporta.text").joinpath("token_rates.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, dict[str, float]])
