"""Totals that carry their labels in their names, as the files between processes want it, made into metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Totals = Mapping[str, float]
_Family = CounterMetricFamily | GaugeMetricFamily


def scores(totals: Totals) -> Iterator[Metric]:
    """Scores by who judged and by name: `score_count:user:thumbs`."""
    count = CounterMetricFamily("comporta_scores", "Scores by name and by who judged", labels=("source", "name"))
    # A score may be negative: what sums them up is no counter.
    text = "Sum of scores' values; true is 1, and a text counts nothing"
    value = GaugeMetricFamily("comporta_score_values", text, labels=("source", "name"))
    yield filled(count, totals, "score_count", ":", 2)
    yield filled(value, totals, "score_sum", ":", 2)


def filled(family: _Family, totals: Totals, kind: str, between: str, labels: int) -> Metric:
    """A family with the totals of one kind."""
    for name, value in totals.items():
        if name.startswith(kind + between):
            family.add_metric(name.split(between, labels)[1:], value)
    return family
