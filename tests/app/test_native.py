"""Money that is held for rows while their provider has them: of every budget of theirs, and no longer than that."""

from __future__ import annotations

import pytest

from comporta.app.native import Reservations
from comporta.budget.budgets import Budget
from comporta.budget.purses import Purses, purse_of
from comporta.counters.memory import Memory
from comporta.gateway.admission import Admission
from comporta.gateway.batches.handovers import Share
from comporta.keys.limits import Limits
from comporta.pipeline import Call, compose, replay
from comporta.types import Caller, Event, Input

CALLER = Caller("k", "name", team="t")
NOW_S = 1_700_000_000.0


def budget(limit_microusd: int, scope: str, value: str | None) -> Budget:
    return Budget(f"{scope}-{value}", f"of {scope}", scope, value, "month", limit_microusd, 0.0, "")  # type: ignore[arg-type]


TEAM, USER = budget(1000, "team", "t"), budget(400, "user", "ana")


class World:
    """Budgets of which nothing was spent before."""

    def __init__(self, *budgets: Budget) -> None:
        self.counters = Memory(clock=lambda: NOW_S)
        self.all = {one.id: one for one in budgets}
        self.purses = Purses(self, self.counters, self._spent, self._by_users, self._drain, lambda: NOW_S)  # type: ignore[arg-type]
        self.reservations = Reservations(self.counters, self.purses)

    async def _spent(self, *_: object) -> int:
        return 0

    async def _by_users(self, *_: object) -> dict[str, int]:
        return {}

    async def _drain(self) -> None:
        return

    async def money(self, budget: Budget) -> tuple[int, int] | None:
        """Spent and held."""
        return await self.counters.money(purse_of(budget, NOW_S).key)


async def test_every_budget_of_a_row_holds_what_it_may_cost() -> None:
    world = World(TEAM, USER)
    shares = [Share(CALLER, 100, "ana"), Share(CALLER, 200, "ana"), Share(CALLER, 300, "bo"), Share(CALLER, 50)]
    held = await world.reservations.hold("h", shares, [], whole=True)
    assert held == sorted(purse_of(one, NOW_S).key for one in (TEAM, USER))
    assert (await world.money(TEAM), await world.money(USER)) == ((0, 650), (0, 300))
    # With fewer rows left it holds less; whoever asks twice holds once.
    held = await world.reservations.hold("h", shares[3:], held, whole=False)
    assert (await world.money(TEAM), await world.money(USER)) == ((0, 50), (0, 0))
    assert held == [purse_of(TEAM, NOW_S).key]
    world.reservations.let_go("h", held)
    assert (await world.money(TEAM), await world.money(USER)) == ((0, 0), (0, 0))
    # Another worker of the gate, which took nothing itself, ends it as well.
    held = await world.reservations.hold("h", shares, [], whole=True)
    assert held is not None
    Reservations(world.counters, world.purses).let_go("h", held)
    assert await world.money(TEAM) == (0, 0)


async def test_what_has_no_room_in_one_budget_is_held_in_none() -> None:
    world = World(TEAM, USER)
    assert await world.reservations.hold("h", [Share(CALLER, 401, "ana")], [], whole=True) is None
    assert (await world.money(TEAM), await world.money(USER)) == ((0, 0), (0, 0))
    assert await world.reservations.hold("h", [Share(CALLER, 400, "ana")], [], whole=True)
    assert await world.reservations.hold("other", [Share(CALLER, 601)], [], whole=True) is None


async def test_callers_without_a_budget_hold_nothing() -> None:
    world = World(TEAM)
    assert await world.reservations.hold("h", [Share(Caller("else"), 10**9)], [], whole=True) == []
    assert await world.money(TEAM) is None


@pytest.mark.parametrize("cost", [0, 175, 10**9])
async def test_an_answer_that_was_paid_for_is_booked_whatever_a_budget_has_left(cost: int) -> None:
    world = World(TEAM)
    await world.purses.learn(world.purses.of(CALLER))
    admission = Admission(world.counters, lambda: Limits([]), lambda id: None, world.purses, lambda call: 10**9)

    async def last(call: Call) -> object:
        call.cost_microusd = cost
        return replay([Event(whole=True)])

    call = Call(kind="chat", input=Input(), model="r", caller=CALLER)
    await compose([("spend", admission.book)], last)(call)  # type: ignore[arg-type]
    call.end()
    assert await world.money(TEAM) == (cost, 0)
