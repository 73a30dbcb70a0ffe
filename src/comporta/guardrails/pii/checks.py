"""What must be true of a number for it to be what it looks like: check digits, ranges, dates.

Each function takes what was matched and gives how likely it is without any label: from .9 on whatever stands around it,
from .5 on unless the words around say that it is something else, below that only where a label names it, and 0 never.
Check digits are python-stdnum's where it has them.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import date

from stdnum import iban as iban_number
from stdnum import luhn
from stdnum.ar import cuit as cuit_number
from stdnum.br import cnpj as cnpj_number
from stdnum.br import cpf as cpf_number
from stdnum.cl import rut as rut_number
from stdnum.es import ccc as ccc_number
from stdnum.es import cif as cif_number
from stdnum.es import dni as dni_number
from stdnum.es import nie as nie_number
from stdnum.mx import curp as curp_number
from stdnum.mx import rfc as rfc_number
from stdnum.pt import nif as nif_number
from stdnum.us import ein as ein_number

#: Labelled only, and rather sure then; labelled only since its check digit is wrong.
SHAPE, FAILING = 0.4, 0.2
_DIGITS = re.compile(r"[^0-9]")


def digits_of(text: str) -> str:
    return _DIGITS.sub("", text)


def bare(text: str) -> str:
    """Letters and digits alone, in capitals."""
    return "".join([c for c in text if c.isalnum()]).upper()


def cpf(text: str) -> float:
    digits = digits_of(text)
    if len(set(digits)) == 1:
        return 0.0
    if not cpf_number.is_valid(digits):
        return FAILING
    if "-" in text or "." in text or "/" in text:
        return 0.95
    return 0.8 if " " in text else 0.75


def cnpj(text: str) -> float:
    number = bare(text)
    digital = number.isdigit()
    written = "/" in text or "-" in text or "." in text
    if not (digital or written or text.isupper()):
        return 0.0
    if not cnpj_number.is_valid(number):
        return FAILING if digital or written else 0.0
    if written:
        return 0.95
    return 0.35 if not digital or _moment(number) else 0.75


def _moment(digits: str) -> bool:
    """Whether fourteen digits read as year, month, day, hour, minute, second."""
    return (
        digits[:2] in ("19", "20") and "01" <= digits[4:6] <= "12" and "01" <= digits[6:8] <= "31"
        and digits[8:10] <= "23" and digits[10:12] <= "59" and digits[12:] <= "59"
    )  # fmt: skip


def pis(text: str) -> float:
    digits = digits_of(text)
    total = sum(int(d) * w for d, w in zip(digits, (3, 2, 9, 8, 7, 6, 5, 4, 3, 2), strict=False))
    if len(set(digits)) == 1:
        return 0.0
    if (11 - total % 11) % 11 % 10 != int(digits[10]):
        return FAILING
    return 0.93 if "." in text or "-" in text else 0.35


def voter(text: str) -> float:
    """Título de eleitor: eight digits in sequence, two of the state (01 to 28), two check digits."""
    digits = digits_of(text)
    values = [int(d) for d in digits]
    state = int(digits[8:10])
    first = sum(v * w for v, w in zip(values, range(2, 10), strict=False)) % 11 % 10
    second = (values[8] * 7 + values[9] * 8 + first * 9) % 11 % 10
    near = {first, 1 if first == 0 and state <= 2 else first}
    if not 1 <= state <= 28 or len(set(digits)) == 1:
        return FAILING
    if values[10] in near and values[11] in {second, 1 if second == 0 and state <= 2 else second}:
        return 0.7 if " " in text or "." in text else 0.55
    return FAILING


def rg(text: str) -> float:
    """São Paulo's check digit; other states have others or none."""
    digits = bare(text)
    digital = digits[:-1]
    if "." in text and "-" in text[-2:] and len(digits) == 9 and digital.isdigit():
        total = sum(int(d) * w for d, w in zip(digital, range(2, 10), strict=False))
        check = (11 - total % 11) % 11
        if digits[-1] == ("X" if check == 10 else str(check)):
            return 0.7
        return 0.55
    return SHAPE if len(digits_of(text)) >= 5 else 0.0


def cep(text: str) -> float:
    if len(set(digits_of(text))) == 1:
        return FAILING
    if "." in text:
        return 0.75
    return 0.6 if "-" in text else SHAPE


def rut(text: str) -> float:
    if not rut_number.is_valid(bare(text)):
        return FAILING
    return 0.8 if "." in text else SHAPE


def cuit(text: str) -> float:
    if not cuit_number.is_valid(digits_of(text)):
        return FAILING
    return 0.92 if "-" in text else SHAPE


def dni(text: str) -> float:
    number = bare(text)
    if not dni_number.is_valid(number):
        return FAILING
    if "-" in text or "." in text:
        return 0.88
    return 0.75 if text[-1].isupper() and " " not in text else SHAPE


def nie(text: str) -> float:
    if not nie_number.is_valid(bare(text)):
        return FAILING
    return 0.88 if text[0].isupper() else 0.6


