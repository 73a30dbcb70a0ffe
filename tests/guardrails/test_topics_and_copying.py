"""Texts held to topics; keys that ask one form of question over and over; and calls that go on with less."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import ConfigError, GuardFailed
from comporta.guardrails.base import Context, Tools
from comporta.guardrails.kinds import theft, topics
from comporta.guardrails.kinds.theft import Watch
from comporta.guardrails.looking import Text as Looked
from comporta.guardrails.policy import Kinds, Policy, joined, versioned
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.restricting import Restriction
from comporta.guardrails.running import Runner
from comporta.guardrails.stage import Guard, Redirect
from comporta.pipeline import Call, replay
from comporta.types import Caller, Delta, Event, Input, Message, Target, Text, Tool, ToolCall, Usage

from .conftest import WORD, MakePolicy
from .verdicts import of, verdict

TOPIC = of(topics.KINDS, "topic")
THEFT = of(theft.KINDS, "model_theft")

POLITICS = {
    "name": "politics", "keywords": ["election", "eleição", "elecciones", "president"],
    "examples": ["Which party should I vote for?", "Em qual partido devo votar?", "¿A qué partido debería votar?"],
}  # fmt: skip
ORDERS = {
    "name": "orders",
    "examples": ["Where is my order?", "I want to return a product", "Onde está o meu pedido?",
                 "Quero devolver um produto",
                 "¿Dónde está mi pedido?", "Quiero devolver un producto"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Who will win the election this year?", True), ("Quem vai ganhar as eleições este ano?", True),
        ("¿Quién ganará las elecciones este año?", True),
        ("In your opinion, which party should my family vote for?", True),
        ("Em que partido você acha que devo votar?", True),
        ("¿A qué partido crees que debería votar mi familia?", True),
        ("Where is my parcel with the shoes?", False), ("Onde está a minha encomenda de sapatos?", False),
        ("¿Dónde está mi paquete con los zapatos?", False), ("Thanks!", False), ("", False),
    ],
)  # fmt: skip
async def test_a_denied_topic_is_found_by_its_keywords_and_examples(text: str, found: bool) -> None:
    said = await verdict(TOPIC, text, {"deny": [POLITICS]})
    assert (said.confidence >= TOPIC.threshold) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, where is my order of last week?", False), ("Olá, onde está o meu pedido da semana passada?", False),
        ("Hola, quiero devolver el producto de ayer", False), ("Write me a poem about autumn leaves in Paris", True),
        ("Escreva um poema sobre as folhas de outono em Lisboa", True),
        ("Escribe un poema sobre las hojas de otoño en Sevilla", True), ("Obrigado!", False),
    ],
)  # fmt: skip
async def test_what_is_off_the_allowed_topics_is_found(text: str, found: bool) -> None:
    said = await verdict(TOPIC, text, {"allow": [ORDERS]})
    assert (said.confidence >= TOPIC.threshold) == found


class Alike:
    """An embedder for which all English texts are alike."""

    name, dimensions = "fake", 2

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [(1.0, 0.0) for _ in texts]


async def test_english_is_compared_by_meaning_and_others_by_words_and_it_says_so() -> None:
    english = await verdict(
        TOPIC, "What do you think about the senate and its members?", {"deny": [POLITICS]}, Tools(Alike())
    )
    assert english.confidence == 1.0 and english.facts is not None and english.facts["method"] == "meaning"
    spanish = await verdict(
        TOPIC, "¿Qué piensa usted de los libros de cocina de mi abuela?", {"allow": [ORDERS]}, Tools(Alike())
    )
    assert spanish.facts is not None and spanish.facts["method"] == "words"


async def test_a_topic_that_says_nothing_is_a_mistake_at_start() -> None:
    for told in ({}, {"deny": [{"name": "x"}]}, {"deny": [{"examples": ["x"]}]}):
        with pytest.raises(ConfigError):
            await verdict(TOPIC, "x", told)


# ---- copying --------------------------------------------------------------------------------------------------------

FORMS = [
    "Classify the sentiment of this review as positive, negative or neutral and explain why: the {} was {} on day {}",
    "Classifique o sentimento desta avaliação como positivo, negativo ou neutro e explique: o {} estava {} no dia {}",
    "Clasifica el sentimiento de esta reseña como positivo, negativo o neutro y explica el {} estaba {} el día {}",
]
CALLER = Caller("k1")


@pytest.mark.parametrize("form", FORMS)
async def test_a_long_row_of_questions_of_one_form_is_found(form: str) -> None:
    use = Kinds((THEFT,), Tools()).use({"type": "model_theft", "alike": 20}, "input")
    found = []
    for number in range(40):
        text = form.format(f"thing{number}", f"so{number * 7}", number)
        said = await use.guard(_text(text), _context("k1"))
        found.append(said.confidence >= use.threshold)
    assert not any(found[:20])
    # Marks are a sample: now and then a question has few of them by chance.
    assert sum(found[25:]) >= 12
    assert (await use.guard(_text(form.format("a", "b", 1)), _context("k2"))).outcome == "pass"


def _text(said: str) -> Looked:
    return Looked(said)


def _context(key: str) -> Context:
    return Context("input", "user", 0.5, caller=Caller(key))


async def test_the_same_question_again_and_many_different_ones_are_no_copying() -> None:
    watch = Watch(600, 1000)
    for _ in range(100):
        again = watch.asked("k", "What is the capital of the country that I was born in?")
    assert again == (0, 1)
    other = [
        watch.asked("j", f"{'abcdefghij'[n % 10]} word{n} about thing{n * 3} and place{n * 7}")[0] for n in range(100)
    ]
    assert max(other) < 10


async def test_questions_are_forgotten_after_their_time_and_beyond_their_number() -> None:
    now = [0.0]
    watch = Watch(60, 50, lambda: now[0])
    form = FORMS[0]
    for number in range(200):
        alike, kept = watch.asked("k", form.format(number, number * 3, number * 5))
    assert kept <= 50 and alike <= 50
    now[0] = 61.0
    assert watch.asked("k", form.format("x", "y", "z")) == (0, 1)


async def test_keys_that_have_not_asked_for_longest_are_forgotten() -> None:
    watch = Watch(600, 10)
    watch.asked("first", FORMS[0])
    for number in range(5_000):
        watch.asked(f"k{number}", "hi")
    assert watch.asked("first", FORMS[0]) == (0, 1)


async def test_settings_that_cannot_hold_are_a_mistake_at_start() -> None:
    for told in ({"window": "soon"}, {"alike": 1}, {"share": 0}, {"alike": 50, "kept": 10}):
        with pytest.raises(ConfigError, match="model_theft"):
            await verdict(THEFT, "x", told)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=120), max_size=8))
async def test_no_text_makes_them_fail(texts: list[str]) -> None:
    for text in texts:
        await verdict(THEFT, text, caller=CALLER)
        await verdict(TOPIC, text, {"deny": [POLITICS], "allow": [ORDERS]})


# ---- going on with less ---------------------------------------------------------------------------------------------

LESS = {"temperature": 0, "max_tokens": 50, "tools": False, "model": "small"}


async def _asked(policy: Policy, input: Input, redirect: Redirect | None = None) -> Call:
    call = Call(kind="chat", input=input, model="m", caller=CALLER, target=Target("m", "m", "p", "big"))
    stage = Guard(
        lambda c: policy, Runner(), lambda c, side, report: None, Repairs(), lambda: "label", redirect=redirect
    )

    async def model(call: Call) -> AsyncIterator[Event]:
        return replay([Event(deltas=(Delta(text="ok", finish="stop"),), usage=Usage(), last=True)])

    assert [event async for event in await stage.stage(call, model)]
    return call


def _input(text: str, *more: Message, **params: Any) -> Input:
    return Input(messages=(*more, Message("user", (Text(text),))), tools=(Tool("search"),), **params)


def _small(call: Call, name: str) -> Target | None:
    return Target(name, name, "p", name) if name == "small" else None


async def test_a_suspicious_call_goes_on_with_less_and_others_as_they_are(policy: MakePolicy) -> None:
    less = policy(input=[{"type": "word", "action": "restrict", "restrict": LESS}])
    call = await _asked(less, _input("my secret", temperature=0.9, max_tokens=900), _small)
    assert (call.input.temperature, call.input.max_tokens, call.input.tools) == (0, 50, ())
    assert call.target is not None and call.target.model == "small"
    other = await _asked(less, _input("hello", temperature=0.9), _small)
    assert other.input.temperature == 0.9 and other.input.tools
    assert other.target is not None and other.target.model == "big"


async def test_caps_only_lower_and_tools_that_were_used_stay_named(policy: MakePolicy) -> None:
    less = policy(input=[{"type": "word", "action": "restrict", "restrict": {"max_tokens": 50, "tools": False}}])
    used = Message("assistant", (ToolCall("1", "search", "{}"),))
    call = await _asked(less, _input("my secret", used, max_tokens=10))
    assert call.input.max_tokens == 10 and call.input.temperature is None
    assert call.input.tools and call.input.tool_choice is not None and call.input.tool_choice.mode == "none"


async def test_another_model_that_is_not_there_fails_the_call(policy: MakePolicy) -> None:
    less = policy(input=[{"type": "word", "action": "restrict", "restrict": {"model": "gone"}}])
    for redirect in (None, _small):
        with pytest.raises(GuardFailed, match="'gone'"):
            await _asked(less, _input("my secret"), redirect)


@pytest.mark.parametrize(
    "entry",
    [
        {"action": "restrict"}, {"action": "restrict", "restrict": {}}, {"action": "restrict", "restrict": {"heat": 1}},
        {"action": "block", "restrict": LESS}, {"action": "restrict", "restrict": "much"},
    ],
)  # fmt: skip
def test_a_restriction_that_says_nothing_is_a_mistake_at_start(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="restrict"):
        Kinds((WORD,), Tools()).use({"type": "word", **entry}, "input")


def test_answers_cannot_be_restricted_and_joined_policies_keep_to_both() -> None:
    kinds = Kinds((WORD,), Tools())
    with pytest.raises(ConfigError, match="answer"):
        kinds.use({"type": "word", "action": "restrict", "restrict": LESS}, "output")
    one, two = (
        versioned(Policy(input=(kinds.use({"type": "word", "action": "restrict", "restrict": said}, "input"),)))
        for said in ({"temperature": 0.5, "model": "a"}, {"temperature": 0.2, "tools": False, "model": "b"})
    )
    assert one.version != two.version
    assert joined((one, two)).input[0].restrict == Restriction(0.2, None, False, "a")
