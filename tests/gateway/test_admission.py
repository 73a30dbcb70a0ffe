"""The stages `limit` and `spend` and the toll before upstream requests, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.budget.budgets import Budget
from comporta.budget.estimate import input_tokens, output_tokens, worst_microusd, worst_rates
from comporta.budget.purses import Purses
from comporta.counters.memory import Memory
from comporta.errors import BudgetExceeded, ClientGone, RateLimited, UpstreamFault, UpstreamLimited
from comporta.gateway.admission import HEADERS, Admission
from comporta.gateway.toll import Toll
from comporta.keys.limits import Limits
from comporta.keys.rows import KeyRow
from comporta.keys.settings import LimitSection
from comporta.pipeline import Call, compose, replay
from comporta.providers.catalogue import cost_microusd
from comporta.types import Caller, Event, Input, Message, Price, Target, Text, Usage

COST_MICROUSD = 100
Upstream = Callable[[Call], Awaitable[None]]


class FakeBudgets:
    def __init__(self, *budgets: Budget) -> None:
        self.all = {budget.id: budget for budget in budgets}


class World:
    """Both stages and the toll around an upstream of the test's own."""

    def __init__(
        self, *limits: dict[str, Any], budgets: tuple[Budget, ...] = (), upstream: Upstream | None = None,
        cost: int | None = COST_MICROUSD, row: KeyRow | None = None,
    ) -> None:  # fmt: skip
        self.counters = Memory()
        self.limits = Limits([LimitSection(**facts) for facts in limits])
        self.purses = Purses(FakeBudgets(*budgets), self.counters, self._spent, self._by_users, self._drain)  # type: ignore[arg-type]
        admission = Admission(self.counters, lambda: self.limits, lambda id: row, self.purses, lambda call: cost)
        self.upstream = upstream
        self.asked = 0
        toll = Toll(
            self._answer, self.counters, lambda: self.limits, self.purses, lambda call, target: cost, lambda: False
        )
        self.next = compose([("limit", admission.limit), ("spend", admission.spend), ("choose", self._choose)], toll)

    async def _choose(self, call: Call, next: Any) -> AsyncIterator[Event]:
        call.target = Target("r", "v", "prov", "m", credential="one")
        events: AsyncIterator[Event] = await next(call)
        return events

    async def _answer(self, call: Call) -> AsyncIterator[Event]:
        self.asked += 1
        if self.upstream is not None:
            await self.upstream(call)
        return replay([])

    async def _spent(self, budget: Budget, begin_s: float, end_s: float) -> int:
        return 0

    async def _by_users(self, *_: object) -> dict[str, int]:
        return {}

    async def _drain(self) -> None:
        return

    def call(self, **facts: Any) -> Call:
        given = Input(messages=(Message("user", (Text("hello"),)),), max_tokens=10)
        return Call(kind="chat", input=given, model="r", caller=Caller("k", "name", team="t"), **facts)

    async def ask(self, cost: int = COST_MICROUSD, usage: Usage | None = None, **facts: Any) -> Call:
        """One call from its begin to its end."""
        call = self.call(**facts)
        try:
            await self.next(call)
            call.cost_microusd, call.usage = cost, usage
        finally:
            call.end()
        return call


def budget(limit_microusd: int, scope: Any = "all", value: str | None = None) -> Budget:
    return Budget(f"{scope}-{value}", f"of {scope}", scope, value, "month", limit_microusd, 0.0, "")


async def test_a_limit_by_name_comes_before_one_for_all() -> None:
    world = World(
        {"per": "team", "requests_per_minute": 1}, {"per": "team", "name": "t", "requests_per_minute": 3}
    )  # fmt: skip
    for _ in range(3):
        await world.ask()
    with pytest.raises(RateLimited, match="The team 't' is limited to 3 requests a minute"):
        await world.ask()


async def test_a_user_is_limited_apart_from_another_teams_user_of_that_name() -> None:
    world = World({"per": "user", "requests_per_minute": 1})
    await world.ask(user="ana")
    await world.ask(user="rui")
    await world.ask()
    with pytest.raises(RateLimited):
        await world.ask(user="ana")


async def test_concurrent_calls_are_limited_and_every_ending_frees_the_place() -> None:
    world = World({"per": "key", "concurrent": 1})
    for ending in (None, ClientGone("gone"), UpstreamFault("broken")):
        first, second = world.call(), world.call()
        await world.next(first)
        with pytest.raises(RateLimited) as refused:
            await world.next(second)
        assert refused.value.retry_after_s
        second.end(refused.value)
        first.end(ending)
    await world.ask()


async def test_a_call_waits_for_room_where_the_limit_says_so_and_not_for_ever() -> None:
    world = World({"per": "key", "concurrent": 1, "on_limit": "wait", "longest_wait": "300ms"})
    first = world.call()
    await world.next(first)
    asyncio.get_running_loop().call_later(0.05, first.end)
    second = world.call()
    await world.next(second)
    with pytest.raises(RateLimited):
        await world.ask()
    second.end()


async def test_tokens_are_counted_by_estimate_and_corrected_to_what_was_used() -> None:
    world = World({"per": "key", "tokens_per_minute": 100})
    call = await world.ask(usage=Usage(input=60, output=30))
    assert dict(call.facts[HEADERS])["x-ratelimit-limit-tokens"] == "100"
    with pytest.raises(RateLimited, match="tokens a minute"):
        await world.ask()
    with pytest.raises(RateLimited):
        await world.ask()


