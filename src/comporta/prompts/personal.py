"""Personal data that a prompt's text should not hold: people's e-mail addresses, CPF numbers, card numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

_EMAIL = re.compile(r"(?<![\w.+-])([A-Za-z0-9._%+-]{1,64})@((?:[A-Za-z0-9-]{1,63}\.){1,6}([A-Za-z]{2,24}))(?![\w-])")
_CPF = re.compile(r"(?<![\d.-])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![\d-])")
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Addresses of a place, not of a person, and domains that belong to nobody (RFC 2606).
_PLACES = _set(
    "support help contact info sales hello team office admin billing press jobs careers privacy security noreply "
    "no-reply suporte ajuda contato vendas atendimento sac financeiro ouvidoria privacidade soporte ayuda contacto "
    "ventas atencion privacidad"
)
_NOBODYS = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost)\Z", re.IGNORECASE)


def found(text: str) -> Iterator[str]:
    """The kinds of personal data in a text, each once, never the data itself."""
    if any(_is_persons(one[1], one[2]) for one in _EMAIL.finditer(text)):
        yield "an e-mail address"
    if any(_is_cpf(re.sub(r"\D", "", one[0])) for one in _CPF.finditer(text)):
        yield "a CPF number"
    if any(_is_card(re.sub(r"\D", "", one[0])) for one in _CARD.finditer(text)):
        yield "a card number"


def _is_persons(name: str, domain: str) -> bool:
    return name.lower() not in _PLACES and not _NOBODYS.search(domain)


def _is_cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    return all(_check_digit(digits[:length]) == int(digits[length]) for length in (9, 10))


def _check_digit(digits: str) -> int:
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True))
    return total * 10 % 11 % 10


def _is_card(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
