"""The stage `attempt`: one variant asked until it answers or there is no point in asking it again.

It picks the credential, rotates it when its provider refuses it or limits it, waits between attempts, and keeps the
breakers. Until the first content nothing has reached the client, so all of this is invisible to it but for the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import structs

from comporta.errors import ComportaError, UpstreamCredential, UpstreamError, UpstreamLimited
from comporta.gateway.admission import sized
from comporta.gateway.first import begun
from comporta.pipeline import Call, Next
from comporta.providers.directory import Provider
from comporta.providers.statuses import noticed_too_long
from comporta.routing.health import Health, Place
from comporta.routing.retry import Retry, blames_upstream, then
from comporta.types import Event, Target

#: When a call must be over, as `time.monotonic` says it: set once by `choose`, kept by every attempt.
DEADLINE = "deadline_s"


#: In the call's facts: only a cache may answer, no model is asked.
ONLY_KEPT = "only_kept"
#: In the call's facts: another model waits, so that a rate limit is not waited out.
NO_PAUSE = "no_pause"


class NothingKept(UpstreamError):
    """No cache knows an answer, and no model was to be asked."""

    code = "nothing_kept"


class Resting(UpstreamError):
    """Every way to ask this variant rests after failures; nothing was sent."""

    status = 503
    code = "upstream_resting"


class Attempts:
    """The stage. `retry_of` says how often a call may be asked again; local models are asked once."""

    def __init__(
        self,
        provider_of: Callable[[str], Provider | None],
        health: Health,
        retry_of: Callable[[Call], Retry],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._provider_of = provider_of
        self._health = health
        self._retry_of = retry_of
        self._sleep = sleep

    async def __call__(self, call: Call, next: Next) -> AsyncIterator[Event]:
        target = call.target
        assert target is not None, "`choose` comes before `attempt`"
        if call.facts.get(ONLY_KEPT):
            raise NothingKept("No cache knows an answer to this.")
        provider = self._provider_of(target.provider)
        if provider is None or provider.row.local:
            return await next(call)
        return await _Run(self._health, self._retry_of(call), self._sleep, provider, target).ask(call, next)


class _Run:
    """The attempts of one call at one variant."""

    def __init__(
        self,
        health: Health,
        retry: Retry,
        sleep: Callable[[float], Awaitable[object]],
        provider: Provider,
        target: Target,
    ) -> None:
        self._health = health
        self._retry = retry
        self._sleep = sleep
        self._provider = provider
        self._target = target
        self._given_up: list[str] = []
        #: Where this call waited before it asks again, and the probe that it goes as.
        self._waited: Place | None = None
        self._probe = ""

    async def ask(self, call: Call, next: Next) -> AsyncIterator[Event]:
        failed = 0
        last: UpstreamError | None = None
        held = call.held
        while True:
            place = await self._place(last)
            if last is not None:
                call.retries += 1
            call.target = structs.replace(self._target, credential=place[2])
            try:
                events = await begun(await next(call))
            except UpstreamError as error:
                noticed_too_long(error, -(-sized(call) // 4), self._provider.facts(self._target.model).context)
                self._note(place, error)
                await call.close_events(held)
                failed += 1
                await self._wait(call, error, failed, place)
                last = error
            except BaseException:
                self._health.released(place, self._probe)
                raise
            else:
                self._follow(call, place)
                return events

    async def _place(self, last: UpstreamError | None) -> Place:
        """The next credential that may be asked. Raises the last failure, or Resting where none may."""
        provider, model = self._target.provider, self._target.model
        names = self._names()
        for name in names:
            place = (provider, model, name)
            if self._health.admits(place, place == self._waited):
                return place
            probe = await self._health.claim(place)
            if probe is not None:
                self._probe = probe
                return place
        if last is not None:
            raise last
        rests_s = min((self._health.rests_s((provider, model, name)) for name in names), default=0.0)
        raise Resting(
            f"The provider '{provider}' rests after failures; the next try is in {rests_s:.0f} s.",
            retry_after_s=max(rests_s, 1.0),
        )

    def _names(self) -> list[str | None]:
        """The credentials in turn: the one it is this call's turn for, then the others; [None] where none is needed."""
        wished = self._target.credential
        if wished is not None:
            return [wished] if wished not in self._given_up else []
        provider = self._provider
        every = provider.credentials.all()
        if len(every) == 1 and not self._given_up:
            # The only key is asked with, whether or not it rests.
            return [every[0].name]
        resting = [c.name for c in every if self._health.key_rests(provider.name, c.name, c.secret)]
        first = provider.credentials.pick((*self._given_up, *resting))
        if first is None:
            # Without any key, or with refused ones alone: `reach` says which key is missing, or a refused one is tried.
            first = provider.credentials.pick(self._given_up)
            return [] if first is None and self._given_up else [first.name if first else None]
        others = [
            c.name for c in every if c.name not in self._given_up and c.name not in resting and c.name != first.name
        ]
        return [first.name, *others]

    def _note(self, place: Place, error: ComportaError) -> None:
        """What a failure says of the place and of the key."""
        probe, self._probe = self._probe, ""
        if blames_upstream(error):
            self._health.failed(place, error.retry_after_s, probe)
        else:
            self._health.released(place, probe)
        if isinstance(error, UpstreamCredential | UpstreamLimited) and place[2] is not None:
            if len(self._provider.credentials.all()) > 1 or isinstance(error, UpstreamCredential):
                self._given_up.append(place[2])
            for credential in self._provider.credentials.all():
                if credential.name == place[2] and isinstance(error, UpstreamCredential):
                    self._health.refuse_key(self._provider.name, credential.name, credential.secret)

    async def _wait(self, call: Call, error: UpstreamError, failed: int, place: Place) -> None:
        """Wait before the next attempt. Raises `error` where there must be none."""
        step = then(error)
        if step in ("stop", "next"):
            raise error
        if step == "key" and self._others(place):
            # Another key is no burden on the one that was refused: it is asked at once.
            return
        if isinstance(error, UpstreamCredential) or failed >= self._retry.attempts:
            raise error
        if isinstance(error, UpstreamLimited) and call.facts.get(NO_PAUSE):
            raise error
        pause_s = self._retry.pause_s(failed, error.retry_after_s)
        left_s = call.facts.get(DEADLINE, float("inf")) - time.monotonic()
        if pause_s > min(left_s, max(self._retry.longest_s, 0.0)) or self._rests_longer(place, pause_s):
            raise error
        await self._sleep(pause_s)
        self._waited = place if error.retry_after_s else None

    def _rests_longer(self, place: Place, pause_s: float) -> bool:
        """Whether no key may be asked with after the pause: this failure opened the breaker, and others can answer."""
        provider, model, asked = place
        names = {asked}
        if self._target.credential is None:
            names |= {c.name for c in self._provider.credentials.all() if c.name not in self._given_up}
        return all(self._health.rests_s((provider, model, name)) > pause_s for name in names)

    def _others(self, place: Place) -> bool:
        return self._target.credential is None and any(
            c.name != place[2]
            and c.name not in self._given_up
            and not self._health.key_rests(self._provider.name, c.name, c.secret)
            for c in self._provider.credentials.all()
        )

    def _follow(self, call: Call, place: Place) -> None:
        if self._probe:
            # It answers again: the others need not wait until this answer has ended.
            self._health.succeeded(place, self._probe)
        call.at_end(lambda call: self._ended(place, call.error))

    def _ended(self, place: Place, error: ComportaError | None) -> None:
        """An answer that began counts by how it ended; a client that left says nothing of the upstream."""
        if error is None:
            self._health.succeeded(place)
        elif blames_upstream(error):
            self._health.failed(place)
        else:
            self._health.released(place)
