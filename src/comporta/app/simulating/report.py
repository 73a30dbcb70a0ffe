"""What a simulation found: how much of the traffic could be read, what each lever saved, and what nobody can know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from comporta.stats.intervals import clopper_pearson

#: What people quote for each lever, as shares of the bill: from vendors' pages and talks, never measured here.
QUOTED: Mapping[str, tuple[float, float]] = {
    "cache": (0.25, 0.40), "routing": (0.30, 0.50), "batching": (0.15, 0.25), "tokens": (0.10, 0.20),
}  # fmt: skip
#: The same for hit rates of semantic caches by workload.
QUOTED_HITS: Mapping[str, tuple[float, float]] = {
    "faq": (0.60, 0.75), "code": (0.30, 0.45), "documents": (0.15, 0.25), "creative": (0.05, 0.10),
}  # fmt: skip
#: Wrong ones among all hits of questions looked up by meaning in `make bench-cache` (own sets, November 2026).
BENCH_WRONG, BENCH_HITS = 1, 348


class Wrong(Struct, frozen=True):
    """How many hits may have been wrong: by the share of wrong ones among those that were looked at (`of`).

    `high` is the upper end of the share with 95 % confidence; `source` says who looked at them.
    """

    share: float
    high: float
    wrong: int
    checked: int
    source: str

    @classmethod
    def of(cls, wrong: int, checked: int, source: str) -> Wrong:
        if not checked:
            return cls(0.0, 1.0, 0, 0, source)
        return cls(wrong / checked, clopper_pearson(wrong, checked, 0.90).high, wrong, checked, source)


class Lever(Struct, frozen=True):
    """One lever. Shares are of what all calls that could be read cost; `hit_rate` is of those that were looked up."""

    name: str
    calls: int
    saved_microusd: int
    saved_share: float
    quoted: tuple[float, float] | None = None
    hits: int | None = None
    hit_rate: float | None = None
    unpriced: int = 0
    #: What it saves beside the others, in the lane of all together.
    together_microusd: int = 0
    details: Mapping[str, float | int | str] = {}
    unknown: tuple[str, ...] = ()


class Group(Struct, frozen=True):
    """The same by route: calls, hits and savings with all levers."""

    name: str
    calls: int
    looked: int
    hits: int
    hit_rate: float | None
    exact: int
    semantic: int
    cost_microusd: int
    saved_microusd: int
    saved_share: float
    quoted_hits: tuple[float, float] | None = None
    #: Semantic hits that gave another question's answer; None where nobody can know.
    wrong: int | None = None


class Report(Struct, frozen=True):
    """All of it. `read` calls of `calls` could be replayed; money in micro-dollars."""

    since: str
    until: str
    policy: str
    calls: int
    read: int
    cost_microusd: int
    read_microusd: int
    paid_microusd: int
    unpriced: int
    levers: Sequence[Lever]
    #: All together: less than the sum of each alone, since a call that is answered from memory saves nothing else.
    together_microusd: int
    together_share: float
    overlap_microusd: int
    groups: Sequence[Group]
    wrong: Wrong | None
    notes: Sequence[str]
    took_s: float
    embedded: int
    #: What the whole traffic would have saved were the rest like what could be read; None where all could be.
    extrapolated_microusd: int | None = None


def share(part: int, whole: int) -> float:
    """Rounded to a hundredth of a percent; 0 where there is nothing to divide by."""
    return round(part / whole, 4) if whole else 0.0
