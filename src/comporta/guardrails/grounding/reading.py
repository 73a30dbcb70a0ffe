"""A text taken to the pieces that claims are compared by: words, their stems, numbers, months and names."""

from __future__ import annotations

import re

from msgspec import Struct

from comporta.text.normal import words
from comporta.text.stopwords import STOP_WORDS

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"[.,](?=\d{3}(?!\d))")
_NAME = re.compile(r"(?<![^\W_])[A-ZÀ-ÖØ-Þ][^\W_]*(?:['’.-][^\W_]+)*")
_BEGINS = re.compile(r"(?:^|[.!?:;…\n]|[-*•])[\s\"'“‘«(¿¡]*$")
#: Words are cut here, so that inflected forms of all three languages meet.
_STEM = 5
_MOST_WORDS = 4_000


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_COUNTS = {
    word: str(number)
    for number, spellings in enumerate(
        (
            "zero cero", "one um uma uno una un", "two dois duas dos", "three tres", "four quatro cuatro",
            "five cinco", "six seis", "seven sete siete", "eight oito ocho", "nine nove nueve", "ten dez diez",
            "eleven onze once", "twelve doze doce",
        )
    )
    for word in spellings.split()
    # Articles of these languages, and `dos` of Portuguese, count nothing.
    if word not in {"um", "uma", "un", "una", "uno", "dos", "once"}
}  # fmt: skip
_MONTHS = {
    word: f"m{number}"
    for number, spellings in enumerate(
        (
            "january janeiro enero jan", "february fevereiro febrero feb fev", "march marco marzo",
            "april abril apr abr", "may maio mayo", "june junho junio jun", "july julho julio jul",
            "august agosto aug", "september setembro septiembre setiembre sep sept", "october outubro octubre oct out",
            "november novembro noviembre nov", "december dezembro diciembre dec dez dic",
        ),
        start=1,
    )
    for word in spellings.split()
    # Everyday words of one of the languages.
    if word not in {"may", "out", "dez", "march", "jun", "sept"}
}  # fmt: skip
NEGATIONS = _set(
    """no not never none nobody nothing neither nor without cannot can't don't doesn't didn't isn't aren't wasn't
    weren't won't wouldn't hasn't haven't hadn't couldn't shouldn't nao nunca jamais nenhum nenhuma ninguem nada nem
    sem ningun ninguno ninguna nadie tampoco sin ni fails failed false incorrect unable deixou falso falsa"""
)


class Reading(Struct, frozen=True):
    """One text in pieces. `stems` are its words of meaning, in order; `numbers` and `names` those of them that name."""

    stems: tuple[str, ...]
    numbers: frozenset[str]
    names: frozenset[str]
    negations: int
    #: Everything in order, small words too: for places and runs.
    run: tuple[str, ...]


def read(text: str) -> Reading:
    """The pieces of a text; at most its first 4000 words."""
    run = tuple(_canonical(word) for word in words(_joined_numbers(text))[:_MOST_WORDS])
    stems = tuple(stem(word) for word in run if word not in STOP_WORDS)
    return Reading(
        stems=stems,
        numbers=frozenset(word for word in run if word[:1].isdigit()),
        names=frozenset(names_in(text)),
        negations=sum(word in NEGATIONS for word in run),
        run=tuple(stem(word) for word in run),
    )


def names_in(text: str) -> list[str]:
    """Stems of words with a capital that no beginning of a sentence explains, or that stand beside such."""
    found: list[str] = []
    opened: tuple[int, str] | None = None
    for match in _NAME.finditer(text):
        begins = _BEGINS.search(text[max(0, match.start() - 8) : match.start()]) is not None
        word = (words(match.group()) or ("",))[0]
        if not word or word in STOP_WORDS:
            continue
        if begins:
            opened = match.end(), word
            continue
        if opened is not None and text[opened[0] : match.start()] in (" ", "-"):
            found.append(stem(opened[1]))
        opened = None
        found.append(stem(_canonical(word)))
    if opened is not None and opened[0] >= len(text.rstrip(" .!?")) and not found:
        # A text of nothing but one capitalised word is a name itself.
        found.append(stem(opened[1]))
    return found


def stem(word: str) -> str:
    """The beginning of a word; numbers whole."""
    return word if word[:1].isdigit() else word[:_STEM]


def _joined_numbers(text: str) -> str:
    """`1,234`, `1.234` and `1234` become one; a comma before decimals becomes a mark that no word boundary cuts."""
    return _NUMBER.sub(lambda m: _THOUSANDS.sub("", m.group()).replace(",", "x").replace(".", "x"), text)


def _canonical(word: str) -> str:
    return _COUNTS.get(word) or _MONTHS.get(word) or word
