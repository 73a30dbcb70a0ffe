"""Guessing tasks: right on sentences nothing was trained on, sure where it is right, and never failing on any text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.routing.task.guess import Examples, complexity_of, guess
from comporta.routing.task.names import SURE_AT, TASKS, hardness_of, usual_of
from comporta.types import Input, Message, Text

FOLDER = Path(__file__).parents[3] / "tools" / "training" / "tasks"


def asked(text: str, system: str = "") -> Input:
    before = (Message("system", (Text(system),)),) if system else ()
    return Input(messages=(*before, Message("user", (Text(text),))))


def held(name: str) -> list[tuple[str, str]]:
    pairs, part = [], ""
    for line in (FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("- "):
            part = line[2:]
        elif line.strip():
            pairs.append((part, line))
    return pairs


@pytest.mark.parametrize("lang", ["en", "pt", "es"])
def test_most_sentences_it_was_not_trained_on_are_told_and_sure_guesses_more_so(lang: str) -> None:
    found = [(task, guess(asked(text))) for task, text in held(f"held-{lang}")]
    right = sum(task == one.task for task, one in found) / len(found)
    sure = [(task, one) for task, one in found if one.sure >= SURE_AT]
    assert right >= 0.75
    assert len(sure) >= len(found) * 0.55
    assert sum(task == one.task for task, one in sure) / len(sure) >= 0.95


def test_complexity_is_seldom_off_and_never_by_two() -> None:
    order = ["low", "medium", "high"]
    found = [(wanted, complexity_of(text, guess(asked(text)).task)) for wanted, text in held("held-complexity")]
    assert sum(a == b for a, b in found) / len(found) >= 0.85
    assert all(abs(order.index(a) - order.index(b)) < 2 for a, b in found)


def test_a_system_text_that_names_the_task_is_heard() -> None:
    alone = guess(asked("What is the largest lake?"))
    told = guess(asked("What is the largest lake?", "You are a translator. Translate everything into French."))
    assert alone.task == "question_answering" and (told.task == "translation" or told.sure < alone.sure)


@given(st.text(max_size=3000))
def test_any_text_gets_a_guess_and_a_share(text: str) -> None:
    found = guess(asked(text))
    assert found.task in TASKS and 0 < found.sure <= 1 and found.complexity in ("low", "medium", "high")


def test_a_task_of_ones_own_is_known_by_its_examples() -> None:
    examples = Examples({"claims": ["My luggage was lost on flight 12", "I want compensation for a cancelled flight"]})
    near = examples.nearest("I want compensation, my flight was cancelled")
    assert near is not None and near[0] == "claims" and near[1] > 0.5
    far = examples.nearest("What is the capital of Peru?")
    assert far is not None and far[1] < 0.3


@pytest.mark.parametrize(
    ("name", "usual"),
    [("simple_classification", "classification"), ("Summarization", "summarisation"),
     ("complex-reasoning", "reasoning"), ("real_time_chat", "chat"), ("QA", "question_answering"),
     ("underwater_basketry", None)],
)  # fmt: skip
def test_names_that_people_have_for_usual_tasks_are_understood(name: str, usual: str | None) -> None:
    assert usual_of(name) == usual


def test_names_say_how_hard_their_calls_are() -> None:
    assert (
        hardness_of("complex_reasoning") == "high" and hardness_of("simple_qa") == "low" and hardness_of("qa") is None
    )
