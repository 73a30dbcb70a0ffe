"""The JSON of an answer: the whole text, or (where asked for) what stands in a code fence or among words."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_FENCE = re.compile(r"```[a-zA-Z0-9]*[ \t]*\r?\n(.*?)```", re.DOTALL)
#: So many openings are tried among words: an answer of a thousand braces is none to take JSON from.
_MOST_TRIED = 50


def json_of(text: str, *, anywhere: bool = False) -> Any:
    """The value that the text is. `anywhere` takes it from a fence or from among words as well.

    Raises ValueError with a sentence that says why there is none.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        inside = _inside(text)
        if inside is None:
            raise ValueError(f"the answer is no JSON ({error})") from None
        if not anywhere:
            raise ValueError(
                "the answer is no JSON as it stands: the JSON stands in a code fence or among words, which "
                "`anywhere: true` would take"
            ) from None
        return inside[0]


def _inside(text: str) -> tuple[Any] | None:
    for fence in _FENCE.finditer(text):
        try:
            return (msgspec.json.decode(fence[1]),)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            continue
    return _among_words(text)


def _among_words(text: str) -> tuple[Any] | None:
    decoder = json.JSONDecoder()
    tried, begin = 0, 0
    while tried < _MOST_TRIED and (opening := re.compile(r"[{\[]").search(text, begin)) is not None:
        tried += 1
        try:
            found, begin = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            begin = opening.start() + 1
            continue
        # A bracketed number is a footnote.
        if isinstance(found, dict):
            return (found,)
    return None
