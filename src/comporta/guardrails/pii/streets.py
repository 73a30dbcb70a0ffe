"""Street addresses: a street's kind, its name and a house number, and what belongs to it behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

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
_CAP = r"[A-ZÀ-ÖØ-Þ0-9][\w.'ªº-]*"
_SMALL = r"(?:de|da|do|das|dos|del|la|las|los|el|e|y|san|santa|d'|den)"
_NAME = rf"(?:{_SMALL} ){{0,2}}{_CAP}(?: (?:{_CAP}|{_SMALL})){{0,6}}?"
_NUMBER = (
    r"(?:,? ?(?:n\.?[ºo°]?\.?|núm\.?|num\.?|número|numero|no\.|#|casa|km\.?) ?|,? |, ?)"
    r"[0-9]{1,5}(?:[-/][0-9]{1,4})?[A-Za-z]?(?!\w)"
)
#: What may follow: flat, floor, quarter, town, state, postal code; each behind a comma, a dash or a space.
_FLAT = (
    r"(?i:apto?\.?|apartamento|apt\.?|bloco|bl\.?|casa|sala|conj\.?|conjunto|andar|lote|fundos|piso|puerta|pta\.?|"
    r"esc\.?|escalera|int\.?|interior|depto\.?|dpto\.?|oficina|of\.|local|torre|suite|ste\.?|unit|floor|flat|room|#)"
    r" ?[0-9A-Za-z]{1,5}(?:[oaºª°]?)"
)
_POSTAL = r"(?:(?i:cep|c\.?p\.?|código postal)[: ]{0,2})?[0-9]{2}\.?[0-9]{3}(?:-[0-9]{3,4})?(?![0-9])"
_PLACE = r"[A-ZÀ-ÖØ-Þ](?:[^\W\d_]|[.'-])+(?!\w)"
_TOWN = rf"{_PLACE}(?: (?:(?:de|da|do|das|dos|del|la) )?{_PLACE}){{0,3}}(?:[/-][A-Z]{{2}})?"
#: Postal codes of the United Kingdom.
_UK = r"[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2}"
_TAIL = (
    rf"(?:(?:,? ?- ?|, ?|/|\n ?)(?:{_FLAT}|[0-9]{{1,2}}[oaºª°](?: ?[A-Za-z]{{1,10}}\b)?"
    rf"|{_POSTAL}(?: {_TOWN})?|[A-Z]{{2}} [0-9]{{5}}(?:-[0-9]{{4}})?"
    rf"|(?:(?i:bairro|barrio|col\.|colonia|urb\.) )?{_TOWN}(?: {_UK})?|{_UK})| (?:{_FLAT}|{_POSTAL})){{0,6}}"
)
_FIRST = re.compile(rf"(?<!\w)(?i:{_BEFORE_NAME}) ?{_NAME}{_NUMBER}{_TAIL}")
_SECOND = re.compile(
    rf"(?<![\w.,$€£-])[0-9]{{1,6}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[A-ZÀ-Þ][\w.'-]+ |[0-9]{{1,3}}(?:st|nd|rd|th) ){{1,4}}"
    rf"(?P<kind>(?i:{_AFTER_NAME}))(?!\w)(?: [NSEW]{{1,2}}(?!\w))?(?P<tail>{_TAIL})"
)
_BOX = re.compile(r"(?<!\w)(?i:p\.? ?o\.? box|caixa postal|apartado(?: de correos| postal)?) ?(?:n\.?º? ?)?[0-9]{1,6}")
#: In small letters only with a comma or «nº» before the number, or a small word before the name.
_SMALL_FIRST = re.compile(
    r"(?<!\w)(?i:rua|avenida|av\.?|alameda|travessa|praça|calle|plaza|paseo|carrera) "
    rf"(?:(?:{_SMALL} )(?:[^\W\d_]+ ){{0,4}}[^\W\d_]+(?:,? ?(?:n[o.]{{1,3}} ?)?| )"
    r"|(?:[^\W\d_]+ ){0,4}[^\W\d_]+(?:, ?| n[o.]{1,3} ?))"
    r"[0-9]{1,5}(?![\w.])(?= ?(?:[,;:.)\n-]|$|(?:ap|casa[ ,]|bl|sala|piso|em |no |na |in |en )))"
)
_SMALL_SECOND = re.compile(
    r"(?<![\w.,$€£-])[0-9]{1,5} (?:[a-z]{3,} ){1,3}(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln)(?=[,.\n]|$)"
)
_PROSE = frozenset({"the", "of", "to", "in", "down", "miles", "on", "minutes", "and", "for", "from", "along", "blocks"})
_WORD = re.compile(r"[^\W\d_]+")
_CUES = frozenset({"at", "to", "is", "address", "from", "on", "in", "near", "visit", "live", "lives", "a", "em", "en"})
_STREETS = frozenset({"street", "st", "avenue", "ave", "road", "rd", "boulevard", "blvd", "lane", "ln"})
#: After a label, to the line's end: what has a number in it and begins like a name.
_LABELLED = re.compile(
    r"(?i:endere[çc]o(?: completo| residencial| de entrega)?|(?:home |mailing |billing |shipping |street |delivery )"
    r"?address|direcci[óo]n(?: de env[íi]o| postal| completa)?|domicilio(?: fiscal)?|morada)(?: (?:is|é|es))? ?: ?"
    r"(?P<value>(?=[^\n;]{0,60}[0-9])(?!https?:)[\w#][^\n;@]{6,100}?)(?=\n|;|\.(?:\s|$)|$)"
)


def _first(plain: str, low: str) -> Iterator[Match]:
    return (_match(found, 0.85) for found in _FIRST.finditer(plain))


def _second(plain: str, low: str) -> Iterator[Match]:
    return (_match(found, _english(found, plain, low)) for found in _SECOND.finditer(plain))


def _small(plain: str, low: str) -> Iterator[Match]:
    yield from (_match(found, 0.6) for found in _SMALL_FIRST.finditer(plain))
    for found in _SMALL_SECOND.finditer(plain):
        before = _WORD.findall(low[max(0, found.start() - 24) : found.start()])
        cued = plain[found.end() : found.end() + 1] == "," or (before and before[-1] in ("at", "to", "is", "address"))
        if cued and _PROSE.isdisjoint(found.group().split()):
            yield _match(found, 0.6)


def _boxes(plain: str, low: str) -> Iterator[Match]:
    return (_match(found, 0.8) for found in _BOX.finditer(plain))


def _labelled(plain: str, low: str) -> Iterator[Match]:
    for found in _LABELLED.finditer(plain):
        if not _network(found["value"]):
            yield Match(found.start("value"), found.end("value"), "ADDRESS", 0.7)


def _match(found: re.Match[str], sure: float) -> Match:
    return Match(found.start(), found.start() + len(found.group().rstrip(" ,.-\n")), "ADDRESS", sure)


def _english(found: re.Match[str], plain: str, low: str) -> float:
    """«12 Angry Men Drive me crazy» reads like an address: what stands around it decides."""
    before = _WORD.findall(low[max(0, found.start() - 24) : found.start()])
    year = found.group()[:4].isdigit() and found.group()[:2] in ("19", "20") and not found.group()[4:5].isdigit()
    if found["tail"].strip() or (before and before[-1] in _CUES and not (year and before[-1] in ("in", "on", "from"))):
        return 0.85
    after = plain[found.end() :].lstrip(" ")[:1]
    if not after or after in ",.;:!?\n)\"'":
        return 0.8
    return 0.7 if after.islower() and not year and found["kind"].lower().rstrip(".") in _STREETS else 0.45


def _network(value: str) -> bool:
    """An address of a machine is none of a house."""
    return re.fullmatch(r"[0-9a-fA-Fx.:/-]+.{0,12}", value) is not None or " " not in value.strip()


#: What may be there, in RE2's words, and what looks closer.
STREETS: tuple[tuple[str, Callable[[str, str], Iterator[Match]]], ...] = (
    (rf"(?i:(?:^|[^\pL])(?:{_BEFORE_NAME}) ?[\pL0-9][^\n]{{2,70}}[0-9])", _first),
    (rf"(?i:[0-9][a-z]?,? [\pL0-9 .'-]{{2,40}} (?:{_AFTER_NAME})(?:[^\pL]|$))", _second),
    (
        r"(?i:(?:^|[^\pL])(?:rua|avenida|av\.?|alameda|travessa|praça|calle|plaza|paseo|carrera) \pL[^\n]{1,70}[0-9])"
        r"|[0-9] [a-z ]{3,40} (?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln)(?:[^\pL]|$)",
        _small,
    ),
    (r"(?i:p\.? ?o\.? box|caixa postal|apartado)", _boxes),
    (r"(?i:(?:endere[çc]o|address|direcci[óo]n|domicilio|morada)[^:\n]{0,20}:)", _labelled),
)