async def test_a_failed_call_gives_its_tokens_back() -> None:
    async def broken(call: Call) -> None:
        raise UpstreamFault("broken")

    world = World({"per": "key", "tokens_per_minute": 20}, upstream=broken)
    for _ in range(5):
        with pytest.raises(UpstreamFault):
            await world.ask()


@pytest.mark.parametrize(("per", "name"), [("provider", "prov"), ("model", "prov/m"), ("credential", "prov/one")])
async def test_a_limit_towards_a_provider_refuses_as_the_provider_would(per: str, name: str) -> None:
    world = World({"per": per, "name": name, "requests_per_minute": 1})
    await world.ask()
    with pytest.raises(UpstreamLimited) as refused:
        await world.ask()
    assert (refused.value.code, refused.value.status) == ("provider_limit", 429)
    assert world.asked == 1


async def test_a_request_that_follows_a_failed_one_takes_over_what_that_one_held() -> None:
    world = World({"per": "model", "concurrent": 1, "tokens_per_minute": 20})
    call = world.call()
    call.target = Target("r", "v", "prov", "m")
    toll: Any = Toll(
        world._answer, world.counters, lambda: world.limits, world.purses, lambda c, t: 0, lambda: False
    )  # fmt: skip
    await toll(call)
    await toll(call)
    call.end()
    await world.ask()


async def test_all_budgets_of_a_call_must_have_room() -> None:
    world = World(budgets=(budget(1000), budget(150, "team", "t"), budget(1, "team", "other")))
    await world.ask()
    with pytest.raises(BudgetExceeded, match="of team"):
        await world.ask()
    assert world.asked == 1


async def test_what_a_call_comes_to_is_settled_and_what_it_did_not_cost_is_free_again() -> None:
    world = World(budgets=(budget(250),))
    for _ in range(16):
        await world.ask(cost=10)
    with pytest.raises(BudgetExceeded):
        await world.ask()
    assert await world.counters.money(world.purses.of(Caller("k"))[0].key) == (160, 0)


async def test_a_model_without_a_price_is_refused_only_under_a_budget() -> None:
    await World(cost=None).ask()
    with pytest.raises(BudgetExceeded) as refused:
        await World(cost=None, budgets=(budget(10),)).ask()
    assert refused.value.code == "model_unpriced"


async def test_two_hundred_calls_at_once_spend_no_more_than_a_budget_with_room_for_ten() -> None:
    """WIRE 29."""

    async def slow(call: Call) -> None:
        await asyncio.sleep(0.01)

    world = World(budgets=(budget(10 * COST_MICROUSD),), upstream=slow)
    ended = await asyncio.gather(*(world.ask() for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(one, Call) for one in ended) == world.asked == 10
    assert all(isinstance(one, Call | BudgetExceeded) for one in ended)


async def test_a_cancelled_call_frees_its_hold() -> None:
    async def hangs(call: Call) -> None:
        await asyncio.sleep(30)

    world = World({"per": "key", "concurrent": 1}, budgets=(budget(COST_MICROUSD),), upstream=hangs)
    task = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.upstream = None
    await world.ask()


async def test_a_keys_own_limits_come_before_the_configurations() -> None:
    row = KeyRow(
        "k", "name", "", "", None, None, None, {}, (), False, 0.0, "", None, None, None, None, requests_per_minute=2
    )  # fmt: skip
    world = World({"per": "key", "requests_per_minute": 1, "concurrent": 5}, row=row)
    await world.ask()
    call = await world.ask()
    assert dict(call.facts[HEADERS])["x-ratelimit-limit-requests"] == "2"
    with pytest.raises(RateLimited):
        await world.ask()


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Price, input=st.integers(0, 10**8), output=st.integers(0, 10**8), cached=st.none() | st.integers(0, 10**8)
    ),
    st.text(max_size=200), st.integers(1, 500), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_what_is_held_covers_any_bill_that_keeps_to_what_was_asked(
    price: Price, text: str, most: int, n: int, share_in: float, share_out: float
) -> None:
    asked = Input(messages=(Message("user", (Text(text),)),), max_tokens=most, n=n)
    held = worst_microusd(worst_rates(price), input_tokens(asked), output_tokens(asked, {}, None))
    tokens_in = round(len(text.encode("utf-8", "replace")) * share_in)
    used = Usage(input=tokens_in // 2, cached=tokens_in - tokens_in // 2, output=round(most * n * share_out))
    bill = cost_microusd(used, price)
    assert held is not None and bill is not None and bill <= held


def test_a_call_that_does_not_say_how_much_may_be_written_is_held_for_4096_tokens_or_the_models_most() -> None:
    asked = Input()
    assert output_tokens(asked, {}, None) == 4096
    assert output_tokens(asked, {}, 1000) == 1000
    assert output_tokens(asked, {"max_tokens": 50, "n": 2}, 1000) == 100
    assert output_tokens(Input(max_tokens=7, n=3), {"max_tokens": 50}, None) == 21


def test_a_side_without_a_price_makes_the_cost_unknown_if_it_is_used() -> None:
    assert worst_microusd(worst_rates(Price(input=1_000_000)), 5, 0) == 5
    assert worst_microusd(worst_rates(Price(input=1_000_000)), 5, 1) is None
    assert worst_microusd(worst_rates(Price()), 5, 0) is None
