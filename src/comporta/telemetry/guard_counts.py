"""What guards found, counted for `/metrics` by guard, side and what became of it, and how long looking took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from comporta.telemetry.labelled import filled

_FOUND = "guard_found"
_TOOK = "guard_took_us"
_LOOKED = "guard_looked"
#: No name of a guard holds it.
_BETWEEN = "\x1f"
#: A check may name guards as it likes.
MAX_SERIES = 300
OTHER = "other"
_LONGEST_CHARS = 100


class GuardCounts:
    """The counts of this process. `totals` have their labels in their names, as the files between processes want it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], int] = {}
        self._looked: dict[str, int] = {}
        self._took_us: dict[str, int] = {}

    def found(self, guard: str, side: str, outcome: str) -> None:
        """Count what one guard found."""
        place = (guard.replace(_BETWEEN, " ")[:_LONGEST_CHARS], side, outcome)
        if place not in self._found and len(self._found) >= MAX_SERIES:
            place = (OTHER, side, outcome)
        self._found[place] = self._found.get(place, 0) + 1

    def looked(self, side: str, took_us: int) -> None:
        """Count one look at an input or at a piece of an answer."""
        self._looked[side] = self._looked.get(side, 0) + 1
        self._took_us[side] = self._took_us.get(side, 0) + took_us

    def totals(self) -> dict[str, float]:
        return {
            **{_BETWEEN.join((_FOUND, *place)): count for place, count in self._found.items()},
            **{_BETWEEN.join((_LOOKED, side)): count for side, count in self._looked.items()},
            **{_BETWEEN.join((_TOOK, side)): us / 1e6 for side, us in self._took_us.items()},
        }


def guard_metrics(totals: Mapping[str, float]) -> Iterator[Metric]:
    """The counts of all processes in the words of prometheus_client."""
    found = CounterMetricFamily(
        "comporta_guard_verdicts", "What guards found, by what became of it", labels=("guard", "side", "outcome")
    )
    yield filled(found, totals, _FOUND, _BETWEEN, 3)
    looked = CounterMetricFamily("comporta_guard_looks", "Looks of guards at an input or answer", labels=("side",))
    yield filled(looked, totals, _LOOKED, _BETWEEN, 1)
    took = CounterMetricFamily("comporta_guard_seconds", "Seconds that guards looked", labels=("side",))
    yield filled(took, totals, _TOOK, _BETWEEN, 1)
