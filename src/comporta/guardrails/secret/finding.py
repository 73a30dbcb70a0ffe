"""Finds secrets in a text: issuers' forms, what the text itself calls a secret, noise beside such a word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import re2
from msgspec import Struct

from comporta.guardrails.base import Match
from comporta.guardrails.looking import Text
from comporta.guardrails.pii.finding import chosen
from comporta.guardrails.secret.assigned import ASSIGNED_HINT, assigned, entropy, hollow
from comporta.guardrails.secret.patterns import CONNECTION, FORMS

SECRET_KINDS = ("API_KEY", "TOKEN", "PASSWORD", "PRIVATE_KEY", "CONNECTION_STRING", "JWT", "WEBHOOK", "SECRET")

_CONNECTION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,80}:(?P<password>[^\s@/\"'<>]{1,120})@")
#: Passwords of documentation: they open nothing.
_SAMPLES_WORDS = """
password pass passwd pwd secret senha contraseña user usuario usuário token
"""
_SAMPLES = frozenset(_SAMPLES_WORDS.split())
_NOISE = re.compile(r"(?<![\w+/.=-])[A-Za-z0-9+/_-]{24,200}={0,2}(?![\w+/=-])")
_NOISE_HINT = r"[A-Za-z0-9+/_-]{24}"
_NEAR = re.compile(
    r"secret|token|credential|credencial|api.?key|chave|clave|senha|password|contraseñ|private|access.?key|segredo|\bkey\b"
)
_PROSE = re.compile(r"sha-?\d*|md5|hash|commit|checksum|digest|uuid|guid|base64|image|etag|fingerprint|integrity|trace")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NEAR_CHARACTERS = 48
#: The entropy (bits a character) of random letters and digits of this length lies above it; that of words below.
_LEAST_ENTROPY = 3.6


class Issued(Struct, frozen=True):
    """A secret and who issued it, as far as its form tells."""

    match: Match
    issuer: str = ""


class Secrets:
    """Finds secrets. `kinds`: those wanted."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._kinds = frozenset(kinds)
        self._forms = tuple((form, re2.compile(form.pattern)) for form in FORMS)
        self._connections = re2.compile(CONNECTION)
        self._hints = re2.Set.SearchSet()
        for hint in (*(form.pattern for form in FORMS), CONNECTION, ASSIGNED_HINT, _NOISE_HINT):
            self._hints.Add(hint)
        self._hints.Compile()

    def find(self, text: Text, least: float) -> list[Issued]:
        """What is in a text from a confidence on: disjoint, in order, in places of the text as it came."""
        plain = text.plain
        hits = self._hints.Match(plain)
        if not hits:
            return []
        found = [
            one for one in self._all(frozenset(hits), plain, text.low)
            if one.match.confidence >= least and one.match.kind in self._kinds
        ]  # fmt: skip
        issuers = {one.match: one.issuer for one in found}
        return [
            Issued(Match(*text.at(m.start, m.end), m.kind, m.confidence), issuers[m])
            for m in chosen([one.match for one in found])
        ]

    def _all(self, hits: frozenset[int], plain: str, low: str) -> Iterator[Issued]:
        count = len(self._forms)
        for hit in sorted(hit for hit in hits if hit < count):
            form, pattern = self._forms[hit]
            for found in pattern.finditer(plain):
                if _alone(plain, found.start(), found.group()):
                    yield Issued(Match(found.start(), found.end(), form.kind, form.confidence), form.issuer)
        if count in hits:
            for found in self._connections.finditer(plain):
                yield from _connection(found.start(), found.group())
        if count + 1 in hits:
            yield from (Issued(match) for match in assigned(plain, low))
        if count + 2 in hits:
            yield from (Issued(match) for match in _noise(plain, low))


def _alone(plain: str, start: int, value: str) -> bool:
    """Not the middle of a longer word, and not a row of one letter as documentation has it."""
    before = plain[start - 1 : start]
    return not ((before.isalnum() or before == "_") and value[0].isalnum()) and len(set(value[-16:])) > 4


def _connection(start: int, text: str) -> Iterator[Issued]:
    found = _CONNECTION.match(text)
    if found is None:
        return
    password = found["password"]
    if password.lower() not in _SAMPLES and not hollow(password):
        text = text.rstrip(".,;:!?)]}")
        yield Issued(
            Match(start, start + len(text), "CONNECTION_STRING", 0.95), found.group().partition(":")[0].lower()
        )


def _noise(plain: str, low: str) -> Iterator[Match]:
    """Letters and digits at random, where the words right before speak of keys and not of hashes."""
    for found in _NOISE.finditer(plain):
        value, before = found.group(), low[max(0, found.start() - _NEAR_CHARACTERS) : found.start()]
        if _NEAR.search(before) and not _PROSE.search(before) and _random(value):
            yield Match(found.start(), found.end(), "SECRET", 0.7)


def _random(value: str) -> bool:
    kinds = (any(c.isdigit() for c in value), any(c.isupper() for c in value), any(c.islower() for c in value))
    if not kinds[0] or not (kinds[1] or kinds[2]) or _UUID.fullmatch(value) or value.count("/") > 3:
        return False
    hexadecimal = all(c in "0123456789abcdefABCDEF" for c in value)
    if hexadecimal:
        return False
    return all(kinds) and entropy(value) >= _LEAST_ENTROPY
