"""Answers that rest on their passages pass, and those that do not are found, in three languages."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import ConfigError, Unavailable, UpstreamError
from comporta.guardrails.base import Tools
from comporta.guardrails.grounding.asked import sort_of
from comporta.guardrails.grounding.heads import shipped
from comporta.guardrails.grounding.measures import Claim, measured
from comporta.guardrails.grounding.passages import Passages
from comporta.guardrails.kinds import groundedness

from .verdicts import of, verdict

KIND = of(groundedness.KINDS, "groundedness")

EN = (
    "The Itaipu dam stands on the Paraná river between Brazil and Paraguay. It was finished in 1984 and has 20 "
    "turbines. The plant produced 103 terawatt hours in 2016. It does not supply Chile.",
)
PT = (
    "A usina de Itaipu fica no rio Paraná, entre o Brasil e o Paraguai. Foi concluída em 1984 e tem 20 turbinas. "
    "Em 2016 produziu 103 terawatts-hora. A usina não abastece o Chile.",
)
ES = (
    "La represa de Itaipú está en el río Paraná, entre Brasil y Paraguay. Fue terminada en 1984 y tiene 20 turbinas. "
    "En 2016 produjo 103 teravatios hora. La planta no abastece a Chile.",
)
CLAIMS = [
    (EN, "The Itaipu dam was finished in 1984 and has {} turbines.", "20", "34"),
    (EN, "The dam stands on the {}.", "Paraná river", "Amazon river near Manaus"),
    (PT, "A usina de Itaipu foi concluída em 1984 e tem {} turbinas.", "20", "34"),
    (PT, "A usina fica no {}.", "rio Paraná", "rio Amazonas, perto de Manaus"),
    (ES, "La represa de Itaipú fue terminada en 1984 y tiene {} turbinas.", "20", "34"),
    (ES, "La represa está en el {}.", "río Paraná", "río Amazonas, cerca de Manaos"),
]
#: The wrong answer stands in the passage too: only the question tells.
ANSWERS = [
    (EN, "How many turbines does the Itaipu dam have?", "20", "1984"),
    (EN, "When was the dam finished?", "1984", "Paraguay"),
    (PT, "Quantas turbinas tem a usina de Itaipu?", "20", "1984"),
    (PT, "Em que ano foi concluída a usina?", "1984", "Paraguai"),
    (ES, "¿Cuántas turbinas tiene la represa de Itaipú?", "20", "2016"),
    (ES, "¿Cuándo fue terminada la represa?", "1984", "Paraguay"),
]


@pytest.mark.parametrize(("passages", "claim", "right", "wrong"), CLAIMS)
async def test_a_claim_that_its_passages_hold_is_less_in_doubt_than_one_that_they_do_not(
    passages: tuple[str, ...], claim: str, right: str, wrong: str
) -> None:
    good = await verdict(KIND, claim.format(right), passages=passages)
    bad = await verdict(KIND, claim.format(wrong), passages=passages)
    assert good.confidence < KIND.threshold <= bad.confidence


@pytest.mark.parametrize(("passages", "question", "right", "wrong"), ANSWERS)
async def test_a_name_out_of_the_passage_that_answers_another_question_is_more_in_doubt(
    passages: tuple[str, ...], question: str, right: str, wrong: str
) -> None:
    good = await verdict(KIND, right, passages=passages, question=question)
    bad = await verdict(KIND, wrong, passages=passages, question=question)
    assert good.confidence < bad.confidence


async def test_of_several_claims_the_one_without_support_is_marked_and_counts() -> None:
    text = "The Itaipu dam was finished in 1984. It was built by the Siemens company of Munich for 900 million dollars."
    found = await verdict(KIND, text, passages=EN)
    assert found.confidence >= KIND.threshold
    assert [text[span.start : span.end] for span in found.spans] == [text[text.index("It was built") :]]
    assert "Siemens" not in found.reason
    assert found.facts is not None and found.facts["claims"] == 2


async def test_without_any_passage_there_is_nothing_to_hold_an_answer_to() -> None:
    assert (await verdict(KIND, "The dam has 34 turbines.")).outcome == "pass"
    missing = await verdict(KIND, "The dam has 34 turbines.", {"without_passages": "flag"})
    assert missing.confidence == 1.0


async def test_instructions_and_the_question_count_as_passages_where_that_is_said() -> None:
    said = "The dam has 34 turbines."
    assert (await verdict(KIND, said, system=EN[0], question="Big?")).outcome == "pass"
    assert (await verdict(KIND, said, {"system": True}, system=EN[0], question="Big?")).outcome == "flag"
    assert (await verdict(KIND, said, {"question": True}, system="Be brief.", question=EN[0])).outcome == "flag"


class Judge:
    """A judge model that says what it was told to say."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, system: str, text: str) -> str:
        self.asked.append((system, text))
        return self.answer


