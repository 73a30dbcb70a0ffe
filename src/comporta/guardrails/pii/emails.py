"""E-mail addresses, also those that are written so that machines shall not read them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from comporta.guardrails.base import Match

AT_HINT = "@"
SPELT_HINT = r"(?i:[\[({] ?(?:at|arroba|@) ?[\])}]| arroba | at [\pL\pN-]+ [\[({]?(?:dot|punto|ponto)[\])}]? )"
_LOCAL = r"\w.!#$%&*+/=?^`{|}~'-"
_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])(?P<local>[\w!#$%&*+=?^~'-][\w.!#$%&*+=?^~'-]{{0,63}})@"
    r"(?P<domain>[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.[^\W_](?:[\w-]{0,61}[^\W_])?){1,6})"
)
#: «ana (at) example (dot) com», «ana arroba example punto com».
_SPELT = re.compile(
    r"(?<!\w)(?P<local>[\w.+-]{1,64}) ?(?:[\[({] ?(?:at|arroba|@) ?[\])}]| (?:at|arroba) ) ?"
    r"(?P<domain>[\w-]{1,63}"
    r"(?: ?(?:[\[({] ?(?:dot|punto|ponto|\.) ?[\])}]| (?:dot|punto|ponto) |\.) ?[a-z][\w-]{1,62}){1,4})",
    re.IGNORECASE,
)
_SIGNED = re.compile(r"[\[({]|[ ](?:dot|punto|ponto) ", re.IGNORECASE)
#: What stands behind an `@` in names of files and packages.
_FILES_WORDS = """
png jpg jpeg gif svg webp css js ts mjs json html htm py rb go java md txt pdf xml yml yaml
"""
_FILES = frozenset(_FILES_WORDS.split())


def emails(plain: str, low: str) -> Iterator[Match]:
    """Every e-mail address; those inside a URL with a password are left to what looks for secrets."""
    for found in _EMAIL.finditer(plain):
        if _real(found["domain"]) and not _in_address(plain, found):
            yield Match(found.start(), found.end(), "EMAIL", 0.97)


def spelt_emails(plain: str, low: str) -> Iterator[Match]:
    """Addresses whose signs are written as words."""
    for found in _SPELT.finditer(plain):
        if len(found["local"]) > 1 and (_SIGNED.search(found.group()) or " arroba " in found.group().lower()):
            yield Match(found.start(), found.end(), "EMAIL", 0.85)


def _real(domain: str) -> bool:
    last = domain.rpartition(".")[2]
    return len(last) >= 2 and not any(c.isdigit() or c == "_" for c in last) and last.lower() not in _FILES


def _in_address(plain: str, found: re.Match[str]) -> bool:
    if found["local"] == "git" and plain[found.end() : found.end() + 1] in (":", "/"):
        return True
    lead = plain[max(0, found.start() - 80) : found.start()]
    word = lead.rsplit(None, 1)[-1] if lead and not lead[-1].isspace() else ""
    return "://" in word and "?" not in word
