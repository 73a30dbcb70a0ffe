"""What a question wants to hear (a number, a time, a person, a place) and whether an answer is of that sort."""

from __future__ import annotations

import re
from typing import Literal

from comporta.guardrails.grounding.reading import Reading
from comporta.text.normal import normalise, without_accents

Sort = Literal["number", "time", "person", "place", "reason", "choice", "yes", "other"]

_SORTS: tuple[tuple[Sort, re.Pattern[str]], ...] = (
    ("choice", re.compile(r"\b(?:or|ou)\b[^?]*\?|\b(?:cual|which|qual)\b[^?]* o [^?]*\?")),
    ("time", re.compile(
        r"\b(?:when|quando|cuando|what (?:year|date|day|month|century|decade)"
        r"|(?:em|en) (?:que|qual|cual) (?:ano|data|dia|mes|seculo|epoca|fecha|siglo|decada)"
        r"|(?:que|qual|cual) (?:o |a |la |el )?(?:ano|data|fecha|seculo|siglo))\b")),
    ("number", re.compile(
        r"\b(?:how (?:many|much|old|long|far|tall|big|large|high)|quant[oa]s?|cuant[oa]s?"
        r"|what (?:percentage|number|size|age)|(?:qual|cual|que) (?:e |es |era |foi |fue )?(?:a |o |el |la )?"
        r"(?:percentagem|porcentagem|porcentaje|numero|populacao|poblacion|idade|edad|quantidade|cantidad))\b")),
    ("person", re.compile(
        r"\b(?:who|whom|whose|quem|quien|quienes|de quem|what (?:actor|singer|author|director|player))\b")),
    ("place", re.compile(
        r"\b(?:where|onde|aonde|donde|adonde|(?:what|which|que|qual|cual)(?: [a-z]+)? (?:city|country|state|town"
        r"|cidade|pais|estado|ciudad|lugar|place|location|regiao|region))\b")),
    ("reason", re.compile(r"\b(?:why|por ?que|how|como|what does|o que|explain|explique)\b")),
    ("yes", re.compile(r"^(?:is|are|was|were|do|does|did|can|has|have|had|will)\b")),
)  # fmt: skip
_TIME = re.compile(
    r"^(?:[12]\d{3}s?|m\d\d?|secul|siglo|centu|decad|ano|anos|ans|years?|days?|dias?|mes|meses|month|week|seman|horas?"
    r"|hours?|manha|mana|notte|noite|noche|night|today|hoje|hoy|prima|veran|verao|inver|outon|otono|summe|winte|sprin)$"
)


def sort_of(question: str) -> Sort:
    """What a question asks for. `other` where that can't be told."""
    plain = without_accents(normalise(question))[:600]
    return next((sort for sort, pattern in _SORTS if pattern.search(plain)), "other")


def misfit(sort: Sort, answer: Reading) -> float:
    """0 where the answer may be of that sort (or nothing can be told), 1 where it lacks what was asked for."""
    if sort == "number":
        return 0.0 if answer.numbers else 1.0
    if sort == "time":
        timely = any(_TIME.match(piece) for piece in answer.run) or bool(answer.numbers)
        return 0.0 if timely else 1.0
    if sort in ("person", "place"):
        if answer.names:
            return 0.0
        return 1.0 if answer.numbers or not answer.stems else 0.5
    if sort == "reason":
        return 0.5 if len(answer.stems) <= 2 and (answer.numbers or answer.names) else 0.0
    return 0.0


def bare(sort: Sort, answer: Reading) -> float:
    """1 where a short answer is of a sort that was not asked for: a number to a question about something else."""
    if sort in ("number", "time", "choice") or len(answer.stems) > 4:
        return 0.0
    numeric = bool(answer.numbers) and len(answer.numbers) >= len(answer.stems) / 2
    return 1.0 if numeric else 0.0
