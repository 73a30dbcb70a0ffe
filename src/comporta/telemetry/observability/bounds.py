"""Bounds as people write them, `error_rate > 10%`, `p95 > 5s`, `cost_per_hour > $100`, in the unit of their figure."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct
from pydantic_core import PydanticCustomError

from comporta.config.values import (
    parse_duration,
    parse_money,
    parse_share,
    show_duration,
    show_money,
    show_share,
)
from comporta.telemetry.observability.names import Metric, Unit, known, unknown

Sign = Literal[">", ">=", "<", "<="]
_BOUND = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][\w.:/\-]*)\s*)?(?P<sign>>=|<=|>|<|≥|≤)?\s*(?P<value>[$\d.].*?)\s*", re.DOTALL
)
_SAME: dict[str, Sign] = {"≥": ">=", "≤": "<=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_RATE = re.compile(r"\s*/\s*(?:s|sec|second)\s*$")
_LOOKS_LIKE = {
    "s": "5s or 1200ms", "$": "$100", "share": "10% or 0.1", "count": "20", "per_s": "50 or 50/s", "number": "0.8",
}  # fmt: skip


class Bound(Struct, frozen=True):
    """A figure's bound, in the figure's own unit (seconds, dollars, shares from 0 to 1)."""

    sign: Sign
    value: float

    def holds(self, value: float) -> bool:
        """Whether a value lies on the side that the sign names."""
        if self.sign.startswith(">"):
            return value >= self.value if self.sign == ">=" else value > self.value
        return value <= self.value if self.sign == "<=" else value < self.value


def read_bound(written: object, metric: Metric | None, *, good: bool = False) -> tuple[Metric, Bound]:
    """The bound, and the figure that it names, where it names one, else `metric`.

    Without a sign it lies on the bad side of its value: `10%` of errors is more than 10 %, of availability less; with
    `good` on the other, as targets do. Raises ValueError, a sentence that repeats nothing of what was written.
    """
    found = _BOUND.fullmatch(f"{written:g}" if isinstance(written, int | float) else str(written))
    if found is None or isinstance(written, bool):
        raise ValueError(f"is no bound: write {_example(metric, good)}")
    named = metric
    if found["name"] is not None:
        named = known(found["name"])
        if named is None:
            raise ValueError(unknown(found["name"]))
        if metric is not None and named.name != metric.name:
            raise ValueError("names another metric than `metric` does")
    if named is None:
        raise ValueError("names no metric: write error_rate > 10%, or say `metric`")
    return named, Bound(_sign(found["sign"], named, good), value_of(found["value"], named))


def value_of(text: str, metric: Metric) -> float:
    """A value in the figure's unit. Raises ValueError."""
    try:
        if metric.unit == "s":
            return parse_duration(text)
        if metric.unit == "$":
            return parse_money(text) / 1e6
        if metric.unit == "share" or (metric.unit == "number" and text.endswith("%")):
            return parse_share(text)
        return float(_RATE.sub("", text))
    except (PydanticCustomError, ValueError):
        raise ValueError(f"has no value for {metric.name}: it looks like {_LOOKS_LIKE[metric.unit]}") from None


def shown(value: float | None, unit: Unit) -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    if unit == "s":
        return show_duration(round(value, 3)) if value < 10 else f"{value:.4g}s"
    if unit == "$":
        return f"${value:,.2f}" if value >= 1 else f"${value:.6f}".rstrip("0").rstrip(".")
    if unit == "share":
        return f"{value * 100:.4g}%"
    return f"{value:,.0f}" if unit == "count" else f"{value:.4g}" + ("/s" if unit == "per_s" else "")


def written(bound: Bound, unit: Unit) -> str:
    """The bound as one writes it, exactly."""
    if unit == "s":
        return f"{bound.sign} {show_duration(bound.value)}"
    if unit == "$":
        return f"{bound.sign} {show_money(round(bound.value * 1e6))}"
    return f"{bound.sign} {show_share(bound.value)}" if unit == "share" else f"{bound.sign} {bound.value:g}"


def _sign(given: str | None, metric: Metric, good: bool) -> Sign:
    if given is not None:
        return _SAME[given]
    worse_up = metric.worse != "down"
    if good:
        return "<=" if worse_up else ">="
    return ">" if worse_up else "<"


def _example(metric: Metric | None, good: bool) -> str:
    if metric is None:
        return "error_rate > 10%"
    return f"{_sign(None, metric, good)} {_LOOKS_LIKE[metric.unit].split(' or ')[0]}"
