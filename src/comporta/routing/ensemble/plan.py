"""An ensemble as it is asked: its members by name, and what is made of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from comporta.routing.ensemble.settings import EnsembleSection, Strategy
from comporta.types import JSON

#: The provider that ensembles are asked at.
PROVIDER = "ensemble"
_QUORUM = 2


class Member(Struct, frozen=True):
    """One of the models that are asked. `again` says that another member asks the same model the same way."""

    name: str
    model: str
    weight: float = 1.0
    params: JSON = {}
    again: bool = False


class Ensemble(Struct, frozen=True):
    """What one variant asks; see `EnsembleSection` for each field."""

    name: str
    members: tuple[Member, ...]
    strategy: Strategy = "consensus"
    prefer: str | None = None
    over: Literal["pairs", "matrix"] = "pairs"
    threshold: float = 0.85
    embedder: str | None = None
    field: str | None = None
    judge: str | None = None
    rubric: str | None = None
    quorum: int = _QUORUM
    wait_s: float = 30.0
    hedge_s: float = 0.0
    buffer: bool = False
    review: bool = True

    def by_preference(self, members: Sequence[Member]) -> list[Member]:
        """Members, the one whose answer is preferred first: `prefer`, else by weight, else as they are listed."""
        return sorted(members, key=lambda one: (one.name != self.prefer, -one.weight))

    def models(self) -> list[str]:
        """Every name of a model that it asks."""
        judges = [] if self.judge is None else [self.judge]
        return [*(member.model for member in self.members), *judges]


def ensemble_of(name: str, section: EnsembleSection) -> Ensemble:
    """From the configuration. Members of one name are told apart by a number: `model#2`."""
    members = _members(section)
    return Ensemble(
        name=name, members=members, strategy=section.strategy, prefer=section.prefer, over=section.consensus_over,
        threshold=section.threshold, embedder=section.embedder, field=section.field, judge=section.judge,
        rubric=section.rubric, quorum=1 if section.strategy == "first" else section.quorum or _QUORUM,
        wait_s=section.wait, hedge_s=section.hedge, buffer=section.stream == "buffer", review=section.review,
    )  # fmt: skip


def _members(section: EnsembleSection) -> tuple[Member, ...]:
    given = section.members
    found: list[Member] = []
    for at, one in enumerate(given):
        name = one.name or one.model
        before = sum((other.name or other.model) == name for other in given[:at])
        again = any(other.model == one.model and other.params == one.params for other in given if other is not one)
        found.append(Member(f"{name}#{before + 1}" if before else name, one.model, one.weight, one.params, again))
    return tuple(found)
