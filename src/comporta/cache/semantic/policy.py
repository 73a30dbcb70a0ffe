"""What holds for the semantic cache of a route."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from comporta.cache.settings import RouteSemanticSection, SemanticSection

T = TypeVar("T")


class SemanticPolicy(Struct, frozen=True):
    """The semantic cache of a route that has one. Shares run from 0 to 1, money is in micro-dollars."""

    threshold: float = 0.92
    ttl_s: float = 3600.0
    min_cost_microusd: int = 0
    #: The share of hits that may be wrong, and the share of hits that are answered afresh to find out.
    budget: float = 0.01
    shadow: float = 0.02
    #: Asked about what is in doubt, and whether two answers say the same.
    judge: str | None = None
    #: Whether answers that call tools are kept.
    tools: bool = False


def semantic_of(
    general: SemanticSection, route: RouteSemanticSection | None, ttl_s: float, min_cost_microusd: int
) -> SemanticPolicy | None:
    """The policy of a route whose exact cache is on; None where questions are not compared by meaning."""
    own = route or RouteSemanticSection()
    if not (general.enabled if own.enabled is None else own.enabled):
        return None
    return SemanticPolicy(
        threshold=_first(own.threshold, general.threshold),
        ttl_s=_first(own.ttl, general.ttl, ttl_s),
        min_cost_microusd=_first(own.min_cost, general.min_cost, min_cost_microusd),
        budget=_first(own.false_hit_budget, general.false_hit_budget),
        shadow=_first(own.shadow, general.shadow),
        judge=own.judge or general.judge,
        tools=_first(own.tool_calls, general.tool_calls),
    )


def _first(*given: T | None) -> T:
    return next(one for one in given if one is not None)
