"""Live figures of models in this worker: how long they take, and how many calls each is answering.

Latency is a moving mean (each answer counts a fifth, the mean before it the rest) beside the last 64 values, of which
the 95th percentile is read. Workers keep figures each for itself: with two choices drawn and the better one taken
(Mitzenmacher 2001) nobody needs to agree with the others, and a call asks nobody over the network.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from msgspec import Struct

#: Provider and model.
Place = tuple[str, str]

_SHARE = 0.2
_KEPT = 64
#: With fewer answers there is no percentile to speak of.
_ENOUGH = 20
#: Names that clients make up behind `provider/` must not fill the memory.
_MOST_PLACES = 4096


class Speed(Struct, frozen=True):
    """What is known of a model at the moment, in milliseconds; None where nothing is, or nothing of late."""

    first_ms: float | None = None
    total_ms: float | None = None
    p95_first_ms: float | None = None
    p95_total_ms: float | None = None
    in_flight: int = 0
    answers: int = 0

    def of(self, stream: bool) -> float | None:
        """The mean that counts for a call: to its first token in streams, in all for plain ones."""
        return self.first_ms if stream else self.total_ms

    def slowest(self, stream: bool) -> float | None:
        """What to hold against a limit: the 95th percentile once there are enough answers, else the mean."""
        p95 = self.p95_first_ms if stream else self.p95_total_ms
        return self.of(stream) if p95 is None else p95


NOTHING = Speed()


class _Mean:
    """A moving mean with the values behind its percentile; one that is too old begins anew."""

    __slots__ = ("_value", "_values", "at_s")

    def __init__(self) -> None:
        self._value = 0.0
        self._values: deque[float] = deque(maxlen=_KEPT)
        self.at_s = -math.inf

    def add(self, value: float, now_s: float, keep_s: float) -> None:
        if now_s - self.at_s > keep_s:
            self._values.clear()
            self._value = value
        self._value += _SHARE * (value - self._value)
        self._values.append(value)
        self.at_s = now_s

    def read(self, now_s: float, keep_s: float) -> tuple[float | None, float | None]:
        """The mean and the 95th percentile."""
        if now_s - self.at_s > keep_s:
            return None, None
        return self._value, _p95(self._values)


class _Figures:
    __slots__ = ("answers", "first", "in_flight", "total")

    def __init__(self) -> None:
        self.first, self.total = _Mean(), _Mean()
        self.in_flight = 0
        self.answers = 0


class Live:
    """The figures. `keep_s` says how long a latency counts: who was too slow is tried again after that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, keep_s: float = 60.0) -> None:
        self._clock = clock
        self.keep_s = keep_s
        self._places: dict[Place, _Figures] = {}

    def begin(self, place: Place) -> None:
        """A call goes there."""
        self._at(place).in_flight += 1

    def end(self, place: Place) -> None:
        """It is over, however it ended."""
        figures = self._at(place)
        figures.in_flight = max(figures.in_flight - 1, 0)

    def took(self, place: Place, first_ms: float | None, total_ms: float) -> None:
        """An answer came after so long; only streams have a first token. Silence counts too, by the time it cost."""
        figures, now_s = self._at(place), self._clock()
        if first_ms is not None:
            figures.first.add(first_ms, now_s, self.keep_s)
        figures.total.add(total_ms, now_s, self.keep_s)
        figures.answers += 1

    def speed(self, place: Place) -> Speed:
        """What is known of a model now."""
        figures = self._places.get(place)
        if figures is None:
            return NOTHING
        now_s = self._clock()
        first_ms, p95_first_ms = figures.first.read(now_s, self.keep_s)
        total_ms, p95_total_ms = figures.total.read(now_s, self.keep_s)
        return Speed(first_ms, total_ms, p95_first_ms, p95_total_ms, figures.in_flight, figures.answers)

    def busy(self, place: Place) -> int:
        """How many calls it is answering."""
        figures = self._places.get(place)
        return 0 if figures is None else figures.in_flight

    def _at(self, place: Place) -> _Figures:
        figures = self._places.get(place)
        if figures is None:
            if len(self._places) >= _MOST_PLACES:
                idle = [one for one, held in self._places.items() if not held.in_flight]
                for one in idle:
                    del self._places[one]
            figures = self._places[place] = _Figures()
        return figures


def _p95(values: deque[float]) -> float | None:
    if len(values) < _ENOUGH:
        return None
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]
