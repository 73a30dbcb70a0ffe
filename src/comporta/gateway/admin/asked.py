"""What the admin API asks of the gate, as protocols: naming them asks for no web framework."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from comporta.cache.semantic.overview import Overview
from comporta.cache.semantic.seeding import Seed, Seeded
from comporta.routing.task.estimate import Estimate
from comporta.routing.task.selecting import Selected
from comporta.types import JSON


class Caches(Protocol):
    """What the pages ask; see `Recalling`."""

    def overview(self) -> Awaitable[Overview]: ...
    def seed(self, seeds: Sequence[Seed]) -> Awaitable[Seeded]: ...
    def clear(self, tags: Sequence[str] = (), entry: int | None = None) -> Awaitable[int]: ...


class Deciding(Protocol):
    """What the gate says of routing."""

    def explain_route(
        self, messages: Any, model: str | None = None, task: str | None = None, **params: Any
    ) -> JSON: ...
    def estimate_cost(self, prompt: str, model: str, task: str | None = None) -> Estimate: ...
    def select_model(
        self, task: str | None = None, complexity: str = "medium", budget: str | float | int | None = None, *,
        required: Sequence[str] = (), strategy: str | None = None,
    ) -> Selected: ...  # fmt: skip
    def routed_models(self) -> list[JSON]: ...
