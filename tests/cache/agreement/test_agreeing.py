"""Questions that differ in one thing that matters disagree on it by name; those that differ in words agree."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.cache.agreement import Question, agreement, question_of


def reasons(a: str, b: str, language: str | None = "en") -> str:
    return "; ".join(agreement(question_of(a, language), question_of(b, language)).reasons)


@pytest.mark.parametrize(
    ("a", "b", "what"),
    [
        ("How do I enable 2FA?", "How do I disable 2FA?", "opposite"),
        ("turn on roaming", "turn off roaming", "opposite"),
        ("How do I turn the alarm on?", "How do I turn the alarm off?", "opposite"),
        ("Can I return it after 10 days?", "Can I return it after 30 days?", "number"),
        ("Table for two at noon", "Table for four at noon", "number"),
        ("Is 5 kg too heavy?", "Is 5 lb too heavy?", "number"),
        ("Are you open on 3 May?", "Are you open on 4 May?", "number"),
        ("Is there a bus at 5 pm?", "Is there a bus at 6 pm?", "number"),
        ("Do you ship to France?", "Do you ship to Brazil?", "name"),
        ("do you ship to france?", "do you ship to brazil?", "country"),
        ("Who is Priya Raman?", "Who is Ines Duarte?", "name"),
        ("Which plans include support?", "Which plans do not include support?", "denial"),
        ("Show hotels with a pool", "Show hotels without a pool", "denial"),
        ("Is the account available?", "Is the account unavailable?", "opposite"),
        ("What is the largest river?", "What is the smallest river?", "opposite"),
        ("Which train is first?", "Which train is last?", "opposite"),
        ("What does `git push` do?", "What does `git pull` do?", "code"),
        ("How do I use map_values?", "How do I use map_keys?", "code"),
        ('What does "merci" mean?', 'What does "danke" mean?', "code or quote"),
        ("How do I convert EUR to USD?", "How do I convert USD to EUR?", "order"),
        ("Is gold heavier than silver?", "Is silver heavier than gold?", "order"),
        ("Why do dogs chase cats?", "Why do cats chase dogs?", "order"),
        ("When did Bell found the firm?", "Why did Bell found the firm?", "asks"),
        ("Who wrote the report?", "When was the report written?", "asks"),
        ("How do I cancel my order?", "How do I cancel my appointment?", "order part"),
        ("What are the pros of rent control?", "What are the cons of rent control?", "opposite"),
        ("How do I cook turnips?", "How do I cook parsnips?", "word"),
        ("how do I get an invoice", "how do I pay an invoice", "word"),
        ("how do I use a promo code", "how do I get a promo code", "word"),
        ("can my son use my card", "can my son get a card", "word"),
        ("does the phone come with a case", "does the phone come with a charger", "word"),
        ("transfer money to another bank", "transfer money from another bank", "order"),
        ("can I send money to India", "can I receive money from India", "opposite"),
        ("activate my debit card", "activate my credit card", "opposite"),
        ("where is my cashback", "how much is my cashback", "asks"),
        ("how long is the warranty", "how do I claim the warranty", "asks"),
    ],
)  # fmt: skip
def test_one_thing_that_matters_tells_questions_apart(a: str, b: str, what: str) -> None:
    assert what in reasons(a, b)
    assert what in reasons(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("turn on two-factor authentication", "enable 2FA"),
        ("How do I log in?", "How can I sign in?"),
        ("Can I return it after ten days?", "May I send it back after 10 days?"),
        ("Is 5 kg too heavy?", "Is five kilos too heavy?"),
        ("Is 5,000 g too heavy?", "Is 5 kg too heavy?"),
        ("What happens on 2024-03-05?", "What happens on 5 March 2024?"),
        ("Is there a bus at 17:00?", "Is there a bus at 5 pm?"),
        ("The account is unavailable", "The account is not available"),
        ("How do I delete my account?", "What's the way to remove my account?"),
        ("Where's my parcel?", "Where is my package?"),
        ("How do I connect the phone to the TV?", "How do I connect the TV to the phone?"),
        ("I don't know how to reset my password", "How do I reset my password?"),
        ("Where is the Billing page?", "where is the billing page"),
        ("Where is the calender?", "Where is the calendar?"),
        ("How do I get a refund?", "How do I claim my refund?"),
        ("I was charged twice", "Why have I been charged two times?"),
        ("What is the EUR rate?", "What is the euro rate?"),
        ("do you have gift cards", "do you sell gift cards"),
    ],
)
def test_other_words_for_the_same_do_not(a: str, b: str) -> None:
    assert reasons(a, b) == ""


def test_an_order_that_only_moves_a_clause_tells_nothing_apart() -> None:
    assert reasons("When it rains, what do I wear?", "What do I wear when it rains?") == ""


def test_an_added_name_or_number_is_another_question() -> None:
    assert "name" in reasons("What is the refund policy?", "What is the refund policy in Germany?")
    assert "number" in reasons("What is the refund policy?", "What is the refund policy after 30 days?")


@pytest.mark.parametrize(
    ("a", "b", "language", "what"),
    [
        ("Posso devolver em 10 dias?", "Posso devolver em 30 dias?", "pt", "number"),
        ("Como ativo o 2FA?", "Como desativo o 2FA?", "pt", "opposite"),
        ("¿Cómo activo el roaming?", "¿Cómo desactivo el roaming?", "es", "opposite"),
        ("Quais hotéis têm piscina?", "Quais hotéis não têm piscina?", "pt", "denial"),
        ("¿Qué planes incluyen soporte?", "¿Qué planes no incluyen soporte?", "es", "denial"),
        ("Vocês enviam para França?", "Vocês enviam para Itália?", "pt", "name"),
        ("¿Hay un tren el lunes?", "¿Hay un tren el martes?", "es", "day"),
    ],
)
def test_portuguese_and_spanish_have_tables_too(a: str, b: str, language: str, what: str) -> None:
    assert what in reasons(a, b, language)


def test_questions_in_two_languages_never_agree() -> None:
    assert not agreement(question_of("hotel", "pt"), question_of("hotel", "es")).agrees


def test_a_question_read_by_another_version_agrees_with_none() -> None:
    one = question_of("How do I pay?", "en")
    assert not agreement(one, msgspec.structs.replace(one, form=one.form + 1)).agrees


def test_another_thing_in_a_long_frame_is_told_apart() -> None:
    frame = "Write a letter about {} on a train that stops at every station of the coast"
    asked, kept = (question_of(frame.format(who), "en") for who in ("a lost astronaut", "a baker"))
    assert not agreement(asked, kept).agrees


def test_long_texts_agree_only_word_by_word() -> None:
    text = "The order of the week has three parts and a lid. " * 20
    assert reasons(text, text) == ""
    assert "long" in reasons(text, text + "One more thing about boats.")


@given(st.text(max_size=400))
def test_any_text_is_read_and_agrees_with_itself_and_survives_storing(text: str) -> None:
    read = question_of(text, None)
    assert agreement(read, question_of(text, None)).agrees
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(read), type=Question) == read


def test_a_short_text_that_speaks_for_no_language_is_read_as_english() -> None:
    """`a` is a small word of three languages, and so tells none of them."""
    assert question_of("stop a direct debit", None).language == "en"


# The first question of all reads the tables, which takes longer than any other.
@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_agreement_has_no_direction(a: str, b: str) -> None:
    one, other = question_of(a, "en"), question_of(b, "en")
    assert agreement(one, other).agrees == agreement(other, one).agrees
