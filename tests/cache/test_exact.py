"""The stage `recall`: what is kept, what is given again, and when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs

from comporta.cache.exact import STALE_FACT, TOLD_FACT
from comporta.cache.policy import CachePolicy
from comporta.errors import ClientGone, UpstreamCut
from comporta.types import Delta, Event, Usage
from support.caching import PLAIN, STREAM, Bench, Upstream, call_for


@pytest.mark.parametrize("events", [PLAIN, STREAM])
async def test_an_answer_is_given_again_event_by_event_with_nothing_lost(bench: Bench, events: Sequence[Event]) -> None:
    """WIRE 12."""
    upstream = Upstream(events)
    first, again = call_for(), call_for()
    assert await bench.ask(first, upstream) == list(events)
    assert await bench.ask(again, upstream) == list(events)
    assert (first.cache, again.cache, upstream.asked) == ("miss", "hit", 1)
    assert again.cost_microusd == 0 and first.cost_microusd == 100
    assert again.usage == events[-1].usage


async def test_teams_never_share(bench: Bench) -> None:
    """WIRE 30."""
    upstream = Upstream()
    await bench.ask(call_for(team="red"), upstream)
    other = call_for(team="blue")
    await bench.ask(other, upstream)
    assert other.cache == "miss" and upstream.asked == 2


async def test_an_answer_lives_as_long_as_its_route_says(bench: Bench) -> None:
    upstream = Upstream()
    await bench.ask(call_for(), upstream)
    bench.clock.now_s += 3599.9
    await bench.ask(call_for(), upstream)
    assert upstream.asked == 1
    bench.clock.now_s += 0.2
    await bench.ask(call_for(), upstream)
    assert upstream.asked == 2
    bench.policy = CachePolicy(ttl_s=5.0)
    bench.clock.now_s += 6.0
    await bench.ask(call_for(), upstream)
    assert upstream.asked == 3, "a shorter time holds for what is kept already"


async def test_an_old_answer_will_do_where_that_is_said_and_is_told(bench: Bench) -> None:
    upstream = Upstream()
    await bench.ask(call_for(), upstream)
    bench.clock.now_s += 4000
    old, picky = call_for(), call_for(cache_control="max-age=100")
    old.facts[STALE_FACT] = picky.facts[STALE_FACT] = True
    await bench.ask(old, upstream)
    assert (old.cache, old.facts[TOLD_FACT]) == ("hit", "hit; stale=4000")
    assert old.notes is not None and old.notes["cache"]["stale"] is True
    await bench.ask(picky, upstream)
    assert picky.cache == "miss", "what the client wants holds"


async def test_a_request_may_ask_past_the_cache(bench: Bench) -> None:
    upstream = Upstream()
    unseen = call_for(cache_control="no-store")
    await bench.ask(unseen, upstream)
    await bench.ask(call_for(), upstream)
    assert upstream.asked == 2 and unseen.cache == "bypass"
    fresh = call_for(cache_control="no-cache")
    newer = Upstream((structs.replace(PLAIN[0], id="newer"),))
    await bench.ask(fresh, newer)
    assert fresh.cache == "bypass"
    assert (await bench.ask(call_for(), upstream))[0].id == "newer", "the fresh answer took the old one's place"
    bench.clock.now_s += 10
    young, old = call_for(cache_control="max-age=9"), call_for(cache_control="max-age=11")
    await bench.ask(old, upstream)
    await bench.ask(young, upstream)
    assert (old.cache, young.cache) == ("hit", "miss")


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((), id="nothing"),
        pytest.param(STREAM[:2], id="no finish"),
        pytest.param((Event((Delta(text="a", finish="length"),)),), id="cut for want of tokens"),
        pytest.param((Event((Delta(text="a", finish="content_filter"),)),), id="filtered"),
        pytest.param((Event((Delta(text="a"), Delta(index=1, text="b", finish="stop"))),), id="one choice unfinished"),
        pytest.param((Event((Delta(text="x" * 2_000_000, finish="stop"),)),), id="too large"),
    ],
)
async def test_what_is_no_whole_answer_is_not_kept(bench: Bench, events: Sequence[Event]) -> None:
    """WIRE 30."""
    upstream = Upstream(events)
    for _ in range(2):
        call = call_for()
        await bench.ask(call, upstream)
        assert call.cache == "miss"
    assert upstream.asked == 2 and len(bench.cache.memory) == 0


async def test_a_cut_answer_is_not_kept(bench: Bench) -> None:
    """WIRE 30: even where the cut came after the finish."""
    upstream = Upstream(STREAM, error=UpstreamCut("cut"))
    with pytest.raises(UpstreamCut):
        await bench.ask(call_for(), upstream)
    assert len(bench.cache.memory) == 0


async def test_an_answer_that_was_left_failed_or_lost_a_frame_is_not_kept(bench: Bench) -> None:
    left = call_for()
    await anext(await bench.over(Upstream(STREAM))(left))
    await left.close_events()
    left.end(ClientGone("gone"))
    failed = call_for()
    async for _ in await bench.over(Upstream(STREAM))(failed):
        pass
    failed.end(ClientGone("gone"))
    malformed = call_for()
    malformed.facts["malformed_frames"] = 1
    await bench.ask(malformed, Upstream(STREAM))
    assert len(bench.cache.memory) == 0


async def test_fewer_choices_than_asked_for_are_not_kept(bench: Bench) -> None:
    call = call_for()
    call.input = structs.replace(call.input, n=2)
    await bench.ask(call, Upstream())
    assert len(bench.cache.memory) == 0


@pytest.mark.parametrize(("cost", "kept"), [(10_000, 1), (9_999, 0), (None, 0)])
async def test_only_what_is_dear_is_kept_where_a_least_cost_is_set(bench: Bench, cost: int | None, kept: int) -> None:
    bench.policy = CachePolicy(min_cost_microusd=10_000)
    await bench.ask(call_for(), Upstream(), cost)
    assert len(bench.cache.memory) == kept


async def test_vectors_are_kept_and_counts_are_not(bench: Bench) -> None:
    vectors = Upstream((Event(vectors=((0.5, 0.25), "AAAA"), usage=Usage(input=1), whole=True),))
    await bench.ask(call_for(kind="embed"), vectors)
    assert await bench.ask(call_for(kind="embed"), vectors) == list(vectors.events)
    assert vectors.asked == 1
    counts = Upstream()
    for _ in range(2):
        call = call_for(kind="count")
        await bench.ask(call, counts)
        assert call.cache == "bypass"
    assert counts.asked == 2


async def test_without_a_policy_the_stage_is_not_there(bench: Bench) -> None:
    bench.policy = None
    upstream = Upstream()
    call = call_for()
    await bench.ask(call, upstream)
    await bench.ask(call_for(), upstream)
    assert call.cache == "bypass" and upstream.asked == 2 and len(bench.cache.memory) == 0


async def test_what_another_version_left_behind_is_a_miss(bench: Bench) -> None:
    upstream = Upstream()
    await bench.ask(call_for(), upstream)
    memory = bench.cache.memory
    (key,) = memory._held
    memory.put(key, b"\x93nonsense", 1e12)
    await bench.ask(call_for(), upstream)
    assert upstream.asked == 2


async def test_a_stream_that_is_taken_up_again_does_not_become_a_free_one(bench: Bench) -> None:
    upstream = Upstream(STREAM)
    await bench.ask(call_for(), upstream)
    resumed = call_for()
    resumed.cache, resumed.first_ns = "miss", 1
    await bench.ask(resumed, upstream)
    assert resumed.cache == "miss" and resumed.cost_microusd == 100 and upstream.asked == 2