def cif(text: str) -> float:
    if not cif_number.is_valid(bare(text)):
        return FAILING
    if not text[0].isupper():
        return SHAPE
    return 0.7 if "-" in text else 0.6


def nif(text: str) -> float:
    return 0.45 if nif_number.is_valid(digits_of(text)) else FAILING


def curp(text: str) -> float:
    return 0.97 if curp_number.is_valid(text.upper()) else 0.3


def rfc(text: str) -> float:
    number = bare(text.replace("&", "Q"))
    real = text.upper().replace("-", "").replace(" ", "")
    if number.startswith(("XAXX", "XEXX")) or not rfc_number.is_valid(real):
        return 0.0
    return 0.92 if rfc_number.is_valid(real, validate_check_digits=True) else 0.3


def ssn(text: str) -> float:
    digits = digits_of(text)
    if len(set(digits)) == 1:
        return 0.0
    if digits[:3] in ("000", "666") or digits[0] == "9" or digits[3:5] == "00" or digits[5:] == "0000":
        return FAILING
    return 0.88 if "-" in text else SHAPE


def itin(text: str) -> float:
    group = int(digits_of(text)[3:5])
    good = 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99
    return 0.6 if good and "-" in text else FAILING


def ein(text: str) -> float:
    return 0.45 if ein_number.is_valid(digits_of(text)) else FAILING


#: First digits and lengths of the schemes' cards (ISO/IEC 7812 ranges as the schemes publish them).
_ISSUERS = re.compile(
    r"(?:4\d{15}|4\d{18}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
    r"|(?:606282|637\d{3}|636\d{3}|506[67]\d\d|509\d{3}|627780)\d{10})"
)


def card(text: str) -> float:
    digits = digits_of(text)
    if len(set(digits)) == 1 or not luhn.is_valid(digits):
        return FAILING if _ISSUERS.fullmatch(digits) or len(digits) == 16 else 0.0
    if not _ISSUERS.fullmatch(digits):
        return SHAPE
    if len(digits) == 14:
        return 0.7
    return 0.93 if " " in text or "-" in text else 0.85


#: Letters and digits of an IBAN by country (the registry of ISO 13616).
_IBAN_LENGTHS = """
AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18 DO:28 EE:20
EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30
KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28
PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SC:31 SE:24 SI:19 SK:24 SM:27 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24
XK:20
"""
IBAN_LENGTHS = {pair[:2]: int(pair[3:]) for pair in _IBAN_LENGTHS.split()}


def iban(text: str) -> float:
    number = bare(text)
    try:
        iban_number.validate(number, check_country=False)
    except Exception:
        return FAILING
    return 0.97


def ccc(text: str) -> float:
    if not ccc_number.is_valid(digits_of(text)):
        return FAILING
    return 0.9 if " " in text or "-" in text else SHAPE


def ip(text: str) -> float:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0.0
    if address.is_loopback or address.is_unspecified or text.startswith("255."):
        return 0.0
    if isinstance(address, ipaddress.IPv4Address):
        return SHAPE if max(address.packed) < 20 and address.packed[0] != 10 else 0.8
    first = text.partition(":")[0]
    plain = len(first) >= 3 and any(c.isdigit() for c in text) and text.count(":") >= 2
    return 0.92 if plain else SHAPE


def mac(text: str) -> float:
    return 0.9 if len(set(text.lower())) > 2 else 0.0


def shape(text: str) -> float:
    return SHAPE


def account(text: str) -> float:
    digits = digits_of(text)
    if len(set(digits)) == 1 and len(digits) < 8:
        return 0.0
    # Years stand behind «account» and «conta» more often than branches do.
    return 0.0 if len(digits) == 4 and digits[:2] in ("19", "20") and "-" not in text else SHAPE


_MONTHS = {
    "jan": 1, "ene": 1, "feb": 2, "fev": 2, "mar": 3, "apr": 4, "abr": 4, "may": 5, "mai": 5, "jun": 6, "jul": 7,
    "aug": 8, "ago": 8, "sep": 9, "set": 9, "oct": 10, "out": 10, "nov": 11, "dec": 12, "dez": 12, "dic": 12,
}  # fmt: skip


def day(text: str) -> float:
    """A day of somebody's life: only where words say that it is a day of birth."""
    numbers = [int(n) for n in re.findall(r"[0-9]+", text)]
    words = re.findall(r"[a-zç]{3,}", text.lower())
    month = next((_MONTHS[w[:3]] for w in words if w[:3] in _MONTHS), None)
    if month is not None:
        year = max(numbers)
        return 0.45 if 1900 <= year <= date.today().year and min(numbers) <= 31 else 0.0
    if len(numbers) != 3:
        return 0.0
    year, small = (numbers[0], numbers[1:]) if numbers[0] > 31 else (numbers[2], numbers[:2])
    good = 1 <= min(small) <= 12 and max(small) <= 31 and (year < 100 or 1900 <= year <= date.today().year)
    return 0.45 if good else 0.0
