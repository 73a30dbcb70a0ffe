"""The table of what is recognised by its shape: a pattern, what must be true of a match, and where it is at home."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from comporta.guardrails.pii import checks, phones

_MONTH = (
    r"(?i:jan(?:uary|eiro)?|ene(?:ro)?|feb(?:ruary|rero)?|fev(?:ereiro)?|mar(?:ch|ço|co|zo)?|apr(?:il)?|abr(?:il)?"
    r"|may(?:o)?|mai(?:o)?|june?|jun(?:ho|io)|july?|jul(?:ho|io)|aug(?:ust)?|ago(?:sto)?|sep(?:t|tember|tiembre)?"
    r"|set(?:embro|iembre)?|oct(?:ober|ubre)?|out(?:ubro)?|nov(?:ember|embro|iembre)?|dec(?:ember)?|dez(?:embro)?"
    r"|dic(?:iembre)?)"
)
_YEAR = r"(?:19|20)[0-9]{2}"
_DATE = (
    rf"[0-9]{{1,2}} ?[/.-] ?[0-9]{{1,2}} ?[/.-] ?(?:{_YEAR}|[0-9]{{2}})|{_YEAR}[/.-][0-9]{{1,2}}[/.-][0-9]{{1,2}}"
    rf"|[0-9]{{1,2}}(?:º|o|st|nd|rd|th)?[ -](?:de |of )?{_MONTH}\.?,?[ -](?:de |del )?{_YEAR}"
    rf"|{_MONTH}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_V6 = r"(?i:[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){2,7}(?:::)?|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}::(?:[0-9a-f]{1,4})?)"
_MAC = r"(?i:[0-9a-f]{2}(?::[0-9a-f]{2}){5}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2})"
_UUID = r"(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"


class Recogniser(Struct, frozen=True):
    """One kind of number. `core` is written in RE2's words, so that one automaton tells which of them may be there."""

    kind: str
    core: str
    check: Callable[[str], float]
    #: Country (ISO 3166 letters) whose number it is; None for everywhere.
    region: str | None = None
    #: Where only a label makes it: nothing but fillers may stand between.
    close: bool = False
    #: Whether a colon and digits may follow, as a port does.
    open_end: bool = False
    #: Whether other digits may not stand beside it.
    apart: bool = False
    #: Whether it may begin with a letter; the others begin at digits, a plus or a bracket.
    letters: bool = False

    @property
    def labelled(self) -> bool:
        """Whether only a label makes it, as nothing about the number itself can be checked."""
        return self.check in (checks.shape, checks.account)


def table(regions: Sequence[str]) -> tuple[Recogniser, ...]:
    """The recognisers of these countries, and those of everywhere."""
    found = (*_EVERYWHERE, Recogniser("PHONE", phones.GROUPED, phones.national(regions), apart=True), *_NATIONAL)
    return tuple(one for one in found if one.region is None or one.region in regions)


