"""One side after another: whether errors rose against what they were before, where there is no A beside B any more.

For a rollout's last stage (100 %) and for a deploy that is watched for a while. It is the weaker test: what else has
changed since (a provider's bad hour) looks like B's doing.
"""

from __future__ import annotations

import math

from msgspec import Struct, structs

from comporta.stats.intervals import chernoff_upper
from comporta.stats.sequential import bet_on_one, evidence, odds
from comporta.stats.sums import share

#: Stakes, as multiples of what would be best against a rise by `_RISE`.
_STEPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_RISE = 0.01


class Watch(Struct, frozen=True, omit_defaults=True):
    """A share of errors from before, and the calls since. JSON as it stands; kept like Evidence.

    `null` is a share that the one before does not exceed, with a chance of alpha / 2 of being wrong.
    """

    before_calls: int
    before_errors: int
    null: float
    alpha: float
    calls: int = 0
    errors: int = 0
    capitals: tuple[float, ...] = (0.0,) * len(_STEPS)


class Watched(Struct, frozen=True):
    """What a watch found: `risen` when errors are proven to be up, and by `margin` or more as it stands."""

    risen: bool
    before: float
    now: float
    calls: int
    before_calls: int
    margin: float
    odds: float
    odds_needed: float
    reason: str


def watching(before_calls: int, before_errors: int, alpha: float = 0.05) -> Watch:
    """A watch against calls before. Without any, nothing can be proven, and nothing is."""
    return Watch(before_calls, before_errors, chernoff_upper(before_errors, before_calls, alpha / 2), alpha)


def watched(watch: Watch, calls: int, errors: int) -> Watch:
    """The watch with some more calls."""
    if not calls or watch.null >= 1:
        return structs.replace(watch, calls=watch.calls + calls, errors=watch.errors + errors)
    unit = _RISE / (watch.null * (1 - watch.null))
    capitals = bet_on_one(watch.capitals, share(calls, errors), [step * unit for step in _STEPS], watch.null)
    return structs.replace(watch, calls=watch.calls + calls, errors=watch.errors + errors, capitals=capitals)


def verdict(watch: Watch, margin: float = 0.01) -> Watched:
    """Whether errors rose by `margin` (a difference of shares) or more. Each half of alpha bounds one of two chances:
    that the share before is misjudged, and that the calls since look worse than they are."""
    before = watch.before_errors / watch.before_calls if watch.before_calls else 0.0
    now = watch.errors / watch.calls if watch.calls else 0.0
    needed = math.log(2 / watch.alpha)
    held = evidence(watch.capitals)
    risen = held >= needed and now - before >= margin
    return Watched(
        risen,
        before,
        now,
        watch.calls,
        watch.before_calls,
        margin,
        odds(held),
        odds(needed),
        _said(risen, before, now, watch, held, needed, margin),
    )


def _said(risen: bool, before: float, now: float, watch: Watch, held: float, needed: float, margin: float) -> str:
    if not watch.before_calls:
        return "There are no calls from before to compare with."
    return (
        f"Errors: {now:.2%} of {watch.calls:,} calls now, {before:.2%} of {watch.before_calls:,} before"
        f" (up by {margin * 100:g} pp at most is let be); {odds(held):.3g} to 1 that this is no chance,"
        f" {odds(needed):.3g} to 1 is asked for: {'risen' if risen else 'not proven'}."
    )
