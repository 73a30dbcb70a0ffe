"""What two questions disagree on: each reason names what differs, and one is enough."""

from __future__ import annotations

from msgspec import Struct

from comporta.cache.agreement.question import Question


class Agreement(Struct, frozen=True):
    """Whether nothing was found that tells the questions apart; `reasons` are what was, as `number: 5 or 6`."""

    agrees: bool
    reasons: tuple[str, ...] = ()


def agreement(asked: Question, kept: Question) -> Agreement:
    """Compare two questions. Pure, and without regard to how alike their vectors are."""
    reasons: list[str] = []
    if asked.form != kept.form or asked.language != kept.language:
        reasons.append(f"language: {asked.language} or {kept.language}")
    if asked.numbers != kept.numbers:
        reasons.append(f"number: {' '.join(asked.numbers)} or {' '.join(kept.numbers)}")
    return Agreement(not reasons, tuple(reasons))
