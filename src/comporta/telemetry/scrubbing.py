"""Takes secrets out of text before it is kept: those we know by value, and those that look like one.

Nearly all text holds none. So one quick search looks for what no secret can be without, starting at letters that are
rare in prose, and tells in a few microseconds that there is nothing to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

SCRUBBED = "[SECRET]"
#: Shorter values would be taken out of ordinary text.
MIN_SECRET_LENGTH = 8


class Shape(Struct, frozen=True):
    """A kind of secret: a text it can't be without, what it looks like, and what stands in its place."""

    needle: str
    pattern: re.Pattern[str]
    instead: str = SCRUBBED
    #: What must follow the needle before anything is worth a closer look.
    after: str = ""


#: Letters that are rare in prose. Each needle but one holds one of them, and is looked for there only.
_RARE = "-_JKRz"


def _word(prefix: str, rest: str) -> Shape:
    """A key that starts a word. An escaped line break in JSON text (`\\nsk-…`) is the start of a word too."""
    literal = re.escape(prefix)
    start = rf"(?:(?<![A-Za-z0-9]{literal})|(?<=\\[nrtbf]{literal})|(?<=\\u[0-9a-f]{{4}}{literal}))"
    return Shape(prefix, re.compile(literal + start + rest), after=rest)


_BEARER = re.compile(r"(?i:(bearer)) +[A-Za-z0-9._~+/-]{12,}=*")
_PRIVATE_KEY = re.compile(
    r'-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----(?:(?!-----)[^"]){0,16384}(?:-----END [A-Z0-9 ]{0,30}KEY-----)?'
)

SHAPES = (
    _word("sk-", r"[A-Za-z0-9_-]{16,}"),
    _word("cmp-", r"[A-Za-z0-9_-]{16,}"),
    _word("AIza", r"[A-Za-z0-9_-]{20,}"),
    _word("hf_", r"[A-Za-z0-9]{16,}"),
    _word("gsk_", r"[A-Za-z0-9]{16,}"),
    _word("xai-", r"[A-Za-z0-9]{16,}"),
    _word("ghp_", r"[A-Za-z0-9]{20,}"),
    _word("github_pat_", r"[A-Za-z0-9_]{20,}"),
    _word("AKIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _word("xoxb-", r"[A-Za-z0-9-]{10,}"),
    _word("xoxp-", r"[A-Za-z0-9-]{10,}"),
    _word("eyJ", r"[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    Shape("earer ", _BEARER, rf"\1 {SCRUBBED}"),
    Shape("EARER ", _BEARER, rf"\1 {SCRUBBED}"),
    Shape("PRIVATE KEY-----", _PRIVATE_KEY),
)


def _searches(shapes: Iterable[Shape]) -> dict[str, re.Pattern[bytes]]:
    """One expression for each rare letter and all needles with it, beginning with the letter.

    What stands before the letter is looked at next, since most places are ruled out by that.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for shape in shapes:
        at = next((i for i, letter in enumerate(shape.needle) if letter in _RARE), None)
        if at is not None:
            after = re.escape(shape.needle[at + 1 :]) + shape.after
            found.setdefault(shape.needle[at], []).append((shape.needle[: at + 1], after))
    return {letter: _search(letter, needles) for letter, needles in found.items()}


def _search(letter: str, needles: list[tuple[str, str]]) -> re.Pattern[bytes]:
    literal = re.escape(letter)
    before = "".join(sorted({text[-2] for text, _ in needles}))
    each = "|".join(f"(?<={re.escape(text)}){after}" for text, after in needles)
    return re.compile(f"{literal}(?<=[{before}]{literal})(?:{each})".encode())


class Scrubber:
    """Removes secrets from text. `secrets` are values known to be secret: credentials, the admin key."""

    def __init__(self, secrets: Iterable[str] = (), shapes: tuple[Shape, ...] = SHAPES) -> None:
        self._shapes = shapes
        #: A letter as a number is looked for by memchr, ten times as fast as by an expression.
        self._searches = tuple((ord(letter), pattern.search) for letter, pattern in _searches(shapes).items())
        self._common = tuple(s.needle.encode() for s in shapes if not set(s.needle) & set(_RARE))
        self._known: tuple[str, ...] = ()
        self._needles: tuple[bytes, ...] = self._common
        self.know(secrets)

    def know(self, secrets: Iterable[str]) -> None:
        """Add values to take out; those known before stay known, since a rotated credential is still one."""
        spellings = {s for secret in secrets if len(secret) >= MIN_SECRET_LENGTH for s in _spellings(secret)}
        # The longest first: a secret that holds another one goes as a whole.
        self._known = tuple(sorted(spellings | set(self._known), key=len, reverse=True))
        plain = (text.encode("utf-8", "surrogatepass") for text in self._known)
        # A secret that has a shape's look is found by that.
        self._needles = (*self._common, *(n for n in plain if not self._looks_it(n)))

    def suspects(self, data: bytes) -> bool:
        """Whether encoded text may hold a secret. Never False where `scrub` would change something."""
        for needle in self._needles:
            if needle in data:
                return True
        return self._looks_it(data)

    def _looks_it(self, data: bytes) -> bool:
        # Plain loops, here and above: this runs on every record, and a generator costs more than a search.
        for letter, search in self._searches:  # noqa: SIM110
            if letter in data and search(data):
                return True
        return False

    def scrub(self, text: str) -> str:
        """The text without its secrets."""
        if not self.suspects(text.encode("utf-8", "surrogatepass")):
            return text
        for secret in self._known:
            text = text.replace(secret, SCRUBBED)
        for shape in self._shapes:
            if shape.needle in text:
                text = shape.pattern.sub(shape.instead, text)
        return text

    def scrub_all(self, value: Any) -> Any:
        """The same for every text inside lists and mappings, their keys included."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {self.scrub_all(k): self.scrub_all(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.scrub_all(v) for v in value])
        return value


def _spellings(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as it stands in JSON text and in JSON text inside JSON text (arguments of a tool)."""
    once = json.dumps(secret, ensure_ascii=False)[1:-1]
    return secret, once, json.dumps(once, ensure_ascii=False)[1:-1]
