"""What calls meet under a budget that is nearly used up: fewer pass, or a cheaper model that can do it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from comporta.budget.acts import Throttle, acts_of
from comporta.budget.budgets import Budget
from comporta.budget.levels import Levels
from comporta.budget.purses import Purse, purse_of
from comporta.counters.base import Spent
from comporta.counters.memory import Memory
from comporta.errors import RateLimited
from comporta.gateway.admission import HEADERS
from comporta.gateway.thrift import CHEAPER, HEADER, Cheaper, Economy, Thrift, needs
from comporta.pipeline import Call
from comporta.providers.catalogue import ModelFacts
from comporta.routing.choose import Plan, Route, Variant
from comporta.types import Caller, Image, Input, Message, ResponseFormat, Target, Text, Tool

NOW_S = 1_780_272_000.0


def call(kind: Any = "chat", depth: int = 0, **asked: Any) -> Call:
    messages = (Message("user", (Text("hello"),)),)
    return Call(kind=kind, input=Input(**{"messages": messages, **asked}), model="r", caller=Caller("k"), depth=depth)


async def thrift(percent: int, actions: dict[str, Any], throttle: Throttle | None = None, draw: float = 0.0,
                 cheaper: str | None = None) -> tuple[Thrift, list[Purse]]:  # fmt: skip
    acts = acts_of([], actions, cheaper, throttle)
    purse = purse_of(Budget("b", "engineering", "all", None, "month", 1000, 0.0, "", acts=acts), NOW_S)
    counters = Memory(clock=lambda: NOW_S)
    await counters.level((Spent(purse.key, percent * 10, purse.end_s),))

    async def fire(purse: Purse, spent: int) -> None:
        raise AssertionError("nobody settles here")

    return Thrift(Levels(counters, fire, lambda: NOW_S), counters, lambda: draw), [purse]


async def test_below_its_percent_a_step_changes_nothing() -> None:
    stage, purses = await thrift(89, {"at_90": "switch_to_cheaper_model", "at_95": "throttle"})
    asked = call()
    await stage(asked, purses)
    assert CHEAPER not in asked.facts
    assert asked.notes is None


async def test_at_its_percent_calls_are_led_to_a_cheaper_model_but_never_embeddings() -> None:
    stage, purses = await thrift(90, {"at_90": "switch_to_cheaper_model"}, cheaper="small")
    asked, embedding = call(), call("embed")
    await stage(asked, purses)
    await stage(embedding, purses)
    assert asked.facts[CHEAPER] == Cheaper("engineering", 90, "small")
    assert CHEAPER not in embedding.facts


async def test_throttled_to_so_many_a_minute_the_others_hear_when_to_come_again() -> None:
    stage, purses = await thrift(100, {"at_100": "throttle"}, Throttle(requests_per_minute=2))
    await stage(call(), purses)
    await stage(call(), purses)
    with pytest.raises(RateLimited) as caught:
        await stage(call(), purses)
    assert (caught.value.status, caught.value.code) == (429, "budget_throttled")
    assert 0 < (caught.value.retry_after_s or 0) <= 61
    assert "engineering" in caught.value.message
    # A step of a call that passed passes with it.
    await stage(call(depth=1), purses)


async def test_without_a_word_ten_a_minute_pass() -> None:
    stage, purses = await thrift(100, {"at_100": "throttle"})
    for _ in range(10):
        await stage(call(), purses)
    with pytest.raises(RateLimited):
        await stage(call(), purses)


async def test_throttled_to_a_share_the_lot_decides() -> None:
    for draw, passes in ((0.24, True), (0.25, False), (0.99, False)):
        stage, purses = await thrift(100, {"at_100": "throttle"}, Throttle(share=0.25), draw)
        if passes:
            await stage(call(), purses)
        else:
            with pytest.raises(RateLimited, match="25% of the calls pass"):
                await stage(call(), purses)


# ---- which model ----------------------------------------------------------------------------------------------------

LARGE, MIDDLE, SMALL = (Target("r", name, "p", name) for name in ("large", "middle", "small"))
COSTS: dict[str, int | None] = {"large": 100, "middle": 50, "small": 10, "unpriced": None}
FACTS = {
    "large": ModelFacts(capabilities=("tools", "vision", "json_schema"), context=100_000),
    "middle": ModelFacts(capabilities=("tools", "json_schema"), context=100_000),
    "small": ModelFacts(capabilities=("caching",), context=100),
}
TOOLS = (Tool("weather"),)
IMAGE = (Message("user", (Image(url="https://example.com/cat.png"),)),)


class Names:
    """What `choose` looks names up in."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes

    def route(self, name: str) -> Route | None:
        return self._routes.get(name)

    def provider(self, name: str) -> bool:
        return name == "p"

    def offering(self, model: str) -> tuple[str, ...]:
        return ()

    def names(self) -> Iterable[str]:
        return self._routes


