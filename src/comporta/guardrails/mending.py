"""JSON as models write it, led back to JSON by rules: fences, words around it, quotes, commas, comments, a cut end."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_SPACE = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_BLANK = re.compile(r"\s*")
_BARE = re.compile(r"[^\s,:{}\[\]\"'`]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")
_WORDS: dict[str, Any] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None, "undefined": None,
    "NaN": None, "nan": None,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_QUOTES = {'"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "`": "`"}
#: Deeper than anything that is meant.
_DEEPEST = 100
_LONGEST = 1_000_000


class NoJSON(ValueError):
    """There is no JSON in it that rules could find."""


def parsed(text: str) -> Any:
    """The value of strict JSON. Raises NoJSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise NoJSON("is no JSON") from None


def mended(text: str) -> str:
    """Strict JSON out of a text that nearly is; the text itself where it is already. Raises NoJSON.

    Values are kept as they are written; a string or list that was cut ends where it was cut.
    """
    text = text.strip().removeprefix("\ufeff")[:_LONGEST]
    for candidate in _candidates(text):
        try:
            parsed(candidate)
        except NoJSON:
            continue
        return candidate
    for candidate in _candidates(text):
        if candidate[:1] in ("{", "["):
            return _written(_Reader(candidate).value(0))
    raise NoJSON("holds no JSON")


def _written(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeError:
        raise NoJSON("holds halves of characters") from None


def _candidates(text: str) -> list[str]:
    found = [text]
    fenced = _FENCE.search(text)
    if fenced is not None:
        found.append(fenced[1].strip())
    inside = found[-1]
    first = min((at for sign in "{[" if (at := inside.find(sign)) >= 0), default=-1)
    if first >= 0:
        last = inside.rfind("}" if inside[first] == "{" else "]")
        found += [inside[first : last + 1]] if last > first else []
        found.append(inside[first:])
    return [one for one in found if one]


class _Reader:
    """Reads what is nearly JSON. Never raises but for depth: what can't be made sense of is passed over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise NoJSON(f"is nested more than {_DEEPEST} deep")
        sign = self._next()
        if sign == "{":
            return self._object(depth)
        if sign == "[":
            return self._list(depth)
        if sign in _QUOTES:
            return self._string()
        return self._word()

    def _next(self) -> str:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        found: dict[str, Any] = {}
        while (sign := self._next()) not in ("}", ""):
            if sign in (",", ":", "]"):
                self._at += 1
                continue
            key = self._string() if sign in _QUOTES else str(self._bare())
            if self._next() != ":":
                # A key that was cut, or a value that nothing names.
                continue
            self._at += 1
            if self._next() == "":
                break
            found[key] = self.value(depth + 1)
        self._at += 1
        return found

    def _list(self, depth: int) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while (sign := self._next()) not in ("]", ""):
            if sign in (",", ":", "}"):
                self._at += 1
                continue
            found.append(self.value(depth + 1))
        self._at += 1
        return found

    def _string(self) -> str:
        text, close = self._text, _QUOTES[self._text[self._at]]
        self._at += 1
        parts: list[str] = []
        while self._at < len(text):
            sign = text[self._at]
            if sign == "\\":
                parts.append(self._escape())
                continue
            self._at += 1
            if sign == close and self._closes():
                break
            parts.append(sign)
        return "".join(parts)

    def _closes(self) -> bool:
        """Whether a quote ends the string: what follows must be what may follow a string."""
        found = _BLANK.match(self._text, self._at)
        end = found.end() if found else self._at
        return self._text[end : end + 1] in (",", ":", "}", "]", "")

    def _escape(self) -> str:
        sign = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if sign == "u":
            digits = self._text[self._at : self._at + 4]
            if re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                self._at += 4
                code = int(digits, 16)
                return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"
            return "u"
        return _ESCAPES.get(sign, sign)

    def _bare(self) -> str:
        found = _BARE.match(self._text, self._at)
        if found is None:
            self._at += 1
            return ""
        self._at = found.end()
        return found.group()

    def _word(self) -> Any:
        word = self._bare()
        if word in _WORDS:
            return _WORDS[word]
        if _NUMBER.match(word):
            try:
                return msgspec.json.decode(word)
            except msgspec.DecodeError:
                return word
        return word
