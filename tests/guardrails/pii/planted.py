"""Numbers that are what they look like, made by their own rules, and sentences that people put them into."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct
from stdnum import luhn
from stdnum.ar import cuit
from stdnum.br import cnpj, cpf
from stdnum.cl import rut
from stdnum.es import ccc, cif, dni, nie
from stdnum.mx import curp, rfc
from stdnum.pt import nif


class Sentence(Struct, frozen=True):
    """A text, and what of it is personal: start, end and kind of each."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    language: str


Make = Callable[[random.Random], str]


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def make_cpf(rng: random.Random) -> str:
    base = _digits(rng, 9)
    return str(base + cpf._calc_check_digits(base))


def cpf_dotted(rng: random.Random) -> str:
    n = make_cpf(rng)
    return f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}"


def cpf_odd(rng: random.Random) -> str:
    n = make_cpf(rng)
    return rng.choice(
        (n, f"{n[:9]}-{n[9:]}", f"{n[:3]} {n[3:6]} {n[6:9]} {n[9:]}", f"{n[:3]}.{n[3:6]}.{n[6:9]}/{n[9:]}")
    )


def cpf_failing(rng: random.Random) -> str:
    n = make_cpf(rng)
    n = n[:10] + str((int(n[10]) + 1 + rng.randrange(8)) % 10)
    return f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}"


def _cnpj(base: str) -> str:
    return str(base + cnpj.calc_check_digits(base))


def cnpj_dotted(rng: random.Random) -> str:
    n = _cnpj(_digits(rng, 8) + "000" + str(rng.randrange(1, 9)))
    return f"{n[:2]}.{n[2:5]}.{n[5:8]}/{n[8:12]}-{n[12:]}"


def cnpj_bare(rng: random.Random) -> str:
    return _cnpj(str(rng.randrange(3, 9)) + _digits(rng, 7) + "000" + str(rng.randrange(1, 9)))


def cnpj_letters(rng: random.Random) -> str:
    n = _cnpj("".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=12)))
    return f"{n[:2]}.{n[2:5]}.{n[5:8]}/{n[8:12]}-{n[12:]}"


def pis_dotted(rng: random.Random) -> str:
    n = pis_bare(rng)
    return f"{n[:3]}.{n[3:8]}.{n[8:10]}-{n[10]}"


def pis_bare(rng: random.Random) -> str:
    base = "1" + _digits(rng, 9)
    total = sum(int(d) * w for d, w in zip(base, (3, 2, 9, 8, 7, 6, 5, 4, 3, 2), strict=True))
    check = 11 - total % 11
    return base + str(0 if check > 9 else check)


