"""What was seen in a run, and the flat figures that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct, field

from gauge.figures import added, growth, medians, ratio

#: Gateway -> one figure per round.
Series = dict[str, list[float]]
#: Measure -> gateway -> figure: what goes into the JSON.
Figures = dict[str, dict[str, float]]

OURS = "comporta"
_ROUNDED = 4
_RIVALS = ("nginx", "bare", "tensorzero", "litellm")


class Measured(Struct):
    """Everything that was seen: measure -> gateway -> one figure per round. Times are in milliseconds."""

    rps: Series = field(default_factory=dict)
    #: CPU per call until all that it left behind was done, its database's not counted.
    cpu_us: Series = field(default_factory=dict)
    postgres_cpu_us: Series = field(default_factory=dict)
    stream_cpu_us: Series = field(default_factory=dict)
    #: The share of the gateway's and of the load's core that was used, by whomever, while plain calls were counted.
    busy: Series = field(default_factory=dict)
    load_busy: Series = field(default_factory=dict)
    #: Cores that were meanwhile taken by what is not of the bench.
    others_busy: Series = field(default_factory=dict)
    streams: Series = field(default_factory=dict)
    streams_17: Series = field(default_factory=dict)
    streams_paced: Series = field(default_factory=dict)
    one_p50_ms: Series = field(default_factory=dict)
    one_p99_ms: Series = field(default_factory=dict)
    half_p99_ms: Series = field(default_factory=dict)
    exact_hits: Series = field(default_factory=dict)
    hit_cpu_us: Series = field(default_factory=dict)
    rps_one_core: Series = field(default_factory=dict)
    rps_finish: Series = field(default_factory=dict)
    finish_cpu_us: Series = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    #: Wrong answers by gateway, and the first one of each.
    wrong: dict[str, int] = field(default_factory=dict)
    first_wrong: dict[str, str] = field(default_factory=dict)
    #: Memory of Comporta's worker over many calls, how many these were, and how long they and their records took.
    memory: list[float] = field(default_factory=list)
    memory_calls: int = 0
    memory_s: float = 0.0
    #: The same load on one and on two workers with Redis, and on a gate with few and with many keys.
    workers: Pair | None = None
    keys: Pair | None = None
    #: What Comporta's books say against what was answered: one sentence for each that is wrong.
    faults: list[str] = field(default_factory=list)
    #: Calls answered by every gate of ours, and records of them.
    answered: int = 0
    recorded: int = 0
    cost_microusd: int = 0
    #: Why a gateway, or a part, is not in the table.
    left_out: dict[str, str] = field(default_factory=dict)


class Pair(Struct):
    """Two gates that were given the same load in turns; `one` is the measure of `other`."""

    one: str
    other: str
    rps: Series = field(default_factory=dict)
    streams: Series = field(default_factory=dict)
    cpu_us: Series = field(default_factory=dict)
    one_p50_ms: Series = field(default_factory=dict)

    def ratio(self, series: Series) -> float | None:
        """How many times `one`'s figure the `other`'s is."""
        return ratio(series, self.other, self.one)


def figures(measured: Measured) -> Figures:
    """Flat: measure -> gateway -> figure. What was not measured is not in it."""
    seen: dict[str, Mapping[str, float | None]] = {
        "rps": medians(measured.rps),
        "streams": medians(measured.streams),
        "added_p50_ms": added(measured.one_p50_ms, "direct"),
        "added_p99_ms": added(measured.one_p99_ms, "direct"),
        "rss_mb": measured.rss_mb,
        "half_load_added_p99_ms": medians(measured.half_p99_ms),
        "streams_17": medians(measured.streams_17),
        "streams_paced": medians(measured.streams_paced),
        "exact_hits_per_s": medians(measured.exact_hits),
        "hit_cpu_us": medians(measured.hit_cpu_us),
        "finish_cpu_us": medians(measured.finish_cpu_us),
        "cpu_us": medians(measured.cpu_us),
        "stream_cpu_us": medians(measured.stream_cpu_us),
        "postgres_cpu_us": medians(measured.postgres_cpu_us),
        "core_busy": medians(measured.busy),
        "load_core_busy": medians(measured.load_busy),
        "others_busy": medians(measured.others_busy),
        "rps_one_core": medians(measured.rps_one_core),
        "rps_finish": medians(measured.rps_finish),
        "rps_ratio": _ratios(measured.rps),
        "rps_one_core_ratio": _ratios(measured.rps, measured.rps_one_core),
        "rps_finish_ratio": _ratios(measured.rps, measured.rps_finish),
        "streams_ratio": _ratios(measured.streams),
        "streams_17_ratio": _ratios(measured.streams_17),
        "wrong": dict(measured.wrong),
        **_memory(measured),
        **_pairs(measured),
        "books": _books(measured),
    }
    flat = {
        measure: {
            name: round(value, _ROUNDED) for name, value in by.items() if value is not None and math.isfinite(value)
        }
        for measure, by in seen.items()
    }
    wanted = ("rps", "streams", "added_p50_ms", "added_p99_ms", "rss_mb")
    return {measure: by for measure, by in flat.items() if by or measure in wanted}


def _ratios(series: Series, ours: Series | None = None) -> dict[str, float | None]:
    """How many times each other gateway's figure ours is, round by round."""
    together = {**series, OURS: (series if ours is None else ours).get(OURS, [])}
    return {name: ratio(together, OURS, name) for name in _RIVALS if name in series}


def _memory(measured: Measured) -> dict[str, dict[str, float | None]]:
    if len(measured.memory) < 3:
        return {}
    return {
        "rss_growth": {OURS: growth(measured.memory)},
        "memory_calls": {OURS: measured.memory_calls},
        "sustained_rps": {OURS: measured.memory_calls / measured.memory_s if measured.memory_s else None},
    }


def _pairs(measured: Measured) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    if (pair := measured.workers) is not None:
        found |= {
            "workers_cpu_ratio": {OURS: pair.ratio(pair.cpu_us)},
            "workers_rps_ratio": {OURS: pair.ratio(pair.rps)},
            "workers_cpu_us": {**medians(pair.cpu_us)},
        }
    if (pair := measured.keys) is not None:
        found |= {
            "many_keys_ratio": {OURS: pair.ratio(pair.rps)},
            "many_keys_streams_ratio": {OURS: pair.ratio(pair.streams)},
            "many_keys_p50_ratio": {OURS: pair.ratio(pair.one_p50_ms)},
            "many_keys_cpu_ratio": {OURS: pair.ratio(pair.cpu_us)},
        }
    return found


def _books(measured: Measured) -> dict[str, float | None]:
    if not measured.answered:
        return {}
    return {
        "answered": measured.answered, "recorded": measured.recorded, "cost_microusd": measured.cost_microusd,
        "faults": len(measured.faults),
    }  # fmt: skip
