"""Personal data is found whatever stands around it, and what only looks like it is left alone."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.guardrails.base import Match
from comporta.guardrails.kinds.pii import PII_KINDS, PiiSettings, finder_of
from comporta.guardrails.looking import Text
from comporta.guardrails.masking import Masks
from comporta.guardrails.pii.finding import Finder

from .lookalikes import lookalikes
from .planted import PLANTED, Sentence, card, cpf_dotted, iban, make_cpf, make_cuit, make_curp, make_nie, planted, ssn

#: Kinds whose numbers carry check digits.
CHECKED = ("CPF", "CNPJ", "PIS", "VOTER_ID", "CARD_NUMBER", "IBAN", "DNI", "NIE", "CIF", "CURP", "RFC", "RUT", "CUIT")


@pytest.fixture(scope="module")
def finder() -> Finder:
    return finder_of(PiiSettings())


def found(finder: Finder, text: str, least: float = 0.5) -> list[tuple[str, str]]:
    return [(m.kind, text[m.start : m.end]) for m in finder.find(Text(text), least)]


def covers(match: Match, sentence: Sentence) -> bool:
    start, end, kind = sentence.spans[0]
    return match.kind == kind and match.start <= start and match.end >= end


def figures(finder: Finder, sentences: list[Sentence]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """By kind: how many were planted, how many of them found, and how many finds were none."""
    there, right, wrong = Counter[str](), Counter[str](), Counter[str]()
    for sentence in sentences:
        there[sentence.spans[0][2]] += 1
        matches = finder.find(Text(sentence.text), 0.5)
        right[sentence.spans[0][2]] += any(covers(match, sentence) for match in matches)
        wrong.update(match.kind for match in matches if not covers(match, sentence))
    return there, right, wrong


def test_planted_numbers_are_found_and_nothing_else(finder: Finder) -> None:
    there, right, wrong = figures(finder, planted(seed=20260, each=6))
    assert sum(there.values()) >= 600
    for kind, count in sorted(there.items()):
        least = 0.98 if kind in CHECKED else 0.97
        assert count >= 15, kind
        assert right[kind] / count >= least, (kind, right[kind], count)
        assert right[kind] / (right[kind] + wrong[kind]) >= 0.98, (kind, wrong[kind])


@pytest.mark.parametrize("language", ["pt", "es", "en"])
def test_each_language_is_served_alike(finder: Finder, language: str) -> None:
    there, right, wrong = figures(finder, [s for s in planted(seed=77, each=3) if s.language == language])
    assert sum(right.values()) / sum(there.values()) >= 0.98
    assert sum(wrong.values()) <= 0.02 * sum(there.values())


def test_lookalikes_are_left_alone(finder: Finder) -> None:
    texts = lookalikes(seed=20260, each=4)
    assert len(texts) >= 600
    flagged = [(text, hits) for text in texts if (hits := found(finder, text))]
    assert len(flagged) <= 0.005 * len(texts), flagged


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("CPF 123.456.789-00", "CPF", "123.456.789-00"),
        ("Meu CPF: 529 982 247 25", "CPF", "529 982 247 25"),
        ("cpf 5 2 9 9 8 2 2 4 7 2 5", "CPF", "5 2 9 9 8 2 2 4 7 2 5"),
        ("５２９．９８２．２４７－２５", "CPF", "５２９．９８２．２４７－２５"),
        ("529.\u200b982.24\u200d7-25", "CPF", "529.\u200b982.24\u200d7-25"),
        ('{"cpf":"52998224725"}', "CPF", "52998224725"),
        ("CNPJ 12.ABC.345/01DE-35", "CNPJ", "12.ABC.345/01DE-35"),
        ("Liga pra mim: 11987654321", "PHONE", "11987654321"),
        ("my card # 4485527627509597", "CARD_NUMBER", "4485527627509597"),
        ("amex 3782 822463 10005", "CARD_NUMBER", "3782 822463 10005"),
        ("IBAN GB29 NWBK 6016 1331 9268 19 and so on", "IBAN", "GB29 NWBK 6016 1331 9268 19"),
        ("gb29nwbk60161331926819", "IBAN", "gb29nwbk60161331926819"),
        ("Agência 1234, banco", "BANK_ACCOUNT", "1234"),
        ("sort code 20-00-00 please", "BANK_ACCOUNT", "20-00-00"),
        ("Número: 98765-4321 (celular)", "PHONE", "98765-4321"),
        ("123-45-6789 is my SSN", "SSN", "123-45-6789"),
        ("SSN 123456789", "SSN", "123456789"),
        ("Date of birth? It's 3/23/1940", "DATE_OF_BIRTH", "3/23/1940"),
        ("nasci em 1º de maio de 1990", "DATE_OF_BIRTH", "1º de maio de 1990"),
        ("IP 192.168.1.1:8080", "IP_ADDRESS", "192.168.1.1"),
        ("joao arroba gmail ponto com", "EMAIL", "joao arroba gmail ponto com"),
        ("john [at] example [dot] com", "EMAIL", "john [at] example [dot] com"),
        ("221B Baker Street, London NW1 6XE", "ADDRESS", "221B Baker Street, London NW1 6XE"),
        ("P.O. Box 1234", "ADDRESS", "P.O. Box 1234"),
        ("Best regards,\nMary Jones", "PERSON", "Mary Jones"),
        ("O paciente José Carlos de Oliveira chegou", "PERSON", "José Carlos de Oliveira"),
        ("senha: Batata@123", "PASSWORD", "Batata@123"),
        ('api_key = "abcd1234efgh5678"', "API_KEY", "abcd1234efgh5678"),
        ("token: 9f8a7b6c5d4e3f2a1b0c", "TOKEN", "9f8a7b6c5d4e3f2a1b0c"),
    ],
)
def test_a_value_is_found_as_people_write_it(finder: Finder, text: str, kind: str, value: str) -> None:
    assert (kind, value) in found(finder, text)


def test_a_number_that_fails_its_check_counts_where_it_is_labelled_alone(finder: Finder) -> None:
    (labelled,) = finder.find(Text("CPF 123.456.789-00"), 0.5)
    (valid,) = finder.find(Text("CPF 123.456.789-09"), 0.5)
    assert labelled.confidence < valid.confidence
    assert not found(finder, "Anote 123.456.789-00 aí")


def test_what_a_word_calls_something_else_is_left_alone_unless_its_form_is_sure(finder: Finder) -> None:
    assert not found(finder, "pedido 52998224725")
    assert found(finder, "pedido de 529.982.247-25") == [("CPF", "529.982.247-25")]
    assert not found(finder, "order id 4111111111111111")
    assert found(finder, "use 4111111111111111") == [("CARD_NUMBER", "4111111111111111")]


def test_a_passwords_address_is_no_e_mail(finder: Finder) -> None:
    assert not found(finder, "postgres://app:pass@db.example.com/x")
    assert not found(finder, "git@github.com:acme/repo.git")


def test_only_what_is_wanted_is_looked_for() -> None:
    text = "CPF 529.982.247-25, ana@x.com, my name is Ana Souza"
    assert found(finder_of(PiiSettings(types=("email",))), text) == [("EMAIL", "ana@x.com")]
    assert ("EMAIL", "ana@x.com") not in found(finder_of(PiiSettings(without=("EMAIL_ADDRESS",))), text)
    assert not [hit for hit in found(finder_of(PiiSettings(names=False)), text) if hit[0] == "PERSON"]
    assert not [hit for hit in found(finder_of(PiiSettings(regions=("US",))), text) if hit[0] == "CPF"]


def test_a_lower_minimum_finds_names_by_given_names_alone() -> None:
    text = "Yesterday Maria Oliveira called."
    assert not found(finder_of(PiiSettings()), text)
    assert found(finder_of(PiiSettings(minimum=0.4)), text, 0.4) == [("PERSON", "Maria Oliveira")]


def test_telephone_numbers_of_other_countries_are_known_where_they_are_named() -> None:
    text = "Rufen Sie 030 901820 an"
    assert not found(finder_of(PiiSettings()), text)
    assert found(finder_of(PiiSettings(regions=("DE",))), text) == [("PHONE", "030 901820")]


_MAKERS = (cpf_dotted, make_cpf, card, iban, make_nie, make_curp, make_cuit, ssn)
_NEAR = st.text(st.characters(exclude_categories=("Nd", "Cs")), max_size=40)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), which=st.integers(0, len(_MAKERS) - 1), before=_NEAR, after=_NEAR)
def test_a_valid_number_is_found_in_any_text(finder: Finder, seed: int, which: int, before: str, after: str) -> None:
    value = _MAKERS[which](random.Random(seed))
    text = f"{before}\n: {value} .\n{after}"
    start = len(before) + 3
    spans = [(m.start, m.end) for m in finder.find(Text(text), 0.25)]
    assert any(first <= start and last >= start + len(value) for first, last in spans), (text, spans)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=120))
def test_no_text_makes_it_raise_and_places_fit_the_text(finder: Finder, text: str) -> None:
    last = 0
    for match in finder.find(Text(text), 0.0):
        assert last <= match.start < match.end <= len(text)
        assert match.kind in PII_KINDS
        assert 0 <= match.confidence <= 1
        last = match.end


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_masking_and_unmasking_is_the_identity(finder: Finder, seed: int, count: int) -> None:
    rng = random.Random(seed)
    rows = [rng.choice(PLANTED) for _ in range(count)]
    text = "\n".join(rng.choice(row[2])[1].replace("{}", row[1](rng)) for row in rows)
    masks = Masks(taken=text, lead_back=True)
    masked = masks.put(text, finder.find(Text(text), 0.5))
    assert masks.back(masked) == text
    assert masked != text


#: What could make a pattern go back and forth: long rows of what its parts repeat.
_ROWS = (
    "1", "1 ", "1.", "1-", "(1", "+1 ", "a", "a.", "A ", "Aa ", "a@", "@a.", "a-a.", ":a", "::", "a:", "12:", "Rua ",
        "Rua A ", "1 A ",
    "1 St ", "Rua A, 1, ", "Rua A 1 - ", "my name is ", "Dear A ", "A de ", "a_", "key_", "api_key: ", "password is ",
        "token=a ",
    "-----BEGIN PRIVATE KEY-----", "\n", "\u200b", "é", "ﬁ", "a at ", " dot ", "address: 1", "nome: A ",
        "12 de maio de ", "1a2b",
)  # fmt: skip


@pytest.mark.parametrize("row", _ROWS)
def test_no_pattern_goes_back_and_forth(finder: Finder, row: str) -> None:
    def took_s(size: int) -> float:
        begun_s = time.process_time()
        finder.find(Text((row * size)[:size] + "!"), 0.5)
        return time.process_time() - begun_s

    took_s(200)
    # One look among many is not disturbed by what else this machine does.
    assert any(took_s(4_000) < 0.02 + 9 * took_s(1_000) for _ in range(20))


async def test_others_get_their_turn_while_a_text_full_of_numbers_is_looked_at() -> None:
    finder = finder_of(PiiSettings())

    def longest_s() -> float:
        into = list[Match]()
        longest_s, begun_s = 0.0, time.process_time()
        for _ in finder.steps(Text("12345678901 (11) 98765-4321 " * 140), 0.5, into):
            now_s = time.process_time()
            longest_s, begun_s = max(longest_s, now_s - begun_s), now_s
        assert len(into) > 100
        return longest_s

    # A step lasts five milliseconds at most on a machine of its own; a slow and busy one gets several tries.
    assert any(longest_s() < 0.005 * 8 for _ in range(20))
