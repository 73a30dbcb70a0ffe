"""The words around a number that say what it is (or that it is none of ours), in Portuguese, Spanish and English."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

#: What a word says of the number beside it: the kinds it may be; empty where it says that it is something else.
Meaning = frozenset[str]

_LABELS = """
CPF: cpf cpfs cic
CNPJ: cnpj cnpjs
PHONE: chama chame chamar escríbeme
PHONE: telefone telefones tel fone fones celular celulares cel whatsapp whats zap wpp ligar liga ligue ligo ligou
PHONE: telefono teléfono teléfonos telefonos móvil movil llamar llama llame llámame llamame llámenos llámeme marcar
PHONE: marque phone phones telephone mobile cell cellphone call calls called dial fax sms telemóvel telemovel ramal
PHONE: contato contacto contact contáctame office my|number meu|número mi|número reach reached teléfono|fijo text|me
PHONE: message|me llamé liguei disque discar texted ring hotline landline comunicar|se
CARD_NUMBER: cartão cartao cartões tarjeta tarjetas card cards visa mastercard amex hipercard elo crédito credito
CARD_NUMBER: credit débito debito debit cc
IBAN: iban
CEP: cep ceps código|postal codigo|postal
PIX_KEY: pix aleatória aleatoria
RG: rg rgs identidade registro|geral
VOTER_ID: eleitor eleitoral título titulo
PIS: pis pasep nis nit pis/pasep
CNH: cnh habilitação habilitacao
DNI: dni dnis identidad nif
NIE: nie nif
CIF: cif nif
NIF: nif contribuinte nipc
CURP: curp
RFC: rfc
SSN: ssn ssns social|security socials social|is my|social social|number seguro|social seguridad|social
ITIN: itin taxpayer|identification
EIN: ein fein employer|identification tax|id tax|identification federal|id federal|tax
PASSPORT: passport passports passaporte pasaporte pasaportes passaportes
IP_ADDRESS: ip ips ipv4 ipv6 endereço|ip
MAC_ADDRESS: mac bssid
BANK_ACCOUNT: conta cuenta account acct agência agencia ag corrente poupança poupanca ahorros ahorro routing sort|code
BANK_ACCOUNT: clabe checking savings cc c|c bank|account account|number cbu bancaria bancária aba ccc
RUT: rut run
CUIT: cuit cuil
CEDULA: cédula cedula c.c
DATE_OF_BIRTH: nascimento nasc nascido nascida nasci nasceu nascem aniversário aniversario nacimiento nacido nacida
DATE_OF_BIRTH: nací naci nació nacio nac cumpleaños born birth dob birthday birthdate d.o.b natalício birth|date nas
"""
#: Words that say a number counts, orders or names a thing.
_OTHER = """
pedido pedidos order orders orden órdenes protocolo protocol rastreio rastreamento tracking rastreo seguimiento envio
envío encomenda remessa invoice factura nota nf nfe ticket tickets chamado caso case sku isbn ean barcode code código
codigo códigos codes ref referência referencia reference lote lot batch serial série serie versão versao version
versión versions v build release timestamp epoch unix id ids uuid guid hash commit sha modelo model part peça pieza
item artigo artículo articulo produto product producto processo process proceso contrato contract transação transacao
transaction transacción coordenadas latitude longitude latitud longitud lat lng lon coords coordinates asin upc gtin
imei issn doi boleto tx txn function page página pagina pages patent patente asset firmware driver port porta puerto
pixels px revision rev revisão voo flight vuelo matrícula matricula chassi chassis vin renavam placa medidor meter
incident incidente bug issue solicitação solicitacao solicitud request job run session sessão sesión etiqueta tag
index índice offset bytes size rows linhas filas records population população población habitantes budget orçamento
presupuesto price preço precio total valor amount score section seção sección chapter capítulo capitulo norma iso
rfc-editor chrome mozilla safari edge folio expediente albarán albaran guía guia acta voucher cupom cupón coupon
shipment parcel consignment waybill awb container contêiner contenedor apólice póliza policy recibo receipt
autorização autorización authorization nsu checksum digest fingerprint seed token counter contador barras stamp
milliseconds millis ms
"""
#: What stands behind a number that counts something.
_UNITS_WORDS = """
km kg g mg ml l m cm mm gb mb kb tb ms s min h hz khz mhz ghz % reais euros dólares dolares dollars pesos usd eur brl
mxn bytes pixels px unidades units people pessoas personas habitantes inhabitants times vezes veces visitas views
users votes votos linhas rows filas anos años years
"""
_UNITS = frozenset(_UNITS_WORDS.split())
#: Words that may stand between a label and its number.
_FILLERS_WORDS = """
é e eh is es era was are son são do da de del of the my meu minha mi su seu sua his her our número numero number num
no nro nr n nº no. o a el la os as los las com con with for para por to dígito digito to: : - = # and y or ou bancária
bancaria bank corrente poupança on at this following seguinte siguiente it its that below abaixo checking savings
current new nova novo nuevo nueva registered cadastrado sob under
ciudadanía ciudadania identidad identidade extranjería
"""
FILLERS = frozenset(_FILLERS_WORDS.split())
_NONE: Meaning = frozenset()
_TOKEN = re.compile(r"[^\W_]+(?:[.'][^\W\d_]+)*|[.!?;](?=\s)|\n")
_BREAKS = frozenset(".!?;\n")
_BEFORE = 64
_AFTER = 28
_FARTHEST = 7
_MONEY = "$€£¥"


def _meanings() -> dict[str, Meaning]:
    found: dict[str, Meaning] = dict.fromkeys(_OTHER.split(), _NONE)
    for line in _LABELS.strip().splitlines():
        kind, words = line.split(": ")
        for word in words.split():
            found[word.replace("|", " ")] = found.get(word.replace("|", " "), _NONE) | {kind}
    return found


MEANINGS: Mapping[str, Meaning] = _meanings()


class Said(Struct, frozen=True):
    """What stands around a number. `kinds`: all labels near it; `nearest`: those of the nearest one, with no other
    number between; `close`: nothing but fillers between; `other`: the nearest word says that it is something else."""

    kinds: Meaning = _NONE
    nearest: Meaning = _NONE
    close: bool = False
    other: bool = False


def said_around(low: str, start: int, end: int) -> Said:
    """What the words around a stretch of a lower-case text say of it."""
    return with_after(said_before(low, start), low, end)


def with_after(said: Said, low: str, end: int) -> Said:
    """What is said before a stretch, and what is said behind it where nothing is said before."""
    if said.nearest or said.other:
        return said
    after = _after(low, end)
    if after is None:
        return Said(said.kinds, other=True)
    return Said(said.kinds | after, after, bool(after)) if after else said


def said_before(low: str, start: int) -> Said:
    """What the words before a place say."""
    lead = low[max(0, start - _BEFORE) : start]
    bare = lead.rstrip(" ")
    if bare and (bare[-1] in _MONEY or (lead[-1] == "/" and lead[-2:-1].isalnum())):
        # A price, or a part of a path.
        return Said(other=True)
    words = _TOKEN.findall(lead)
    kinds, nearest, close, other, clean, seen = _NONE, _NONE, True, False, True, False
    crossed = 0
    for at in range(len(words) - 1, -1, -1):
        word = words[at]
        if word in _BREAKS:
            crossed += 1
            continue
        meaning = MEANINGS.get(f"{words[at - 1]} {word}") if at else None
        if meaning is None:
            meaning = MEANINGS.get(word)
        if meaning is None:
            clean = clean and not (word[0].isdigit() and len(word) > 2)
            close = close and (seen or word in FILLERS)
        elif meaning:
            kinds |= meaning
            if not seen and clean and crossed < 2 and len(words) - at <= _FARTHEST + 1:
                nearest = meaning
            seen = True
        elif not seen:
            other, seen = crossed == 0, True
    return Said(kinds, nearest, close and bool(nearest), other or (bare.endswith("#") and not nearest))


def _after(low: str, end: int) -> Meaning | None:
    """The labels right behind; None where it is a quantity."""
    tail = low[end : end + _AFTER]
    if tail[:1] == "%" or tail[:2] in (" %", " €", " $"):
        return None
    words = _TOKEN.findall(tail.partition("\n")[0].partition(",")[0])[:4]
    if words and words[0] in _UNITS:
        return None
    for at, word in enumerate(words):
        if word in _BREAKS or word[0].isdigit():
            break
        meaning = MEANINGS.get(f"{word} {words[at + 1]}") if at + 1 < len(words) else None
        meaning = meaning or MEANINGS.get(word)
        if meaning:
            return meaning
    return _NONE
