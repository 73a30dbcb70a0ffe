"""The sections `budgets:`, `budget_management:`, `cost_allocation:` and `spending:` of the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from comporta.budget.acts import Acts, Throttle, acts_of
from comporta.budget.periods import Period
from comporta.config.section import Section
from comporta.config.values import Money, Share
from comporta.errors import BadRequest

_SCOPES = ("key", "team", "environment", "feature", "user")
_LIMITS: dict[str, Period] = {
    "monthly_limit": "month", "weekly_limit": "week", "daily_limit": "day", "hourly_limit": "hour",
}  # fmt: skip
_MOST = 10**15
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Words = str | list[str]


class ThrottleSection(Section):
    """How much passes while a budget throttles: so many requests a minute, or a share of them."""

    requests_per_minute: int | None = Field(None, ge=1, le=10**9, description="Requests a minute (default 10).")
    share: Share | None = Field(None, gt=0, description="Or this share of them, drawn by lot: 25%.")

    @model_validator(mode="after")
    def _one(self) -> ThrottleSection:
        if self.requests_per_minute is not None and self.share is not None:
            raise ValueError("give `requests_per_minute` or `share`, not both")
        return self


class BudgetSection(Section):
    """At most so much in each period, for all calls or for those that everything named here is true of."""

    name: str = Field(min_length=1, max_length=100, description="What to call it.")
    limit: Money | None = Field(None, gt=0, le=_MOST, description="Dollars in each `period`.")
    period: Period = Field("month", description="hour, day, week or month, in UTC.")
    monthly_limit: Money | None = Field(None, gt=0, le=_MOST, description="Dollars in each month.")
    weekly_limit: Money | None = Field(None, gt=0, le=_MOST, description="Dollars in each week, from Monday.")
    daily_limit: Money | None = Field(None, gt=0, le=_MOST, description="Dollars in each day; beside others, too.")
    hourly_limit: Money | None = Field(None, gt=0, le=_MOST, description="Dollars in each hour.")
    key: str | None = Field(None, min_length=1, max_length=100, description="Only this key's: its name or id.")
    team: str | None = Field(None, min_length=1, max_length=100, description="Only this team's.")
    environment: str | None = Field(None, min_length=1, max_length=100, description="Only this environment's.")
    feature: str | None = Field(None, min_length=1, max_length=100, description="Only this feature's.")
    user: str | None = Field(None, min_length=1, max_length=256, description="Only this user's.")
    tag: dict[_Name, str] | None = Field(
        None, min_length=1, max_length=1, description="Only calls that bear this tag: `{cost_centre: 4711}`."
    )
    per: Literal["user"] | None = Field(None, description="`user`: each user has this much of its own.")
    alert_thresholds: list[int] = Field(
        default_factory=list, description="Percents of the limit at which people are told, once in each period."
    )
    actions: dict[str, _Words] = Field(
        default_factory=dict,
        description="`at_90:` a channel to tell, or block_requests, switch_to_cheaper_model, throttle, allow_requests.",
    )
    cheaper_model: str | None = Field(
        None, min_length=1, description="Where `switch_to_cheaper_model` leads; left out: the route's cheapest variant."
    )
    throttle: ThrottleSection | None = Field(None, description="What passes under `throttle`.")

    @model_validator(mode="after")
    def _whole(self) -> BudgetSection:
        if not self.windows:
            raise ValueError("needs a limit: `limit` with a `period`, or `monthly_limit`, `daily_limit` …")
        taken = [period for period, _ in self.windows]
        if len(taken) > len(set(taken)):
            raise ValueError(f"has two limits for a {self.period}: `limit` and another one")
        try:
            self.acts  # noqa: B018  it speaks by what it raises
        except BadRequest as error:
            raise ValueError(error.message) from None
        if self.per is not None and self.user is not None:
            raise ValueError("give `user` or `per: user`, not both")
        return self

    @property
    def windows(self) -> list[tuple[Period, int]]:
        """Every period with its limit in micro-dollars."""
        own = [] if self.limit is None else [(self.period, self.limit)]
        named = [(period, getattr(self, name)) for name, period in _LIMITS.items()]
        return [*own, *((period, limit) for period, limit in named if limit is not None)]

    @property
    def acts(self) -> Acts:
        """What it does as it fills. Raises BadRequest."""
        throttle = self.throttle
        return acts_of(
            self.alert_thresholds, self.actions, self.cheaper_model,
            None if throttle is None else Throttle(throttle.requests_per_minute, throttle.share),
        )  # fmt: skip

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """What must be true of a call: scope and value, a tag as `name=value`."""
        named = [(scope, getattr(self, scope)) for scope in _SCOPES]
        tags = [("tag", f"{name}={value}") for name, value in (self.tag or {}).items()]
        return [*((scope, value) for scope, value in named if value is not None), *tags]


class AllocationTagSection(Section):
    """A tag that costs are told apart by. Also written short: `{environment: [prod, staging], required: true}`."""

    name: str = Field(min_length=1, max_length=100, description="environment, team, feature, or a name of your own.")
    values: list[_Name] = Field(
        default_factory=list, max_length=1000, description="What it may say, and nothing else; empty: anything."
    )
    required: bool = Field(False, description="Whether a call without it is refused.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "name" in given:
            return given
        names = [name for name in given if name not in ("values", "required")]
        if len(names) != 1 or "values" in given:
            return given
        return {
            **{k: v for k, v in given.items() if k == "required"},
            "name": names[0],
            "values": given[names[0]] or [],
        }


class ShowbackSection(Section):
    """Showing what was spent, by whom and on what."""

    enabled: bool = Field(True, description="Whether `/admin/costs` and `comporta costs` answer.")
    dashboard_url: str | None = Field(
        None,
        max_length=2000,
        pattern=r"^https?://",
        description="Your own page on costs; notices lead there.",
    )


class CostAllocationSection(Section):
    """What costs are told apart by, and how they are shown."""

    tags: list[AllocationTagSection] = Field(
        default_factory=list, description="Tags with the values they may have: `- environment: [prod, staging, dev]`."
    )
    showback: ShowbackSection = Field(default_factory=lambda: ShowbackSection(), description="Costs shown.")

    @field_validator("tags")
    @classmethod
    def _once(cls, tags: list[AllocationTagSection]) -> list[AllocationTagSection]:
        names = [tag.name for tag in tags]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise ValueError(f"'{name}' stands here twice (tags[{at}])")
        return tags


class BudgetManagementSection(Section):
    """The same as `budgets` and `cost_allocation` at the top, in one place."""

    budgets: list[BudgetSection] = Field(default_factory=list, description="As `budgets` at the top; both hold.")
    cost_allocation: CostAllocationSection | None = Field(None, description="As `cost_allocation` at the top.")


class SpendingSection(Section):
    """What holds for all budgets."""

    unpriced: Literal["refuse", "allow"] = Field(
        "refuse", description="Calls under a budget to models without a price: 402, or let through uncounted."
    )
