"""How a rollout or an experiment stands, for people and programs: its sides in plain figures, and the last decision."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from comporta.routing.rollout.figures import Figures
from comporta.routing.rollout.rows import RolloutRow
from comporta.stats import histogram
from comporta.types import JSON

#: Latency is told at these quantiles.
_QUANTILES = (0.5, 0.95)


class RolloutStatus(Struct, frozen=True):
    """`sides` holds `a`, `b` and, where there were copies, `shadow`; `hint` says what somebody should do."""

    row: RolloutRow
    sides: JSON
    decision: JSON | None
    looked_at_s: float | None
    hint: str | None = None


def told(figures: Figures) -> JSON:
    """One side in plain figures: calls, errors, their share, milliseconds, micro-dollars a call, means of scores.

    Means of scores are rescaled to [0, 1] by the metric's bounds.
    """
    side: dict[str, Any] = {"calls": figures.calls, "errors": figures.errors}
    side["error_share"] = figures.errors / figures.calls if figures.calls else None
    for quantile in _QUANTILES:
        where = histogram.quantile(figures.latency, quantile)
        side[f"latency_p{quantile * 100:g}_ms"] = None if where is None else round(histogram.value(where), 1)
    side["cost_per_call_microusd"] = round(histogram.mean(figures.cost), 1) if figures.cost else None
    side["scores"] = {name: {"n": sums.n, "mean": round(sums.mean, 4)} for name, sums in figures.scores.items()}
    return side
