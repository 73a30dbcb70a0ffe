"""Marks in answers: nobody sees them, chunks do not matter, and only the key finds them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.guardrails.policy import Policy
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.running import Runner
from comporta.guardrails.stage import Guard
from comporta.guardrails.watermark import FALSE_ALARMS, SIGN, Marker, detect
from comporta.pipeline import Call, replay
from comporta.types import Caller, Delta, Event, Input, Message, ResponseFormat, Text, Usage

KEY = "a key of thirty characters or so"
EN = "the river rises in hills above old town and runs past mills meadows until it meets sea where boats wait for wind"
PT = "o rio nasce nas colinas acima da cidade velha e corre por moinhos campos até que encontra mar onde barcos esperam"
ES = "el río nace en las colinas sobre la ciudad vieja corre entre molinos prados hasta que encuentra mar donde barcos"


def prose(words: str, count: int = 160, seed: int = 1) -> str:
    return " ".join(random.Random(seed).choices(words.split(), k=count)) + ".\n"


@pytest.mark.parametrize("words", [EN, PT, ES])
def test_a_marked_text_reads_the_same_and_only_its_key_finds_the_marks(words: str) -> None:
    text = prose(words)
    marked = Marker(KEY).mark(text)
    assert marked.replace(SIGN, "") == text
    assert detect(marked, KEY).marked
    assert not detect(marked, "another key of thirty characters").marked
    assert not detect(text, KEY).marked
    assert detect(marked[len(marked) // 4 :], KEY).marked


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.lists(st.integers(1, 40), max_size=12))
def test_chunks_do_not_matter_and_no_text_makes_it_fail(text: str, sizes: list[int]) -> None:
    marker, parts, at = Marker(KEY), [], 0
    for size in [*sizes, len(text)]:
        parts.append(marker.mark(text[at : at + size]))
        at += size
    assert "".join(parts) == Marker(KEY).mark(text)
    assert not detect(text, KEY).marked


def test_code_is_left_as_it_is() -> None:
    code = "```python\n" + "alpha beta gamma delta\n" * 30 + "```\n"
    assert Marker(KEY).mark(code) == code


def test_of_texts_that_other_keys_marked_hardly_any_is_taken_for_ours() -> None:
    found = [detect(Marker(f"other {n}").mark(prose(EN, seed=n)), KEY).chance for n in range(300)]
    assert sum(chance < 0.05 for chance in found) < 0.09 * len(found)
    assert min(found) > FALSE_ALARMS


def test_nearly_all_texts_of_a_hundred_and_twenty_words_are_found_and_short_ones_are_not_claimed() -> None:
    found = [detect(Marker(KEY).mark(prose(EN, 120, seed)), KEY).marked for seed in range(200)]
    assert sum(found) >= 0.98 * len(found)
    assert not any(detect(Marker(KEY).mark(prose(EN, 20, seed)), KEY).marked for seed in range(50))


async def _answered(policy: Policy, chunks: Sequence[str], form: ResponseFormat | None = None) -> str:
    asked = Input(messages=(Message("user", (Text("hi"),)),), response_format=form)
    call = Call(kind="chat", input=asked, model="m",
                caller=Caller("k"), stream=True)  # fmt: skip
    events = [Event(deltas=(Delta(text=chunk),)) for chunk in chunks]

    async def model(call: Call) -> AsyncIterator[Event]:
        return replay([*events, Event(deltas=(Delta(finish="stop"),), usage=Usage(), last=True)])

    stage = Guard(lambda c: policy, Runner(), lambda c, side, report: None, Repairs(), lambda: "label")
    assert stage.applies(call)
    return "".join([delta.text async for event in await stage.stage(call, model) for delta in event.deltas])


async def test_answers_go_out_marked_streamed_in_any_chunks_and_data_does_not() -> None:
    policy, text = Policy(watermark=KEY), prose(EN)
    chunks = [text[at : at + 7] for at in range(0, len(text), 7)]
    assert await _answered(policy, chunks) == await _answered(policy, [text]) == Marker(KEY).mark(text)
    assert await _answered(policy, chunks, ResponseFormat("json_object")) == text