ECONOMY = Economy(
    lambda: Names({"cheap": Route("cheap", (Variant("small", "p", "small"),))}),
    lambda call, target: COSTS[target.model],
    lambda target: FACTS.get(target.model),
)


def led(plan: Plan, asked: Call, model: str | None = None) -> list[str]:
    asked.facts[CHEAPER] = Cheaper("engineering", 90, model)
    return [target.model for target in ECONOMY(asked, plan).targets]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["small", "middle", "large"]),
        ({"tools": TOOLS}, ["middle", "large"]),
        ({"response_format": ResponseFormat("json_schema")}, ["middle", "large"]),
        ({"messages": (Message("user", (Text("x" * 900),)),)}, ["middle", "large"]),
    ],
)
def test_the_cheapest_variant_that_can_do_it_answers(asked: dict[str, Any], expected: list[str]) -> None:
    assert led(Plan((LARGE, SMALL, MIDDLE)), call(**asked)) == expected


def test_a_dearer_variant_takes_over_from_nobody() -> None:
    assert led(Plan((MIDDLE, LARGE, SMALL)), call()) == ["small", "middle"]


def test_the_answer_and_the_record_say_what_happened() -> None:
    asked = call()
    led(Plan((LARGE, SMALL)), asked)
    assert asked.facts[HEADERS] == [(HEADER, "switched; at=90; budget=engineering; model=p/small")]
    assert asked.notes is not None
    assert asked.notes["budget"] == {
        "budget": "engineering", "at": 90, "action": "switch_to_cheaper_model", "switched": True,
        "instead_of": "p/large", "model": "p/small",
    }  # fmt: skip


def test_where_nothing_cheaper_fits_the_call_goes_on_and_the_record_says_so() -> None:
    for plan in (Plan((SMALL,)), Plan((SMALL, LARGE)), Plan((Target("r", "u", "p", "unpriced"),))):
        asked = call()
        assert led(plan, asked) == [target.model for target in plan.targets]
        assert HEADERS not in asked.facts
        assert asked.notes is not None
        assert asked.notes["budget"]["switched"] is False
    assert led(Plan((LARGE, SMALL)), call(messages=IMAGE)) == ["large", "small"]


def test_the_model_that_the_budget_names_answers_whatever_the_key_may_name() -> None:
    asked = call()
    asked.caller = Caller("k", allow=("r",))
    assert led(Plan((LARGE,)), asked, "cheap") == ["small"]
    assert led(Plan((LARGE,)), call(), "p/middle") == ["middle"]


def test_a_named_model_that_is_gone_or_cant_do_it_changes_nothing() -> None:
    assert led(Plan((LARGE,)), call(), "gone") == ["large"]
    assert led(Plan((LARGE,)), call(tools=TOOLS), "cheap") == ["large"]


def test_what_a_call_needs_is_read_from_what_it_asks() -> None:
    assert needs(call()) == set()
    assert needs(call(tools=TOOLS, messages=IMAGE)) == {"tools", "vision"}
