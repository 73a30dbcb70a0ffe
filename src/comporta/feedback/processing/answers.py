"""An answer in figures: how long it is, in which language and form, whether it refuses, whether it was cut."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from comporta.feedback.drift.changes import Floats
from comporta.feedback.drift.values import Column
from comporta.text.language import guess_language
from comporta.text.normal import without_accents

COLUMNS = (
    Column("words", "ratio", 0.25),
    *(Column(name, "share", 0.05) for name in ("refusals", "cut", "json", "list", "code", "en", "pt", "es", "other")),
)
COSTS = (Column("cost", "ratio", 0.2), Column("tokens", "ratio", 0.2))
#: So long is what a refusal begins with.
_BEGINNING = 250
_REFUSALS = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|afraid),? (?:but )?(?:i )?(?:can(?:'|no)t|am not able|am unable|won't)"
    r"|i (?:can(?:'t|not)|won't|am unable to|am not able to|will not) (?:help|assist|provide|do that|answer|comply|"
    r"discuss|share|give|fulfil)"
    r"|(?:sinto muito|desculpe|lamento),? (?:mas )?(?:eu )?nao (?:posso|consigo)"
    r"|nao (?:posso|consigo) (?:ajudar|responder|fornecer|atender|discutir|fazer isso)"
    r"|(?:lo siento|lamento|disculpa|disculpe),? (?:pero )?no (?:puedo|me es posible)"
    r"|no puedo (?:ayudar|ayudarte|ayudarle|responder|proporcionar|hacer eso|hablar))",
)
_LIST = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+\S", re.MULTILINE)
_FENCE = "```"


def refuses(text: str) -> bool:
    """Whether an answer begins as refusals do in English, Portuguese and Spanish: a heuristic."""
    start = without_accents(text[:_BEGINNING]).lower().replace("’", "'")
    return _REFUSALS.search(start) is not None


def figures_of(text: str, refused: bool, cut: bool) -> Floats:
    """The columns of an answer; `refused` and `cut` are what the model itself said of it."""
    language = guess_language(text)
    code = language.code if language.sure >= 0.15 else ""
    shares = (
        refused or refuses(text), cut, _is_json(text), len(_LIST.findall(text)) >= 2, _FENCE in text,
        *(code == one for one in ("en", "pt", "es", "other")),
    )  # fmt: skip
    return np.array([math.log1p(len(text.split())), *map(float, shares)])


def costs_of(cost_microusd: int, tokens: int) -> Floats:
    return np.array([math.log1p(cost_microusd), math.log1p(tokens)])


def cut_of(reply: Any) -> bool:
    """Whether the answer of a record ended for want of room."""
    return isinstance(reply, list) and bool(reply) and isinstance(reply[0], dict) and reply[0].get("finish") == "length"


def _is_json(text: str) -> bool:
    text = text.strip()
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
