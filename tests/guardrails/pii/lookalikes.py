"""What looks like personal data and is none: orders, times, prices, versions, identifiers, in three languages."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime


def _d(rng: random.Random, count: int) -> str:
    return str(rng.randrange(1, 10)) + "".join(rng.choices("0123456789", k=count - 1))


def _moment(rng: random.Random) -> datetime:
    return datetime.fromtimestamp(rng.randrange(1_263_000_000, 1_790_000_000), UTC)


def _isbn(rng: random.Random) -> str:
    base = "978" + _d(rng, 9)
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(base))
    n = base + str(-total % 10)
    return rng.choice(
        (n, f"{n[:3]}-{n[3:4]}-{n[4:8]}-{n[8:12]}-{n[12]}", f"{n[:3]}-{n[3:5]}-{n[5:8]}-{n[8:12]}-{n[12]}")
    )


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choices("BCFGHKLMNPQR", k=2))
    return rng.choice(
        (
            f"{letters}{_d(rng, 9)}BR",
            f"1Z{_d(rng, 6)}{letters}{_d(rng, 8)}",
            f"{letters}-{_d(rng, 4)}-{_d(rng, 2)}",
            f"{letters}{_d(rng, 6)}",
        )
    )


MADE: tuple[tuple[Callable[[random.Random], str], tuple[str, ...]], ...] = (
    (lambda r: _d(r, 8), ("Order {} has shipped", "O pedido {} já saiu", "El pedido {} está en camino", "ticket #{}",
        "protocolo {}")),
    (lambda r: _d(r, 11), ("order number {}", "número do pedido: {}", "protocolo de atendimento {}",
        "código de seguimiento {}", "invoice {}")),
    (lambda r: _d(r, 16), ("order {} was cancelled", "pedido nº {}", "tracking number {}", "transaction id {}",
        "referencia {}")),
    (lambda r: _d(r, 10), ("the id is {}", "Order #{}", "lote {}", "case {} was closed", "expediente {}")),
    (lambda r: f"{_d(r, 3)}-{_d(r, 7)}-{_d(r, 7)}", ("Amazon order {}", "el pedido {} de Amazon", "pedido {}")),
    (lambda r: str(r.randrange(1_600_000_000, 1_790_000_000)), ("created at {}", "timestamp={}",
        "o timestamp {} está errado", '{{"ts": {}}}')),
    (lambda r: str(r.randrange(1_600_000_000_000, 1_790_000_000_000)), ("at {} ms", "epoch {}", "el log dice {}",
        '"time": {}')),
    (lambda r: _moment(r).strftime("%Y%m%d%H%M%S"),
        ("backup_{}.tar", "run {}", "snapshot {} done", "arquivo {}")),
    (lambda r: _moment(r).strftime("%Y-%m-%dT%H:%M:%SZ"),
        ("It happened at {}", "em {} caiu", "desde {} no funciona")),
    (lambda r: f"{r.randrange(1, 29):02}/{r.randrange(1, 13):02}/20{r.randrange(10, 27)}", ("The meeting is on {}",
        "A reunião é dia {}", "vence el {}", "Entrega prevista: {}")),
    (lambda r: f"{_d(r, 1)}.{_d(r, 3)}.{_d(r, 3)},{_d(r, 2)}", ("Custou R$ {}", "Cuesta {} €",
        "o orçamento é de {} reais")),
    (lambda r: f"{_d(r, 2)},{_d(r, 3)},{_d(r, 3)}.{_d(r, 2)}", ("It costs ${}", "revenue was {} dollars", "USD {}")),
    (lambda r: f"{_d(r, 3)} {_d(r, 3)} {_d(r, 3)}", ("a population of {}", "{} habitantes", "un total de {} euros",
        "foram {} votos")),
    (lambda r: f"{r.randrange(1, 12)}.{r.randrange(20)}.{r.randrange(20)}", ("upgrade to v{}", "Python {} is out",
        "versão {}", "la versión {} falla")),
    (lambda r: f"{r.randrange(1, 12)}.{r.randrange(20)}.{r.randrange(200)}.{r.randrange(200)}", ("version {}",
        "Chrome {} crashed", "driver versão {}", "firmware {}", "build {}")),
    (lambda r: str(uuid.UUID(int=r.getrandbits(128))), ("request id {}", "o id {} não existe", "uuid: {}", "{}")),
    (lambda r: f"{r.getrandbits(160):040x}", ("commit {}", "reverted {} today", "o commit {} quebrou tudo", "sha {}")),
    (lambda r: f"{r.getrandbits(128):032x}", ("md5 {}", "the hash is {}", "checksum: {}", "trace {}")),
    (lambda r: f"{r.getrandbits(256):064x}", ("sha256:{}", "digest {}", "bloque {}")),
    (_isbn, ("ISBN {}", "O livro {} esgotou", "el libro con ISBN {}", "Read {} this week")),
    (_code, ("tracking {}", "código de rastreio {}", "el envío {} llegó", "part {}", "modelo {}")),
    (lambda r: f"-{r.randrange(10, 89)}.{_d(r, 6)}, {r.randrange(10, 99)}.{_d(r, 6)}", ("located at {}",
        "coordenadas {}", "estamos en {}", "lat/lng: {}")),
    (lambda r: f"{r.randrange(1, 24):02}:{r.randrange(60):02}:{r.randrange(60):02}.{_d(r, 3)}", ("at {}",
        "duração {}", "el video dura {}")),
    (lambda r: f"{_d(r, 7)}-{_d(r, 2)}.20{r.randrange(10, 25)}.8.26.{_d(r, 4)}", ("processo {}", "Autos nº {}",
        "o processo {} foi arquivado")),
    (lambda r: f"10.{_d(r, 4)}/s{_d(r, 5)}-0{_d(r, 2)}-{_d(r, 5)}-{_d(r, 1)}", ("doi:{}", "https://doi.org/{}",
        "veja {}")),
    (lambda r: f"{_d(r, 4)}x{_d(r, 4)}", ("resolution {}", "imagem de {} pixels", "una pantalla de {}")),
    (lambda r: _d(r, 13), ("EAN {}", "código de barras {}", "barcode: {}", "GTIN {}")),
    (lambda r: f"35{_d(r, 13)}", ("IMEI {}", "o IMEI do aparelho é {}", "imei: {}")),
    (lambda r: f"https://shop.example.com/item/{_d(r, 11)}", ("see {}", "veja {}", "mira {} por favor")),
    (lambda r: f"INV-{_d(r, 4)}-{_d(r, 6)}", ("Invoice {}", "fatura {}", "factura {}", "{} is due")),
    (lambda r: f"#{r.getrandbits(24):06x}", ("color {}", "a cor {}", "el color {}")),
    (lambda r: f"{_d(r, 5)}-{_d(r, 3)}", ("part number {}", "peça {}", "referência {}", "modelo {}")),
    (lambda r: f"{_d(r, 3)}-{_d(r, 2)}-{_d(r, 4)}", ("part number {}", "SKU {}", "model {}", "lote {}")),
    (lambda r: f"ISO {_d(r, 4)}:{r.randrange(1990, 2024)}", ("certified under {}", "norma {}", "según {}")),
    (lambda r: f"{_d(r, 2)}%-{_d(r, 2)}%", ("between {}", "de {}", "entre {}")),
    (lambda r: f"{_d(r, 18)}", ("tweet {}", "message id {}", "id: {}", "el mensaje {}")),
    (lambda r: f"{r.randrange(1950, 2020)}-{r.randrange(2020, 2026)}", ("the years {}", "no período {}", "entre {}")),
)  # fmt: skip

WRITTEN = (
    "The year 1985 was a good one for wine.",
    "He scored 123 points in 45 games during 2019.",
    "A Constituição de 1988 tem 250 artigos.",
    "La Constitución de 1978 tiene 169 artículos.",
    "Ask @maria on GitHub about pull request 4521.",
    "Install react@18.2.0 and lodash@4.17.21 first.",
    "The image is called logo@2x.png.",
    "Clone git@github.com:acme/repo.git and run make.",
    "std::vector<int> v; a::b::c();",
    "The ratio is 3:1 and the score was 2-1.",
    "Rua Augusta é famosa pela vida noturna.",
    "Avenida Paulista fecha aos domingos.",
    "La calle Mayor está cerrada por obras.",
    "Wall Street fell 300 points.",
    "I am Brazilian and I love football.",
    "I'm Catholic, this is Sparta.",
    "Dear Sir or Madam, I am writing to you.",
    "Dear Customer, your order is ready.",
    "Olá, tudo bem? Gostaria de ajuda.",
    "Hola a todos, ¿qué tal?",
    "Hello World is the first program.",
    "Prezados, segue em anexo o relatório.",
    "What is the capital of France?",
    "Explain how CPF numbers are validated.",
    "O que é um CNPJ e para que serve?",
    "¿Cómo se calcula la letra del DNI?",
    "How does the Luhn algorithm check a credit card number?",
    "My phone is broken, can you help me pick one under 500 dollars?",
    "Minha conta foi bloqueada em 2023, o que faço?",
    "My account has 2500 points, is that enough?",
    "Pi is 3.14159265358979 and e is 2.718281828459045.",
    "Room 101, floor 3, building 12.",
    "Call stack: frame 0x7fff5fbff8a0 at line 42.",
    "Chapter 12, pages 345-367, verse 3:16.",
    "RFC 2616 and RFC 7231 describe HTTP.",
    "Use port 8080 on 127.0.0.1 or 0.0.0.0.",
    "The netmask is 255.255.255.0 here.",
    "Set the password field to required.",
    "Password: required, string, at least 8 characters.",
    "The token limit is 4096 tokens per call.",
    "max_tokens: 1024, temperature: 0.7",
    "Esqueci minha senha, como faço para trocar?",
    "He olvidado mi contraseña, ¿puedes ayudarme?",
    "O token expirou ontem às 10:30.",
    "The secret of success is hard work.",
    "The key is to stay calm and keep going.",
    "La clave es la paciencia.",
    "A chave do sucesso é a constância.",
    "12345678 people visited the site.",
    "1 234 567 890 stars in the galaxy.",
    "Temperatura de 36,5 graus e pressão 120/80.",
    "The movie runs 2h 15min and cost 200 million.",
    "Bus 474 leaves at 07:45 from stop 12.",
    "7 Wonders of the World; 101 Dalmatians; 300 Spartans.",
    "The 1998 World Cup final ended 3-0.",
    "Model X-1234-AB ships with 16 GB and 512 GB.",
    "Use sort -k2,2n -k3 file.txt | head -100",
    "SELECT * FROM orders WHERE total > 1000 LIMIT 50;",
    "O artigo 5º, inciso LXXIX, fala da proteção de dados.",
    "Ley 39/2015, de 1 de octubre, del Procedimiento.",
    "Lei nº 13.709, de 14 de agosto de 2018.",
    "Resolução CFM 2.314/2022.",
    "Boeing 737-800 and Airbus A320-200.",
    "Flight LA8065 departs at 22:10 from gate 245.",
    "Placa ABC1D23 e chassi 9BWZZZ377VT004251.",
    "La matrícula es 1234 BCD.",
    "Windows 10 build 19045.3570 is installed.",
    "arXiv:2305.14314v1 was updated.",
    "Wi-Fi 802.11ac and USB 3.2.",
    "Preciso de 2.000.000 de parafusos até 2030.",
    "Meet me at the corner of 5th and Main.",
    "Ship 500 units to warehouse 7 by Friday.",
    "Take 2 tablets every 8 hours for 10 days.",
)


def lookalikes(seed: int, each: int) -> list[str]:
    """Texts in which nothing is personal: the written ones, and `each` of every template."""
    rng = random.Random(seed)
    made = [template.format(make(rng)) for make, templates in MADE for template in templates for _ in range(each)]
    return [*WRITTEN, *made]
