"""The sections `budgets:` and `spending:` of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from comporta.budget.periods import Period
from comporta.config.section import Section
from comporta.config.values import Money

_SCOPES = ("key", "team", "environment", "feature")


class BudgetSection(Section):
    """At most so much in each period, for one key, team, environment or feature, or for all calls."""

    name: str = Field(min_length=1, max_length=100, description="What to call it.")
    limit: Money = Field(gt=0, le=10**15, description="Dollars in each period.")
    period: Period = Field("month", description="hour, day, week or month, in UTC.")
    key: str | None = Field(None, min_length=1, max_length=100, description="Only this key's: its name or id.")
    team: str | None = Field(None, min_length=1, max_length=100, description="Only this team's.")
    environment: str | None = Field(None, min_length=1, max_length=100, description="Only this environment's.")
    feature: str | None = Field(None, min_length=1, max_length=100, description="Only this feature's.")

    @model_validator(mode="after")
    def _one_scope(self) -> BudgetSection:
        if sum(getattr(self, scope) is not None for scope in _SCOPES) > 1:
            raise ValueError("give one of `key`, `team`, `environment` and `feature`, or none for all calls")
        return self


class SpendingSection(Section):
    """What holds for all budgets."""

    unpriced: Literal["refuse", "allow"] = Field(
        "refuse", description="Calls under a budget to models without a price: 402, or let through uncounted."
    )
