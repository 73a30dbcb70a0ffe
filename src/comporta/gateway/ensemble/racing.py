"""The fastest good answer: members asked at once or one after another with a pause, the losers cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from comporta.errors import ClientGone, ComportaError, UpstreamTimeout
from comporta.gateway.ensemble.asking import Asked, Stream, Tools, cancelled, is_good, whole
from comporta.gateway.ensemble.strategies import NoVote
from comporta.types import Delta, Event


class Race:
    """One race. `begin` makes the n-th contender; another one starts when `hedge_s` have passed, or one has failed.

    Losers are cancelled as soon as there is a winner, and have ended when it is told: each is billed for what it did.
    """

    def __init__(
        self, begin: Callable[[int], Asked], count: int, hedge_s: float, wait_s: float, tools: Tools, stream: bool
    ) -> None:
        self._begin = begin
        self._waiting = list(range(count))
        self._hedge_s = hedge_s
        self._wait_s = wait_s
        self._tools = tools
        self._stream = stream
        self._running: dict[asyncio.Task[None], Asked] = {}
        #: Streams that have begun.
        self._begun: dict[str, Stream] = {}
        #: Answered, but with nothing that is worth much: given where nobody does better.
        self._poor: Asked | None = None

    async def run(self) -> Asked | None:
        """The winner; None where nobody answered in time."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + self._wait_s
        winner: Asked | None = None
        try:
            while winner is None and clock() < until_s:
                if self._waiting:
                    self._start()
                elif not self._running:
                    break
                winner = await self._next(until_s)
        finally:
            await self._leave(winner, late=winner is None and clock() >= until_s)
        return winner or self._poor

    def _start(self) -> None:
        """The next one; all of them where there is no pause."""
        count = len(self._waiting) if not self._hedge_s else 1
        for _ in range(count):
            asked = self._begin(self._waiting.pop(0))
            self._running[asyncio.create_task(self._ask(asked))] = asked

    async def _next(self, until_s: float) -> Asked | None:
        """Wait for one to win, or for the time to start another: after the pause, or when one has failed."""
        clock = asyncio.get_running_loop().time
        pause_until_s = min(until_s, clock() + self._hedge_s) if self._waiting else until_s
        while (left_s := pause_until_s - clock()) > 0 and self._running:
            done, _ = await asyncio.wait(self._running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            ended = [self._running.pop(task) for task in done]
            for asked in ended:
                if asked.status == "answered":
                    return asked
            if ended and self._waiting:
                break
        return None

    async def _ask(self, asked: Asked) -> None:
        if self._stream:
            await self._open(asked)
        else:
            await whole(asked, self._tools)
            if asked.status == "answered" and not is_good(asked.reply):
                self._is_poor(asked)

    def _is_poor(self, asked: Asked) -> None:
        if asked.events:
            self._poor = self._poor or asked
        asked.ended("failed", NoVote("It gave no answer: nothing was said, or it was refused."))

    async def _open(self, asked: Asked) -> None:
        """A stream up to where it begins to answer: that decides. One that only refuses is taken to its end."""
        answer = self._tools.stream(asked.call)
        try:
            async for event in answer:
                asked.events.append(event)
                if any(map(_answers, event.deltas)):
                    break
            else:
                self._is_poor(asked)
                await answer.aclose()
                return
        except ComportaError as error:
            asked.ended("failed", error)
            await answer.aclose()
        except BaseException:
            asked.ended("left", ClientGone("It was left."))
            await answer.aclose()
            raise
        else:
            asked.ended("answered")
            self._begun[asked.call.id] = answer

    async def _leave(self, winner: Asked | None, *, late: bool) -> None:
        """End all others: too `late`, slower than the winner (be it by a moment), or not wanted any more."""
        losers = [*self._running.values()]
        await cancelled(self._running)
        self._running.clear()
        for id in [id for id in self._begun if winner is None or id != winner.call.id]:
            await self._begun.pop(id).aclose()
        for asked in losers:
            if late:
                over = UpstreamTimeout(f"No answer within {self._wait_s:g} s.", code="total_timeout")
                asked.ended("late", over)
            else:
                asked.ended("left", ClientGone("Another was faster." if winner is not None else "It was left."))

    async def rest(self, winner: Asked) -> AsyncGenerator[Event]:
        """The winner's answer, from its beginning."""
        answer = self._begun.get(winner.call.id)
        try:
            for event in winner.events:
                yield event
            if answer is not None:
                async for event in answer:
                    yield event
        finally:
            if answer is not None:
                await answer.aclose()
                winner.ended(winner.status, winner.error)


def _answers(delta: Delta) -> bool:
    """Whether a model has begun to answer with it: a refusal and an end without a word are nothing to win by."""
    return bool(delta.text.strip() or delta.reasoning or delta.tools or delta.encrypted or delta.extra)
