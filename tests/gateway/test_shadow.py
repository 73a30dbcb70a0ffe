"""Copies of calls: sent when the call has ended, paid by their rollout, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from comporta.errors import BudgetExceeded, ClientGone, ComportaError, UpstreamFault
from comporta.gateway.shadow import AT_ONCE, Shadows, copy_of
from comporta.pipeline import Call
from comporta.routing.rollout.overlay import COPY
from comporta.routing.rollout.rows import Change, RolloutRow, Shadow
from comporta.types import Caller, Input, Message, Reply, Text

ASKED = Input(messages=(Message("user", (Text("hello"),)),))
ROW = RolloutRow(
    id="r-1", kind="rollout", name="support", route="support", variant="one", prompt=None, label=None,
    change=Change(model="openai/two"), target=None, plan={}, shadow=Shadow(1.0, 10), tags={}, state="shadow",
    paused_from=None, paused_at_s=None, stage=0, share=0.0, stage_at_s=0, started_at_s=0, started_by="ana",
    ended_at_s=None, problem=None,
)  # fmt: skip


def call(**more: Any) -> Call:
    caller = Caller("key-1", "shop", team="shop", feature="chat", tags={"centre": "7"})
    return Call(kind="chat", input=ASKED.edit(max_tokens=1), model="support", caller=caller, user="u-1", **more)


class Upstream:
    """Side B: notes who asks, waits where it is told to, and fails with what it is given."""

    def __init__(self, failure: ComportaError | None = None) -> None:
        self.asked: list[Call] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failure = failure

    async def __call__(self, copy: Call) -> Reply:
        self.asked.append(copy)
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        return Reply()


async def settled(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110 (what is waited for is not ours to tell of)
            await asyncio.sleep(0)


def test_a_copy_is_a_child_of_its_call_that_nobody_but_its_rollout_pays() -> None:
    original = call(session="s-1", headers={"anthropic-beta": "x"})
    copy = copy_of(original, ASKED, ROW)
    assert copy.input is ASKED, "as it was asked, not as stages made it"
    assert (copy.parent_id, copy.trace_id, copy.depth) == (original.id, original.trace_id, 1)
    assert (copy.session, copy.user, copy.model, copy.stream) == ("s-1", "u-1", "support", False)
    assert copy.facts == {COPY: "r-1"}
    assert (copy.caller.key_id, copy.caller.team, copy.caller.feature) == ("shadow:r-1", None, "shadow:r-1")
    assert copy.tags == {"centre": "7"}


async def test_a_call_without_an_answer_is_not_copied() -> None:
    upstream = Upstream()
    shadows = Shadows(upstream)
    for error in (ClientGone("left"), UpstreamFault("failed")):
        ended = call()
        ended.error = error
        shadows.mirror(ended, ASKED, ROW)
    await asyncio.sleep(0)
    assert upstream.asked == [] and shadows.sent == 0


async def test_what_is_too_much_at_once_is_left_out_and_counted() -> None:
    upstream = Upstream()
    upstream.go_on.clear()
    shadows = Shadows(upstream)
    for _ in range(AT_ONCE + 5):
        shadows.mirror(call(), ASKED, ROW)
    await settled(lambda: len(upstream.asked) == AT_ONCE)
    assert shadows.totals() == {"shadow_calls": AT_ONCE, "shadow_calls_left_out": 5}
    upstream.go_on.set()
    await settled(lambda: not shadows._running)
    shadows.mirror(call(), ASKED, ROW)
    await settled(lambda: len(upstream.asked) == AT_ONCE + 1)


async def test_a_failing_side_b_is_nobodys_trouble() -> None:
    shadows = Shadows(Upstream(UpstreamFault("down")))
    for _ in range(3):
        shadows.mirror(call(), ASKED, ROW)
    await settled(lambda: shadows.failed == 3 and not shadows._running)


async def test_a_budget_that_is_used_up_is_left_alone_for_a_minute() -> None:
    now_s = 0.0
    upstream = Upstream(BudgetExceeded("used up"))
    shadows = Shadows(upstream, clock=lambda: now_s)
    shadows.mirror(call(), ASKED, ROW)
    await settled(lambda: not shadows._running and len(upstream.asked) == 1)
    shadows.mirror(call(), ASKED, ROW)
    assert shadows.left_out == 1
    now_s = 61.0
    shadows.mirror(call(), ASKED, ROW)
    await settled(lambda: len(upstream.asked) == 2)


async def test_closing_ends_copies_that_are_under_way() -> None:
    upstream = Upstream()
    upstream.go_on.clear()
    shadows = Shadows(upstream)
    shadows.mirror(call(), ASKED, ROW)
    await settled(lambda: bool(upstream.asked))
    await shadows.close()
    assert not shadows._running
    shadows.mirror(call(), ASKED, ROW)
    assert len(upstream.asked) == 1
