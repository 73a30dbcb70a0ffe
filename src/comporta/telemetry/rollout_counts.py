"""Calls of rollouts by side and by the deploy they came by, counted for `/metrics` apart from other series."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from comporta.telemetry.labelled import filled
from comporta.telemetry.record import CallRecord

#: The tag that a call of a rollout or an experiment carries: its id.
TAG = "rollout"
LABELS = ("rollout", "route", "side", "outcome", "commit_sha", "author", "model_version")
_KIND = "rollout_calls"
#: No name or tag holds it.
_BETWEEN = "\x1f"
#: Rollouts come one after the other, but a gate may run for years.
MAX_SERIES = 300
OTHER = "other"
_LONGEST_CHARS = 100


class RolloutCounts:
    """The counts of this process. `totals` have their labels in their names, as the files between processes want it."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], int] = {}

    def note(self, record: CallRecord) -> None:
        """Count a call that takes part in a rollout. A side's failure counts as one, whoever then answered."""
        tags = record.tags
        side, outcome = tags.get("rollout_side", ""), tags.get("rollout_failed") or record.outcome_class
        deploy = [tags.get(name, "") if side != "a" else "" for name in LABELS[4:]]
        place: tuple[str, ...] = (tags[TAG], record.route or "", side, outcome, *deploy)
        if place not in self._counts and len(self._counts) >= MAX_SERIES:
            place = (OTHER, OTHER, side, outcome, "", "", "")
        self._counts[place] = self._counts.get(place, 0) + 1

    def totals(self) -> dict[str, float]:
        return {_BETWEEN.join((_KIND, *map(_plain, place))): count for place, count in self._counts.items()}


def rollout_calls(totals: Mapping[str, float]) -> Metric:
    """The counts of all processes in the words of prometheus_client."""
    family = CounterMetricFamily("comporta_rollout_calls", "Calls of rollouts and experiments by side", labels=LABELS)
    return filled(family, totals, _KIND, _BETWEEN, len(LABELS))


def _plain(text: str) -> str:
    return text.replace(_BETWEEN, " ")[:_LONGEST_CHARS]
