"""`pii_detection`: finds personal data, each kind by its shape, its check digits and the words around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from difflib import get_close_matches

from msgspec import Struct, field

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.pii.finding import Finder
from comporta.guardrails.pii.phones import REGIONS

#: All kinds, as masks name them.
PII_KINDS: tuple[str, ...] = (
    "EMAIL", "PHONE", "CARD_NUMBER", "IBAN", "BANK_ACCOUNT", "CPF", "CNPJ", "CEP", "PIX_KEY", "RG", "VOTER_ID", "PIS",
    "CNH", "DNI", "NIE", "CIF", "NIF", "CURP", "RFC", "RUT", "CUIT", "CEDULA", "SSN", "ITIN", "EIN", "PASSPORT",
    "IP_ADDRESS", "MAC_ADDRESS", "DATE_OF_BIRTH", "ADDRESS", "PERSON", "PASSWORD", "API_KEY", "TOKEN",
)  # fmt: skip
#: What others call them, in capitals.
_OTHER_NAMES = {
    other: kind
    for kind, others in {
        "EMAIL": ("EMAIL_ADDRESS", "E-MAIL"),
        "PHONE": ("PHONE_NUMBER", "TELEPHONE"),
        "CARD_NUMBER": ("CARD", "CREDIT_CARD"),
        "IBAN": ("IBAN_CODE",),
        "BANK_ACCOUNT": ("ACCOUNT", "US_BANK_NUMBER"),
        "PIX_KEY": ("PIX",),
        "VOTER_ID": ("TITULO_ELEITOR", "TITULO"),
        "SSN": ("US_SSN",),
        "ITIN": ("US_ITIN",),
        "EIN": ("US_EIN",),
        "PASSPORT": ("US_PASSPORT",),
        "IP_ADDRESS": ("IP",),
        "MAC_ADDRESS": ("MAC",),
        "DATE_OF_BIRTH": ("DOB", "BIRTH_DATE"),
        "ADDRESS": ("STREET_ADDRESS",),
        "PERSON": ("NAME", "NAMES", "PERSON_NAME"),
        "DNI": ("ES_NIF",),
        "NIE": ("ES_NIE",),
        "PIS": ("NIS", "NIT"),
    }.items()
    for other in others
}
#: So many kinds are named in a reason.
_NAMED = 3
#: Others get their turn after so long: a text full of numbers takes long to look at.
_TURN_S = 0.002


class PiiSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which kinds are looked for, and how sure a find has to be.

    `types` lists those wanted (all where it is empty), `not` those left out; `regions` are the countries (ISO 3166,
    two letters) whose national numbers and telephone numbers are known; `names` looks for names of people.
    """

    types: tuple[str, ...] = ()
    without: tuple[str, ...] = field(name="not", default=())
    regions: tuple[str, ...] = REGIONS
    names: bool = True
    minimum: float = 0.5


def wanted_kinds(settings: PiiSettings) -> frozenset[str]:
    """The kinds that settings want. Raises ConfigError for a name that is none."""
    wanted = {_kind(name) for name in settings.types} or set(PII_KINDS)
    if not settings.names:
        wanted.discard("PERSON")
    return frozenset(wanted - {_kind(name) for name in settings.without})


def _kind(name: str) -> str:
    upper = name.strip().upper().replace(" ", "_")
    kind = _OTHER_NAMES.get(upper, upper)
    if kind not in PII_KINDS:
        near = get_close_matches(kind, PII_KINDS, 1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"pii_detection: there is no type '{name}'{guess}: there are {', '.join(PII_KINDS)}")
    return kind


def finder_of(settings: PiiSettings) -> Finder:
    """What finds as settings say. Raises ConfigError."""
    regions = tuple(region.strip().upper() for region in settings.regions)
    for region in regions:
        if len(region) != 2 or not region.isalpha():
            raise ConfigError(f"pii_detection: a region is two letters, as BR or ES, not '{region}'")
    if not 0 <= settings.minimum <= 1:
        raise ConfigError(f"pii_detection: minimum must be a number between 0 and 1, not {settings.minimum}")
    kinds = wanted_kinds(settings)
    if not kinds:
        raise ConfigError("pii_detection: `types` and `not` leave nothing to look for")
    return Finder(kinds, regions, settings.minimum)


def pii_detection(settings: PiiSettings, tools: Tools) -> Guard:
    """Finds personal data. Raises ConfigError."""
    finder = finder_of(settings)

    async def guard(text: Text, context: Context) -> Verdict:
        found: list[Match] = []
        turn_s = time.perf_counter()
        for _ in finder.steps(text, max(settings.minimum, context.threshold), found):
            if time.perf_counter() - turn_s > _TURN_S:
                await asyncio.sleep(0)
                turn_s = time.perf_counter()
        return _verdict(found) if found else PASS

    return guard


def _verdict(found: Iterable[Match]) -> Verdict:
    spans = tuple(found)
    kinds = tuple(dict.fromkeys(match.kind for match in spans))
    named = ", ".join(kinds[:_NAMED]) + (" and more" if len(kinds) > _NAMED else "")
    sure = max(match.confidence for match in spans)
    return Verdict("flag", "critical", f"it holds personal data: {named}", spans, sure, facts={"kinds": list(kinds)})


KINDS = (
    Kind("pii_detection", pii_detection, PiiSettings, action="mask", aliases=("pii",),
         about="Finds personal data in Portuguese, Spanish and English: e-mail, phone, card, accounts, national"
               " numbers, addresses, dates of birth, names."),
)  # fmt: skip
