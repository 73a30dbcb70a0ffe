"""E-mail addresses, also those that are written so that machines shall not read them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from comporta.guardrails.base import Match

AT_HINT = r"@|(?i:[\[({ ](?:at|arroba)[\])} ])"
_LOCAL = r"\w.!#$%&*+/=?^`{|}~'-"
_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])(?P<local>[\w!#$%&*+=?^~'-][\w.!#$%&*+=?^~'-]{{0,63}})@"
    r"(?P<domain>[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.[^\W_](?:[\w-]{0,61}[^\W_])?){1,6})"
)
#: «ana (at) example (dot) com», «ana arroba example punto com».
_SPELT = re.compile(
    r"(?<!\w)(?P<local>[\w.+-]{1,64}) ?(?:[\[({] ?(?:at|arroba|@) ?[\])}]| (?:at|arroba) ) ?"
    r"(?P<domain>[\w-]{1,63}(?: ?(?:[\[({] ?(?:dot|punto|ponto|\.) ?[\])}]| (?:dot|punto|ponto) |\.) ?[a-z][\w-]{1,62}){1,4})",
    re.IGNORECASE,
)
_DOTS = re.compile(r"[\[({ ](?:dot|punto|ponto)[\])} ]", re.IGNORECASE)
#: What stands behind an `@` in names of files and packages.
_FILES = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "mjs", "json", "html", "htm", "py", "rb", "go", "java", "md", "txt", "pdf", "xml", "yml", "yaml"]
)


def emails(plain: str, low: str) -> Iterator[Match]:
    """Every e-mail address; those inside a URL with a password are left to what looks for secrets."""
    if "@" in plain:
        for found in _EMAIL.finditer(plain):
            if _real(found["domain"]) and not _in_address(plain, found):
                yield Match(found.start(), found.end(), "EMAIL", 0.97)
    if "arroba" in low or "at)" in low or "at]" in low or "at}" in low or " at " in low:
        for found in _SPELT.finditer(plain):
            spelt = _DOTS.search(found["domain"]) or "[" in found.group() or "(" in found.group()
            if (spelt or "arroba" in found.group().lower()) and len(found["local"]) > 1:
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
