"""How bad a conversation went, and why: what is counted of its scores and calls, and what each of that weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

Reason = Literal[
    "thumbs_down", "low_rating", "correction", "follow_up", "abandoned", "error", "guard_block", "low_quality"
]

#: Points for each time; docs/how-to/watch-live-quality.md tells them.
WEIGHTS: Mapping[Reason, float] = {
    "thumbs_down": 5.0, "low_rating": 4.0, "correction": 4.0, "guard_block": 3.0, "error": 3.0, "follow_up": 2.0,
    "low_quality": 2.0, "abandoned": 1.0,
}  # fmt: skip
#: A reason counts no oftener in one conversation: a long one is not worse for being long.
MOST_TIMES = 3
_LOW_RATING = 2
_FAILED = ("upstream", "timeout", "unavailable", "internal")
_BLOCKED = "block"


class Scored(Struct, frozen=True):
    """A score of one of the conversation's calls. `number` is 1 or 0 for a boolean."""

    call_id: str
    name: str
    kind: str
    source: str
    number: float | None
    label: str | None


class Because(Struct, frozen=True):
    """A reason, how often there was one, and the points that it makes."""

    reason: Reason
    count: int
    points: float


class Weighed(Struct, frozen=True):
    """Points in all, the reasons by weight, and the call in which most went wrong; None where nothing did."""

    points: float
    reasons: tuple[Because, ...]
    call_id: str | None


def reason_of(score: Scored) -> Reason | None:
    """Why a score speaks against an answer; None where it does not."""
    match score.name:
        case "thumbs":
            return "thumbs_down" if score.number == 0 else None
        case "rating":
            return "low_rating" if score.number is not None and score.number <= _LOW_RATING else None
        case "correction":
            return "correction"
        case "follow_up":
            return "follow_up" if score.number == 1 else None
        case "abandoned":
            return "abandoned" if score.number == 1 else None
    if score.source == "guard":
        return "guard_block" if score.label == _BLOCKED else None
    return "low_quality" if _is_low(score) else None


def _is_low(score: Scored) -> bool:
    """What code and judges found wrong: false, or less than a half of one. Other scales mean anything."""
    if score.source not in ("code", "judge") or score.number is None:
        return False
    return score.number == 0 if score.kind == "boolean" else 0 <= score.number < 0.5


def weigh(outcomes: Mapping[str, str], scores: Iterable[Scored]) -> Weighed:
    """What a conversation comes to. `outcomes` has the class of the outcome of each call, by its id."""
    found: list[tuple[str, Reason]] = [(call, "error") for call, outcome in outcomes.items() if outcome in _FAILED]
    for score in scores:
        reason = reason_of(score)
        if reason is not None:
            found.append((score.call_id, reason))
    return _summed(found)


def _summed(found: Sequence[tuple[str, Reason]]) -> Weighed:
    counts = Counter(reason for _, reason in found)
    reasons = sorted(
        (Because(reason, n, WEIGHTS[reason] * min(n, MOST_TIMES)) for reason, n in counts.items()),
        key=lambda one: (-one.points, one.reason),
    )
    worst = Counter[str]()
    for call, reason in found:
        worst[call] += round(WEIGHTS[reason] * 10)
    call_id = max(sorted(worst), key=lambda one: worst[one]) if worst else None
    return Weighed(sum(one.points for one in reasons), tuple(reasons), call_id)