_R = Recogniser
_EVERYWHERE = (
    _R("PHONE", phones.ABROAD, phones.abroad),
    _R("CARD_NUMBER", r"[0-9]{4}(?:[ .-][0-9]{4}){2}[ .-][0-9]{1,7}|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}|[0-9]{13,19}",
       checks.card),
    _R("IP_ADDRESS", rf"{_OCTET}(?:\.{_OCTET}){{3}}", checks.ip, open_end=True),
    _R("IP_ADDRESS", _V6, checks.ip, letters=True),
    _R("MAC_ADDRESS", _MAC,
       checks.mac, letters=True),
    _R("PASSPORT", r"(?:[A-Za-z]{1,3}-?|[A-Z]{1,3} )[0-9]{6,8}", checks.shape, letters=True),
    _R("PASSPORT", r"[0-9]{8,9}", checks.shape),
    _R("BANK_ACCOUNT", r"[0-9]{2}-[0-9]{2}-[0-9]{2}|[0-9]{3,12}[.-][0-9Xx]|[0-9]{1,2}\.[0-9]{3}-[0-9Xx]|[0-9]{4,20}"
       r"|[0-9]{3,5}(?:[ -][0-9]{2,6}){2,5}", checks.account, close=True),
    _R("DATE_OF_BIRTH", _DATE, checks.day, letters=True),
)  # fmt: skip
_NATIONAL = (
    _R("CPF", r"[0-9]{3}[. ]?[0-9]{3}[. ]?[0-9]{3}[-/ .]?[0-9]{2}", checks.cpf, "BR"),
    _R("CNPJ", r"[0-9]{2}[. ]?[0-9]{3}[. ]?[0-9]{3}[/ ]?[0-9]{4}[- ]?[0-9]{2}", checks.cnpj, "BR"),
    _R("CNPJ", r"(?i:[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-[0-9]{2}|[0-9A-Z]{12}[0-9]{2})", checks.cnpj,
       "BR", letters=True),
    _R("CEP", r"[0-9]{2}\.?[0-9]{3}-[0-9]{3}|[0-9]{8}", checks.cep, "BR", close=True),
    _R("PIX_KEY", _UUID, checks.shape, "BR", letters=True),
    _R("RG", r"(?:[A-Za-z]{2}-)?(?:[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}(?:-?[0-9Xx])?|[0-9]{5,9}(?:-?[0-9Xx])?)",
       checks.rg, "BR", letters=True),
    _R("VOTER_ID", r"[0-9]{4}[ .]?[0-9]{4}[ .]?[0-9]{4}", checks.voter, "BR"),
    _R("PIS", r"[0-9]{3}\.?[0-9]{5}\.?[0-9]{2}[-.]?[0-9]", checks.pis, "BR"),
    _R("CNH", r"[0-9]{11}", checks.shape, "BR"),
    _R("DNI", r"(?:[0-9]{8}|[0-9]{2}\.[0-9]{3}\.[0-9]{3})[- ]?[A-Za-z]", checks.dni, "ES"),
    _R("DNI", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}|[0-9]{7,8}", checks.shape, "AR", close=True),
    _R("NIE", r"[XYZxyz][- ]?[0-9]{7}[- ]?[A-Za-z]", checks.nie, "ES", letters=True),
    _R("CIF", r"(?i:[ABCDEFGHJNPQRSUVW])[- ]?[0-9]{7}[- ]?[0-9A-Ja-j]", checks.cif, "ES", letters=True),
    _R("BANK_ACCOUNT", r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{2}[ -]?[0-9]{10}", checks.ccc, "ES"),
    _R("NIF", r"[1235689][0-9]{2}[ .]?[0-9]{3}[ .]?[0-9]{3}", checks.nif, "PT"),
    _R("CURP", r"(?i:[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9])", checks.curp, "MX", letters=True),
    _R("RFC", r"(?i:[A-ZÑ&]{3,4}[- ]?[0-9]{6}[- ]?[0-9A-Z]{3})", checks.rfc, "MX", letters=True),
    _R("SSN", r"[0-9]{3}[- .][0-9]{2}[- .][0-9]{4}|[0-9]{9}", checks.ssn, "US"),
    _R("ITIN", r"9[0-9]{2}[- ]?[0-9]{2}[- ]?[0-9]{4}", checks.itin, "US"),
    _R("EIN", r"[0-9]{2}-?[0-9]{7}", checks.ein, "US", close=True),
    _R("RUT", r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-[0-9Kk]", checks.rut, "CL"),
    _R("CUIT", r"(?:2[03478]|3[034])-?[0-9]{8}-?[0-9]", checks.cuit, "AR"),
    _R("CEDULA", r"[0-9]{1,4}(?:\.[0-9]{3}){2,3}|[0-9]{6,10}", checks.shape, "CO", close=True),
)  # fmt: skip
