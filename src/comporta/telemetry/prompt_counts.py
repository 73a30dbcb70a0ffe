"""Calls by the prompt they asked with and the deploy it came by, counted for `/metrics` apart from other series."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from comporta.telemetry.labelled import filled
from comporta.telemetry.record import CallRecord

LABELS = ("prompt", "version", "label", "outcome", "commit_sha", "author", "model_version")
_KIND = "prompt_calls"
#: No name, tag or version holds it.
_BETWEEN = "\x1f"
#: Versions come from the registry, so a caller can't make any up; but a gate may run for years.
MAX_SERIES = 300
OTHER = "other"
_LONGEST_CHARS = 100


class PromptCounts:
    """The counts of this process. `totals` have their labels in their names, as the files between processes want it."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], int] = {}

    def note(self, record: CallRecord) -> None:
        """Count a call that asked with a prompt."""
        tags = record.deploy or {}
        place: tuple[str, ...] = (
            record.prompt_id or "", record.prompt_version or "", record.prompt_label or "", record.outcome_class,
            tags.get("commit_sha", ""), tags.get("author", ""), tags.get("model_version", ""),
        )  # fmt: skip
        if place not in self._counts and len(self._counts) >= MAX_SERIES:
            place = (OTHER, OTHER, OTHER, record.outcome_class, "", "", "")
        self._counts[place] = self._counts.get(place, 0) + 1

    def totals(self) -> dict[str, float]:
        return {_BETWEEN.join((_KIND, *map(_plain, place))): count for place, count in self._counts.items()}


def prompt_calls(totals: Mapping[str, float]) -> Metric:
    """The counts of all processes in the words of prometheus_client."""
    family = CounterMetricFamily("comporta_prompt_calls", "Calls by the prompt they asked with", labels=LABELS)
    return filled(family, totals, _KIND, _BETWEEN, len(LABELS))


def _plain(text: str) -> str:
    return text.replace(_BETWEEN, " ")[:_LONGEST_CHARS]
