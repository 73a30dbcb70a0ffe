"""Identical calls at the same time share one upstream call: one pays, and nobody's leaving hurts the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from comporta.cache.policy import CachePolicy
from comporta.errors import ClientGone, ComportaError, UpstreamCut, UpstreamFault
from comporta.pipeline import Call
from comporta.types import Event
from support.caching import STREAM, Bench, Upstream, call_for


@pytest.fixture
def shared() -> Bench:
    return Bench(CachePolicy(share=True))


async def leave(call: Call) -> None:
    """What a door does when its client has gone."""
    await call.close_events()
    call.end(ClientGone("gone"))


async def test_ten_identical_calls_make_one_upstream_call_and_one_bill(shared: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.005)
    calls = [call_for() for _ in range(10)]
    answers = await asyncio.gather(*(shared.ask(call, upstream) for call in calls))
    assert all(answer == list(STREAM) for answer in answers)
    assert upstream.asked == 1 and upstream.closed == 1
    assert sorted(c.cache for c in calls) == ["hit"] * 9 + ["miss"]
    assert sum(c.cost_microusd or 0 for c in calls) == 100
    assert len(shared.cache.sharing) == 0
    later = call_for()
    await shared.ask(later, upstream)
    assert later.cache == "hit" and upstream.asked == 1


async def test_different_calls_share_nothing(shared: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.002)
    calls = [call_for("a"), call_for("b"), call_for("a", team="blue"), call_for("a", cache_control="no-cache")]
    await asyncio.gather(*(shared.ask(call, upstream) for call in calls))
    assert upstream.asked == 4


async def test_without_the_setting_every_call_is_asked(bench: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.002)
    await asyncio.gather(*(bench.ask(call_for(), upstream) for _ in range(3)))
    assert upstream.asked == 3


async def test_the_payers_leaving_passes_the_bill_on_and_ends_nothing(shared: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.01)
    payer, other = call_for(), call_for()
    events = await shared.over(upstream)(payer)
    await anext(events)
    waiting = asyncio.create_task(shared.ask(other, upstream))
    await asyncio.sleep(0)
    await leave(payer)
    assert await waiting == list(STREAM)
    assert upstream.asked == 1
    assert (payer.cache, payer.cost_microusd) == ("hit", 0)
    assert (other.cache, other.cost_microusd) == ("miss", 100)
    assert len(shared.cache.memory) == 1, "the one who paid keeps the answer"


async def test_a_payer_cancelled_while_it_waits_ends_nothing(shared: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.01)
    payer, other = call_for(), call_for()
    first = asyncio.create_task(shared.ask(payer, upstream))
    await asyncio.sleep(0.002)
    second = asyncio.create_task(shared.ask(other, upstream))
    await asyncio.sleep(0.002)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == list(STREAM)
    assert upstream.asked == 1 and other.cache == "miss" and payer.cache == "hit"


async def test_a_listeners_leaving_changes_nothing(shared: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.01)
    payer, other = call_for(), call_for()
    paying = asyncio.create_task(shared.ask(payer, upstream))
    await asyncio.sleep(0.002)
    events = await shared.over(upstream)(other)
    await anext(events)
    await leave(other)
    assert await paying == list(STREAM)
    assert payer.cache == "miss" and other.cache == "hit" and other.cost_microusd == 0


async def test_the_upstream_call_ends_when_the_last_one_leaves(shared: Bench) -> None:
    """WIRE 8."""
    upstream = Upstream(STREAM, gap_s=0.5)
    payer, other = call_for(), call_for()
    for call in (payer, other):
        await anext(await shared.over(upstream)(call))
    await leave(payer)
    await leave(other)
    async with asyncio.timeout(60):
        while not upstream.closed or len(shared.cache.sharing):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
    assert upstream.closed == 1 and len(shared.cache.sharing) == 0 and len(shared.cache.memory) == 0
    assert other.cache == "miss", "the one who stayed longest pays for what came"


async def test_a_failure_is_heard_by_all_and_joined_by_nobody(shared: Bench) -> None:
    upstream = Upstream(STREAM[:1], error=UpstreamCut("cut"), gap_s=0.005)
    answers = await asyncio.gather(*(shared.ask(call_for(), upstream) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, UpstreamCut) for answer in answers)
    assert upstream.asked == 1 and len(shared.cache.sharing) == 0 and len(shared.cache.memory) == 0


async def test_a_failure_before_the_first_event_is_raised_where_another_variant_can_take_over(shared: Bench) -> None:
    async def refuses(call: Call) -> AsyncIterator[Event]:
        await asyncio.sleep(0.002)
        call.retries += 2
        raise UpstreamFault("no")

    async def one(call: Call) -> ComportaError:
        with pytest.raises(UpstreamFault) as failed:
            await shared.over(refuses)(call)
        await call.close_events()
        call.end(failed.value)
        return failed.value

    calls = [call_for() for _ in range(2)]
    await asyncio.gather(*(one(call) for call in calls))
    assert len(shared.cache.sharing) == 0
    assert sorted(c.retries for c in calls) == [0, 2]


async def test_a_flight_stopped_from_outside_is_no_clean_end(shared: Bench) -> None:
    upstream = Upstream(STREAM, gap_s=0.5)
    waiting = asyncio.create_task(shared.ask(call_for(), upstream))
    await asyncio.sleep(0.6)
    (flight,) = shared.cache.sharing._flights.values()
    flight._task.cancel()
    with pytest.raises(ComportaError):
        await waiting
    assert len(shared.cache.memory) == 0
