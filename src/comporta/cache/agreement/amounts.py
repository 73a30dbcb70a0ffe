"""Numbers, dates, times and amounts of a text in one spelling each, so that `five kilos` is `5 kg` and `5,000 g`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

_SMALL = {
    "zero": 0, "one": 1, "two": 2, "pair": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_SCALES = {"hundred": 100, "thousand": 1_000, "k": 1_000, "million": 10**6, "m": 10**6, "billion": 10**9, "bn": 10**9}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10,
}  # fmt: skip
_FRACTIONS = {"half": Decimal("0.5"), "quarter": Decimal("0.25")}
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
_MONTH = {name[:length]: i for i, name in enumerate(_MONTHS, 1) for length in (3, 9) if name != "may"} | {"sept": 9}
#: A unit -> the one it is counted in, and how many of that it is.
_UNITS: dict[str, tuple[str, Decimal]] = {
    name: (base, Decimal(size))
    for base, sizes in {
        "s": {"1": "s sec secs second seconds", "60": "min mins minute minutes", "3600": "h hr hrs hour hours",
              "86400": "day days", "604800": "week weeks wk wks", "0.001": "ms millisecond milliseconds"},
        "month": {"1": "month months", "12": "year years yr yrs"},
        "g": {"1": "g gram grams", "1000": "kg kilo kilos kilogram kilograms", "0.001": "mg milligram milligrams",
              "1000000": "ton tons tonne tonnes"},
        "lb": {"1": "lb lbs pounds"}, "oz": {"1": "oz ounce ounces"},
        "m": {"1": "meter meters metre metres", "1000": "km kilometer kilometers kilometre kilometres",
              "0.01": "cm centimeter centimeters centimetre centimetres", "0.001": "mm millimeter millimeters"},
        "mi": {"1": "mile miles mi"}, "ft": {"1": "ft foot feet"}, "in": {"1": "inch inches"},
        "l": {"1": "l liter liters litre litres", "0.001": "ml milliliter milliliters millilitre millilitres"},
        "byte": {"1": "byte bytes", "1000": "kb kilobyte kilobytes", "1000000": "mb megabyte megabytes",
                 "1000000000": "gb gig gigs gigabyte gigabytes", "1000000000000": "tb terabyte terabytes"},
        "bit/s": {"1000000": "mbps mbit", "1000000000": "gbps gbit"},
        "%": {"1": "% percent pct"}, "usd": {"1": "$ usd dollar dollars bucks", "0.01": "cent cents"},
        "eur": {"1": "€ eur euro euros"}, "gbp": {"1": "£ gbp quid"}, "brl": {"1": "r$ brl reais real"},
        "c": {"1": "celsius °c"}, "f": {"1": "fahrenheit °f"},
        "w": {"1": "w watt watts", "1000": "kw kilowatt kilowatts"},
        "v": {"1": "v volt volts"}, "px": {"1": "px pixel pixels"}, "kwh": {"1": "kwh"}, "mph": {"1": "mph"},
        "km/h": {"1": "kmh kph"},
    }.items()
    for size, names in sizes.items()
    for name in names.split()
}  # fmt: skip
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_NUMBER = r"\d{1,3}(?:[,\u00a0 ]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)*"
_FIND = re.compile(
    r"(?P<iso>\b\d{4}-\d{1,2}-\d{1,2}\b)|(?P<clock>\b\d{1,2}(?::\d{2}(?::\d{2})?)?\s?[ap]\.?m\b\.?|\b\d{1,2}:\d{2}\b)"
    rf"|(?:(?P<sign>r\$|[$€£])\s?)?(?P<number>{_NUMBER})(?P<ordinal>(?:st|nd|rd|th)\b)?\s?-?(?P<unit>%|°[cf]|[a-z]+)?"
    r"|(?P<word>[a-z]+)"
)


#: Words that are numbers, months or units in the list above, and so are compared there.
NUMBER_WORDS = (
    frozenset(_SMALL) - {"one", "pair"} | frozenset(_TENS) | frozenset(_SCALES) - {"m", "k"} | frozenset(_MONTH)
)


def numbers_of(text: str) -> tuple[str, ...]:
    """All of a plain text's numbers, sorted, as `5`, `5000 g`, `t17:00`, `m3` (March)."""
    return tuple(sorted(_read(_words_to_digits(text))))


def _read(text: str) -> Iterator[str]:
    for match in _FIND.finditer(text):
        kind = match.lastgroup
        if match["iso"]:
            year, month, day = match["iso"].split("-")
            yield from (year, f"m{int(month)}", str(int(day)))
        elif match["clock"]:
            yield _clock(match["clock"])
        elif match["number"]:
            yield from _amount(match)
        elif kind == "word" and match["word"] in _MONTH:
            yield f"m{_MONTH[match['word']]}"


def _clock(text: str) -> str:
    digits = re.findall(r"\d+", text)
    hour, minute = int(digits[0]), int(digits[1]) if len(digits) > 1 else 0
    if "p" in text and hour < 12:
        hour += 12
    elif "a" in text and hour == 12:
        hour = 0
    return f"t{hour:02}:{minute:02}"


def _amount(match: re.Match[str]) -> Iterator[str]:
    value = _value(match["number"])
    unit = match["sign"] or match["unit"] or ""
    if unit in _SCALES:
        value, unit = value * _SCALES[unit], ""
    if unit in _UNITS:
        base, size = _UNITS[unit]
        yield f"{_shown(value * size)} {base}"
        return
    yield _shown(value)
    if unit in _MONTH:
        yield f"m{_MONTH[unit]}"


def _value(text: str) -> Decimal:
    if re.fullmatch(r"\d{1,3}(?:[,\u00a0 ]\d{3})+(?:\.\d+)?", text):
        text = re.sub(r"[,\u00a0 ]", "", text)
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        # A version or an address, as 1.2.3: its digits are what it is.
        return Decimal(int.from_bytes(text.encode()[:16], "big"))


def _shown(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _words_to_digits(text: str) -> str:
    """Numbers in words as digits; a `one` alone is a pronoun more often than a number, and stays."""
    out: list[str] = []
    value: Decimal | None = None
    for word in re.findall(r"[a-z]+|[^a-z]+", _HYPHEN.sub(" ", text)):
        known = _word_value(word)
        if word.isspace() or (word == "and" and value is not None):
            out.append(word)
        elif known is None and not (word in _SCALES and value is not None):
            value = None
            out.append(word)
        else:
            value = _joined(out, value, word, known)
    return "".join(out)


def _word_value(word: str) -> Decimal | None:
    if word in _SMALL and word not in ("one", "pair"):
        return Decimal(_SMALL[word])
    if word in _TENS:
        return Decimal(_TENS[word])
    if word in _ORDINALS and word not in ("second", "first"):
        return Decimal(_ORDINALS[word])
    return Decimal(1) if word == "hundred" else None


def _joined(out: list[str], value: Decimal | None, word: str, known: Decimal | None) -> Decimal:
    """Write the number that a word makes with what came before in its place."""
    if value is None:
        made = Decimal(100) if word == "hundred" else known or Decimal(0)
    else:
        while out and not out[-1][:1].isdigit():
            out.pop()
        out.pop()
        made = value * _SCALES[word] if word in _SCALES else value + (known or Decimal(0))
    out.append(_shown(made))
    return made
