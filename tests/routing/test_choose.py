"""Names lead to plans: shares converge, a caller stays put, keys reach only what they may."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import Forbidden, NotFound
from comporta.routing.choose import Route, Variant, permitted, pick, plan_of
from comporta.types import Caller

ADMIN = Caller("a", admin=True)


class Known:
    def __init__(self, *routes: Route) -> None:
        self._routes = {route.name: route for route in routes}

    def route(self, name: str) -> Route | None:
        return self._routes.get(name)

    def provider(self, name: str) -> bool:
        return name in ("openai", "azure")

    def offering(self, model: str) -> tuple[str, ...]:
        return {"gpt-4o": ("openai", "azure"), "o3": ("openai",)}.get(model, ())

    def names(self) -> Iterable[str]:
        return [*self._routes, "openai/gpt-4o", "azure/gpt-4o", "openai/o3"]


A = Variant("a", "openai", "gpt-4o", 3.0)
B = Variant("b", "azure", "gpt-4o", 1.0)
SPARE = Variant("spare", "openai", "o3", 0.0)
ROUTE = Route("support", (A, B, SPARE))


def test_a_route_comes_before_a_provider_of_the_same_name_and_a_bare_name_needs_one_provider() -> None:
    known = Known(Route("openai/gpt-4o", (SPARE,)))
    assert plan_of(known, "openai/gpt-4o", ADMIN, None).targets[0].model == "o3"
    assert plan_of(known, "o3", ADMIN, None).targets[0].provider == "openai"
    with pytest.raises(NotFound, match="openai/gpt-4o, azure/gpt-4o"):
        plan_of(known, "gpt-4o", ADMIN, None)


def test_an_unknown_name_is_told_with_the_nearest_right_one() -> None:
    with pytest.raises(NotFound, match="Did you mean 'support'"):
        plan_of(Known(ROUTE), "suport", ADMIN, None)


def test_a_variant_of_weight_zero_is_never_drawn_and_takes_over_last() -> None:
    plan = plan_of(Known(ROUTE), "support", ADMIN, "somebody")
    assert {t.variant for t in plan.targets} == {"a", "b", "spare"}
    assert plan.targets[-1].variant == "spare"
    assert "spare" not in {pick(ROUTE, None).name for _ in range(500)}


@given(st.text(min_size=1, max_size=40))
def test_a_caller_stays_on_one_variant(session: str) -> None:
    assert pick(ROUTE, session) == pick(ROUTE, session)


@pytest.mark.parametrize("keyed", [True, False])
def test_shares_converge_to_the_weights(keyed: bool) -> None:
    drawn = Counter(pick(ROUTE, f"user-{n}" if keyed else None).name for n in range(20_000))
    assert abs(drawn["a"] / 20_000 - 0.75) < 0.02


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100) | st.just(0.0), min_size=2, max_size=6).filter(lambda w: sum(w) > 0.1), st.text())
def test_any_weights_shares_converge_to_them(weights: list[float], name: str) -> None:
    """Within five standard deviations of what chance allows, for callers that stay put."""
    count, total = 4_000, sum(weights)
    route = Route(name, tuple(Variant(str(n), "openai", "m", weight) for n, weight in enumerate(weights)))
    drawn = Counter(pick(route, f"user-{n}").name for n in range(count))
    for number, weight in enumerate(weights):
        share = weight / total
        slack = 5 * math.sqrt(share * (1 - share) / count) + 1e-9
        assert abs(drawn[str(number)] / count - share) <= slack, (number, share)


def test_a_key_with_a_list_reaches_only_what_stands_in_it() -> None:
    narrow = Caller("k", allow=("support", "azure/*"))
    known = Known(ROUTE)
    assert plan_of(known, "support", narrow, "x").targets
    assert plan_of(known, "azure/gpt-4o", narrow, None).targets
    for name in ("openai/gpt-4o", "o3"):
        with pytest.raises(Forbidden):
            plan_of(known, name, narrow, None)
    assert [n for n in known.names() if permitted(narrow, n)] == ["support", "azure/gpt-4o"]
