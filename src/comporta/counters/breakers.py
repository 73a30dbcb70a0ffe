"""Whether a place can be asked: breakers and rests, and how one process keeps them by itself.

A breaker is closed, opens after failures in a row or a share of failures among the last calls (WIRE 18), lets one call
through as its probe when it has rested, and closes again when that probe is answered. A rest is simpler: until its time
has come a place, or a key, is left alone, because its provider asked for that (WIRE 15) or refused the key (WIRE 17).
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

import structlog
from msgspec import Struct

log = structlog.get_logger("comporta.breakers")

#: Breakers and rests that are kept at most; the oldest go first.
MOST_PLACES = 4096
#: A probe without an answer for so long gives way to another: a connection that hangs must not hide a recovery.
PROBE_LASTS_S = 20.0
#: What an upstream may ask for; a place that asks for more is asked again after this.
LONGEST_ASKED_S = 60.0

#: Provider, model, credential.
Place = tuple[str, str, str | None]
#: What rests: a place, or whatever else its owner calls by a tuple of words.
Key = tuple[str | None, ...]


class BreakerLimits(Struct, frozen=True):
    """When a breaker opens, and for how long it rests."""

    failures: int = 5
    share: float = 0.5
    of: int = 20
    window_s: float = 60.0
    rest_s: float = 15.0
    #: Less than the 30 s within which a recovery is noticed (WIRE 18).
    longest_rest_s: float = 25.0


class Resting(Struct, frozen=True):
    """Something that is left alone, for people to look at; `open` and `probed` are said of breakers."""

    key: Key
    state: Literal["open", "probed", "told"]
    left_s: float


class Breakers(Protocol):
    """What calls ask of breakers, and tell them. Only `claim` may take time, and only where a breaker is open."""

    limits: BreakerLimits

    def admits(self, place: Place, waited: bool = False) -> bool:
        """Whether a call may go now, like any other; `waited` says that it has waited as long as it was told to."""

    async def claim(self, place: Place) -> str | None:
        """Where `admits` says no: the probe that a call may go as; None where it may not go.

        An empty name means that the place is open to all again. A probe must be told of by its name.
        """

    def succeeded(self, place: Place, probe: str = "") -> None: ...

    def failed(self, place: Place, wait_s: float | None = None, probe: str = "") -> None:
        """Note a failure; `wait_s` is what the upstream itself asked for."""

    def released(self, place: Place, probe: str = "") -> None:
        """A call ended without telling anything of the place (its client left)."""

    def rest(self, key: Key, wait_s: float) -> None:
        """Leave a place or a key alone for so long."""

    def rests(self, key: Key) -> bool: ...

    @property
    def any_rests(self) -> bool:
        """Whether anything may rest by `rest`; where not, no key need be named to ask."""

    def left_s(self, place: Place) -> float:
        """How long a place is left alone yet; 0 where it, or its probe, can be asked."""

    def resting(self) -> list[Resting]:
        """All that is left alone."""

    @property
    def shared(self) -> bool | None:
        """Whether what one worker finds holds for all at this moment; None where there is nobody to share with."""

    async def open(self) -> None:
        """Learn what others know before the first call comes; without them, go on."""

    async def run(self) -> None:
        """What must go on beside the calls, until cancelled."""

    async def close(self) -> None: ...


class Breaker:
    """The breaker of one place, as one process sees it."""

    __slots__ = ("good_s", "objects", "outcomes", "probe", "probe_until_s", "rest_s", "row", "until_s", "untold")

    def __init__(self, limits: BreakerLimits) -> None:
        #: When, and whether it went well.
        self.outcomes: deque[tuple[float, bool]] = deque(maxlen=max(limits.of * 5, 100))
        self.row = 0
        self.good_s = float("-inf")
        #: Good answers that nobody else has heard of.
        self.untold = 0
        self.until_s = 0.0
        self.rest_s = 0.0
        self.probe = ""
        self.probe_until_s = 0.0
        #: Others found it dead, and this process knows better: it was answered since.
        self.objects = False

    @property
    def closed(self) -> bool:
        return not self.until_s or self.objects

    def good(self, now_s: float) -> None:
        self.good_s = now_s
        self.row = 0
        self.untold += 1
        self.outcomes.append((now_s, True))

    def bad(self, now_s: float) -> None:
        self.row += 1
        self.objects = False
        self.outcomes.append((now_s, False))

    def too_many(self, now_s: float, limits: BreakerLimits) -> bool:
        if self.row >= limits.failures:
            return True
        outcomes, since_s = self.outcomes, now_s - limits.window_s
        while outcomes and outcomes[0][0] < since_s:
            outcomes.popleft()
        count = len(outcomes)
        return count >= limits.of and sum(not good for _, good in outcomes) / count >= limits.share

    def fresh(self, since_s: float) -> int:
        """How many of the last outcomes were good, and are not too old."""
        return sum(good and at_s >= since_s for at_s, good in self.outcomes)

    def open(self, now_s: float, rest_s: float) -> None:
        self.rest_s = rest_s
        self.until_s = now_s + rest_s
        self.probe = ""
        self.objects = False

    def close(self) -> None:
        self.until_s = self.rest_s = 0.0
        self.row = 0
        self.probe = ""
        self.objects = False
        self.outcomes.clear()

    def free(self, now_s: float) -> bool:
        """Whether an open one can be probed now."""
        return now_s >= self.until_s and (not self.probe or now_s >= self.probe_until_s)

    def claim(self, probe: str, until_s: float) -> None:
        self.probe = probe
        self.probe_until_s = until_s


class LocalBreakers:
    """Breakers and rests of one process; keeps to `Breakers`."""

    def __init__(self, clock: Callable[[], float], limits: BreakerLimits | None = None) -> None:
        self.limits = limits or BreakerLimits()
        self._clock = clock
        self._breakers: dict[Place, Breaker] = {}
        self._rests: dict[Key, float] = {}

    @property
    def shared(self) -> bool | None:
        return None

    def admits(self, place: Place, waited: bool = False) -> bool:
        breaker = self._breakers.get(place)
        if breaker is not None and breaker.until_s and not breaker.objects:
            return False
        return waited or not self._rests or not self.rests(place)

    async def claim(self, place: Place) -> str | None:
        breaker = self._free(place)
        return None if breaker is None else self._claim_here(breaker)

    def succeeded(self, place: Place, probe: str = "") -> None:
        breaker = self._at(place)
        if probe:
            self._close(place, breaker)
        if breaker.closed:
            breaker.good(self._clock())

    def failed(self, place: Place, wait_s: float | None = None, probe: str = "") -> None:
        now_s, limits, breaker = self._clock(), self.limits, self._at(place)
        if wait_s:
            self.rest(place, min(wait_s, max(limits.longest_rest_s, LONGEST_ASKED_S)))
        if probe:
            if breaker.probe == probe:
                self._open(place, breaker, min(breaker.rest_s * 2, max(limits.longest_rest_s, limits.rest_s)))
        elif breaker.closed:
            breaker.bad(now_s)
            if self._decides() and breaker.too_many(now_s, limits):
                self._open(place, breaker, limits.rest_s)

    def released(self, place: Place, probe: str = "") -> None:
        if probe and (breaker := self._breakers.get(place)) is not None and breaker.probe == probe:
            breaker.probe = ""

    def rest(self, key: Key, wait_s: float) -> None:
        now_s = self._clock()
        if len(self._rests) >= MOST_PLACES:
            self._rests = {key: until_s for key, until_s in self._rests.items() if until_s > now_s}
            if len(self._rests) >= MOST_PLACES:
                self._rests.clear()
        self._rests[key] = max(self._rests.get(key, 0.0), now_s + wait_s)

    @property
    def any_rests(self) -> bool:
        return bool(self._rests)

    def rests(self, key: Key) -> bool:
        until_s = self._rests.get(key)
        if until_s is None:
            return False
        if self._clock() < until_s:
            return True
        del self._rests[key]
        return False

    def left_s(self, place: Place) -> float:
        breaker = self._breakers.get(place)
        until_s = breaker.until_s if breaker is not None and not breaker.objects else 0.0
        return max(0.0, until_s - self._clock(), self._rests.get(place, 0.0) - self._clock())

    def resting(self) -> list[Resting]:
        now_s = self._clock()
        found = [
            Resting(place, "probed" if not b.free(now_s) and now_s >= b.until_s else "open", max(b.until_s - now_s, 0))
            for place, b in self._breakers.items()
            if not b.closed
        ]
        return found + [Resting(key, "told", until - now_s) for key, until in self._rests.items() if until > now_s]

    async def open(self) -> None:
        return

    async def run(self) -> None:
        return

    async def close(self) -> None:
        return

    def _decides(self) -> bool:
        """Whether this process opens breakers on its own."""
        return True

    def _at(self, place: Place) -> Breaker:
        breaker = self._breakers.get(place)
        if breaker is None:
            if len(self._breakers) >= MOST_PLACES:
                del self._breakers[next(iter(self._breakers))]
            breaker = self._breakers[place] = Breaker(self.limits)
        return breaker

    def _free(self, place: Place) -> Breaker | None:
        """The breaker that can be probed, if the place has one and is not left alone for another reason."""
        breaker = self._breakers.get(place)
        if breaker is None or breaker.closed or not breaker.free(self._clock()) or self.rests(place):
            return None
        return breaker

    def _claim_here(self, breaker: Breaker) -> str:
        probe = uuid.uuid4().hex
        breaker.claim(probe, self._clock() + PROBE_LASTS_S)
        return probe

    def _open(self, place: Place, breaker: Breaker, rest_s: float) -> None:
        breaker.open(self._clock(), rest_s)
        log.warning("breaker_opened", provider=place[0], model=place[1], credential=place[2], rest_s=rest_s)

    def _close(self, place: Place, breaker: Breaker) -> None:
        if breaker.until_s:
            log.info("breaker_closed", provider=place[0], model=place[1], credential=place[2])
        breaker.close()
