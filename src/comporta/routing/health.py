"""Whether a place can be asked: breakers per provider, model and credential, and rest for keys that were refused.

The rules stand in `counters.breakers`; with Redis all workers and replicas keep them together.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from comporta.counters.breakers import BreakerLimits, Breakers, Key, LocalBreakers, Place, Resting

__all__ = ["KEY_RESTS_S", "Ailing", "BreakerLimits", "Health", "Place"]

#: A key that its provider refused is left alone for so long (WIRE 17); another secret under its name is tried at once.
KEY_RESTS_S = 300.0
_KEY = "key"


class Ailing(Struct, frozen=True):
    """What is left alone: a breaker that is `open` or `probed`, a provider that `asked` to wait, or a `refused` key."""

    provider: str
    #: None for a key, which rests for all models.
    model: str | None
    credential: str | None
    state: Literal["open", "probed", "asked", "refused"]
    #: How long yet; 0 where the next call may be its probe.
    left_s: float


class Health:
    """All that is known of places and keys. What a healthy call asks goes to the breakers without a step between.

    `admits(place, waited)`: whether a call may go. Where it says no, `claim(place)` may make the call a probe; a probe
    is told of by its name. See `counters.breakers.Breakers`.
    """

    admits: Callable[..., bool]
    claim: Callable[[Place], Awaitable[str | None]]
    succeeded: Callable[..., None]
    failed: Callable[..., None]
    released: Callable[..., None]

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        limits: BreakerLimits | None = None,
        breakers: Breakers | None = None,
    ) -> None:
        self._breakers: Breakers = breakers or LocalBreakers(clock, limits)
        self.admits, self.claim = self._breakers.admits, self._breakers.claim
        self.succeeded, self.failed = self._breakers.succeeded, self._breakers.failed
        self.released = self._breakers.released

    @property
    def limits(self) -> BreakerLimits:
        return self._breakers.limits

    @limits.setter
    def limits(self, limits: BreakerLimits) -> None:
        self._breakers.limits = limits

    def rests_s(self, place: Place) -> float:
        """How long a place rests yet; 0 where it, or its probe, can be asked."""
        return self._breakers.left_s(place)

    def refuse_key(self, provider: str, name: str, secret: str) -> None:
        """Leave a key alone that its provider refused."""
        self._breakers.rest(_key(provider, name, secret), KEY_RESTS_S)

    def key_rests(self, provider: str, name: str, secret: str) -> bool:
        return self._breakers.any_rests and self._breakers.rests(_key(provider, name, secret))

    @property
    def kept(self) -> Literal["memory", "redis", "redis_away"]:
        """Where breakers are kept at this moment."""
        shared = self._breakers.shared
        return "memory" if shared is None else "redis" if shared else "redis_away"

    def ailing(self) -> list[Ailing]:
        """What is left alone now, as far as this worker knows."""
        return [_ailing(one) for one in self._breakers.resting()]

    async def open(self) -> None:
        """Learn what the other workers know, before the first call comes."""
        await self._breakers.open()

    async def run(self) -> None:
        """Keep up with the other workers, until cancelled."""
        await self._breakers.run()

    async def close(self) -> None:
        await self._breakers.close()


def _key(provider: str, name: str, secret: str) -> Key:
    """A key's name outside this process: eight bytes tell its secrets apart and tell nobody what they are."""
    return _KEY, provider, name, blake2b(secret.encode(), digest_size=8, person=b"comporta-rests").hexdigest()


def _ailing(one: Resting) -> Ailing:
    if len(one.key) > 3:
        _, provider, credential, _ = one.key
        return Ailing(provider or "", None, credential, "refused", one.left_s)
    provider, model, credential = one.key
    return Ailing(provider or "", model, credential, "asked" if one.state == "told" else one.state, one.left_s)
