"""Telephone numbers: how each country writes them, and what `phonenumbers` says of those that only a label names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import phonenumbers

from comporta.guardrails.pii.checks import SHAPE, digits_of

#: Where Comporta's users write from; others are asked of `phonenumbers` where the settings name them.
REGIONS = ("BR", "PT", "ES", "MX", "AR", "CO", "CL", "US", "GB")
_BR_AREA = r"0?(?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])"
_NANP = r"[2-9][0-9]{2}"
#: Region, how its numbers are written, and how likely such a row of digits is one without any label.
_SHAPES: tuple[tuple[str, str, float], ...] = (
    ("BR", rf"\({_BR_AREA}\) ?(?:9[ .]?[0-9]|[2-5])[0-9]{{3}}[ .-]?[0-9]{{4}}", 0.92),
    ("BR", rf"{_BR_AREA}[ .-]9[ .]?[0-9]{{4}}[-.][0-9]{{4}}", 0.9),
    ("BR", rf"{_BR_AREA} 9[ ]?[0-9]{{4}} ?[0-9]{{4}}", 0.65),
    ("BR", rf"{_BR_AREA}[ .-][2-5][0-9]{{3}}-[0-9]{{4}}", 0.75),
    ("BR", r"0[38]00[ .-][0-9]{3}[ .-]?[0-9]{4}", 0.6),
    ("US", rf"(?:1[ .-])?\({_NANP}\)[ .-]?[0-9]{{3}}[ .-]?[0-9]{{4}}", 0.92),
    ("US", rf"(?:1[ .-])?{_NANP}([.-])[2-9][0-9]{{2}}\1[0-9]{{4}}", 0.85),
    ("US", r"(?:001-|1-)?[0-9]{3}([.-])[0-9]{3}\1[0-9]{4}", 0.7),
    ("US", r"\([0-9]{3}\) ?[0-9]{3}-[0-9]{4}", 0.85),
    ("US", rf"(?:1 )?{_NANP} [2-9][0-9]{{2}}[ -][0-9]{{4}}", 0.6),
    ("ES", r"[679][0-9]{2}([ .-])[0-9]{3}\1[0-9]{3}", 0.6),
    ("ES", r"[679][0-9]{2}([ .-])[0-9]{2}\1[0-9]{2}\1[0-9]{2}", 0.8),
    ("PT", r"(?:9[1236]|2[1-9])[0-9] [0-9]{3} [0-9]{3}", 0.6),
    ("MX", r"(?:55|56|33|81)[ .-][0-9]{4}[ .-][0-9]{4}", 0.7),
    ("MX", r"\([0-9]{2,3}\) ?[0-9]{3,4}[ .-]?[0-9]{4}", 0.85),
    ("AR", r"(?:\(0?11\) ?|0?11[ -])(?:15[ -])?[2-9][0-9]{3}[ -][0-9]{4}", 0.8),
    ("AR", r"\(0?[0-9]{3,4}\) ?(?:15[ -]?)?[0-9]{2,3}[ -]?[0-9]{4}", 0.8),
    ("CO", r"3[0-5][0-9] [0-9]{3} [0-9]{4}", 0.65),
    ("CL", r"9 [0-9]{4} [0-9]{4}", 0.65),
    ("GB", r"(?:0[0-9]{2}|\(0[0-9]{2}\))[ -][0-9]{4}[ -][0-9]{4}", 0.8),
    ("GB", r"(?:0[0-9]{3}|\(0[0-9]{3}\))[ -][0-9]{3}[ -][0-9]{4}|0[0-9]{4} [0-9]{3} ?[0-9]{3}", 0.8),
    ("GB", r"07[0-9]{3} [0-9]{6}", 0.85),
)
_BREAK = re.compile(r"[0-9)]( +)(?=[0-9(])")

#: RE2's words for anything that may be one.
GROUPED = (
    r"(?:\(0?[0-9]{1,4}\)|[0-9]{1,5})(?:[ .-]{0,2}\(?[0-9]{1,6}\)?){1,5}"
    r"(?:,? ?(?:[xX]|(?i:ext)\.?|(?i:ramal)) ?[0-9]{1,5})?"
)
ABROAD = r"\+ ?\(?[0-9]{1,4}\)?(?:[ .()/-]{0,2}[0-9]){6,13}"


def abroad(text: str) -> float:
    """With its country's number in front: as long as numbers of that country are."""
    if not 8 <= len(digits_of(text)) <= 15:
        return 0.0
    try:
        number = phonenumbers.parse("+" + digits_of(text), None)
    except phonenumbers.NumberParseException:
        return 0.0
    return 0.95 if phonenumbers.is_possible_number(number) else SHAPE


def national(regions: Sequence[str]) -> Callable[[str], float]:
    """A check of numbers as they are written within these countries (ISO 3166 letters)."""
    shapes = tuple((re.compile(pattern), sure) for region, pattern, sure in _SHAPES if region in regions)
    others = tuple(region for region in regions if region not in REGIONS)

    def check(text: str) -> float:
        for pattern, sure in shapes:
            if pattern.match(text) is not None and pattern.fullmatch(_without_extension(text)) is not None:
                return sure
        count = len(digits_of(text))
        if not 7 <= count <= 15:
            return 0.0
        return 0.7 if others and not text.isdigit() and any(_valid(text, region) for region in others) else SHAPE

    return check


def _without_extension(text: str) -> str:
    return re.split(r",? ?(?:[xX]|(?i:ext|ramal))", text, maxsplit=1)[0]


def _valid(text: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False
