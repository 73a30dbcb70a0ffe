"""The section `counters:` of the configuration: what holds while Redis is away."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from comporta.config.section import Section


class RedisAwaySection(Section):
    """What holds while Redis can't be reached."""

    limits: Literal["share", "refuse", "allow"] = Field(
        "share", description="Each worker keeps its share of every limit by itself, or all calls are refused, or none."
    )
    budgets: Literal["refuse", "allow"] = Field(
        "refuse", description="Calls under a budget: 503, or let through uncounted until Redis is back."
    )


class CountersSection(Section):
    """Live counters of limits and budgets."""

    redis_away: RedisAwaySection = Field(
        default_factory=lambda: RedisAwaySection(), description="What holds while Redis can't be reached."
    )
