"""Asking the members of an ensemble: child calls at the same time, within their time, and what each came to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from comporta.embedding.base import Embedder
from comporta.errors import ClientGone, ComportaError, UpstreamTimeout
from comporta.evaluation.base import added as cost_added
from comporta.gateway.fallback import GIVEN_S
from comporta.gateway.reach import with_defaults
from comporta.pipeline import Call, Gathered, Span, child_of
from comporta.routing.ensemble.plan import Member
from comporta.types import JSON, Choice, Event, Input, Reply, Usage, added

#: How calls on behalf of an ensemble are recorded to have come in.
DOOR = "ensemble"
Status = Literal["answered", "failed", "late", "left"]
#: A child that keeps its time itself is left alone for so much longer.
_GRACE_S = 0.5


class Stream(Protocol):
    """An answer as it comes; `aclose` cancels what still runs, and ends the call."""

    @property
    def call(self) -> Call: ...
    def __aiter__(self) -> AsyncIterator[Event]: ...
    async def __anext__(self) -> Event: ...
    async def aclose(self) -> None: ...


class Tools(Struct, frozen=True):
    """What an ensemble needs of the gate.

    `stream` asks a call; `made` sees to what a child takes over from its parent (who pays, what is recorded, which
    guards look), with a flag for those of a judge. `review` puts the parent up for review: kind, reason, figures, and
    texts of which is kept what may be; it gives the review's id.
    """

    stream: Callable[[Call], Stream]
    made: Callable[[Call, Call, bool], None]
    review: Callable[[Call, str, str, JSON, Mapping[str, str]], str | None]
    #: What tells likeness where no embedding model is named.
    embedder: Embedder


class Asked:
    """One member while it is asked, and what came of it."""

    def __init__(self, member: Member, call: Call) -> None:
        self.member = member
        self.call = call
        self.status: Status = "left"
        self.error: ComportaError | None = None
        self.reply: Reply | None = None
        self.events: list[Event] = []
        #: How much it is like the others, how many votes it was given …; None where nobody says.
        self.score: float | None = None
        self.start_ns = time.perf_counter_ns()
        self.end_ns = 0

    @property
    def text(self) -> str:
        return self.reply.text if self.reply is not None else ""

    @property
    def took_ms(self) -> int:
        return ((self.end_ns or time.perf_counter_ns()) - self.start_ns) // 1_000_000

    def ended(self, status: Status, error: ComportaError | None = None) -> None:
        self.status, self.error, self.end_ns = status, error, time.perf_counter_ns()

    def told(self) -> JSON:
        """What the record says of it; no content."""
        usage = self.call.usage
        told: JSON = {
            "member": self.member.name, "call": self.call.id, "status": self.status, "ms": self.took_ms,
            "cost_microusd": cost_of(self.call), "tokens": usage.total if usage is not None else 0,
        }  # fmt: skip
        if self.error is not None:
            told["code"] = self.error.code
        if self.score is not None:
            told["score"] = round(self.score, 4)
        return told

    def span(self, depth: int) -> Span:
        attributes = {"member": self.member.name, "status": self.status, "call": self.call.id}
        error = None if self.error is None else self.error.code
        return Span("member", self.start_ns, depth, self.end_ns or time.perf_counter_ns(), error, attributes)


def cost_of(call: Call) -> int | None:
    """What a call that is over cost; one that nobody was asked for cost nothing."""
    return 0 if call.cost_microusd is None and call.usage is None else call.cost_microusd


def total_of(calls: Iterable[Call]) -> tuple[Usage | None, int | None]:
    """The tokens and the cost of several calls together; the cost is None where one is unknown."""
    every = list(calls)
    usage: Usage | None = None
    for call in every:
        usage = added(usage, call.usage)
    return usage, cost_added(cost_of(call) for call in every)


def member_call(parent: Call, given: Input, member: Member, tools: Tools, stream: bool, within_s: float) -> Call:
    """The call that asks a member; its own parameters stand in where neither body nor variant says one."""
    call = child_of(parent, with_defaults(given, member.params), member.model, door=DOOR, stream=stream)
    if member.again:
        # The same question asked several times: an answer out of a cache, or one shared by two, would be one voice.
        call.headers["cache-control"] = "no-store"
    call.facts[GIVEN_S] = within_s
    tools.made(parent, call, False)
    return call


async def whole(asked: Asked, tools: Tools) -> None:
    """Take a member's answer to its end; what came of it stands on `asked`, and nothing is raised but cancellation."""
    gathered, answer = Gathered(), tools.stream(asked.call)
    try:
        async for event in answer:
            asked.events.append(event)
            gathered.add(event)
    except ComportaError as error:
        asked.ended("failed", error)
    except asyncio.CancelledError:
        asked.ended("left", ClientGone("It was left."))
        raise
    except Exception as error:
        asked.ended("failed", ComportaError(f"Something failed inside the gate: {type(error).__name__}."))
    else:
        asked.reply = gathered.reply()
        asked.ended("answered")
    finally:
        await answer.aclose()


async def within(every: list[Asked], tools: Tools, wait_s: float) -> None:
    """Ask all at once. Who has not answered in time is cancelled, and counted as late."""
    tasks = {asyncio.create_task(whole(asked, tools)): asked for asked in every}
    try:
        _, late = await asyncio.wait(tasks, timeout=wait_s + _GRACE_S)
        await cancelled(late)
    finally:
        # The client left: nobody waits for any of them.
        await cancelled(tasks)
    for task in late:
        asked = tasks[task]
        asked.ended("late", UpstreamTimeout(f"No answer within {wait_s:g} s.", code="total_timeout"))
    for asked in every:
        if asked.status == "failed" and asked.error is not None and asked.error.code == "total_timeout":
            asked.status = "late"


async def cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel what still runs, and wait until it has ended: its cost is known then."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)


def is_good(reply: Reply | None) -> bool:
    """Whether it is an answer: something was said or called, nothing refused or filtered away."""
    if reply is None or not reply.choices:
        return False
    return all(_says(choice) for choice in reply.choices)


def _says(choice: Choice) -> bool:
    if choice.refusal or choice.finish == "content_filter":
        return False
    return bool(choice.text.strip() or choice.tools or choice.extra)
