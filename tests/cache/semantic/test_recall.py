"""The second half of the stage `recall`: what is given for a question that means the same, and what never is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from comporta.cache.policy import CachePolicy
from comporta.cache.semantic.asked import THRESHOLD_FACT
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.recall import LAST_RESORT
from comporta.errors import ClientGone, Unavailable, UpstreamCut
from comporta.guardrails.call import MASKS, REFUSED, VERDICTS
from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.telemetry.record import PROMPTED, Prompted, is_hit
from comporta.types import Delta, Event, Image, Message, ResponseFormat, Target, Text, Tool, ToolDelta, Usage
from support.caching import STREAM, Upstream
from support.recalling import HOURS, RESET, RESET_TOO, SEMANTIC, Spread, Worker, answer, question


async def given(worker: Worker, call: Call, upstream: Upstream | None = None) -> str:
    """What became of a call: `call.cache`."""
    await worker.ask(call, upstream or Upstream(answer()))
    return call.cache


async def test_a_question_that_means_the_same_gets_the_answer_that_was_given(worker: Worker) -> None:
    upstream = Upstream(answer("By the link."))
    first, again = question(RESET), question(RESET_TOO, user="rui")
    assert await worker.ask(first, upstream) == "By the link."
    assert await worker.ask(again, upstream) == "By the link."
    assert (first.cache, again.cache, upstream.asked) == ("miss", "semantic", 1)
    assert again.cost_microusd == 0 and again.usage == Usage(input=3, output=1) and is_hit(again.cache)
    told = str(again.facts["cache_told"])
    assert told.startswith("semantic; similarity=0.9")
    noted = (again.notes or {})["cache"]
    assert noted["kind"] == "semantic" and noted["saved_microusd"] == 100 and noted["entry"] > 0
    assert 0.9 < noted["similarity"] <= 1 and "password" not in str(again.notes)


async def test_the_very_same_question_is_an_exact_hit_and_says_what_it_saved(worker: Worker) -> None:
    upstream = Upstream(answer())
    await given(worker, question(RESET), upstream)
    again = question(RESET)
    assert await given(worker, again, upstream) == "hit"
    assert again.notes == {"cache": {"kind": "exact", "saved_microusd": 100}}


async def test_another_question_is_a_miss(worker: Worker) -> None:
    await given(worker, question(RESET))
    other = question(HOURS)
    assert await given(worker, other) == "miss" and "cache_told" not in other.facts


async def test_what_the_verifier_refuses_says_why_without_content(worker: Worker) -> None:
    await given(worker, question("Can I send 5 parcels abroad with insurance included today?"))
    other = question("Can I send 6 parcels abroad with insurance included today?")
    assert await given(worker, other) == "miss"
    assert str(other.facts["cache_told"]).startswith("miss; semantic=refused; similarity=0.")
    assert "reason=number" in other.facts["cache_told"] and worker.semantic.refused == 1


SAME = question(RESET)
OTHERS: dict[str, Any] = {
    "team": question(RESET_TOO, team="blue"),
    "key without a team": question(RESET_TOO, team=None, key="other"),
    "route": question(RESET_TOO, target=Target("other", "v", "p", "m")),
    "model": question(RESET_TOO, target=Target("r", "v", "p", "other")),
    "provider": question(RESET_TOO, target=Target("r", "v", "other", "m")),
    "parameters of the variant": question(RESET_TOO, target=Target("r", "v", "p", "m", {"temperature": 0.1})),
    "instructions": question(RESET_TOO, system="Answer like a pirate."),
    "earlier turns": question(RESET_TOO, earlier=["Hello", "Hi!"]),
    "temperature": question(RESET_TOO, temperature=0.3),
    "length": question(RESET_TOO, max_tokens=5),
    "tools": question(RESET_TOO, tools=(Tool("weather"),)),
    "form of the answer": question(RESET_TOO, response_format=ResponseFormat("json_object")),
    "unknown fields": question(RESET_TOO, extra={"verbosity": "low"}),
    "headers for the provider": question(RESET_TOO, headers={"anthropic-beta": "x"}),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_calls_that_differ_in_anything_but_the_question_never_share(worker: Worker, what: str) -> None:
    """WIRE 30."""
    await given(worker, question(RESET))
    call = OTHERS[what]
    fresh = question(RESET_TOO)
    fresh.input, fresh.caller, fresh.target, fresh.headers = call.input, call.caller, call.target, dict(call.headers)
    assert await given(worker, fresh) == "miss"
    assert await given(worker, question(RESET_TOO)) == "semantic", "the one that differs in nothing still hits"


async def test_a_prompts_version_is_part_of_the_scope_and_its_words_are_not_compared(worker: Worker) -> None:
    def asked(version: str, said: str, product: str = "the blue gate") -> Call:
        text = f"You are asked about {product}. Think well, be brief. The question is: {said} Answer in one sentence."
        call = question(text)
        call.facts["prompt_version"] = f"support@{version}"
        call.facts[PROMPTED] = Prompted("support", version, variables={"question": said, "product": product})
        return call

    await given(worker, asked("1.0.0", RESET))
    assert await given(worker, asked("1.0.0", RESET_TOO)) == "semantic"
    assert await given(worker, asked("1.0.1", RESET_TOO)) == "miss"
    assert await given(worker, asked("1.0.0", RESET_TOO, "the red gate")) == "miss", "another value of the prompt"
    assert await given(worker, asked("1.0.0", HOURS)) == "miss"


async def test_longer_conversations_are_told_apart_by_their_earlier_turns(worker: Worker) -> None:
    await given(worker, question(RESET, earlier=["I use the app.", "Fine."]))
    assert await given(worker, question(RESET_TOO, earlier=["I use the app.", "Fine."])) == "semantic"
    assert await given(worker, question(RESET_TOO, earlier=["I use the web.", "Fine."])) == "miss"


async def test_a_last_turn_that_is_no_plain_question_is_left_alone(worker: Worker) -> None:
    picture = question(RESET)
    turn = Message("user", (Text(RESET), Image(url="https://example.org/a.png")))
    picture.input = structs.replace(picture.input, messages=(turn,))
    tool = question(RESET)
    tool.input = structs.replace(tool.input, messages=(*tool.input.messages, Message("assistant", (Text("Hm"),))))
    for call in (picture, tool):
        assert await given(worker, call) == "miss" and call.facts["cache_told"] == "miss; semantic=off; reason=turn"
    long = question("word " * 300)
    assert await given(worker, long) == "miss" and long.facts["cache_told"].endswith("reason=length")
    inner = question(RESET)
    inner.depth = 1
    assert await given(worker, inner) == "miss" and inner.facts["cache_told"].endswith("reason=inner")


@pytest.mark.parametrize(
    "text",
    ["Como cancelo a minha assinatura hoje?", "¿Cómo cambio la contraseña?", "如何重置密码？", "Сбросить пароль?"],
)
async def test_languages_that_the_embedder_does_not_know_are_left_alone(worker: Worker, text: str) -> None:
    call = question(text)
    assert await given(worker, call) == "miss"
    assert call.facts["cache_told"] == "miss; semantic=off; reason=language"
    assert worker.embedder.asked == 0


async def test_a_multilingual_embedder_takes_every_language_and_keeps_them_apart(database: Database) -> None:
    worker = await Worker(database, multilingual=True).open()
    await given(worker, question("Como cancelo a minha assinatura hoje?"))
    assert await given(worker, question("Como é que cancelo a minha assinatura hoje?")) == "semantic"
    worker.close()


@pytest.mark.parametrize(
    ("headers", "kept", "found"),
    [
        ({"x-comporta-cache": "off"}, 0, "bypass"),
        ({"cache-control": "no-store"}, 0, "bypass"),
        ({"x-comporta-cache": "exact"}, 0, "miss"),
        ({"cache-control": "no-cache"}, 1, "bypass"),
    ],
)
async def test_a_client_may_ask_past_it(worker: Worker, headers: dict[str, str], kept: int, found: str) -> None:
    assert await given(worker, question(HOURS, headers=headers)) == found
    assert len(worker.searching) == kept
    await given(worker, question(RESET))
    assert await given(worker, question(RESET_TOO, headers=headers)) == found


async def test_answers_of_the_wrong_kind_are_never_kept(worker: Worker) -> None:
    cut = question(RESET)
    with pytest.raises(UpstreamCut):
        await worker.ask(cut, Upstream(answer(), error=UpstreamCut("cut")))
    for fact, value in ((REFUSED, "x"), (VERDICTS, ["found"]), (LAST_RESORT, True)):
        call = question(RESET)
        call.facts[fact] = value
        await given(worker, call)
        worker.cache.memory.resize(0, 0)
        worker.cache.memory.resize(1 << 20, 1000)
    masked = question(RESET)
    masked.facts[MASKS] = object()
    await given(worker, masked)
    worker.cache.memory.resize(0, 0)
    for events in (
        answer(finish="length"), answer(finish="content_filter"),
        (Event((Delta(tools=(ToolDelta(0, "c", "f", "{}"),), finish="tool_calls"),), whole=True),),
    ):  # fmt: skip
        await given(worker, question(RESET), Upstream(events))
    assert len(worker.searching) == 0


async def test_a_call_that_its_client_left_is_not_kept(worker: Worker) -> None:
    call = question(RESET)
    events = await worker.cache.stage(call, Upstream(STREAM))
    await anext(events)
    call.end(ClientGone("gone"))
    await worker.writing.flush()
    assert len(worker.searching) == 0


async def test_only_answers_that_cost_enough_are_kept(worker: Worker) -> None:
    worker.policy = CachePolicy(semantic=SemanticPolicy(min_cost_microusd=500, shadow=0))
    await worker.ask(question(RESET), Upstream(answer()), cost_microusd=499)
    assert len(worker.searching) == 0
    worker.cache.memory.resize(0, 0)
    await worker.ask(question(RESET), Upstream(answer()), cost_microusd=500)
    assert len(worker.searching) == 1


async def test_tool_calls_are_kept_where_that_is_wanted(worker: Worker) -> None:
    worker.policy = CachePolicy(semantic=SemanticPolicy(tools=True, shadow=0))
    events = (Event((Delta(tools=(ToolDelta(0, "c", "f", "{}"),), finish="tool_calls"),), whole=True),)
    await given(worker, question(RESET, tools=(Tool("f"),)), Upstream(events))
    assert await given(worker, question(RESET_TOO, tools=(Tool("f"),))) == "semantic"


async def test_an_answer_is_given_at_another_door_without_the_upstreams_own_text(worker: Worker) -> None:
    await worker.ask(question(RESET), Upstream(answer("By the link.")))
    call = question(RESET_TOO, stream=True, door="anthropic.messages")
    events = [event async for event in await worker.cache.stage(call, Upstream())]
    assert call.cache == "semantic" and [event.raw for event in events] == [None]
    same = question(RESET_TOO)
    assert [event.raw async for event in await worker.cache.stage(same, Upstream())] == [b'{"id":"x"}']


async def test_a_stream_is_given_again_event_by_event(worker: Worker) -> None:
    """WIRE 12."""
    await worker.ask(question(RESET, stream=True), Upstream(STREAM))
    call = question(RESET_TOO, stream=True)
    assert [event async for event in await worker.cache.stage(call, Upstream())] == list(STREAM)


async def test_an_answer_lives_as_long_as_the_route_says_today(worker: Worker) -> None:
    await given(worker, question(RESET))
    assert await given(worker, question(RESET_TOO, headers={"cache-control": "max-age=100"})) == "semantic"
    worker.policy = CachePolicy(semantic=SemanticPolicy(ttl_s=0.01, shadow=0))
    await asyncio.sleep(0.02)
    assert await given(worker, question(RESET_TOO)) == "miss"


async def test_a_call_may_bring_a_threshold_of_its_own(worker: Worker) -> None:
    await given(worker, question(RESET))
    strict = question(RESET_TOO)
    strict.facts[THRESHOLD_FACT] = 0.999
    assert await given(worker, strict) == "miss"


async def test_a_judge_turns_what_is_in_doubt_and_decides_nothing_else(worker: Worker) -> None:
    worker.policy = CachePolicy(semantic=SemanticPolicy(threshold=0.999, judge="judge", shadow=0))
    await given(worker, question(RESET))
    assert await given(worker, question(RESET_TOO)) == "semantic"
    model, system, text = worker.judged[-1]
    assert model == "judge" and "SAME or DIFFERENT" in system and RESET.lower()[:20] in text.lower()
    worker.verdict = "DIFFERENT: the second asks how one can"
    assert await given(worker, question("How could I reset my password?")) == "miss"
    worker.verdict = "I think they are quite similar"
    assert await given(worker, question("How might I reset my password?")) == "miss"
    judged = len(worker.judged)
    await given(worker, question(HOURS))
    assert len(worker.judged) == judged


class TestWhenSomethingIsAway:
    """The exact cache and the call know nothing of it; it is told once, and counted."""

    async def test_an_embedder_that_fails_makes_misses_and_one_warning(self, worker: Worker) -> None:
        worker.embedder.error = Unavailable("The embedding model is not installed.", code="embedding_unavailable")
        with capture_logs() as logs:
            for _ in range(3):
                call = question(HOURS + str(_))
                assert await given(worker, call) == "miss"
                assert call.facts["cache_told"] == "miss; semantic=off; reason=embedder"
        warned = [line for line in logs if line["event"] == "cache.embedder_failed"]
        assert len(warned) == 1 and "not installed" in warned[0]["reason"]
        assert worker.embedder.asked == 1, "a broken embedder is left alone for a while"
        assert await given(worker, question(HOURS + "0")) == "hit", "exact answers go on"
        assert worker.semantic.figures()["semantic_failures"] == 1

    async def test_an_embedder_that_is_too_slow_makes_a_miss(self, worker: Worker) -> None:
        worker.vectors._limit_s = 0.01
        worker.embedder.gap_s = 1.0
        assert await given(worker, question(RESET)) == "miss" and worker.vectors.failures >= 1

    @pytest.mark.parametrize("broken", [3, 0])
    async def test_vectors_of_another_size_are_no_vectors(self, worker: Worker, broken: int) -> None:
        await given(worker, question(RESET))
        worker.embedder.size = broken
        with capture_logs() as logs:
            assert await given(worker, question(RESET_TOO)) == "miss"
        assert [line["event"] for line in logs] == ["cache.embedder_failed"]

    async def test_a_vector_with_a_number_that_is_none_is_no_vector(self, worker: Worker) -> None:
        worker.embedder._one = lambda text: (float("nan"),) * 64  # type: ignore[method-assign]
        assert await given(worker, question(RESET)) == "miss" and len(worker.searching) == 0

    async def test_a_database_that_is_away_makes_misses_and_one_warning(self, worker: Worker) -> None:
        await given(worker, question(RESET))
        worker.store._database = Database("postgresql://nobody@127.0.0.1:1/none", checkout_s=0.05)
        with capture_logs() as logs:
            for text in (RESET_TOO, "How could I reset my password?"):
                call = question(text)
                assert await given(worker, call) == "miss" and call.facts["cache_told"].endswith("reason=store")
        assert [line["event"] for line in logs].count("cache.semantic_away") == 1
        assert worker.writing.lost == 2, "what could not be written is counted"
        await worker.store._database.close()


async def test_entries_of_another_embedder_are_never_compared(worker: Worker, database: Database) -> None:
    await given(worker, question(RESET))
    other = await Worker(database, Spread("other")).open()
    assert await given(other, question(RESET_TOO)) == "miss"
    other.close()


async def test_entries_of_another_size_under_the_same_name_are_left_aside_and_told(
    worker: Worker, database: Database
) -> None:
    await given(worker, question(RESET))
    with capture_logs() as logs:
        larger = await Worker(database, Spread("spread", 96)).open()
    assert any(line["event"] == "cache.vectors_of_another_size" for line in logs) and len(larger.searching) == 0
    assert await given(larger, question(RESET_TOO)) == "miss"
    larger.close()


async def test_before_the_index_is_read_the_database_finds_the_nearest(worker: Worker, database: Database) -> None:
    await given(worker, question(RESET))
    early = Worker(database)
    assert not early.searching.read
    assert await given(early, question(RESET_TOO)) == "semantic"
    assert await given(early, question(HOURS)) == "miss"
    assert SEMANTIC.semantic is not None
    early.close()