async def test_a_judge_has_the_last_word_where_one_is_configured() -> None:
    judge = Judge('Sure: {"ok": false, "confidence": 0.9, "why": "another year"}')
    found = await verdict(KIND, "The dam was finished in 1984.", {"judge": "always"}, Tools(judge="big"),
                          passages=EN, ask=judge)  # fmt: skip
    assert found.confidence == pytest.approx(0.95)
    assert found.facts is not None and found.facts["method"] == "judge"
    assert "Paraná" in judge.asked[0][1]


async def test_a_judge_is_not_asked_about_what_words_can_tell() -> None:
    judge = Judge('{"ok": true, "confidence": 1}')
    text = "It was built by Siemens of Munich, Germany, in 1931 for 900 million dollars and 17 workers."
    found = await verdict(KIND, text, None, Tools(judge="big"), passages=EN, ask=judge)
    assert not judge.asked
    assert found.confidence > 0.7


async def test_a_judge_that_cannot_be_read_is_an_error_and_no_verdict() -> None:
    with pytest.raises(UpstreamError, match="could not be read"):
        await verdict(KIND, "The dam is old.", {"judge": "always"}, Tools(judge="big"), passages=EN, ask=Judge("maybe"))


async def test_a_judge_that_is_always_to_be_asked_must_be_configured_and_at_hand() -> None:
    with pytest.raises(ConfigError, match=r"guardrails\.judge"):
        await verdict(KIND, "x", {"judge": "always"})
    with pytest.raises(Unavailable, match="judge"):
        await verdict(KIND, "The dam is old.", {"judge": "always"}, Tools(judge="big"), passages=EN)


class Meanings:
    """An embedder that finds all texts alike, or none to be had."""

    name, dimensions = "fake", 2

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        if self.error is not None:
            raise self.error
        self.texts += texts
        return [(1.0, 0.0) for _ in texts]


async def test_meanings_are_compared_in_english_only() -> None:
    english, portuguese = Meanings(), Meanings()
    found = await verdict(KIND, "The dam was completed back in 1984.", None, Tools(english), passages=EN)
    await verdict(KIND, "A usina ficou pronta no ano de 1984.", None, Tools(portuguese), passages=PT)
    assert english.texts and not portuguese.texts
    assert found.facts is None or found.facts["method"] == "meaning"


async def test_without_the_embedding_model_words_decide() -> None:
    tools = Tools(Meanings(Unavailable("not installed")))
    found = await verdict(KIND, "The dam was finished in 1931 by Siemens in Munich.", None, tools, passages=EN)
    assert found.facts is not None and found.facts["method"] == "words"
    assert found.confidence >= KIND.threshold


@pytest.mark.parametrize(
    ("question", "sort"),
    [
        ("When was it built?", "time"), ("Em que ano foi construída?", "time"), ("¿Cuándo se construyó?", "time"),
        ("How many turbines?", "number"), ("Quantas turbinas?", "number"), ("¿Cuántas turbinas?", "number"),
        ("Who built it?", "person"), ("Quem a construiu?", "person"), ("¿Quién la construyó?", "person"),
        ("Where is it?", "place"), ("Onde fica?", "place"), ("¿Dónde está?", "place"),
        ("Is it in Brazil or in Chile?", "choice"),
    ],
)  # fmt: skip
def test_what_a_question_wants_to_hear_is_known_in_three_languages(question: str, sort: str) -> None:
    assert sort_of(question) == sort


def test_numbers_dates_and_months_meet_however_they_are_written() -> None:
    passages = Passages(["The company earned 1,234,567 dollars on 3 October 1990 from seven plants."])
    for text in ("Ganhou 1.234.567 dólares em outubro.", "Ganó 1234567 dólares en octubre con 7 plantas."):
        assert measured(Claim(text), passages)["numbers_missing"] == 0.0
    assert measured(Claim("It earned 1,234,568 dollars."), passages)["numbers_missing"] == 1.0


def test_the_weights_are_small_and_point_the_way_that_their_figures_do() -> None:
    assert len(files("comporta.guardrails").joinpath("weights", "groundedness.json").read_bytes()) < 16_000
    for head in shipped().heads.values():
        for name, weight in head.weights.items():
            against = name in {"numbers_missing", "names_missing", "negation", "words_missing", "numbers_apart",
                               "misfit", "bare", "echo", "anchor_gap", "near_gap"}  # fmt: skip
            assert (weight > 0) == against, name


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=80))
async def test_no_text_makes_it_fail(text: str, passage: str, question: str) -> None:
    found = await verdict(KIND, text, passages=(passage,), question=question)
    assert 0.0 <= found.confidence <= 1.0


async def test_a_long_answer_against_long_passages_ends_soon() -> None:
    long: Any = ("The dam has 20 turbines and stands on the river. " * 3000, "a" * 50_000, "1" * 50_000)
    found = await verdict(KIND, "The dam has 20 turbines. " * 50 + "b" * 5_000, passages=long)
    assert found.confidence < 1.0
