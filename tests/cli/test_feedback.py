"""`comporta feedback` and `comporta notify`, typed at a running gate."""

from __future__ import annotations

import json

import pytest

from cli.conftest import Type
from support.serving import Served
from support.talking import chat, until


def test_feedback_is_added_listed_and_summed_up(at_gate: Type, served: Served) -> None:
    call = chat(served, "house", "What does Comporta mean?").call
    added = at_gate(
        "feedback", "add", "--call", call, "--thumbs", "up", "--comment", "clear", "--score", "typed_tone=warm",
        "-s", "typed_exact=true", "-s", "typed_depth=2.5", "--source", "human", "--who", "rui",
    )  # fmt: skip
    assert added.code == 0 and "Kept thumbs, comment, typed_tone, typed_exact, typed_depth" in added.out
    assert until(lambda: len(json.loads(at_gate("feedback", "list", "--call", call, "--json").out)["data"]) == 5)
    listed = at_gate("feedback", "list", "--call", call)
    assert "typed_tone" in listed.out and "warm" in listed.out and "rui" in listed.out

    def summed() -> bool:
        told = json.loads(at_gate("feedback", "figures", "--by", "route", "--name", "typed_depth", "--json").out)
        return [(one["group"], one["n"], one["mean"]) for one in told] == [("house", 1, 2.5)]

    assert until(summed)
    told = at_gate("feedback", "figures")
    assert "100.0%" in told.out and "warm (1)" in told.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["feedback", "add", "--thumbs", "up"], "say what is judged"),
        (["feedback", "add", "--trace", "t", "--score", "nothing"], "is not NAME=VALUE"),
        (["feedback", "add", "--trace", "t", "--rating", "9"], "rating must be a number from 1 to 5"),
        (["feedback", "add", "--trace", "t"], "holds no judgement"),
        (["feedback", "figures", "--since", "yesterday"], "is no time span"),
        (["feedback", "figures", "--by", "colour"], "can't be grouped"),
        (["notify", "test", "nobody"], "No channel 'nobody'"),
        (["notify", "retry", "never"], "There is no notice"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(at_gate: Type, served: Served, words: list[str], told: str) -> None:
    found = at_gate(*words)
    assert found.code != 0 and told in found.err


def test_a_score_of_a_call_to_come_says_that_it_waits(at_gate: Type, served: Served) -> None:
    found = at_gate("feedback", "add", "--trace", "not-made-yet", "--rating", "3")
    assert found.code == 0 and "not recorded yet" in found.err


def test_without_channels_it_is_said_how_to_make_some(at_gate: Type, served: Served) -> None:
    assert "notify.channels" in at_gate("notify", "channels").err
    assert at_gate("notify", "list").code == 0
