"""What `toxicity_check` finds, in three languages, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import Unavailable
from comporta.guardrails.base import Context, Guard, Tools
from comporta.guardrails.kinds.toxicity import ToxicitySettings, toxicity_check
from comporta.guardrails.looking import Text
from comporta.guardrails.offending import load_meaning

from . import comments
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
    assert len(alarms) <= 3, alarms


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


class Vectors:
    """An embedder that says of every text what it is told to, or that there is none."""

    name, dimensions = "all-minilm-l6-v2", 384

    def __init__(self, says: float | None) -> None:
        self.says = says
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.asked += texts
        if self.says is None:
            raise Unavailable("not installed")
        weights = load_meaning().weights
        return [tuple((self.says * weights / np.linalg.norm(weights)).tolist()) for _ in texts]


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_comments_that_no_training_has_seen_are_told_apart(guard: Guard, lang: str) -> None:
    toxic = np.array([(await guard(Text(text), CONTEXT)).confidence for text in comments.TOXIC[lang]])
    civil = np.array([(await guard(Text(text), CONTEXT)).confidence for text in comments.CIVIL[lang]])
    assert (toxic[:, None] > civil[None, :]).mean() >= 0.8
    assert (civil >= 0.5).mean() <= 0.25


async def test_meaning_is_asked_of_english_texts_in_doubt_alone(guard: Guard) -> None:
    alone = [(text, (await guard(Text(text), CONTEXT)).confidence) for text in comments.TOXIC["en"]]
    doubtful = [(text, sure) for text, sure in alone if 0.3 < sure < 0.7]
    assert doubtful
    for says in (1.0, -1.0, None):
        vectors = Vectors(says)
        asking = toxicity_check(ToxicitySettings(), Tools(embedder=vectors))
        after = [(await asking(Text(text), CONTEXT)).confidence - sure for text, sure in doubtful]
        assert all(change == 0 if says is None else change * says > 0 for change in after)
        asked = len(vectors.asked)
        assert asked == len(doubtful)
        for text in (*comments.TOXIC["pt"], "You are a stupid worthless piece of shit.", "How tall is the tower?"):
            await asking(Text(text), CONTEXT)
        assert len(vectors.asked) == asked


async def test_meaning_can_be_left_out(guard: Guard) -> None:
    vectors = Vectors(1.0)
    plain = toxicity_check(ToxicitySettings(meaning=False), Tools(embedder=vectors))
    for text in comments.TOXIC["en"]:
        assert await plain(Text(text), CONTEXT) == await guard(Text(text), CONTEXT)
    assert not vectors.asked
