"""Street addresses: a street's kind, its name and a house number, and what belongs to it behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

from comporta.guardrails.base import Match

_BEFORE_NAME = (
    r"rua|avenida|av\.?|avda\.?|alameda|al\.|travessa|tv\.|travesía|praça|pça\.?|rodovia|rod\.|estrada|largo|ladeira|"
    r"viela|beco|quadra|calle|c/|c\.|cl\.|plaza|pza\.?|paseo|pº|carrera|cra\.?|kra\.?|carretera|ctra\.?|camino|calzada|calz\.|"
    r"ronda|diagonal|transversal|boulevard|blvd\.?|bulevar|prolongación|privada|cerrada|jirón|jr\.|pasaje|passatge|r\."
)
_AFTER_NAME = (
    r"street|st\.?|avenue|ave\.?|road|rd\.?|boulevard|blvd\.?|lane|ln\.?|drive|dr\.?|court|ct\.?|way|place|pl\.?|square|"
    r"sq\.?|terrace|highway|hwy\.?|parkway|pkwy\.?|circle|cir\.?|crescent|close|grove|gardens|mews|trail|alley"
)
STREET_HINT = (
    rf"(?i)(?:^|[^\pL])(?:{_BEFORE_NAME}) |[0-9] [\pL0-9 .'-]{{2,40}} (?:{_AFTER_NAME})(?:[^\pL]|$)"
    r"|c/ ?\pL|p\.? ?o\.? box|caixa postal|apartado|endere[çc]o|address|direcci[óo]n|domicilio|direccion|morada"
)
_CAP = r"[A-ZÀ-ÖØ-Þ0-9][\w.'ªº-]*"
_SMALL = r"(?:de|da|do|das|dos|del|la|las|los|el|e|y|san|santa|d'|den)"
_NAME = rf"(?:{_CAP}|{_SMALL})(?: (?:{_CAP}|{_SMALL})){{0,6}}?"
_NUMBER = r"(?:,? ?(?:n\.?[ºo°]?\.?|nº|núm\.?|num\.?|número|numero|no\.|#|casa|km\.?) ?|,? |, ?)[0-9]{1,5}(?:[-/][0-9]{1,4})?[A-Za-z]?(?!\w)"
#: What may follow: flat, floor, quarter, town, state, postal code; each behind a comma, a dash or a space.
_FLAT = (
    r"(?i:apto?\.?|apartamento|apt\.?|bloco|bl\.?|casa|sala|conj\.?|conjunto|andar|lote|fundos|piso|puerta|pta\.?|"
    r"esc\.?|escalera|int\.?|interior|depto\.?|dpto\.?|oficina|of\.|local|torre|suite|ste\.?|unit|floor|flat|room|#)"
    r" ?[0-9A-Za-z]{1,5}(?:[oaºª°]?)"
)
_POSTAL = r"(?:(?i:cep|c\.?p\.?|código postal)[: ]{0,2})?[0-9]{2}\.?[0-9]{3}(?:-[0-9]{3,4})?(?![0-9])"
_TOWN = r"[A-ZÀ-ÖØ-Þ][\w.'-]+(?: (?:(?:de|da|do|das|dos|del|la) )?[A-ZÀ-ÖØ-Þ][\w.'-]+){0,3}(?:[/-][A-Z]{2})?"
_TAIL = (
    rf"(?:(?:,? ?- ?|, ?|/|\n ?)(?:{_FLAT}|[0-9]{{1,2}}[oaºª°](?: ?[A-Za-z]{{1,4}}\b)?|{_POSTAL}(?: {_TOWN})?|[A-Z]{{2}} [0-9]{{5}}"
    rf"(?:-[0-9]{{4}})?|{_TOWN})| (?:{_FLAT}|{_POSTAL})){{0,6}}"
)
_FIRST = re.compile(rf"(?<!\w)(?i:{_BEFORE_NAME}) ?{_NAME}{_NUMBER}{_TAIL}")
_SECOND = re.compile(
    rf"(?<![\w.,$€£-])[0-9]{{1,6}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[A-ZÀ-Þ][\w.'-]+ |[0-9]{{1,3}}(?:st|nd|rd|th) ){{1,4}}"
    rf"(?i:{_AFTER_NAME})(?!\w){_TAIL}"
)
_BOX = re.compile(r"(?<!\w)(?i:p\.? ?o\.? box|caixa postal|apartado(?: de correos| postal)?) ?(?:n\.?º? ?)?[0-9]{1,6}")
#: After a label, to the line's end: what has a number in it and begins like a name.
_LABELLED = re.compile(
    r"(?i:endere[çc]o(?: completo| residencial| de entrega)?|(?:home |mailing |billing |shipping |street |delivery )?address"
    r"|direcci[óo]n(?: de env[íi]o| postal| completa)?|domicilio(?: fiscal)?|morada)(?: (?:is|é|es))? ?: ?"
    r"(?P<value>(?=[^\n;]{0,60}[0-9])(?!https?:)[\w#][^\n;@]{6,100}?)(?=\n|;|\.(?:\s|$)|$)"
)


def addresses(plain: str, low: str) -> Iterator[Match]:
    """Streets with a house number, boxes, and what a label calls an address."""
    for pattern, sure in ((_FIRST, 0.85), (_SECOND, 0.85), (_BOX, 0.8)):
        for found in pattern.finditer(plain):
            end = found.start() + len(found.group().rstrip(" ,.-\n"))
            yield Match(found.start(), end, "ADDRESS", sure)
    for found in _LABELLED.finditer(plain):
        if not _network(found["value"]):
            yield Match(found.start("value"), found.end("value"), "ADDRESS", 0.7)


def _network(value: str) -> bool:
    """An address of a machine is none of a house."""
    return re.fullmatch(r"[0-9a-fA-Fx.:/-]+.{0,12}", value) is not None or " " not in value.strip()
