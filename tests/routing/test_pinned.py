"""Calls that go on from an earlier answer: where their plans lead."""

from __future__ import annotations

import pytest

from comporta.errors import BadRequest
from comporta.routing.choose import Plan
from comporta.routing.pinned import Pinned, led_back
from comporta.types import PromptRef, Target

A = Target("support", "a", "openai", "gpt-a", {"temperature": 0.1})
B = Target("support", "b", "openai", "gpt-b")
C = Target("support", "c", "anthropic", "claude-c")
PLAN = Plan((B, C, A), larger=Target("support", "big", "gemini", "gemini-big"), last_resort="Sorry.", on_cut="resume")


def pinned(target: Target, *, held: bool, must: bool = False, credential: str | None = "two") -> Pinned:
    was = Target(target.route, target.variant, target.provider, target.model, credential=credential)
    return Pinned("The response 'resp_1'", "support", was, held=held, must=must)


@pytest.mark.parametrize("must", [True, False])
def test_what_a_provider_holds_goes_to_its_variant_and_credential_alone(must: bool) -> None:
    """WIRE 27"""
    led = led_back(PLAN, pinned(A, held=True, must=must), "support")
    assert led == Plan(
        (Target("support", "a", "openai", "gpt-a", {"temperature": 0.1}, "two"),), None, "Sorry.", "resume"
    )


def test_what_a_provider_holds_stays_there_when_its_variant_has_left_the_route() -> None:
    """WIRE 27"""
    led = led_back(Plan((B, C)), pinned(A, held=True, must=True), "support")
    assert led.targets == (Target("support", "a", "openai", "gpt-a", credential="two"),)


def test_what_anyone_can_go_on_from_begins_where_it_came_from_and_may_go_elsewhere() -> None:
    """WIRE 27"""
    led = led_back(PLAN, pinned(A, held=False), "support")
    assert [(t.variant, t.credential) for t in led.targets] == [("a", "two"), ("a", None), ("b", None), ("c", None)]
    assert (led.larger, led.last_resort) == (PLAN.larger, "Sorry.")
    assert led_back(PLAN, pinned(A, held=False, credential=None), "support").targets == (A, B, C)


def test_an_answer_of_the_larger_model_goes_on_there() -> None:
    larger = PLAN.larger
    assert larger is not None
    led = led_back(PLAN, pinned(larger, held=False, credential=None), "support")
    assert led.targets == (larger, B, C, A)


def test_another_name_keeps_the_provider_and_its_credential() -> None:
    led = led_back(PLAN, pinned(Target("x", "x", "openai", "gpt-x"), held=True, must=True), "other")
    assert [(t.variant, t.credential) for t in led.targets] == [("b", "two")]
    led = led_back(PLAN, pinned(Target("x", "x", "openai", "gpt-a"), held=True, must=True), "other")
    assert [(t.variant, t.credential) for t in led.targets] == [("a", "two")], "the same model where there is one"


def test_a_name_that_leads_elsewhere_is_refused_only_where_it_makes_no_sense_there() -> None:
    elsewhere = Plan((C,))
    with pytest.raises(BadRequest, match=r"kept by the provider 'openai'.*ask for 'support' again"):
        led_back(elsewhere, pinned(A, held=True, must=True), "other")
    assert led_back(elsewhere, pinned(A, held=True), "other") is elsewhere
    assert led_back(elsewhere, pinned(A, held=False), "other") is elsewhere


@pytest.mark.parametrize("held", [True, False])
def test_a_variant_whose_prompt_names_the_model_leads_back_to_the_model_that_answered(held: bool) -> None:
    open_variant = Target("support", "a", "", "", {"temperature": 0.1}, prompt=PromptRef("support"))
    led = led_back(Plan((B, open_variant)), pinned(A, held=held), "support")
    first = led.targets[0]
    assert (first.variant, first.provider, first.model, first.credential) == ("a", "openai", "gpt-a", "two")
    assert first.prompt == PromptRef("support") and [t.variant for t in led.targets[1:]] == ([] if held else ["a", "b"])
