"""How each kind of metric becomes values in [0, 1] of which more is worse, so that one test serves them all.

- errors: 1 for a failed call.
- latency: 1 for a call slower than A's quantile (the mark, taken from A's calls before). «No worse than the margin»
  asks whether B's share above (1 + margin) times the mark stays below A's share above the mark.
- cost: the call's cost as a share of a cap (the mark: twice A's 99th percentile); dearer calls count as the cap, so
  that a few huge ones can't decide alone. Where A costs nothing: 1 for a call that costs anything.
- score: its distance from the good end of its range.
"""

from __future__ import annotations

from msgspec import Struct

from comporta.routing.rollout.figures import Figures, Window
from comporta.routing.rollout.plan import GuardMetric, Kind
from comporta.stats.histogram import ZERO, Histogram, above, added, capped, count, halved, moved, quantile, value
from comporta.stats.sequential import Null
from comporta.stats.sums import Sums

#: How many of A's values a mark wants at least, and beyond how many older ones give way.
_FEWEST, _MOST = 100, 10_000
#: The costs of a side that asks nothing, against one that does not either: of so many calls more may cost something.
_FREE_MARGIN = 0.01
_CAP_QUANTILE, _CAP_FACTOR = 0.99, 2.0
#: Between these lies the rise of a share that bets on latency are made for.
_LEAST_RISE, _MOST_RISE = 0.005, 0.1


class Mark(Struct, frozen=True, array_like=True):
    """A bucket of a histogram. Of A's values in it, `part` counts as above: with many alike, a quantile is in midst."""

    bucket: int
    part: float = 0.0


class Measured(Struct, frozen=True, omit_defaults=True):
    """The values of some calls, as three questions see them.

    `a` and `b`: is B worse at all? `far_b`: is it worse by a part of the margin? `ok_b`: by all of it? The last two
    look at `ok_a` for A. All but latency see the same values with each.
    """

    a: Sums = Sums()
    b: Sums = Sums()
    far_b: Sums = Sums()
    ok_a: Sums = Sums()
    ok_b: Sums = Sums()

    def plus(self, other: Measured) -> Measured:
        return Measured(
            self.a.plus(other.a),
            self.b.plus(other.b),
            self.far_b.plus(other.far_b),
            self.ok_a.plus(other.ok_a),
            self.ok_b.plus(other.ok_b),
        )


class Terms(Struct, frozen=True):
    """What a block is bet on by, all in units of [0, 1].

    `centre` and `variance` say where values lie. `rise` is about what a B worse by the margin shows above A, `room`
    how far a B like A stays below what the margin allows; `far` and `margin` say where B's mean lies when it is worse
    by a part of the margin, or by all of it.
    """

    centre: float
    variance: float
    rise: float
    room: float
    far: Null
    margin: Null


#: What is supposed of a metric before its first value, and how many values that weighs as much as.
_PRIORS: dict[Kind, Sums] = {
    "errors": Sums(20, 1.0, 1.0),
    "latency": Sums(20, 1.0, 1.0),
    "cost": Sums(5, 0.5, 0.15),
    "score": Sums(5, 1.5, 0.75),
}


def with_prior(guard: GuardMetric, values: Sums) -> Sums:
    """Values together with what is supposed before the first: of a few without an error, none is known to be all."""
    return values.plus(_PRIORS[guard.kind])


def measured(guard: GuardMetric, harm_from: float, mark: Mark | None, window: Window) -> Measured:
    """The values of a window; `harm_from` is the part of the margin that `far_b` is about."""
    if guard.kind == "errors":
        return _same(_failed(window.a), _failed(window.b))
    if guard.kind == "score":
        return _same(_scored(guard, window.a), _scored(guard, window.b))
    if mark is None:
        return Measured()
    if guard.kind == "cost":
        return _same(_spent(window.a.cost, mark), _spent(window.b.cost, mark))
    a, b, at = window.a.latency, window.b.latency, mark.bucket
    return Measured(
        above(a, at),
        above(b, at),
        above(b, moved(at, 1 + harm_from * guard.margin)),
        _with_part(above(a, at), a.get(at, 0), mark.part),
        above(b, moved(at, 1 + guard.margin)),
    )


def _same(a: Sums, b: Sums) -> Measured:
    return Measured(a, b, b, a, b)


def _with_part(sums: Sums, within: int, part: float) -> Sums:
    return Sums(sums.n, sums.total + within * part, sums.squares + within * part * part)


def _failed(figures: Figures) -> Sums:
    return Sums(figures.calls, figures.errors, figures.errors)


def _scored(guard: GuardMetric, figures: Figures) -> Sums:
    sums = figures.score(guard.name)
    return sums.flipped() if guard.better == "higher" else sums


def _spent(costs: Histogram, mark: Mark) -> Sums:
    return above(costs, ZERO) if mark.bucket == ZERO else capped(costs, value(mark.bucket))


def relearned(guard: GuardMetric, reference: dict[int, int], a: Figures) -> dict[int, int]:
    """A's latest values with those of a window; errors and scores need none."""
    if guard.kind not in ("latency", "cost"):
        return reference
    both = added(reference, a.latency if guard.kind == "latency" else a.cost)
    return halved(both) if count(both) > _MOST else both


def marked(guard: GuardMetric, reference: Histogram) -> Mark | None:
    """The mark that A's latest values make; None while there are too few."""
    if count(reference) < _FEWEST:
        return None
    at = quantile(reference, guard.quantile if guard.kind == "latency" else _CAP_QUANTILE)
    if at is None or guard.kind == "cost":
        return None if at is None else Mark(moved(at, _CAP_FACTOR))
    higher = above(reference, at).mean
    within = reference[at] / count(reference)
    return Mark(at, min(1.0, max(0.0, (1 - guard.quantile - higher) / within)))


def terms_of(guard: GuardMetric, harm_from: float, mark: Mark | None, reference: Histogram, a: Sums, b: Sums) -> Terms:
    """By what the next block is bet on, from the sums of the blocks before it and from A's latest values."""
    both = with_prior(guard, a.plus(b))
    centre, variance = both.mean, max(both.variance, 1e-6)
    if guard.kind == "latency" and mark is not None:
        rise, room = _rises(guard, mark, reference)
        return Terms(centre, variance, rise, room, Null("above"), Null("below"))
    if guard.kind == "cost" and (mark is None or mark.bucket != ZERO):
        rise, far = guard.margin * centre, Null("above", scale=1 + harm_from * guard.margin)
        return Terms(centre, variance, rise, rise, far, Null("below", scale=1 + guard.margin))
    rise = _FREE_MARGIN if guard.kind == "cost" else guard.margin / guard.width
    return Terms(centre, variance, rise, rise, Null("above", harm_from * rise), Null("below", rise))


def _rises(guard: GuardMetric, mark: Mark, reference: Histogram) -> tuple[float, float]:
    """How many more calls of a B slower by the margin lie above the mark; how many fewer of a B like A above it."""
    at, nominal = mark.bucket, 1 - guard.quantile
    rise = above(reference, moved(at, 1 / (1 + guard.margin))).mean - nominal
    room = nominal - above(reference, moved(at, 1 + guard.margin)).mean
    return min(max(rise, _LEAST_RISE), _MOST_RISE), max(room, _LEAST_RISE)
