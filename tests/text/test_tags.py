"""Language tags are read, compared and guessed as BCP-47 and a reader would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.text.tags import UNKNOWN, fits, guess_tag, primary, read_tag


@pytest.mark.parametrize(
    ("written", "tag"),
    [("pt-BR", "pt-BR"), ("pt_br", "pt-BR"), ("PT-pt", "pt-PT"), ("EN", "en"), ("zh-hant-tw", "zh-Hant-TW"),
     ("es-419", "es-419"), ("portuguese", "pt"), ("Español", "es"), ("sl-rozaj", "sl-rozaj"), (" en ", "en")],
)  # fmt: skip
def test_a_tag_is_read_into_its_usual_form(written: str, tag: str) -> None:
    assert read_tag(written) == tag


@pytest.mark.parametrize("written", ["", "p", "english please", "pt-", "pt--BR", "e5", "pt-BRA", "*", "pt\nBR"])
def test_what_is_no_tag_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="BCP-47"):
        read_tag(written)


@pytest.mark.parametrize(
    ("wanted", "found", "fit"),
    [("pt", "pt-BR", True), ("pt-BR", "pt", True), ("pt-BR", "pt-PT", False), ("pt-BR", "pt-BR", True),
     ("en", "pt", False), ("es-419", "es-MX", True), ("es-ES", "es-MX", False), ("pt", UNKNOWN, False)],
)  # fmt: skip
def test_a_wider_tag_takes_a_narrower_one_but_no_other(wanted: str, found: str, fit: bool) -> None:
    assert fits(wanted, found) is fit


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("Olá! Você pode acessar sua conta pelo aplicativo no celular.", "pt-BR"),
        ("Estou verificando o seu cadastro, um momento.", "pt-BR"),
        ("O prêmio foi enviado e a equipe entrará em contato.", "pt-BR"),
        ("Estou a verificar o seu registo, um momento.", "pt-PT"),
        ("Pode aceder à sua conta no telemóvel; a nossa equipa entrará em contacto consigo.", "pt-PT"),
        ("Agradecemos-lhe a paciência. Enviámos o prémio económico.", "pt-PT"),
        ("Qual é o prazo de entrega?", "pt"),
        ("¿Cuál es el plazo de entrega?", "es"),
        ("Where is my order?", "en"),
        ("Bonjour, votre commande est prête.", "fr"),
        ("Ihre Bestellung ist heute noch nicht da.", "de"),
        ("Grazie, il suo ordine è pronto.", "it"),
        ("Bedankt, uw bestelling is niet aangekomen.", "nl"),
        ("ご注文ありがとうございます", "ja"), ("您的订单已发货", "zh"), ("주문해 주셔서 감사합니다", "ko"),
        ("Ваш заказ отправлен", "ru"), ("Ваше замовлення їде", "uk"), ("شكرا لطلبك", "ar"), ("תודה רבה", "he"),
        ("Ευχαριστώ πολύ", "el"), ("धन्यवाद", "hi"), ("ขอบคุณ", "th"),
    ],
)  # fmt: skip
def test_the_tag_of_a_text_is_guessed(text: str, tag: str) -> None:
    guess = guess_tag(text)
    assert guess.tag == tag
    assert guess.sure > 0.2


@pytest.mark.parametrize("text", ["Sure, done!", "Thanks!", "Hello"])
def test_a_word_or_two_of_english_are_enough(text: str) -> None:
    assert guess_tag(text).tag == "en"


@pytest.mark.parametrize("text", ["Obrigado!", "Oi, tudo bem?", "Pedido enviado ontem", "Boa tarde"])
def test_a_word_or_two_of_portuguese_are_enough(text: str) -> None:
    assert primary(guess_tag(text).tag) == "pt"


@pytest.mark.parametrize("text", ["¡Gracias!", "Buenos días", "Pago rechazado", "Inténtelo más tarde"])
def test_a_word_or_two_of_spanish_are_enough(text: str) -> None:
    assert guess_tag(text).tag == "es"


@pytest.mark.parametrize("text", ["", "123", "?!", "xqzt", "Claro."])
def test_where_nothing_tells_nothing_is_claimed(text: str) -> None:
    assert guess_tag(text).sure == 0.0


@given(st.text(max_size=80))
def test_any_text_has_a_guess_between_nothing_and_certain(text: str) -> None:
    guess = guess_tag(text)
    assert 0.0 <= guess.sure <= 1.0
    assert guess.tag == UNKNOWN or read_tag(guess.tag) == guess.tag