def voter(rng: random.Random) -> str:
    base, state = _digits(rng, 8), rng.randrange(3, 29)
    first = sum(int(d) * w for d, w in zip(base, range(2, 10), strict=True)) % 11
    first = 0 if first == 10 else first
    second = (state // 10 * 7 + state % 10 * 8 + first * 9) % 11
    n = f"{base}{state:02}{first}{0 if second == 10 else second}"
    return rng.choice((n, f"{n[:4]} {n[4:8]} {n[8:]}"))


def rg(rng: random.Random) -> str:
    n = str(rng.randrange(1, 9)) + _digits(rng, 8)
    return rng.choice(
        (f"{n[:2]}.{n[2:5]}.{n[5:8]}-{n[8]}", f"{n[:2]}.{n[2:5]}.{n[5:8]}-X", n, f"MG-{n[:2]}.{n[2:5]}.{n[5:8]}")
    )


def cep(rng: random.Random) -> str:
    return f"{rng.randrange(1000, 99999):05}-{rng.randrange(1000):03}"


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(
        (
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
            ("509", 16),
            ("636368", 16),
        )
    )
    base = prefix + _digits(rng, length - len(prefix) - 1)
    n = base + luhn.calc_check_digit(base)
    if length == 16:
        return rng.choice((n, " ".join((n[:4], n[4:8], n[8:12], n[12:])), "-".join((n[:4], n[4:8], n[8:12], n[12:]))))
    return rng.choice((n, f"{n[:4]} {n[4:10]} {n[10:]}"))


def card_failing(rng: random.Random) -> str:
    base = "4" + _digits(rng, 14)
    n = base + str((int(luhn.calc_check_digit(base)) + 3) % 10)
    return " ".join((n[:4], n[4:8], n[8:12], n[12:]))


def iban(rng: random.Random) -> str:
    country, body = rng.choice(
        (
            ("ES", _digits(rng, 20)),
            ("PT", _digits(rng, 21)),
            ("DE", _digits(rng, 18)),
            ("GB", "NWBK" + _digits(rng, 14)),
            ("BR", _digits(rng, 23) + "P1"),
            ("FR", _digits(rng, 23)),
            ("IT", "X" + _digits(rng, 22)),
            ("NL", "ABNA" + _digits(rng, 10)),
        )
    )
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    n = f"{country}{98 - int(number) % 97:02}{body}"
    return rng.choice((n, " ".join(n[i : i + 4] for i in range(0, len(n), 4))))


def make_dni(rng: random.Random) -> str:
    base = str(rng.randrange(1, 8)) + _digits(rng, 7)
    return str(base + rng.choice(("", "-")) + dni.calc_check_digit(base))


def make_nie(rng: random.Random) -> str:
    base = rng.choice("XYZ") + _digits(rng, 7)
    return str(base + nie.calc_check_digit(base))


def make_cif(rng: random.Random) -> str:
    base = rng.choice("ABGQ") + "28" + _digits(rng, 5)
    number, letter = cif.calc_check_digits(base)
    return str(base + (letter if base[0] == "Q" else number))


def make_nif(rng: random.Random) -> str:
    base = "2" + _digits(rng, 7)
    n = base + nif.calc_check_digit(base)
    return rng.choice((n, f"{n[:3]} {n[3:6]} {n[6:]}"))


def make_curp(rng: random.Random) -> str:
    letters = rng.choice("GHLMRSV") + rng.choice("AEIOU") + rng.choice("LMRS") + rng.choice("ACJLM")
    base = (
        f"{letters}{rng.randrange(60, 99):02}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}{rng.choice('HM')}DF"
        + "".join(rng.choices("BCDFGLMNRST", k=3))
        + "0"
    )
    return str(base + curp.calc_check_digit(base))


def make_rfc(rng: random.Random) -> str:
    letters = rng.choice("GHLMRSV") + rng.choice("AEI") + rng.choice("LMRS") + rng.choice("JLM")
    base = (
        f"{letters}{rng.randrange(60, 99):02}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
        + rng.choice("123456789A")
        + rng.choice("123456789AB")
    )
    return base + rfc.calc_check_digit(base) if rfc.calc_check_digit(base) in "0123456789A" else make_rfc(rng)


def make_rut(rng: random.Random) -> str:
    base = str(rng.randrange(5, 26)) + _digits(rng, 6)
    n = base + rut.calc_check_digit(base)
    return f"{n[:-7]}.{n[-7:-4]}.{n[-4:-1]}-{n[-1]}"


def make_cuit(rng: random.Random) -> str:
    base = rng.choice(("20", "27", "30", "33")) + _digits(rng, 8)
    n = base + cuit.calc_check_digit(base)
    return f"{n[:2]}-{n[2:10]}-{n[10]}" if n[10].isdigit() else make_cuit(rng)


def make_ccc(rng: random.Random) -> str:
    base = "2100" + _digits(rng, 4) + _digits(rng, 10)
    check = ccc.calc_check_digits(base[:8] + "00" + base[8:])
    return f"{base[:4]} {base[4:8]} {check} {base[8:]}"


def ssn(rng: random.Random) -> str:
    area = rng.choice((rng.randrange(1, 666), rng.randrange(667, 900)))
    return f"{area:03}-{rng.randrange(1, 100):02}-{rng.randrange(1, 10000):04}"


def ssn_bare(rng: random.Random) -> str:
    return ssn(rng).replace("-", rng.choice(("", " ")))


def ein(rng: random.Random) -> str:
    return f"{rng.choice((12, 20, 26, 33, 45, 47, 52, 81, 94))}-{_digits(rng, 7)}"


def email(rng: random.Random) -> str:
    who = rng.choice(
        ("ana.souza", "joao_silva", "j.perez+compras", "maria-clara", "m.oneill", "contato", "k9", "luís.gómez")
    )
    hosts = ("gmail.com", "empresa.com.br", "correo.es", "mail.co.uk", "uol.com.br", "sub.dominio.pt", "startup.io")
    return f"{who}@{rng.choice(hosts)}"


def phone_br(rng: random.Random) -> str:
    area, n = rng.choice((11, 21, 31, 41, 51, 61, 71, 81, 85, 98)), "9" + str(rng.randrange(6, 10)) + _digits(rng, 7)
    land = str(rng.randrange(2, 6)) + _digits(rng, 7)
    return rng.choice(
        (
            f"({area}) {n[:5]}-{n[5:]}",
            f"{area} {n[:5]}-{n[5:]}",
            f"+55 {area} {n[:5]}-{n[5:]}",
            f"+55{area}{n}",
            f"({area}){n[:5]}{n[5:]}",
            f"({area}) {land[:4]}-{land[4:]}",
            f"{area} {land[:4]}-{land[4:]}",
            f"({area}) 9 {n[1:5]}-{n[5:]}",
        )
    )


def phone_es(rng: random.Random) -> str:
    n = rng.choice("67") + _digits(rng, 8)
    return rng.choice(
        (
            f"+34 {n[:3]} {n[3:6]} {n[6:]}",
            f"{n[:3]} {n[3:6]} {n[6:]}",
            f"{n[:3]} {n[3:5]} {n[5:7]} {n[7:]}",
            f"+34{n}",
            f"+52 55 {n[:4]} {n[4:8]}",
            f"(55) {n[:4]}-{n[4:8]}",
            f"+54 9 11 {n[:4]}-{n[4:8]}",
            f"+57 3{n[:2]} {n[2:5]} {n[5:9]}",
            f"+56 9 {n[:4]} {n[4:8]}",
            f"+351 91{n[0]} {n[1:4]} {n[4:7]}",
        )
    )


def phone_en(rng: random.Random) -> str:
    area, mid, last = rng.choice((212, 415, 312, 617, 202)), f"{rng.randrange(200, 999)}", _digits(rng, 4)
    return rng.choice(
        (
            f"({area}) {mid}-{last}",
            f"{area}-{mid}-{last}",
            f"+1 {area}-{mid}-{last}",
            f"+1 ({area}) {mid}-{last}",
            f"{area}.{mid}.{last}",
            f"+44 20 7946 {last}",
            f"07{_digits(rng, 3)} {_digits(rng, 6)}",
            f"020 7946 {last}",
            f"1-{area}-{mid}-{last}",
        )
    )


def phone_bare(rng: random.Random) -> str:
    return rng.choice(
        (
            f"{rng.choice((11, 21, 47))}9{rng.randrange(6, 10)}{_digits(rng, 7)}",
            "6" + _digits(rng, 8),
            f"{rng.choice((212, 415))}{rng.randrange(200, 999)}{_digits(rng, 4)}",
        )
    )


def ip(rng: random.Random) -> str:
    return rng.choice(
        (
            f"{rng.randrange(23, 223)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            f"192.168.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            f"2001:db8:{rng.randrange(1, 65535):x}::{rng.randrange(1, 255):x}",
            f"2804:14c:{rng.randrange(16, 65535):x}:8f2:{rng.randrange(16, 65535):x}:9a1:4d3e:12f",
            f"10.0.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            "fe80::1ff:fe23:4567:890a",
        )
    )


def mac(rng: random.Random) -> str:
    pairs = [f"{rng.randrange(256):02x}" for _ in range(6)]
    return rng.choice((":".join(pairs), "-".join(pairs).upper()))


def born(rng: random.Random) -> str:
    d, m, y = rng.randrange(13, 29), rng.randrange(1, 13), rng.randrange(1940, 2008)
    return rng.choice(
        (
            f"{d:02}/{m:02}/{y}",
            f"{d}-{m}-{y}",
            f"{y}-{m:02}-{d:02}",
            f"{m}/{d}/{y}",
            f"{d:02}.{m:02}.{y}",
            f"{d}/{m}/{y % 100:02}",
        )
    )


def _in_words(rng: random.Random, months: str) -> str:
    return f"{rng.randrange(1, 29)} de {rng.choice(months.split())} de {rng.randrange(1940, 2008)}"


def born_pt(rng: random.Random) -> str:
    return rng.choice(
        (
            born(rng),
            _in_words(rng, "janeiro março maio setembro dezembro"),
        )
    )


def born_es(rng: random.Random) -> str:
    return rng.choice(
        (
            born(rng),
            _in_words(rng, "enero marzo mayo septiembre diciembre"),
        )
    )


def born_en(rng: random.Random) -> str:
    month = rng.choice(("January", "March", "May", "Sept", "December"))
    return rng.choice(
        (
            born(rng),
            f"{month} {rng.randrange(1, 29)}, {rng.randrange(1940, 2008)}",
            f"{rng.randrange(1, 29)} {month} {rng.randrange(1940, 2008)}",
        )
    )


def passport(rng: random.Random) -> str:
    return rng.choice(("FN", "GB", "C", "PAB", "G0")) + _digits(rng, 6)


def account(rng: random.Random) -> str:
    return rng.choice((f"{_digits(rng, 5)}-{rng.randrange(10)}", _digits(rng, 9), _digits(rng, 8) + "-X"))


def address_pt(rng: random.Random) -> str:
    street = rng.choice(
        (
            "Rua das Flores",
            "Av. Paulista",
            "Avenida Brigadeiro Faria Lima",
            "Travessa do Carmo",
            "Rua XV de Novembro",
            "Alameda Santos",
            "Praça da Sé",
            "R. Augusta",
        )
    )
    return street + rng.choice(
        (
            f", {rng.randrange(10, 3000)}",
            f", nº {rng.randrange(10, 3000)}",
            f" {rng.randrange(10, 3000)}",
            f", {rng.randrange(10, 999)}, apto {rng.randrange(11, 99)}",
        )
    )


def address_es(rng: random.Random) -> str:
    street = rng.choice(
        (
            "Calle Mayor",
            "C/ Alcalá",
            "Avenida de la Constitución",
            "Plaza de España",
            "Paseo de la Castellana",
            "Calle 26 de Marzo",
            "Av. Insurgentes Sur",
            "Carrera Séptima",
        )
    )
    return street + rng.choice(
        (
            f", {rng.randrange(2, 300)}",
            f" {rng.randrange(2, 300)}",
            f" nº {rng.randrange(2, 300)}, {rng.randrange(1, 9)}º B",
            f" #{rng.randrange(2, 300)}",
        )
    )


def address_en(rng: random.Random) -> str:
    street = rng.choice(
        (
            "Main Street",
            "Elm St",
            "Oak Avenue",
            "Sunset Blvd",
            "Baker Street",
            "N. Lincoln Ave",
            "Cedar Lane",
            "Kings Road",
            "5th Avenue",
        )
    )
    return f"{rng.randrange(2, 9999)} {street}" + rng.choice(
        ("", f", Apt {rng.randrange(1, 99)}", ", Springfield, IL 62704")
    )


def person(rng: random.Random) -> str:
    return rng.choice(
        (
            "Ana Souza",
            "João Pedro da Silva",
            "María Fernández",
            "Javier García López",
            "John Smith",
            "Emily O'Connor",
            "Beatriz Lima",
            "Robert Miller",
        )
    )


def pix(rng: random.Random) -> str:
    h = f"{rng.getrandbits(128):032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


#: Kind, what makes one, whether it is told without a label, and sentences by language.
PLANTED: tuple[tuple[str, Make, tuple[tuple[str, str], ...]], ...] = (
    ("CPF", cpf_dotted, (("pt", "Meu CPF é {}, pode conferir?"), ("pt", "Cadastre {} no sistema."), ("pt",
        "Segue o documento do titular: {}"), ("en", "The customer wrote {} in the form."), ("es",
        "El brasileño dio el número {} al llegar."))),
    ("CPF", cpf_odd, (("pt", "cpf {}"), ("pt", "Pode usar {} para a nota?"), ("pt", "CPF do cliente: {}."), ("en",
        "My Brazilian CPF number is {}"))),
    ("CPF", cpf_failing, (("pt", "CPF {}"), ("pt", "O CPF informado foi {} e deu erro"), ("es", "mi CPF: {}"))),
    ("CNPJ", cnpj_dotted, (("pt", "A empresa tem CNPJ {}."), ("pt", "Emita contra {} até sexta"), ("en",
        "Invoice the company {} please"))),
    ("CNPJ", cnpj_bare, (("pt", "CNPJ: {}"), ("pt", "o cnpj deles é {}, confirma?"), ("pt", "Fornecedor {} aprovado"))),
    ("CNPJ", cnpj_letters, (("pt", "CNPJ novo: {}"), ("pt", "A filial usa {} desde 2026."))),
    ("PIS", pis_dotted, (("pt", "PIS {}"), ("pt", "Meu número do NIS é {}."), ("pt", "Anote: {}"))),
    ("PIS", pis_bare, (("pt", "PIS/PASEP: {}"), ("pt", "o NIT do trabalhador é {}"))),
    ("VOTER_ID", voter, (("pt", "Título de eleitor: {}"), ("pt", "título eleitoral nº {}, zona 12"), ("pt",
        "Apresentou {} na votação."))),
    ("RG", rg, (("pt", "RG {}"), ("pt", "Meu RG é {} SSP/SP"), ("pt", "carteira de identidade nº {}"))),
    ("CEP", cep, (("pt", "CEP {}"), ("pt", "moro no cep {}, perto do mercado"), ("pt", "Entregar em Curitiba, {}."))),
    ("PIX_KEY", pix, (("pt", "Minha chave Pix é {}"), ("pt", "pix: {}"), ("pt", "chave aleatória {}"))),
    ("CARD_NUMBER", card, (("en", "My card is {} exp 12/27"), ("en", "Charge {} please."), ("pt",
        "Cartão {} foi recusado"), ("pt", "Comprei com o {} e não passou"), ("es", "mi tarjeta es {}, gracias"),
        ("es", "Cobre a la {} hoy"))),
    ("CARD_NUMBER", card_failing, (("en", "credit card number {}"), ("pt", "o número do meu cartão é {}"), ("es",
        "tarjeta: {}"))),
    ("IBAN", iban, (("es", "Mi IBAN es {}"), ("en", "Wire it to {} today."), ("pt", "Transfira para {} até amanhã"),
        ("en", "IBAN: {}"))),
    ("DNI", make_dni, (("es", "Mi DNI es {}"), ("es", "DNI: {}"), ("es", "Firmado por el titular {} en Madrid"),
        ("en", "His Spanish DNI {} has expired"))),
    ("NIE", make_nie, (("es", "NIE {}"), ("es", "Tengo el {} desde 2019"), ("en", "my NIE number is {}"))),
    ("CIF", make_cif, (("es", "CIF {}"), ("es", "La empresa con CIF: {}"), ("es", "Factúrelo a {} por favor"))),
    ("NIF", make_nif, (("pt", "O meu NIF é {}"), ("pt", "contribuinte n.º {}"), ("pt", "NIF: {}"))),
    ("CURP", make_curp, (("es", "Mi CURP es {}"), ("es", "Registrado como {} en el padrón"), ("en", "CURP: {}"))),
    ("RFC", make_rfc, (("es", "Mi RFC es {}"), ("es", "RFC: {}"), ("es", "Timbre el recibo para {} hoy"))),
    ("RUT", make_rut, (("es", "Mi RUT es {}"), ("es", "RUT {}"), ("es", "Soy el socio {} del club"))),
    ("CUIT", make_cuit, (("es", "CUIT {}"), ("es", "mi CUIL es {}"), ("es", "Facturale a {} por favor"))),
    ("BANK_ACCOUNT", make_ccc, (("es", "Ingrésalo en {}"), ("es", "cuenta: {}"))),
    ("BANK_ACCOUNT", account, (("pt", "conta corrente {}"), ("pt", "Minha conta é {}"), ("en", "account number {}"),
        ("en", "bank account: {}"), ("es", "número de cuenta {}"), ("es", "cuenta bancaria: {}"))),
    ("SSN", ssn, (("en", "My SSN is {}"), ("en", "Please update {} in my file"), ("en", "social security number: {}"),
        ("es", "mi seguro social es {}"))),
    ("SSN", ssn_bare, (("en", "SSN: {}"), ("en", "my social security number is {}"))),
    ("EIN", ein, (("en", "EIN {}"), ("en", "Our employer identification number is {}"), ("en", "Federal tax ID: {}"))),
    ("EMAIL", email, (("en", "Write to {} today."), ("pt", "meu e-mail é {}, obrigado"), ("es", "Correo: <{}>"),
        ("en", "({})"), ("pt", "{}"))),
    ("PHONE", phone_br, (("pt", "Meu telefone é {}"), ("pt", "Pode falar comigo no {} depois das 14h"), ("pt", "{}"),
        ("pt", "zap {} ok?"))),
    ("PHONE", phone_es, (("es", "Llámame al {}"), ("es", "Estoy en el {} hasta las seis"), ("es", "teléfono: {}"),
        ("pt", "telemóvel {}"))),
    ("PHONE", phone_en, (("en", "Call me at {}"), ("en", "You'll find me on {} after lunch"), ("en", "Phone: {}"),
        ("en", "{} is my cell"))),
    ("PHONE", phone_bare, (("pt", "meu celular é {}"), ("es", "mi móvil: {}"), ("en", "my phone number is {}"), ("pt",
        "WhatsApp {}"))),
    ("IP_ADDRESS", ip, (("en", "He logged in from {} last night"), ("pt", "o IP {} foi bloqueado"), ("es",
        "la dirección IP es {}."))),
    ("MAC_ADDRESS", mac, (("en", "device {} is offline"), ("pt", "MAC: {}"), ("es", "el equipo {} no conecta"))),
    ("DATE_OF_BIRTH", born_pt, (("pt", "Data de nascimento: {}"), ("pt", "nasci em {} em Recife"), ("pt",
        "Nascida no dia {}."))),
    ("DATE_OF_BIRTH", born_es, (("es", "Fecha de nacimiento: {}"), ("es", "nací el {}"), ("es",
        "Mi cumpleaños es el {}"))),
    ("DATE_OF_BIRTH", born_en, (("en", "DOB: {}"), ("en", "I was born on {}"), ("en", "Date of birth? It's {}"))),
    ("PASSPORT", passport, (("en", "passport number {}"), ("pt", "meu passaporte é {}"), ("es", "pasaporte nº {}"))),
    ("ADDRESS", address_pt, (("pt", "Moro na {}."), ("pt", "Entregue em {} por favor"), ("pt", "Endereço: {}"))),
    ("ADDRESS", address_es, (("es", "Vivo en {}."), ("es", "Envíelo a {} por favor"), ("es", "Dirección: {}"))),
    ("ADDRESS", address_en, (("en", "I live at {}."), ("en", "Ship it to {} please"), ("en", "Address: {}"))),
    ("PERSON", person, (("en", "My name is {}."), ("pt", "Meu nome é {} e preciso de ajuda"), ("es",
        "Me llamo {}, mucho gusto"), ("en", "Dear {},\nthank you"), ("pt", "Nome: {}"), ("es", "Sr. {}"))),
)  # fmt: skip


def planted(seed: int, each: int) -> list[Sentence]:
    """Sentences with one planted number each; `each` of every template."""
    rng = random.Random(seed)
    found = []
    for kind, make, templates in PLANTED:
        for language, template in templates:
            for _ in range(each):
                value = make(rng)
                start = template.index("{}")
                text = template.replace("{}", value)
                found.append(Sentence(text, ((start, start + len(value), kind),), language))
    return found
