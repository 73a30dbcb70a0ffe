"""The tone of texts is told as readers hear it, as often as the documents say."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.compat import EvaluationMetrics
from comporta.text.tone import LABELS, NoTone, Tones
from support.documents import page
from support.tones import SEEN, UNSEEN

TONES = Tones()


def heard(text: str, language: str) -> str:
    label = TONES.analyse(text, language).label
    return label if label in ("empathetic", "defensive", "rude") else "plain"


def right(rows: list[tuple[str, str]], language: str) -> int:
    return sum(heard(text, language) == label for label, text in rows)


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_the_documents_tell_how_often_the_tone_is_right(language: str) -> None:
    row = re.search(rf"^\| `{language}` \| (\d+) of (\d+) \| (\d+) of (\d+) \|$", page("reference/assertions.md"), re.M)
    assert row is not None
    seen, unseen = SEEN[language], UNSEEN[language]
    measured = right(seen, language), len(seen), right(unseen, language), len(unseen)
    assert measured == tuple(map(int, row.groups()))
    assert len(seen) >= 20 and len(unseen) >= 15


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_plain_replies_are_not_suspected(language: str) -> None:
    for label, text in [*SEEN[language], *UNSEEN[language]]:
        if label == "plain":
            assert heard(text, language) == "plain", text


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_the_language_need_not_be_given(language: str) -> None:
    rows = [*SEEN[language], *UNSEEN[language]]
    same = sum(TONES.analyse(text).label == TONES.analyse(text, language).label for _, text in rows)
    assert same >= 0.95 * len(rows)


def test_sorry_that_you_feel_so_is_no_empathy() -> None:
    found = TONES.analyse("I'm sorry you feel that way.")
    assert found.label == "defensive" and found.empathy == 0.0


def test_a_phrase_that_is_denied_does_not_count() -> None:
    assert TONES.analyse("We are not so sorry.").empathy == 0.0
    assert TONES.analyse("We are so sorry.").empathy > 0.3


def test_a_language_given_wins_and_one_without_phrases_is_refused() -> None:
    assert TONES.analyse("Sinto muito", "pt-BR").language == "pt"
    with pytest.raises(NoTone, match="is in de"):
        TONES.analyse("Es tut mir leid", "de")
    with pytest.raises(NoTone, match="other"):
        TONES.analyse("Votre commande est prête et nous vous remercions pour votre confiance.")


@given(st.text(max_size=200))
def test_scores_keep_their_bounds(text: str) -> None:
    found = TONES.analyse(text, "en")
    assert found.label in LABELS
    assert all(0 <= one <= 1 for one in (found.empathy, found.defensive, found.rude, found.friendly, found.formal))


@pytest.mark.parametrize("text", ["sorry you " * 20_000, "x" * 200_000, "must be " * 30_000, "not " * 50_000])
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    TONES.analyse(text)
    assert time.process_time() - began < 20


def test_the_name_that_people_write_already_says_the_same() -> None:
    found = EvaluationMetrics.analyze("I'm so sorry to hear that. I understand how frustrating it is.")
    assert (found.tone, found.defensive_score) == ("empathetic", 0.0)
    assert found.empathy_score > 0.7
    assert EvaluationMetrics().analyze("Como já lhe disse, a culpa não é nossa.").defensive_score > 0.6
