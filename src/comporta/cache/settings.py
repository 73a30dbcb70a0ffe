"""The section `cache:` of the configuration, and what a route may say of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration, Money, Share, Size

_MIB = 1 << 20


class SemanticSection(Section):
    """Answers given again to questions that mean the same; works on routes whose cache is on."""

    enabled: bool = Field(False, description="Compare questions by meaning on every route that doesn't say otherwise.")
    embedder: str = Field(
        "local",
        description="What turns questions into vectors: `local` (all-MiniLM-L6-v2 in this process, English only), or "
        "`provider/model`. Takes effect at a restart.",
    )
    multilingual: bool = Field(
        False, description="The embedder knows other languages than English; else only English questions are compared."
    )
    threshold: float = Field(
        0.92, ge=0.5, le=1,
        description="How sure the cache must be; it rises by itself, see the budget. Of embedders other than `local`: "
        "how alike two questions must be (cosine).",
    )  # fmt: skip
    ttl: Duration | None = Field(None, gt=0, description="How long an answer is given again; default: `cache.ttl`.")
    min_cost: Money | None = Field(
        None, ge=0, description="Keep only answers that cost at least so much; default: `cache.min_cost`."
    )
    false_hit_budget: Share = Field(
        0.01, gt=0, lt=1, validate_default=True, description="The share of hits that may be wrong."
    )
    shadow: Share = Field(
        0.02, ge=0, le=1, validate_default=True,
        description="The share of hits that are answered afresh in the background, and compared; their cost is the "
        "route's.",
    )  # fmt: skip
    judge: str | None = Field(
        None, description="A model that decides what is in doubt, and whether a fresh answer says the same."
    )
    tool_calls: bool = Field(False, description="Keep answers that call tools, too.")
    max_entries: int = Field(
        100_000, ge=1, le=5_000_000,
        description="The most answers that are kept; the oldest goes first. Each takes 0.5 kB in every worker.",
    )  # fmt: skip
    max_size: Size = Field(
        1024 * _MIB, ge=_MIB, validate_default=True, description="The most that is kept; the oldest goes first."
    )


class RouteSemanticSection(Section):
    """The semantic cache of one route; what is left out is as under `cache.semantic`."""

    enabled: bool | None = Field(None, description="Whether questions are compared by meaning.")
    threshold: float | None = Field(None, ge=0.5, le=1, description="How sure the cache must be.")
    ttl: Duration | None = Field(None, gt=0, description="How long an answer is given again.")
    min_cost: Money | None = Field(None, ge=0, description="Keep only answers that cost at least so much.")
    false_hit_budget: Share | None = Field(None, gt=0, lt=1, description="The share of hits that may be wrong.")
    shadow: Share | None = Field(None, ge=0, le=1, description="The share of hits that are answered afresh.")
    judge: str | None = Field(None, description="A model that decides what is in doubt.")
    tool_calls: bool | None = Field(None, description="Keep answers that call tools, too.")


class CacheSection(Section):
    """Answers kept for identical calls of the same team; off where `content` is `hashed` or `off`."""

    enabled: bool = Field(False, description="Cache on every route that doesn't say otherwise.")
    ttl: Duration = Field(3600.0, gt=0, validate_default=True, description="How long an answer is given again.")
    min_cost: Money = Field(0, ge=0, description="Keep only answers that cost at least so much.")
    max_entry: Size = Field(_MIB, gt=0, validate_default=True, description="The largest answer that is kept.")
    share: bool = Field(False, description="Let identical calls under way at the same time share one upstream call.")
    memory: Size = Field(
        16 * _MIB, ge=0, validate_default=True, description="The most that each worker keeps in memory; 0 for none."
    )
    memory_entries: int = Field(20_000, ge=0, description="The most answers that each worker keeps in memory.")
    store: Literal["auto", "postgres", "memory"] = Field(
        "auto",
        description="What lies behind the memory, shared by all workers; auto: Redis where `redis.url` is set, else "
        "PostgreSQL; memory: nothing. Takes effect at a restart.",
    )
    max_size: Size = Field(
        1024 * _MIB, ge=_MIB, validate_default=True,
        description="The most that is kept in PostgreSQL; the oldest goes first. Redis has limits of its own.",
    )  # fmt: skip
    semantic: SemanticSection = Field(
        default_factory=lambda: SemanticSection(), description="Answers to questions that mean the same."
    )


class RouteCacheSection(Section):
    """The cache of one route; what is left out is as under `cache`."""

    enabled: bool = Field(True, description="Whether this route's answers are cached.")
    ttl: Duration | None = Field(None, gt=0, description="How long an answer is given again.")
    min_cost: Money | None = Field(None, ge=0, description="Keep only answers that cost at least so much.")
    max_entry: Size | None = Field(None, gt=0, description="The largest answer that is kept.")
    share: bool | None = Field(None, description="Let identical calls under way share one upstream call.")
    semantic: RouteSemanticSection | None = Field(None, description="Compare this route's questions by meaning.")
