"""Texts are cut, compared, counted and told apart as a reader would."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.text.language import guess_language
from comporta.text.normal import content_words, normalise, visible, without_accents, words
from comporta.text.sentences import sentences
from comporta.text.tokens import estimate_tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith paid $3.14 for it. Then he left!", ["Dr. Smith paid $3.14 for it.", "Then he left!"]),
        ("See https://a.example/c.html?x=1. It is short.", ["See https://a.example/c.html?x=1.", "It is short."]),
        ("Versions 1.2.3 and 2.0 work, e.g. Debian. Others don't.",
         ["Versions 1.2.3 and 2.0 work, e.g. Debian.", "Others don't."]),
        ("He said no. Then J. K. Rowling came.", ["He said no.", "Then J. K. Rowling came."]),
        ("O Sr. Silva mora na Av. da Liberdade, n.º 5. Às 5 p.m. Ele sai.",
         ["O Sr. Silva mora na Av. da Liberdade, n.º 5.", "Às 5 p.m.", "Ele sai."]),
        ("O art. 12 diz isso. A Dra. Ana, não!", ["O art. 12 diz isso.", "A Dra. Ana, não!"]),
        ("¿Dónde está? ¡Aquí! Según la pág. 12, no.", ["¿Dónde está?", "¡Aquí!", "Según la pág. 12, no."]),
        ("“Stop.” She left... Then came back.", ["“Stop.”", "She left...", "Then came back."]),
        ("これは文です。次の文。", ["これは文です。", "次の文。"]),
        ("Yahoo! is a name. Wait... no.", ["Yahoo! is a name.", "Wait... no."]),
    ],
)  # fmt: skip
def test_prose_is_cut_at_the_ends_of_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_lists_and_headings_are_sentences_of_their_own_without_their_signs() -> None:
    text = "# Opening hours\nMonday:\n- from 9 to 5\n* closed at noon. Ring twice\n1. Enter. Sit.\n2) Wait"
    assert sentences(text) == (
        "Opening hours", "Monday:", "from 9 to 5", "closed at noon.", "Ring twice", "1. Enter.", "Sit.", "2) Wait",
    )  # fmt: skip


def test_wrapped_lines_are_one_sentence_and_short_lines_are_several() -> None:
    first, second = "The gate opens at nine in the morning and it\ncloses at five.", "On Sundays\nit stays shut."
    assert sentences(f"{first} {second}") == (first.replace("\n", " "), second.replace("\n", " "))
    assert sentences("Name: Ana\nCity: Évora") == ("Name: Ana", "City: Évora")
    assert sentences("one\n\ntwo") == ("one", "two")


@pytest.mark.parametrize(
    "text",
    ["." * 200_000, ". " * 100_000, "a. " * 70_000, "x" * 200_000 + ". Then.", ".)" * 100_000, "e.g. " * 40_000,
     "\n" * 200_000, "- " * 100_000, "A.B." * 50_000, "。" * 200_000, "¿" * 200_000, " " * 200_000 + ". A"],
)  # fmt: skip
def test_no_text_of_200_kb_takes_long(text: str) -> None:
    began = time.process_time()
    sentences(text)
    guess_language(text)
    words(text)
    estimate_tokens(text)
    assert time.process_time() - began < 15


def test_nothing_gives_nothing() -> None:
    assert sentences("") == sentences(" \n\t ") == sentences("... --- !!!") == ()


@given(st.text(alphabet=st.sampled_from(list("aB1.!? \n-“”¿(),é")), max_size=80))
def test_no_word_is_lost_whatever_the_text(text: str) -> None:
    kept = "".join(sentences(text))
    assert [c for c in text if c.isalpha()] == [c for c in kept if c.isalpha()]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the refund period?", "en"), ("Who founded Acme?", "en"), ("print the address", "en"),
        ("Qual é o prazo de reembolso?", "pt"), ("Quem fundou a empresa?", "pt"), ("Olá", "pt"),
        ("Como cancelo minha assinatura?", "pt"), ("Quando abre a loja?", "pt"),
        ("¿Cuál es el plazo de reembolso?", "es"), ("Quién fundó la empresa?", "es"), ("Hola", "es"),
        ("Cómo cancelo mi suscripción", "es"), ("Quelle est la date limite ?", "other"),
        ("Wie lange ist die Frist?", "other"), ("Come posso annullare il mio abbonamento?", "other"),
        ("日本語です", "other"), ("Где находится офис?", "other"),
    ],
)  # fmt: skip
def test_the_language_of_a_question_is_guessed(text: str, code: str) -> None:
    guess = guess_language(text)
    assert guess.code == code
    assert guess.sure > 0.25


@pytest.mark.parametrize("text", ["", "12345", "?!", "refund"])
def test_without_evidence_the_guess_is_not_sure(text: str) -> None:
    assert guess_language(text).sure == 0.0


def test_more_text_makes_the_guess_surer() -> None:
    short = guess_language("Who is there?")
    long = guess_language("Who is there, and what does he want from all of us when it is so late at night?")
    assert long.sure > short.sure
    assert long.sure > 0.8


@given(st.text(max_size=60))
def test_a_guess_is_always_between_nothing_and_certain(text: str) -> None:
    assert 0.0 <= guess_language(text).sure <= 1.0


def test_normalising_unifies_what_looks_the_same() -> None:
    assert normalise("  ＨＥＬＬＯ\u200b\n wor\u00adld \t") == "hello world"
    assert normalise("ﬁne") == "fine"
    assert visible("a\u202eb") == "ab"
    assert without_accents("Ação, niño, café") == "Acao, nino, cafe"


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_words_lose_case_accents_and_punctuation_and_small_words_mean_nothing() -> None:
    assert words("O Prazo: é de 30-dias!") == ("o", "prazo", "e", "de", "30", "dias")
    assert content_words("What is the refund period? Qual é o prazo?") == ("refund", "period", "prazo")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello world", 2), ("The quick brown fox jumps over the lazy dog.", 10), ("1234567", 3), ("日本語", 3)],
)
def test_tokens_are_estimated(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


_WORDS = st.lists(
    st.sampled_from(
        ["the", "harbour", "ferry", "leaves", "at", "nine", "lighthouse", "2026", "3.5", "(twice)", "«so»", "[x]"]
    )
)


@given(_WORDS, _WORDS)
def test_prose_that_goes_on_is_never_fewer_tokens(a: list[str], b: list[str]) -> None:
    assert estimate_tokens(" ".join([*a, *b])) >= estimate_tokens(" ".join(a))
