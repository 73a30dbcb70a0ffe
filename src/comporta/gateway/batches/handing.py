"""Handing rows to a provider's own batch API, one step at a time, so that whatever dies between two steps is made good.

A step reads how far a handover is, does one thing at the provider, and writes down what came of it. Before a batch is
begun that is written down too: where the answer is lost, it is looked for at the provider before it is begun again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, cast

import structlog

from comporta.errors import ComportaError, UpstreamCredential, UpstreamError, UpstreamRejected
from comporta.gateway.batches.asking import Remotely
from comporta.gateway.batches.handovers import Handover, Handovers, Share
from comporta.gateway.transport import HttpTransport
from comporta.providers.base import Wire
from comporta.providers.batching import Batching, Remote, Result
from comporta.providers.directory import Provider

log = structlog.get_logger("comporta.batches")

#: A request whose fate is unknown may still be on its way: so long until it is looked for.
_UNKNOWN_S = 10.0
_LONGEST_S = 600.0
#: So often a handover is tried that was surely not begun yet, or whose batch is at its end; then its rows are asked by
#: themselves.
_TRIES = 8
#: How far a provider's clock may be from ours.
_SKEW_S = 120.0
#: Providers end a batch after a day by themselves; nothing is waited for much longer.
_LATE_S = 2 * 86_400.0
_AT_ONCE = 200
_GONE = frozenset({404, 410})
#: Until it is looked whether all answers went out.
_SOON_S = 2.0


class Reserving(Protocol):
    """Money that is held for rows while their provider has them."""

    async def hold(self, id: str, shares: Sequence[Share], before: Sequence[str], *, whole: bool) -> list[str] | None:
        """Hold it in place of what this id held `before`; the names that it is held under, None where there is no
        room. Not `whole`: what can be."""

    def let_go(self, id: str, purses: Sequence[str]) -> None:
        """Hold nothing any more under these names."""


class Handing:
    """`step` takes a handover on. `poll_s` and `leave_s` give today's settings, in seconds."""

    def __init__(
        self, handovers: Handovers, provider_of: Callable[[str], Provider | None],
        batching_of: Callable[[Provider], Batching | None], transport: HttpTransport, reserving: Reserving,
        poll_s: Callable[[], float], leave_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self._provider_of = provider_of
        self._batching_of = batching_of
        self._transport = transport
        #: What a step asks beside the provider.
        self.handovers = handovers
        self.reserving = reserving
        self.poll_s = poll_s
        self._leave_s = leave_s

    async def step(self, id: str) -> float:
        """Take it one step on; seconds until the next. Raises Unavailable where the database is away."""
        handover = await self.handovers.find(id, self._leave_s(), _LATE_S)
        if handover is None or handover.state == "closed":
            return 0.0
        if handover.state == "ended":
            return await self._close(handover)
        provider = self._provider_of(handover.provider)
        batching = None if provider is None else self._batching_of(provider)
        try:
            if provider is None or batching is None:
                return await self.give_up(handover, "its provider is not configured any more")
            return await _Step(handover, batching, provider, self._transport, self).take()
        except UpstreamError as error:
            return await self._failed(handover, error)

    async def give_up(self, handover: Handover, reason: str) -> float:
        """Its rows are asked by themselves."""
        rows, purses = await self.handovers.give_back(handover.id, "ended", reason[:500])
        # They are to find the money that was held for them.
        self.reserving.let_go(handover.id, purses)
        log.warning("native_batch_given_up", handover=handover.id, batch=handover.batch_id, rows=rows, reason=reason)
        return 0.0

    async def hold(self, handover: Handover, *, whole: bool = False) -> bool:
        """Hold what its rows may cost: after a restart anew, and less with every answer that was booked."""
        shares = await self.handovers.shares(handover.id)
        purses = await self.reserving.hold(handover.id, shares, handover.purses, whole=whole)
        if purses is not None and purses != handover.purses:
            await self.handovers.note(handover.id, purses=purses)
        return purses is not None

    async def _close(self, handover: Handover) -> float:
        """What is held stays so until every answer is booked."""
        if await self.handovers.open(handover.id) and not handover.late:
            await self.hold(handover)
            return _SOON_S
        self.reserving.let_go(handover.id, handover.purses)
        await self.handovers.note(handover.id, state="closed")
        return 0.0

    async def _failed(self, handover: Handover, error: UpstreamError) -> float:
        if handover.remote_id is not None:
            # It may have been answered, and paid for: given up where it is gone, or where time runs out.
            gone = isinstance(error, UpstreamRejected) and error.status in _GONE
            hopeless = gone or (handover.stopping and handover.tries >= _TRIES)
        else:
            tired = handover.state == "gathered" and handover.tries >= _TRIES
            hopeless = isinstance(error, UpstreamRejected | UpstreamCredential) or handover.stopping or tired
        if hopeless or handover.late:
            return await self.give_up(handover, f"{error.code}: {error.message}")
        await self.handovers.note(handover.id, tries=handover.tries + 1)
        pause_s = error.retry_after_s or min(_UNKNOWN_S * 2 ** min(handover.tries, 10), _LONGEST_S)
        log.info("native_batch_waits", handover=handover.id, code=error.code, again_in_s=pause_s)
        return min(pause_s, _LONGEST_S)


class _Step:
    """One step of one handover."""

    def __init__(
        self, handover: Handover, batching: Batching, provider: Provider, transport: HttpTransport, by: Handing
    ) -> None:
        self._handover = handover
        self._batching = batching
        self._endpoint = provider.endpoint(handover.credential)[1]
        self._by = by
        self._handovers = by.handovers
        self._remotely = Remotely(transport, cast(Wire, provider.speaks).fault)
        self._ask = self._remotely.ask

    async def take(self) -> float:
        steps: dict[str, Callable[[], Awaitable[float]]] = {
            "gathered": self._begin, "creating": self._find, "running": self._look,
        }  # fmt: skip
        return await steps[self._handover.state]()

    # ---- handing in ----

    async def _begin(self) -> float:
        handover = self._handover
        if handover.stopping:
            return await self._by.give_up(handover, "its batch is at its end")
        try:
            room = await self._by.hold(handover, whole=True)
        except ComportaError as error:
            await self._handovers.note(handover.id, tries=handover.tries + 1)
            return error.retry_after_s or _UNKNOWN_S
        if not room:
            return await self._by.give_up(handover, "a budget has no room for all of it at once")
        upload = handover.upload_id or await self._upload()
        return await self._create(upload)

    async def _upload(self) -> str | None:
        handover, batching = self._handover, self._batching
        listing = batching.uploads(self._endpoint) if handover.tries else None
        found = None if listing is None else batching.found_upload(await self._ask(listing), handover.id)
        if found is None:
            items = await self._handovers.items(handover)
            request = batching.upload(self._endpoint, handover.id, handover.part, items)
            if request is None:
                return None
            # Written down before it goes: a file that nobody waits for is looked for by its name.
            await self._handovers.note(handover.id, tries=handover.tries + 1)
            found = batching.uploaded(await self._ask(request))
        await self._handovers.note(handover.id, upload_id=found)
        return found

    async def _create(self, upload: str | None) -> float:
        handover = self._handover
        items = await self._handovers.items(handover)
        request = self._batching.create(self._endpoint, handover.id, handover.part, upload, items)
        await self._handovers.note(handover.id, state="creating", creating_at="now")
        remote = self._batching.remote(await self._ask(request, once=True))
        return await self._begun(remote, adopted=False)

    async def _begun(self, remote: Remote, *, adopted: bool) -> float:
        await self._handovers.note(
            self._handover.id, state="running", remote_id=remote.id, adopted=adopted, submitted_at="now", tries=0
        )
        log.info("native_batch_begun", handover=self._handover.id, batch=self._handover.batch_id, remote=remote.id)
        return min(self._by.poll_s(), _SOON_S)

    async def _find(self) -> float:
        """It may have been begun without our hearing of it: found among the last ones, else begun now."""
        handover = self._handover
        listed = self._batching.listed(await self._ask(self._batching.recent(self._endpoint)))
        known = await self._handovers.known(handover.provider, [one.id for one in listed])
        found = next((one for one in listed if one.id not in known and self._may_be(one)), None)
        if found is not None:
            return await self._begun(found, adopted=found.name is None)
        if handover.stopping:
            return await self._by.give_up(handover, "its batch is at its end")
        return await self._create(handover.upload_id)

    def _may_be(self, remote: Remote) -> bool:
        """By its name where the API keeps one; else by its size and its time, and its results will tell."""
        handover = self._handover
        if remote.name is not None:
            return remote.name == handover.id
        since_s = handover.creating_at.timestamp() - _SKEW_S if handover.creating_at else 0.0
        return remote.created_s >= since_s and remote.total == handover.rows and remote.id not in handover.strangers

    # ---- waiting, and taking what came ----

    async def _look(self) -> float:
        handover = self._handover
        assert handover.remote_id is not None, "a batch that runs has an id"
        if handover.stopping and not handover.cancelled and not handover.adopted:
            await self._cancel(handover.remote_id)
        remote = self._batching.remote(await self._ask(self._batching.look(self._endpoint, handover.remote_id)))
        if handover.tries:
            await self._handovers.note(handover.id, tries=0)
        if remote.refused is not None:
            await self._discard(remote)
            return await self._by.give_up(handover, f"the provider refused it: {remote.refused}")
        if not remote.ended:
            if handover.late:
                return await self._by.give_up(handover, "the provider never ended it")
            await self._by.hold(handover)
            return min(self._by.poll_s(), _SOON_S) if handover.stopping else self._by.poll_s()
        return await self._fetch(remote)

    async def _cancel(self, remote_id: str) -> None:
        # One that has ended meanwhile can't be cancelled: the next look says so.
        with contextlib.suppress(UpstreamRejected):
            await self._ask(self._batching.cancel(self._endpoint, remote_id))
        await self._handovers.note(self._handover.id, cancelled=True)

    async def _fetch(self, remote: Remote) -> float:
        handover, lines, ours = self._handover, 0, 0
        waiting: list[Result] = []
        for request in self._batching.results(self._endpoint, remote):
            async for line in self._remotely.lines(request):
                result = self._batching.result(line)
                if result is not None:
                    lines += 1
                    waiting.append(result)
                if len(waiting) >= _AT_ONCE:
                    ours += await self._handovers.keep(handover, waiting)
                    waiting.clear()
        ours += await self._handovers.keep(handover, waiting)
        if handover.adopted and lines and not ours:
            strangers = [*handover.strangers, remote.id]
            await self._handovers.note(handover.id, state="creating", remote_id=None, strangers=strangers)
            return 0.0
        left, _ = await self._handovers.give_back(handover.id, "ended")
        log.info("native_batch_ended", handover=handover.id, batch=handover.batch_id, rows=ours, alone=left)
        await self._discard(remote)
        return _SOON_S

    async def _discard(self, remote: Remote) -> None:
        """What lies with the provider goes; where that fails, its own time limit sees to it."""
        for request in self._batching.discard(self._endpoint, self._handover.upload_id, remote):
            try:
                await self._ask(request)
            except ComportaError as error:
                log.info("native_batch_left_behind", handover=self._handover.id, code=error.code)
