"""How full budgets are, for `/metrics`: gauges that carry their labels in their names, as the files between want it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from prometheus_client.core import GaugeMetricFamily, Metric

from comporta.telemetry.labelled import filled

#: No name of a budget holds it.
_BETWEEN = "\x1f"
_TEXTS = {
    "spent": "US dollars spent of a budget in its running period",
    "limit": "US dollars that a budget has in each period",
    "forecast": "US dollars that the running period is expected to come to",
}


def named(kind: Literal["spent", "limit", "forecast"], budget: str, period: str) -> str:
    """The gauge's name with its labels in it."""
    return _BETWEEN.join((f"budget_{kind}_usd", budget.replace(_BETWEEN, " "), period))


def budget_gauges(gauges: Mapping[str, float]) -> Iterator[Metric]:
    """The gauges of all processes in the words of prometheus_client."""
    for kind, text in _TEXTS.items():
        name = f"budget_{kind}_usd"
        family = GaugeMetricFamily(f"comporta_{name}", text, labels=("budget", "period"))
        yield filled(family, gauges, name, _BETWEEN, 2)
