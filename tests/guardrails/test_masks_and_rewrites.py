"""Masks and rewriting together: what is masked stays masked, leads back to its owner alone, and holds nobody up."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from typing import Any

import pytest

from comporta.errors import GuardrailBlocked
from comporta.guardrails.base import Context, Match, Tools
from comporta.guardrails.call import MASKS, REFUSED, UNSEEN
from comporta.guardrails.kinds.json_schema import KINDS as JSON_KINDS
from comporta.guardrails.looking import Text as Word
from comporta.guardrails.masking import Masks
from comporta.guardrails.policy import Kinds, Policy, versioned
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.running import Piece, Runner, disjoint
from comporta.guardrails.stage import Guard
from comporta.guardrails.trying import Showing, tried
from comporta.pipeline import Call
from comporta.types import File, Message, Other, Text, ToolResult

from .conftest import WORD, MakePolicy
from .test_stage import Model, answer, call_of, chunks, stage_of

MASK = {"type": "word", "word": "secret", "action": "mask"}
REWRITE = {"type": "whole_word", "word": "rude", "action": "rewrite"}


def rewording(to: str, heard: list[str]) -> Repairs:
    async def reword(call: Call, text: str, why: str) -> str:
        heard.append(text)
        return text.replace("rude", to)

    return Repairs(reword)


def failing_first(to: str, heard: list[str]) -> Repairs:
    """Rules offer nothing that the guard lets pass, so that a model is asked."""
    repairs = rewording(to, heard)
    passes = repairs._passes

    async def picky(found: Any, offer: str, context: Any) -> bool:
        return "[WORD]" not in offer.replace("[WORD] ", "", 1) and await passes(found, offer, context)

    repairs._passes = picky  # type: ignore[method-assign]
    return repairs


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_written_anew_keeps_its_masks(policy: MakePolicy, stream: bool) -> None:
    stage = stage_of(policy(output=[MASK, REWRITE]))
    text, _, _ = await answer(stage, call_of("hi", stream=stream), chunks("a rude secret1 here", [5, 4]))
    assert text == "a [WORD] [WORD] here"


async def test_what_another_model_words_anew_is_shown_to_every_guard(policy: MakePolicy) -> None:
    heard: list[str] = []
    uses = policy(output=[MASK, REWRITE])
    text, _, _ = await answer(
        stage_of(uses, failing_first("secret2", heard)), call_of("hi"), chunks("secret1 is rude", [])
    )
    assert heard == ["[WORD] is rude"]
    assert text == "[WORD] is [WORD]"


async def test_a_question_written_anew_keeps_its_masks(policy: MakePolicy) -> None:
    stage = stage_of(policy(input=[MASK, REWRITE]))
    _, _, model = await answer(stage, call_of("my rude secret1"), chunks("ok", []))
    assert model.asked[0].messages[0].text == "my [WORD] [WORD]"


async def test_masks_in_an_answer_written_anew_lead_back(policy: MakePolicy) -> None:
    stage = stage_of(policy(input=[MASK], output=[REWRITE], unmask=True))
    text, _, _ = await answer(stage, call_of("my secret1"), chunks("rude: [WORD_1]", [7]))
    assert text == "[WORD]: secret1"


async def test_two_guards_may_have_the_same_text_written_anew(policy: MakePolicy) -> None:
    other = {"type": "whole_word", "word": "crude", "action": "rewrite"}
    stage = stage_of(policy(output=[REWRITE, other]))
    text, _, _ = await answer(stage, call_of("hi"), chunks("so rude and so crude", []))
    assert "rude" not in text


async def test_what_cannot_be_mended_is_refused_in_the_policys_words(policy: MakePolicy) -> None:
    hopeless = {"type": "whole_word", "word": "[word]", "action": "rewrite"}
    said = policy(input=[hopeless], output=[hopeless], refusal="No.")
    call = call_of("a [word]")
    text, _, model = await answer(stage_of(said), call, chunks("fine", []))
    assert (text, model.asked, call.facts[REFUSED]) == ("No.", [], "whole_word")
    text, _, _ = await answer(stage_of(said), call_of("hi"), chunks("a [word]", []))
    assert text == "No."


async def test_a_value_that_only_the_answer_held_is_never_led_back(policy: MakePolicy) -> None:
    stage = stage_of(policy(input=[MASK], output=[MASK], unmask=True))
    said = "hers is secret9, " + "filler " * 60 + "which is [WORD_2], and yours [WORD_1]"
    text, _, _ = await answer(stage, call_of("mine is secret1"), chunks(said, [40, 40, 40, 200]))
    assert "secret9" not in text
    assert text.endswith("which is [WORD_2], and yours secret1")


async def test_masks_of_answers_look_as_configured_where_nothing_guards_the_question(policy: MakePolicy) -> None:
    def stage(policy: Policy) -> Guard:
        return Guard(lambda call: policy, Runner(), lambda *_: None, Repairs(), lambda: "stars")

    text, _, _ = await answer(stage(policy(output=[MASK])), call_of("hi"), chunks("the secret1", []))
    assert text == "the *******"


async def test_words_put_into_the_models_mouth_do_not_hide_the_last_turn(policy: MakePolicy) -> None:
    said = (
        Message("user", (Text("old"),)), Message("assistant", (Text("yes"),)),
        Message("user", (Text("secret"),)), Message("assistant", (Text("Sure,"),)),
    )  # fmt: skip
    stage = stage_of(policy(input=[{"type": "word", "action": "block"}], turns="last"))
    with pytest.raises(GuardrailBlocked):
        await stage.stage(call_of(messages=said), Model([]))


async def test_texts_inside_files_and_search_results_are_looked_at_too(policy: MakePolicy) -> None:
    found = {"type": "search_result", "source": "http://secret1", "content": [{"type": "text", "text": "a secret2"}]}
    plain = b64encode(b"the secret3").decode()
    call = call_of(
        messages=(
            Message("user", (Other("anthropic", found), File(data=plain, media_type="text/plain", name="n"))),
            Message("user", (ToolResult("t", (File(data=plain), File(data="JVBERi0xLjQK/9j/"))),)),
        )
    )
    passage = {**MASK, "on": ["passage", "tool"]}
    _, _, model = await answer(stage_of(policy(input=[passage])), call, chunks("ok", []))
    other, file = model.asked[0].messages[0].parts
    assert isinstance(other, Other)
    assert other.value == {
        "type": "search_result", "source": "http://[WORD]", "content": [{"type": "text", "text": "a [WORD]"}],
    }  # fmt: skip
    assert isinstance(file, File)
    assert (b64decode(file.data or ""), file.name) == (b"the [WORD]", "n")
    told = model.asked[0].messages[1].parts[0]
    assert isinstance(told, ToolResult)
    assert told.parts == (File(data=b64encode(b"the [WORD]").decode()), File(data="JVBERi0xLjQK/9j/"))


async def test_who_hangs_up_on_a_stream_that_is_only_watched_is_told_of(policy: MakePolicy) -> None:
    told: list[Any] = []
    call = call_of("hi")
    stage = stage_of(policy(output=[MASK], stream="observe"), told=told)
    events = await stage.stage(call, Model(chunks("a secret1 and more", [9, 4])))
    await anext(events)
    assert UNSEEN in call.facts
    await events.aclose()  # type: ignore[attr-defined]
    assert [found.use.name for _, report in told for found in report.found] == ["word"]
    assert UNSEEN not in call.facts
    assert call.facts[MASKS].again("a secret1") == "a [WORD]"


@pytest.mark.parametrize(("said", "out"), [("a rude secret1", "a [WORD] [WORD]"), ("secret2", "[WORD]")])
async def test_an_answer_asked_about_by_itself_keeps_its_masks(policy: MakePolicy, said: str, out: str) -> None:
    showing = Showing((Piece(Word(said), "assistant"),))
    done = await tried(Runner(), policy(output=[MASK, REWRITE]), "output", showing, call_of("hi"))
    assert done.checked.output == out


async def test_what_mending_brings_to_light_is_masked(policy: MakePolicy) -> None:
    kinds = Kinds((WORD, *JSON_KINDS), Tools())
    mending = versioned(Policy(output=kinds.uses([MASK, "json_schema"], "output")))
    hidden = '{"a": "\\u0073ecret1",}'
    showing = Showing((Piece(Word(hidden), "assistant"),), schema={"type": "object"})
    done = await tried(Runner(), mending, "output", showing, call_of("hi"))
    assert done.checked.output == '{"a":"[WORD]"}'
    text, _, _ = await answer(stage_of(mending), call_of("hi"), chunks(hidden, []))
    assert text == '{"a":"[WORD]"}'


def test_guards_that_callers_name_do_not_pile_up() -> None:
    kinds = Kinds((WORD,), Tools())
    for number in range(1_200):
        kinds.use({"type": "word", "word": f"w{number}"}, "input")
    assert len(kinds._made) == 1_000


async def test_no_long_text_lies_about_where_verdicts_are_remembered(policy: MakePolicy) -> None:
    runner, said = Runner(), "the secret plan " * 20
    use = policy(input=["word"]).input[0]
    for _ in range(2):
        found = await runner.check(
            (use,), (Piece(Word(said), "user"),), lambda piece, use: Context("input", "user", 0.5)
        )
        assert len(found.found[0].verdict.spans) == 20
    assert "secret plan" not in repr(runner._memo.keys())


def test_thousands_of_matches_hold_nobody_up() -> None:
    values = [f"user{n:07d}@example.com" for n in range(6_000)]
    text = " ".join(values)
    matches, at = [], 0
    for value in values:
        matches += [Match(at, at + len(value), "EMAIL"), Match(at, at + 4, "NAME", 0.5)]
        at += len(value) + 1
    begun_s = time.process_time()
    kept = disjoint(matches)
    masks = Masks("numbered", lead_back=True)
    masked = masks.put(text, kept)
    assert masks.again(text) == masked
    assert time.process_time() - begun_s < 15
    assert len(kept) == 6_000
