"""Rules for a value as people write them: `string, max 100 chars`, `number between 1 and 5`, `one of: low, high`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

from msgspec import Struct, structs

from comporta.prompts.values import Rules, Type

KNOWN = (
    "a type (string, number, integer, boolean, list, object, image), max 100 chars, min 3 chars, 3-100 chars, "
    "max 5 items, max 10, min 1, between 1 and 5, one of: a, b, c, matches <regular expression>, email, url, date, "
    "uuid, not empty, required, optional"
)

LONGEST = 500
_NUMBER = r"(-?[0-9][0-9,_]*(?:\.[0-9]+)?)"
_CHARS = r"\s*(?:chars?|characters?|letters?|caracteres?|letras?)"
_ITEMS = r"\s*(?:items?|entries|elements?|itens|elementos?|valores)"
_MOST = r"(?:max(?:imum)?\.?|máx(?:imo)?\.?|at most|up to|no more than|até|hasta|<=|≤)(?:\s+(?:length|of|de))*\s*:?\s*"
_LEAST = (
    r"(?:min(?:imum)?\.?|mín(?:imo)?\.?|at least|no less than|pelo menos|al menos|>=|≥)(?:\s+(?:length|of|de))*\s*:?\s*"
)
_BETWEEN = r"(?:between|entre)?\s*" + _NUMBER + r"\s*(?:and|to|e|y|a|-|–|\.\.)\s*" + _NUMBER
_TYPES: dict[str, Type] = {
    **{name: name for name in get_args(Type)},
    "text": "string", "str": "string", "texto": "string", "numeric": "number", "float": "number", "número": "number",
    "numero": "number", "bool": "boolean", "array": "list", "lista": "list", "dict": "object", "mapping": "object",
    "objeto": "object", "imagem": "image", "imagen": "image",
}  # fmt: skip
_INTEGER = ("integer", "int", "whole number", "inteiro", "entero")
_FORMATS: dict[str, Literal["email", "url", "date", "uuid"]] = {
    "email": "email", "e-mail": "email", "valid email": "email", "url": "url", "valid url": "url", "uri": "url",
    "date": "date", "iso date": "date", "uuid": "uuid",
}  # fmt: skip
_REST = re.compile(r"^(.*?)(?:^|[,;]\s*)(one of|um de|uno de|any of|matches|pattern|regex)\s*:?\s*(.+)$", re.I | re.S)


class Said(Struct, frozen=True):
    """What the words come to; None is what they don't say."""

    rules: Rules = Rules()
    type: Type | None = None
    required: bool | None = None


class Unclear(Exception):
    """A word that means no rule; the text is the word."""


def understood(text: str, kind: Type | None = None) -> Said:
    """The rules in words as rules; `kind` is the type as it was said elsewhere. Raises Unclear."""
    if len(text) > LONGEST:
        raise Unclear(f"{text[:40]}…")
    said = Said(type=kind)
    for clause in _clauses(text):
        found = _read(clause, said)
        if found is None:
            # A type may lead its rule: number between 1 and 5.
            head, _, rest = clause.partition(" ")
            typed = _plain_word(head, said)
            found = None if typed is None else _read(rest.strip(), typed)
        if found is None:
            raise Unclear(clause)
        said = found
    return said


def _read(clause: str, said: Said) -> Said | None:
    for read in (_plain_word, _length, _items, _size, _rest):
        found = read(clause, said)
        if found is not None:
            return found
    return None


def _clauses(text: str) -> Iterator[str]:
    """The words between commas; a choice and a pattern reach to the end, since they hold commas themselves."""
    match = _REST.match(text)
    head, rest = (match[1], f"{match[2]}: {match[3]}") if match else (text, "")
    # No comma of a number: 1,000 chars.
    yield from (one.strip() for one in re.split(r"[,;](?![0-9]{3}\b)", head) if one.strip())
    if rest:
        yield rest


def _ruled(said: Said, **rules: Any) -> Said:
    return structs.replace(said, rules=structs.replace(said.rules, **rules))


def _plain_word(clause: str, said: Said) -> Said | None:
    word = clause.lower()
    if word in _INTEGER:
        return structs.replace(_ruled(said, integer=True), type="number")
    if word in _TYPES:
        return structs.replace(said, type=_TYPES[word])
    if word in _FORMATS:
        return _ruled(said, format=_FORMATS[word])
    if word in ("required", "obrigatório", "obrigatorio", "obligatorio", "optional", "opcional"):
        return structs.replace(said, required=not word.startswith("op"))
    if word in ("not empty", "non-empty", "nonempty", "não vazio", "no vacío"):
        return _ruled(said, **{"min_items" if said.type in ("list", "object") else "min_length": 1})
    return None


def _bounds(clause: str, unit: str) -> tuple[float | None, float | None] | None:
    """Least and most of a clause that speaks of this unit."""
    forms: tuple[tuple[str, Callable[[re.Match[str]], tuple[float | None, float | None]]], ...] = (
        (_MOST + _NUMBER, lambda m: (None, _value(m[1]))),
        (_LEAST + _NUMBER, lambda m: (_value(m[1]), None)),
        (_BETWEEN, lambda m: (_value(m[1]), _value(m[2]))),
    )
    for form, bounds in forms:
        if match := re.fullmatch(form + unit, clause, re.IGNORECASE):
            return bounds(match)
    if unit and (match := re.fullmatch(_NUMBER + unit + r"\s*(?:max|at most|máx)?\.?", clause, re.IGNORECASE)):
        return None, _value(match[1])
    return None


def _value(text: str) -> float:
    number = float(re.sub(r"[,_]", "", text))
    return int(number) if number.is_integer() else number


def _counted(clause: str, said: Said, unit: str, least: str, most: str) -> Said | None:
    found = _bounds(clause, unit)
    if found is None:
        return None
    counts = {name: value for name, value in zip((least, most), found, strict=True) if value is not None}
    if any(not isinstance(value, int) or value < 0 for value in counts.values()):
        raise Unclear(clause)
    return _ruled(said, **counts)


def _length(clause: str, said: Said) -> Said | None:
    return _counted(clause, said, _CHARS, "min_length", "max_length")


def _items(clause: str, said: Said) -> Said | None:
    return _counted(clause, said, _ITEMS, "min_items", "max_items")


def _size(clause: str, said: Said) -> Said | None:
    """A bound without a unit means what the type has: characters of a text, items of a list, else the number."""
    if said.type == "string":
        return _counted(clause, said, "", "min_length", "max_length")
    if said.type in ("list", "object"):
        return _counted(clause, said, "", "min_items", "max_items")
    found = _bounds(clause, "")
    if found is None:
        return None
    bounds = {name: bound for name, bound in zip(("minimum", "maximum"), found, strict=True) if bound is not None}
    return _ruled(structs.replace(said, type="number"), **bounds)


def _rest(clause: str, said: Said) -> Said | None:
    word, _, rest = clause.partition(":")
    if not rest.strip():
        return None
    if word.strip().lower() in ("matches", "pattern", "regex"):
        return _ruled(said, pattern=rest.strip().strip("/"))
    if word.strip().lower() in ("one of", "um de", "uno de", "any of"):
        choices = [one.strip().strip("'\"[]") for one in re.split(r"[,|]", rest)]
        return _ruled(said, one_of=tuple(one for one in choices if one))
    return None
