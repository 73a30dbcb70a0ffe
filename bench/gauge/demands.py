"""What the figures have to be, and whether they are: read from the flat figures alone, so also from a file of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from gauge.figures import MOST_GROWTH

Figures = Mapping[str, Mapping[str, float]]

MOST_RSS_MB = 160.0
#: Before so many calls caches are still filling, and memory tells nothing.
FEWEST_CALLS = 100_000
#: So much may the figures of a gate with many keys lie off those of one with few.
_WITHIN = 0.10


class Verdict(Struct, frozen=True):
    """One demand: what was wanted, what was found (None: not measured), and whether that will do."""

    what: str
    wanted: str
    found: float | None
    unit: str
    passed: bool

    @property
    def word(self) -> str:
        return "not measured" if self.found is None else "PASS" if self.passed else "short"

    @property
    def shown(self) -> str:
        if self.found is None:
            return "–"
        if self.unit == "%":
            return f"{self.found:+.1%}"
        digits = 0 if self.unit in ("/s", "MB", "") else 3 if self.unit == "ms" else 2
        return f"{self.found:,.{digits}f} {self.unit}".rstrip()


def verdicts(figures: Figures) -> list[Verdict]:
    """All demands, in order."""
    return [*_rates(figures), *_times(figures), *_memory(figures), *_scale(figures), *_truth(figures)]


def _rates(figures: Figures) -> Iterator[Verdict]:
    rps, finish = _at(figures, "rps_ratio", "tensorzero"), _at(figures, "rps_finish_ratio", "tensorzero")
    if rps is not None and rps < 1.0 and finish is not None:
        yield _least("calls/s against TensorZero, on_client_gone: finish", 1.0, finish, "×")
        yield _least("calls/s against TensorZero, on_client_gone: abort", 0.8, rps, "×")
    else:
        yield _least("calls/s against TensorZero", 1.0, rps, "×")
    yield _least("calls/s against LiteLLM", 40.0, _at(figures, "rps_ratio", "litellm"), "×")
    yield _least("streams/s of 31 events against LiteLLM", 25.0, _at(figures, "streams_ratio", "litellm"), "×")
    yield _least("streams/s of 31 events against the bare proxy", 0.6, _at(figures, "streams_ratio", "bare"), "×")
    yield _least("exact hits/s", 8000.0, _at(figures, "exact_hits_per_s"), "/s")


def _times(figures: Figures) -> Iterator[Verdict]:
    yield _most("one connection: added p50", 0.35, _at(figures, "added_p50_ms"), "ms")
    yield _most("one connection: added p99", 1.5, _at(figures, "added_p99_ms"), "ms")
    yield _most("at half of saturation: added p99", 5.0, _at(figures, "half_load_added_p99_ms"), "ms")


def _memory(figures: Figures) -> Iterator[Verdict]:
    calls = _at(figures, "memory_calls") or 0
    tells = calls >= FEWEST_CALLS
    growth = _at(figures, "rss_growth") if tells else None
    after = f" after {calls:,.0f} calls" if tells else " after many calls"
    yield _most(f"RSS of a worker{after}", MOST_RSS_MB, _at(figures, "rss_mb") if tells else None, "MB")
    yield Verdict(
        "RSS, last third against the middle third", f"≤ {MOST_GROWTH:+.0%}", growth, "%",
        growth is not None and growth <= MOST_GROWTH,
    )  # fmt: skip


def _scale(figures: Figures) -> Iterator[Verdict]:
    yield _most("two workers with Redis: CPU per call of one's", 1.18, _at(figures, "workers_cpu_ratio"), "×")
    what = "10,000 keys, 1,000 routes, 200 budgets: {} of a small gate's"
    yield _least(what.format("calls/s"), 1 - _WITHIN, _at(figures, "many_keys_ratio"), "×")
    yield _least(what.format("streams/s"), 1 - _WITHIN, _at(figures, "many_keys_streams_ratio"), "×")
    yield _most(what.format("p50"), 1 + _WITHIN, _at(figures, "many_keys_p50_ratio"), "×")


def _truth(figures: Figures) -> Iterator[Verdict]:
    wrong, faults = figures.get("wrong", {}), _at(figures, "books", "faults")
    yield _most("wrong answers, all gateways", 0.0, sum(wrong.values()) if wrong else None, "")
    yield _most("faults in the books: records, ledger, budget", 0.0, faults, "")


def _at(figures: Figures, measure: str, name: str = "comporta") -> float | None:
    return figures.get(measure, {}).get(name)


def _least(what: str, wanted: float, found: float | None, unit: str) -> Verdict:
    return Verdict(what, f"≥ {wanted:,g} {unit}".rstrip(), found, unit, found is not None and found >= wanted)


def _most(what: str, wanted: float, found: float | None, unit: str) -> Verdict:
    return Verdict(what, f"≤ {wanted:,g} {unit}".rstrip(), found, unit, found is not None and found <= wanted)
