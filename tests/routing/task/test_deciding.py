"""Which of a row's models are fit for a call: needs, prices, latency, quality, health, and what each leads to."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from comporta.errors import BadRequest
from comporta.providers.catalogue import ModelFacts
from comporta.routing.task.deciding import Decided, Facts, Quality, Seen, decide
from comporta.routing.task.live import Speed
from comporta.routing.task.needs import needs_of
from comporta.routing.task.rows import Member, Policies, Row
from comporta.types import Image, Input, Message, Price, Target, Text, Tool

ASKED = Input(messages=(Message("user", (Text("Hello"),)),))


def member(name: str, price: int | None = 100_000, context: int | None = None, *can: str) -> Member:
    cost = None if price is None else Price(input=price, output=price)
    return Member(name, Target("r", name, "p", name), ModelFacts(price=cost, context=context, capabilities=can))


CHEAP, DEAR, BEST = member("cheap"), member("dear", 10_000_000), member("best", 20_000_000)
ROW = Row("task", "cost_optimized", (CHEAP,), (DEAR,), (BEST,))


def decided(
    row: Row = ROW, given: Input = ASKED, *, speeds: Mapping[str, Speed] | None = None,
    quality: Mapping[str, Quality] | None = None, rests: frozenset[str] = frozenset(), read: int = 100,
) -> Decided:  # fmt: skip
    facts = Facts(
        lambda one: (speeds or {}).get(one.name, Speed()), lambda row, one: (quality or {}).get(one.name),
        lambda one: one.name in rests,
    )  # fmt: skip
    return decide(row, Seen(given, False, needs_of(given), read, "chat"), facts, random.Random(1))


def names(found: Decided) -> list[str]:
    return [one.name for one in found.order]


def left(found: Decided, name: str) -> str:
    return next(one.reason for one in found.candidates if one.member.name == name)


def test_the_primary_answers_and_the_fallback_stands_behind_it() -> None:
    assert names(decided()) == ["cheap", "dear"]


def test_a_model_over_the_cost_threshold_is_left_out() -> None:
    row = structs.replace(ROW, primary=(DEAR,), fallback=(CHEAP,), cost_threshold_microusd=100)
    found = decided(row)
    assert names(found) == ["cheap"] and "over $0.0001" in left(found, "dear")


def test_where_all_are_too_dear_the_cheapest_answers_and_it_says_so() -> None:
    found = decided(structs.replace(ROW, cost_threshold_microusd=1))
    assert names(found)[0] == "cheap" and "least unfit" in found.why


def test_a_model_without_a_price_is_not_held_to_be_within_a_threshold() -> None:
    row = structs.replace(ROW, primary=(member("unpriced", None),), cost_threshold_microusd=10_000_000)
    assert names(decided(row)) == ["dear"]


def test_images_tools_and_schemas_are_asked_only_of_those_not_known_to_lack_them() -> None:
    seeing = Input(messages=(Message("user", (Image(url="https://x/y.png"),)),), tools=(Tool("f"),))
    row = structs.replace(
        ROW, primary=(member("blind", 1, None, "tools"),), fallback=(member("eyes", 1, None, "tools", "vision"),)
    )
    found = decided(row, seeing)
    assert names(found) == ["eyes"] and left(found, "blind") == "lacks vision"
    unknown = structs.replace(ROW, primary=(member("unheard"),), fallback=())
    assert names(decided(unknown, seeing)) == ["unheard"], "what nothing is known of is not known to lack anything"


def test_a_text_that_does_not_fit_goes_to_a_larger_context() -> None:
    row = structs.replace(ROW, primary=(member("small", 1, 50),), fallback=(member("large", 1, 5000),))
    assert names(decided(row)) == ["large"]


def test_where_nobody_can_answer_the_refusal_says_why_of_each() -> None:
    row = structs.replace(ROW, primary=(member("a", 1, 50),), fallback=(member("b", 1, 60),))
    with pytest.raises(BadRequest) as refused:
        decided(row)
    assert refused.value.code == "no_capable_model" and "a takes 50" in refused.value.message


def test_a_slow_model_is_left_out_until_its_figures_are_old_and_takes_over_last() -> None:
    row = structs.replace(ROW, max_latency_ms=200.0)
    found = decided(row, speeds={"cheap": Speed(total_ms=900.0)})
    assert names(found) == ["dear", "cheap"] and "900 ms" in left(found, "cheap")


def test_a_resting_model_goes_behind_the_others() -> None:
    assert names(decided(rests=frozenset({"cheap"}))) == ["dear", "cheap"]
    assert names(decided(rests=frozenset({"cheap", "dear"}))) == ["cheap", "dear"], "somebody has to be the probe"


@pytest.mark.parametrize(
    ("action", "first"),
    [("escalate_to_superior_model", "best"), ("retry_with_backup_model", "dear"), ("return_cached_or_default", "dear")],
)
def test_a_drop_in_quality_does_what_the_policy_says(action: Any, first: str) -> None:
    row = structs.replace(ROW, quality_threshold=0.85, policies=Policies(on_quality_drop=action))
    found = decided(row, quality={"cheap": Quality("thumbs", 0.7, 40)})
    assert names(found)[0] == first and found.kept is (action == "return_cached_or_default")
    assert "0.700 of 40" in left(found, "cheap")


def test_quality_nobody_knows_leaves_nobody_out() -> None:
    assert names(decided(structs.replace(ROW, quality_threshold=0.85)))[0] == "cheap"


def test_of_several_primaries_the_strategys_aim_chooses() -> None:
    several = structs.replace(ROW, primary=(DEAR, CHEAP), fallback=())
    assert names(decided(structs.replace(several, aim="cost")))[0] == "cheap"
    best = {"cheap": Quality("thumbs", 0.8, 40), "dear": Quality("thumbs", 0.9, 40)}
    assert names(decided(structs.replace(several, aim="quality"), quality=best))[0] == "dear"
    fast = {"cheap": Speed(total_ms=500.0), "dear": Speed(total_ms=100.0)}
    assert names(decided(structs.replace(several, aim="latency"), speeds=fast))[0] == "dear"
    assert names(decided(several))[0] == "dear", "else the order in which they are written"


def test_operators_words_are_held_against_models_that_say_nothing_of_them() -> None:
    row = structs.replace(
        ROW, required=frozenset({"medical_domain"}), primary=(member("gp", 1, None, "medical_domain"),)
    )
    assert names(decided(row)) == ["gp"]
    vouched = structs.replace(ROW, required=frozenset({"medical_domain"}), vouched=frozenset({"medical_domain"}))
    assert names(decided(vouched))[0] == "cheap"
