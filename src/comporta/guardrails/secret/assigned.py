"""What a text itself calls a password, a key or a token: `password=…`, «a senha é …», `api_key: …`, `Bearer …`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from comporta.guardrails.base import Match

_LOCKS = (
    r"passwords?|passwd|passphrase|passcode|pwd|senhas?|contrase(?:ñ|n|gn)as?|palavra-passe"
    r"|clave(?: de acceso| secreta)?|db_pass|pgpassword"
)
_KEY = (
    r"(?:[a-z0-9]+[_-])*(?:api|secret|access|private|encryption|signing|account|master|subscription|shared|service)"
    r"[ _-]?(?:access[ _-]?)?key"
    r"|apikey|chave (?:de |da |secreta |privada )?(?:api|acesso)|chave secreta"
    r"|clave (?:de |de la )?api|llave (?:de |de la )?api|(?:x-)?api-key"
    r"|(?:[a-z0-9]+_)+key|aws_secret_access_key|secret_key_base"
)
_PASSES = (
    r"(?:[a-z0-9]+[_-])*(?:access|auth|bearer|refresh|api|bot|session|id|personal|security|csrf|secret)"
    r"[ _-]?(?:access[ _-]?)?tokens?|token"
    r"|(?:[a-z0-9]+[_-])*(?:client|app|application|webhook|shared|signing|consumer|jwt)"
    r"[ _-]secret|secret|segredo|secreto"
)
ASSIGNED_HINT = (
    r"(?i)passw|passc|passph|pass ?[:=]|pwd|senha|contrase|palavra-passe|clave|"
    r"db_pass|key|chave|llave|token|secret|segredo|bearer |basic "
)
_BETWEEN = (
    r"[\"'`\]]{0,2}(?:\s{0,3}(?::=|=>|==?|:)\s{0,3}|"
    r"\s{1,2}(?:is|was|é|es|era|para|for)(?:\s{1,2}(?:now|agora|ahora|set to))?\s{0,2}:?\s{1,2})"
)
_VALUE = r"(?:(?P<q>[\"'`])(?P<quoted>[^\n\"'`]{1,300})(?P=q)|(?P<plain>[^\s\"'`,;<>]{1,300}))"
_ASSIGNED = re.compile(
    rf"(?<![\w-])(?:(?P<password>{_LOCKS}|(?:[a-z0-9]+_)+(?:password|passwd|pwd|pass)|pass)"
    rf"|(?P<key>{_KEY})|(?P<token>{_PASSES}))"
    rf"(?:\s(?:do|da|de|del|of|for|para)(?:\s(?:o|a|the|el|la|my|meu|mi))?\s[\w.@-]{{1,24}})?{_BETWEEN}{_VALUE}",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?<!\w)(?:bearer|basic)\s(?P<plain>[A-Za-z0-9._~+/-]{16,4000}={0,2})", re.IGNORECASE)
#: Words that stand where a secret would, in documentation, forms and code.
_EMPTY_WORDS = """
none null nil true false undefined string str text required optional hidden redacted masked secret password senha
contraseña contrasena pass passwd pwd token key apikey changeme change_me example exemplo ejemplo placeholder test
type value number int bool boolean input env environment empty vazio vacío todo tbd n/a na xxx not set missing the a
an my your sua seu tu su minha mi incorrect wrong invalid expired inválida invalida inválido incorreta incorrecta
errada expirada expirado forgotten esquecida varchar bytes object any obrigatória obrigatório obligatoria obligatorio
requerida requerido inválidas forte segura fraca débil nova nueva atual actual antiga errado trocada alterada cambiada
temporária temporal padrão predeterminada self.password password123?
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_HOLLOW = re.compile(
    r"[<\[{$%(].*|\*+|x{3,}|\.{2,}|-+|_+|your[_-].*|my[_-].*|sua?[_-].*|tu[_-].*|.*(?:placeholder|_here|-here|example|aqui)"
    r"|os\.[a-z].*|process\.env.*"
    r"|getenv.*|env[.\[(].*|config[.\[(].*|settings[.\[(].*|self\..*|\[[A-Z0-9_]+\].*",
    re.IGNORECASE | re.DOTALL,
)
_CODE = re.compile(r"[A-Za-z_][\w.]*(?:\(.*|\[.*)?\Z", re.DOTALL)


def assigned(plain: str, low: str) -> Iterator[Match]:
    """What stands behind a word for a secret, unless it is a placeholder, code or a plain word of a sentence."""
    for found in _ASSIGNED.finditer(plain):
        kind = "PASSWORD" if found["password"] else "API_KEY" if found["key"] else "TOKEN"
        group = "quoted" if found["quoted"] is not None else "plain"
        value = found[group] if group == "quoted" else found[group].rstrip(".)]}")
        if value and (sure := _likely(kind, value, group == "quoted", found, plain)):
            yield Match(found.start(group), found.start(group) + len(value), kind, sure)
    for found in _BEARER.finditer(plain):
        if any(c.isdigit() for c in found["plain"]) and entropy(found["plain"]) > 3.0:
            yield Match(found.start("plain"), found.end("plain"), "TOKEN", 0.9)


def hollow(value: str) -> bool:
    """Whether it stands where a secret would be and is none: a placeholder, a sample, a look-up in code."""
    return value.lower().strip(".") in _EMPTY or bool(_HOLLOW.fullmatch(value)) or "${" in value or "{{" in value


def _likely(kind: str, value: str, quoted: bool, found: re.Match[str], plain: str) -> float:
    if hollow(value):
        return 0.0
    sign = any(c in ":=" for c in plain[found.start() : found.start("q" if quoted else "plain")])
    mixed = any(c.isdigit() for c in value) and not value.isdigit()
    if kind == "PASSWORD":
        return _password(value, quoted, sign, mixed, plain[found.end() : found.end() + 2])
    if len(value) < 8 or value.isdigit() or " " in value:
        return 0.0
    if _CODE.fullmatch(value) and not (mixed and entropy(value) >= 2.8 and "(" not in value and "." not in value):
        return 0.0
    return 0.85 if mixed and entropy(value) >= 2.5 else 0.0


def _password(value: str, quoted: bool, sign: bool, mixed: bool, rest: str) -> float:
    odd = any(not c.isalnum() and c not in "._-/'’" for c in value)
    if len(value) < 4 or ("(" in value and not quoted and value.endswith(("(", ")")) and value[0].isalpha()):
        return 0.0
    if mixed or (odd and any(c.isalpha() for c in value)):
        return 0.85 if sign or len(value) >= 6 else 0.6
    if value.isdigit():
        return 0.75 if len(value) >= 4 and (sign or len(value) >= 6) else 0.0
    # A word alone: a password where it ends the line, a sentence or an argument of code where it does not.
    ends = not rest.strip(" ") or rest[0] in "\n;&,.)\"'"
    alone = not ("_" in value or "." in value)
    return 0.6 if sign and len(value) >= 5 and (quoted or (ends and alone and rest[:1] not in (",", ")"))) else 0.0


def entropy(text: str) -> float:
    """Bits for each character, of the text's own letters (Shannon)."""
    if not text:
        return 0.0
    count = len(text)
    return -sum(n / count * math.log2(n / count) for n in Counter(text).values())
