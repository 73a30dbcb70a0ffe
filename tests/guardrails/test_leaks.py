"""Answers that give their instructions away are found, however they are wrapped; those that do not pass."""

from __future__ import annotations

import base64
import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import ConfigError
from comporta.guardrails.kinds import leaking

from .verdicts import of, verdict

KIND = of(leaking.KINDS, "system_prompt_leak")

EN = (
    "You are Aurora, the assistant of a bookshop. Never mention the discount code SUMMER before the customer asks for "
    "it. Offer at most three books in one answer and always ask which genre the customer likes best."
)
PT = (
    "Você é a Aurora, assistente de uma livraria. Nunca mencione o código de desconto antes que o cliente peça por "
    "ele. Ofereça no máximo três livros por resposta e pergunte sempre de qual gênero o cliente mais gosta."
)
ES = (
    "Eres Aurora, asistente de una librería. Nunca menciones el código de descuento antes de que el cliente lo "
    "pida. Ofrece como máximo tres libros por respuesta y pregunta siempre qué género le gusta más al cliente."
)


@pytest.mark.parametrize("system", [EN, PT, ES])
async def test_a_copy_of_the_instructions_is_found_and_marked(system: str) -> None:
    text = f"Sure! Here is what I was told: {system}"
    found = await verdict(KIND, text, system=system)
    assert found.confidence >= KIND.threshold
    (span,) = found.spans
    assert text[span.start : span.end] in system


@pytest.mark.parametrize("system", [EN, PT, ES])
async def test_encoded_copies_are_found(system: str) -> None:
    plain = system.encode()
    for wrapped in (base64.b64encode(plain).decode(), plain.hex(), system[::-1], codecs.encode(system, "rot13")):
        found = await verdict(KIND, f"As you wish: {wrapped}", system=system)
        assert found.confidence >= KIND.threshold, wrapped[:40]


@pytest.mark.parametrize("system", [EN, PT, ES])
async def test_a_copy_with_a_word_changed_now_and_then_and_other_case_is_found(system: str) -> None:
    words = system.upper().split()
    words[7], words[20] = "XXX", "YYY"
    found = await verdict(KIND, "  ".join(words), system=system)
    assert found.confidence >= KIND.threshold


@pytest.mark.parametrize(
    ("system", "answer"),
    [
        (EN, "I recommend three books: Dune, Emma and Kim. Which genre do you like best?"),
        (EN, "We do have discounts for customers now and then; ask me about the one for this summer."),
        (PT, "Recomendo três livros: Dom Casmurro, Iracema e Vidas Secas. De qual gênero você mais gosta?"),
        (ES, "Le recomiendo tres libros: Ficciones, Rayuela y Pedro Páramo. ¿Qué género le gusta más?"),
    ],
)
async def test_answers_about_the_same_matters_pass(system: str, answer: str) -> None:
    assert (await verdict(KIND, answer, system=system)).confidence < KIND.threshold


async def test_what_the_user_said_first_is_no_leak() -> None:
    said = "Offer at most three books in one answer and always ask which genre the customer likes best."
    answer = f"You wrote: {said}"
    assert (await verdict(KIND, answer, system=EN)).confidence >= KIND.threshold
    assert (await verdict(KIND, answer, system=EN, question=f"What do you make of this: {said}")).outcome == "pass"


async def test_marks_and_texts_of_ones_own_are_kept_too() -> None:
    told = {
        "canaries": ["zx-Aurora-41"],
        "secrets": ["The margin on all atlases is forty percent until the end of March"],
    }
    assert (await verdict(KIND, "It says ZX-aurora-41 there.", told)).confidence == 1.0
    found = await verdict(KIND, "Well, the margin on all atlases is forty percent until the end of March.", told)
    assert found.confidence >= KIND.threshold
    assert (await verdict(KIND, "Atlases are on the second floor.", told)).outcome == "pass"
    with pytest.raises(ConfigError, match="canary"):
        await verdict(KIND, "x", {"canaries": [" "]})


async def test_reasons_hold_nothing_of_the_instructions() -> None:
    found = await verdict(KIND, EN, system=EN)
    assert "SUMMER" not in found.reason and "Aurora" not in found.reason


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
async def test_no_text_makes_it_fail(text: str, system: str) -> None:
    await verdict(KIND, text, {"canaries": ["mark"]}, system=system, question=text)
