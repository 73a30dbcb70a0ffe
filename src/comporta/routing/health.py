"""Whether a place can be asked: a circuit breaker per provider, model and credential, and rest for refused keys.

A breaker is closed, opens after failures in a row or a share of failures in its window (WIRE 18), lets one probe
through when it has rested, and closes again when the probe succeeds: in an outage at most a probe reaches the upstream.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from msgspec import Struct

#: Breakers that are kept at most; the one used longest ago goes first.
MOST_PLACES = 4096
#: A key that its provider refused is left alone for so long (WIRE 17); another secret under its name is tried at once.
KEY_RESTS_S = 300.0

#: Provider, model, credential.
Place = tuple[str, str, str | None]


class BreakerLimits(Struct, frozen=True):
    """When a breaker opens, and for how long it rests."""

    failures: int = 5
    share: float = 0.5
    of: int = 20
    window_s: float = 60.0
    rest_s: float = 15.0
    longest_rest_s: float = 60.0


class Breaker:
    """The breaker of one place."""

    __slots__ = ("_limits", "_outcomes", "_probing", "_rest_s", "_row", "_until_s")

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        #: When, and whether it went well.
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=max(limits.of * 5, 100))
        self._row = 0
        self._until_s = 0.0
        self._rest_s = limits.rest_s
        self._probing = False

    @property
    def open(self) -> bool:
        return self._until_s > 0

    def rests_s(self, now_s: float) -> float:
        """How long until a probe may go; 0 when it may."""
        return max(0.0, self._until_s - now_s)

    def admits(self, now_s: float) -> bool:
        """Whether a call may go now. The one that is let through an open breaker is its probe."""
        if not self._until_s:
            return True
        if self._probing or now_s < self._until_s:
            return False
        self._probing = True
        return True

    def succeeded(self, now_s: float) -> None:
        if self._probing or not self._until_s:
            self._row = 0
        if self._probing:
            self._close()
        if not self._until_s:
            self._outcomes.append((now_s, True))

    def failed(self, now_s: float, wait_s: float | None = None) -> None:
        """Note a failure; `wait_s` is what the upstream itself asked for."""
        self._row += 1
        self._outcomes.append((now_s, False))
        if self._probing:
            self._probing = False
            self._rest_s = min(self._rest_s * 2, self._limits.longest_rest_s)
            self._rest(now_s, wait_s)
        elif not self._until_s and (self._row >= self._limits.failures or self._too_many(now_s)):
            self._rest(now_s, wait_s)

    def released(self) -> None:
        """A call that was let through ended without telling anything (its client left)."""
        self._probing = False

    def _rest(self, now_s: float, wait_s: float | None) -> None:
        self._until_s = now_s + min(max(self._rest_s, wait_s or 0.0), max(self._limits.longest_rest_s, self._rest_s))

    def _close(self) -> None:
        self._probing = False
        self._until_s = 0.0
        self._rest_s = self._limits.rest_s
        self._outcomes.clear()

    def _too_many(self, now_s: float) -> bool:
        since_s = now_s - self._limits.window_s
        while self._outcomes and self._outcomes[0][0] < since_s:
            self._outcomes.popleft()
        count = len(self._outcomes)
        if count < self._limits.of:
            return False
        return sum(not good for _, good in self._outcomes) / count >= self._limits.share


class Health:
    """All breakers of one process, and the keys that rest."""

    def __init__(self, clock: Callable[[], float], limits: BreakerLimits | None = None) -> None:
        self._clock = clock
        self.limits = limits or BreakerLimits()
        self._breakers: OrderedDict[Place, Breaker] = OrderedDict()
        self._keys: dict[tuple[str, str, int], float] = {}

    def admits(self, place: Place) -> bool:
        return self._at(place).admits(self._clock())

    def rests_s(self, place: Place) -> float:
        """How long a place rests yet; 0 where it can be asked."""
        breaker = self._breakers.get(place)
        return breaker.rests_s(self._clock()) if breaker is not None else 0.0

    def succeeded(self, place: Place) -> None:
        self._at(place).succeeded(self._clock())

    def failed(self, place: Place, wait_s: float | None = None) -> None:
        self._at(place).failed(self._clock(), wait_s)

    def released(self, place: Place) -> None:
        self._at(place).released()

    def refuse_key(self, provider: str, name: str, secret: str) -> None:
        """Leave a key alone that its provider refused."""
        if len(self._keys) >= MOST_PLACES:
            self._keys.clear()
        self._keys[provider, name, hash(secret)] = self._clock() + KEY_RESTS_S

    def key_rests(self, provider: str, name: str, secret: str) -> bool:
        until_s = self._keys.get((provider, name, hash(secret)))
        return until_s is not None and self._clock() < until_s

    @property
    def open(self) -> list[Place]:
        """The places that rest or are probed."""
        return [place for place, breaker in self._breakers.items() if breaker.open]

    def _at(self, place: Place) -> Breaker:
        breaker = self._breakers.get(place)
        if breaker is None:
            if len(self._breakers) >= MOST_PLACES:
                self._breakers.popitem(last=False)
            breaker = self._breakers[place] = Breaker(self.limits)
        return breaker
