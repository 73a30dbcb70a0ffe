"""How often somebody may try to sign in: by name and address, so that guessing takes years."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

WINDOW_S = 600.0
#: Of one address for one name, of one address, and for one name from anywhere: the last is wide, since by it anybody
#: could shut somebody out.
MOST = {"both": 5, "address": 20, "name": 60}
_KEPT = 10_000


class Tries:
    """Counts failures over ten minutes, in memory: there is one console."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def wait_s(self, name: str, address: str) -> float:
        """For how long no further try is looked at; 0 where one may be made now."""
        now_s = self._clock()
        return max(self._left_s(key, now_s) for key in _keys(name, address))

    def failed(self, name: str, address: str) -> None:
        """A wrong name or password."""
        now_s = self._clock()
        for key in _keys(name, address):
            recent = [at_s for at_s in self._failures.pop(key, []) if at_s > now_s - WINDOW_S]
            self._failures[key] = [*recent, now_s]
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def passed(self, name: str, address: str) -> None:
        """The right one, after all: it counts as no failure, and this person's earlier slips are forgotten."""
        for key in _keys(name, address):
            counted = self._failures.get(key)
            if counted:
                counted.pop()
        self._failures.pop(("both", f"{address} {name}"), None)

    def _left_s(self, key: tuple[str, str], now_s: float) -> float:
        recent = [at_s for at_s in self._failures.get(key, ()) if at_s > now_s - WINDOW_S]
        most = MOST[key[0]]
        return max(0.0, recent[-most] + WINDOW_S - now_s) if len(recent) >= most else 0.0


def _keys(name: str, address: str) -> tuple[tuple[str, str], ...]:
    return (("both", f"{address} {name}"), ("address", address), ("name", name))
