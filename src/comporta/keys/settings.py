"""The section `limits:` of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from comporta.config.section import Section
from comporta.config.values import Duration

Per = Literal["key", "team", "user", "route", "provider", "model", "credential"]


class LimitSection(Section):
    """What one key, team, user or route may ask, or what a provider, model or credential may be asked."""

    per: Per = Field(description="Each of these by itself; `provider`, `model` and `credential`: what we ask of them.")
    name: str | None = Field(
        None,
        min_length=1,
        description="This one only: a key's name or id, `provider/model`, `provider/credential` …; it comes before "
        "what is said for all.",
    )
    requests_per_minute: int | None = Field(None, ge=1, le=10**9, description="In any 60 seconds.")
    tokens_per_minute: int | None = Field(
        None, ge=1, le=10**12, description="In any 60 seconds; estimated before the answer, corrected after it."
    )
    concurrent: int | None = Field(None, ge=1, le=10**6, description="Calls at the same time.")
    on_limit: Literal["refuse", "wait"] = Field("refuse", description="429 at once, or wait for room.")
    longest_wait: Duration = Field(10.0, gt=0, le=600, description="After waiting so long a call is refused.")

    @model_validator(mode="after")
    def _limits_something(self) -> LimitSection:
        if self.requests_per_minute is None and self.tokens_per_minute is None and self.concurrent is None:
            raise ValueError("give at least one of `requests_per_minute`, `tokens_per_minute` and `concurrent`")
        return self
