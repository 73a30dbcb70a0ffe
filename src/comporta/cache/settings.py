"""The section `cache:` of the configuration, and what a route may say of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration, Money, Size

_MIB = 1 << 20


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


class RouteCacheSection(Section):
    """The cache of one route; what is left out is as under `cache`."""

    enabled: bool = Field(True, description="Whether this route's answers are cached.")
    ttl: Duration | None = Field(None, gt=0, description="How long an answer is given again.")
    min_cost: Money | None = Field(None, ge=0, description="Keep only answers that cost at least so much.")
    max_entry: Size | None = Field(None, gt=0, description="The largest answer that is kept.")
    share: bool | None = Field(None, description="Let identical calls under way share one upstream call.")
