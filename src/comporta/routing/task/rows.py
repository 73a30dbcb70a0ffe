"""Strategies ready for calls: the rows of the configuration with their models looked up, and the names they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from comporta.providers.catalogue import ModelFacts
from comporta.routing.choose import Variant
from comporta.routing.task.names import SURE_AT, Complexity, hardness_of, is_default, plain, usual_of
from comporta.routing.task.settings import Action, Aim, Balance
from comporta.types import Target

#: What the names of strategies and tasks begin with when they are asked for.
STRATEGY, TASK = "strategy:", "task:"
Event = Literal["rate_limit", "quality_drop", "timeout"]


def place_of(target: Target) -> tuple[str, str]:
    """What live figures know a target by; by its variant where a prompt names the model."""
    return (target.provider, target.model) if target.provider else ("", target.variant)


class Member(Struct, frozen=True):
    """One model of a row: as it is named, where it leads, and what is known of it."""

    name: str
    target: Target
    facts: ModelFacts
    weight: float = 1.0

    @property
    def place(self) -> tuple[str, str]:
        """What live figures know it by."""
        return place_of(self.target)

    @property
    def rate_microusd(self) -> int | None:
        """What a million tokens in and a million out cost together: how dear it is beside others."""
        price = self.facts.price
        return None if price is None or price.input is None or price.output is None else price.input + price.output


class Policies(Struct, frozen=True):
    """What is done when a model can't answer as wanted; None is what happens without a strategy."""

    on_rate_limit: Action | None = None
    on_quality_drop: Action | None = "escalate_to_superior_model"
    on_timeout: Action | None = None
    default_reply: str | None = None

    def of(self, event: Event) -> Action | None:
        if event == "rate_limit":
            return self.on_rate_limit
        return self.on_quality_drop if event == "quality_drop" else self.on_timeout


class Row(Struct, frozen=True):
    """Which models answer one task. `vouched` are capabilities that no model says of itself."""

    task: str
    strategy: str
    primary: tuple[Member, ...]
    fallback: tuple[Member, ...] = ()
    superior: tuple[Member, ...] = ()
    aim: Aim | None = None
    balance: Balance | None = None
    usual: str | None = None
    complexity: tuple[Complexity, ...] = ()
    cost_threshold_microusd: int | None = None
    quality_threshold: float | None = None
    quality_score: str = ""
    max_latency_ms: float | None = None
    required: frozenset[str] = frozenset()
    vouched: frozenset[str] = frozenset()
    similarity: float | None = None
    policies: Policies = Policies()

    @property
    def members(self) -> tuple[Member, ...]:
        return (*self.primary, *self.fallback, *self.superior)


class Way(Struct, frozen=True):
    """What a route does with its calls: rows by task. `task` is the route's own, None where callers or a guess say it.

    `guesses` is off where every call is of the same row.
    """

    route: str
    strategy: str
    rows: tuple[Row, ...]
    task: str | None = None
    guesses: bool = True

    @property
    def default(self) -> Row:
        """The row of calls that are of no other: `default`, else the first."""
        return next((row for row in self.rows if is_default(row.task)), self.rows[0])

    def named(self, task: str) -> Row | None:
        """The row of a task by its name: the very name, else another word for the same usual task."""
        word = plain(task)
        found = next((row for row in self.rows if plain(row.task) == word), None)
        if found is not None:
            return found
        usual = usual_of(task)
        return None if usual is None else self.usual(usual, hardness_of(task))

    def usual(self, task: str, complexity: Complexity | None) -> Row | None:
        """The row of a usual task; of several the one for calls so hard, else one for any."""
        found = [row for row in self.rows if row.usual == task]
        fitting = [row for row in found if complexity in row.complexity]
        return next(iter([*fitting, *(row for row in found if not row.complexity)]), None)

    def variants(self) -> tuple[Variant, ...]:
        """Every model that may answer, as variants of the route: the first gets the calls that nobody steers."""
        found: dict[str, Variant] = {}
        for row in (self.default, *self.rows):
            for member in row.members:
                target = member.target
                found.setdefault(
                    target.variant,
                    Variant(target.variant, target.provider, target.model, 0.0 if found else 1.0, target.params),
                )
        return tuple(found.values())


class Pool(Struct, frozen=True):
    """The variants of a plain route that says by which live figure one of them is chosen."""

    route: str
    balance: Balance
    members: tuple[Member, ...]


class Cascade(Struct, frozen=True):
    """Models of a route asked one after another until an answer is good enough. `checker` is known by its route."""

    route: str
    models: tuple[Target, ...]
    checker: str
    buffers: bool = True
    accepts_unjudged: bool = False


class Tables(Struct, frozen=True):
    """All of it by the route's name, for one configuration; `warnings` are told at start."""

    ways: Mapping[str, Way] = {}
    pools: Mapping[str, Pool] = {}
    cascades: Mapping[str, Cascade] = {}
    #: Tasks of the operator's own: the usual one that it is like, and examples.
    like: Mapping[str, str | None] = {}
    examples: Mapping[str, tuple[str, ...]] = {}
    guesses: bool = True
    sure_at: float = SURE_AT
    like_at: float = 0.5
    figures_for_s: float = 60.0
    warnings: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether any route needs a look."""
        return bool(self.ways or self.pools or self.cascades)

    def watched(self) -> dict[str, set[str]]:
        """The scores that decide something, by route."""
        found: dict[str, set[str]] = {}
        for name, way in self.ways.items():
            for row in way.rows:
                if row.quality_threshold is not None or row.aim == "quality":
                    found.setdefault(name, set()).add(row.quality_score)
        return found
