"""What the console says, in English and Portuguese, and how numbers, money and times are written in each.

A text is a pair: English, Portuguese. Pages hold theirs beside their code; those that all share stand in `common`.
"""

from __future__ import annotations

from collections.abc import Mapping

Texts = Mapping[str, tuple[str, str]]
LANGUAGES = ("en", "pt")
#: The cookie that remembers the language chosen.
COOKIE = "comporta_language"
_NAMES = {"en": "en-US", "pt": "pt-BR"}
_NOTHING = "–"


class Words:
    """Texts by key, and values as text. Raises KeyError for a key that there is none of."""

    def __init__(self, language: str, *texts: Texts) -> None:
        self.language = language
        self._at = LANGUAGES.index(language)
        self._texts = texts

    @property
    def locale(self) -> str:
        return _NAMES[self.language]

    def __call__(self, key: str, **values: object) -> str:
        for texts in self._texts:
            if key in texts:
                text = texts[key][self._at]
                return text.format(**values) if values else text
        raise KeyError(f"there is no text '{key}'")

    def number(self, value: float | None, digits: int = 0) -> str:
        """`12,345.6`, in Portuguese `12.345,6`."""
        if value is None:
            return _NOTHING
        text = f"{value:,.{digits}f}"
        return text if self.language == "en" else text.translate(str.maketrans(",.", ".,"))

    def short(self, value: float | None) -> str:
        """`999`, `1.2k`, `3.4M`."""
        if value is None:
            return _NOTHING
        for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
            if abs(value) >= bound:
                amount = value / (1e3 if unit == "k" else bound)
                return self.number(amount, 1 if amount < 100 else 0) + unit
        return self.number(value, 0 if float(value).is_integer() else 1)

    def money(self, microusd: float | None) -> str:
        """Dollars; small amounts with the digits they need."""
        if microusd is None:
            return _NOTHING
        usd = microusd / 1e6
        if usd and abs(usd) < 0.01:
            return "$" + self.number(usd, 6 if abs(usd) < 0.0001 else 4)
        return "$" + (self.short(usd) if abs(usd) >= 100_000 else self.number(usd, 2))

    def share(self, value: float | None, digits: int = 1) -> str:
        """`12.3%` of 0.123."""
        return _NOTHING if value is None else f"{self.number(value * 100, digits)}%"

    def seconds(self, value_s: float | None) -> str:
        """`0.4 ms`, `320 ms`, `1.25 s`, `3 min`, `2.5 h`."""
        if value_s is None:
            return _NOTHING
        if value_s < 1:
            ms = value_s * 1000
            return f"{self.number(ms, 0 if ms >= 10 else 1)} ms"
        if value_s < 120:
            return f"{self.number(value_s, 2 if value_s < 10 else 1)} s"
        if value_s < 7200:
            return f"{self.number(value_s / 60, 0)} min"
        return f"{self.number(value_s / 3600, 1)} h"

    def bytes(self, value: float | None) -> str:
        """`3.4 MB`."""
        if value is None:
            return _NOTHING
        for bound, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= bound:
                return f"{self.number(value / bound, 1)} {unit}"
        return f"{self.number(value)} B"


def language_of(cookies: Mapping[str, str], accepted: str) -> str:
    """The one chosen, else the first that the browser asks for and we speak, else English."""
    chosen = cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    for part in accepted.split(","):
        language = part.split(";")[0].strip()[:2].lower()
        if language in LANGUAGES:
            return language
    return "en"
