"""What `toxicity_check` finds, in three languages, and what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.guardrails.base import Context, Guard, Tools
from comporta.guardrails.kinds.toxicity import ToxicitySettings, toxicity_check
from comporta.guardrails.looking import Text

from .attack_texts import ATTACKS, HARMLESS, TOXIC
from .test_attacks import LANGUAGES, PROSE

CONTEXT = Context("input", "user", 0.5)


@pytest.fixture(scope="module")
def guard() -> Guard:
    return toxicity_check(ToxicitySettings(), Tools())


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_insults_threats_and_hate_are_found(guard: Guard, lang: str) -> None:
    missed = [text for text in TOXIC[lang] if (await guard(Text(text), CONTEXT)).confidence < 0.5]
    assert len(missed) <= 1, missed


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_grave_topics_and_attacks_in_a_civil_tone_are_left_alone(guard: Guard, lang: str) -> None:
    texts = (*HARMLESS[lang], *ATTACKS[lang], PROSE[lang])
    alarms = [text for text in texts if (await guard(Text(text), CONTEXT)).confidence >= 0.5]
    assert len(alarms) <= 2, alarms


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_one_insult_in_a_long_text_is_found_and_pointed_at(guard: Guard, lang: str) -> None:
    insult = TOXIC[lang][5]
    text = f"{PROSE[lang]}{insult} {PROSE[lang]}"
    verdict = await guard(Text(text), CONTEXT)
    assert verdict.confidence >= 0.5
    assert verdict.spans[0].start < text.index(insult) + len(insult)
    assert verdict.spans[0].end > text.index(insult)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=300))
async def test_no_text_makes_it_raise(guard: Guard, text: str) -> None:
    verdict = await guard(Text(text), CONTEXT)
    assert 0 <= verdict.confidence <= 1
    assert all(0 <= span.start <= span.end <= len(text) for span in verdict.spans)
