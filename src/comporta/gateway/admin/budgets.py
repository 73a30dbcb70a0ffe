"""`/admin/budgets`: limits on spending, what they do as they fill, what was spent of them and where that leads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from comporta.budget.acts import MOST_PERCENT, MOST_STEPS, Acts, Throttle, acts_of
from comporta.budget.alerts import Alerts, Passed
from comporta.budget.budgets import Budget, Scope
from comporta.budget.forecast import Forecast, TooLittle
from comporta.budget.outlook import Outlook, outlook_of
from comporta.budget.periods import Period
from comporta.errors import BadRequest
from comporta.gateway.admin.parts import AdminParts
from comporta.gateway.admin.shapes import SHOWN, WHOLE, By, Deleted, Id, In, Kept, Listing, Out, moment

_Name = Annotated[str, Field(min_length=1, max_length=100, examples=["support-monthly"], json_schema_extra=SHOWN)]
_Value = Annotated[str, Field(min_length=1, max_length=360, examples=["support"], json_schema_extra=SHOWN)]
_Limit = Annotated[int, Field(gt=0, le=10**15, examples=[100_000_000]), WHOLE]
_Percent = Annotated[int, Field(ge=1, le=MOST_PERCENT), WHOLE]
_Thresholds = Annotated[list[_Percent], Field(max_length=MOST_STEPS, examples=[[50, 75, 90, 100]])]
_Word = Annotated[str, Field(min_length=1, max_length=100)]
_Actions = Annotated[
    dict[_Word, _Word | list[_Word]],
    Field(max_length=MOST_STEPS, examples=[{"at_90": "notify_finance", "at_100": "block_requests"}]),
]
_Also = Annotated[dict[_Word, _Value], Field(max_length=6, examples=[{"environment": "prod"}])]
_SCOPE = "Whose spending: that of a key, team, environment, feature or user, of calls that bear a tag, or all."
_VALUE = "Its name (for a key its id, for a tag `name=value`); left out where the scope is all."
_ALSO = "What must be true of a call as well, by scope."
_PER = "`user`: each user has this much of its own."
_ALERTS = "Percents of the limit at which people are told, once in each period."
_DOES = "At a percent: channels to tell, block_requests, switch_to_cheaper_model, throttle, allow_requests."
_CHEAPER = "Where switch_to_cheaper_model leads; without it: the route's cheapest variant."
_ACTS = ("alert_thresholds", "actions", "cheaper_model", "throttle")


class ThrottleIn(In):
    """How much passes under `throttle`: one of the two."""

    requests_per_minute: Annotated[int, Field(ge=1, le=10**9), WHOLE] | None = None
    share: float | None = Field(None, gt=0, le=1)


class NewBudget(In):
    """A budget to make."""

    name: _Name
    scope: Scope = Field(description=_SCOPE)
    value: _Value | None = Field(None, description=_VALUE)
    also: _Also = Field(default_factory=dict, description=_ALSO)
    per: Literal["user"] | None = Field(None, description=_PER)
    period: Period = Field(description="Over which period, in UTC.", examples=["month"])
    limit_microusd: _Limit = Field(description="Micro-dollars in each period: 1000000 are a dollar.")
    alert_thresholds: _Thresholds = Field(default_factory=list, description=_ALERTS)
    actions: _Actions = Field(default_factory=dict, description=_DOES)
    cheaper_model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(None, description=_CHEAPER)
    throttle: ThrottleIn | None = None


class BudgetChange(In):
    """What to change of a budget; what is left out stays."""

    name: Annotated[_Name | None, Kept] = None
    scope: Annotated[Scope | None, Kept] = None
    value: _Value | None = Field(None, description="null where the scope is all.")
    also: Annotated[_Also | None, Kept] = None
    per: Literal["user"] | None = Field(None, description=_PER)
    period: Annotated[Period | None, Kept] = None
    limit_microusd: Annotated[_Limit | None, Kept] = None
    alert_thresholds: Annotated[_Thresholds | None, Kept] = None
    actions: Annotated[_Actions | None, Kept] = None
    cheaper_model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(None, description=_CHEAPER)
    throttle: ThrottleIn | None = None


class ForecastOut(Out):
    """Where the running period leads at this pace; the bounds hold 80 times of 100."""

    basis: Literal["weekdays", "days", "hours"] | None = Field(description="What the pace is taken from.")
    reason: str | None = Field(description="Why nothing can be said yet.")
    history_days: float | None = None
    expected_microusd: int | None = Field(None, description="What the whole period is expected to come to.")
    low_microusd: int | None = None
    high_microusd: int | None = None
    used_up_at: datetime | None = Field(None, description="null: it lasts to the period's end.")
    used_up_earliest: datetime | None = None
    used_up_latest: datetime | None = None


class PassedOut(Out):
    """A threshold that was passed in the running period."""

    threshold: int
    at: datetime
    spent_microusd: int


class BudgetOut(Out):
    """A budget and what was spent of it in the running period."""

    id: str
    name: str
    scope: Scope
    value: str | None
    also: dict[str, str]
    per: Literal["user"] | None
    period: Period
    limit_microusd: int
    begins_at: datetime = Field(description="When the running period began.")
    ends_at: datetime
    spent_microusd: int = Field(
        description="What the priced calls of the running period came to; with `per: user`, of the user who spent most."
    )
    alert_thresholds: list[int]
    actions: dict[str, list[str]]
    cheaper_model: str | None
    throttle: dict[str, int | float] | None
    enforced: bool = Field(description="Whether calls are refused at some point.")
    now: str | None = Field(description="What calls meet at what is spent now.")
    passed: list[PassedOut] = Field(description="Thresholds that people were told of in this period.")
    forecast: ForecastOut
    source: Literal["api", "file"] = Field(description="`file`: it stands in the configuration, and is changed there.")
    created_at: datetime | None = Field(description="null where it stands in the configuration.")
    created_by: str


def router(parts: AdminParts) -> APIRouter:
    on = _On(parts)
    made = APIRouter(prefix="/admin/budgets", tags=["budgets"])
    made.add_api_route("", on.list, methods=["GET"], summary="List budgets")
    made.add_api_route("", on.create, methods=["POST"], status_code=201, summary="Make a budget")
    made.add_api_route("/{id}", on.get, methods=["GET"], summary="Show a budget")
    made.add_api_route("/{id}", on.update, methods=["PATCH"], summary="Change a budget")
    made.add_api_route("/{id}", on.delete, methods=["DELETE"], summary="Delete a budget")
    return made


class _On:
    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts
        self._budgets = parts.budgets

    async def list(self) -> Listing[BudgetOut]:
        """All budgets, oldest first."""
        return Listing(data=[await self._shown(budget) for budget in self._budgets.list()])

    async def create(self, body: NewBudget, by: By) -> BudgetOut:
        """Make a budget. It holds at once, in every worker within a second, for what was spent before too."""
        given = body.model_dump(exclude=set(_ACTS))
        acts = self._acts(body.alert_thresholds, body.actions, body.cheaper_model, body.throttle)
        return await self._shown(await self._budgets.create(**given, acts=acts, by=by))

    async def get(self, id: Id) -> BudgetOut:
        """One budget."""
        return await self._shown(self._budgets.get(id))

    async def update(self, id: Id, body: BudgetChange) -> BudgetOut:
        """Change what is given and leave the rest."""
        given = body.model_dump(exclude_unset=True, exclude=set(_ACTS))
        for field in body.model_fields_set - {"value", "per", "cheaper_model", "throttle"}:
            if getattr(body, field) is None:
                raise BadRequest(f"{field} can't be null; leave it out to keep it as it is.", param=field)
        changed = {**given, **self._changed(id, body)}
        return await self._shown(await self._budgets.update(id, **changed))

    async def delete(self, id: Id) -> Deleted:
        """Delete a budget; the calls it counted stay."""
        await self._budgets.delete(id)
        return Deleted(deleted=id)

    def _changed(self, id: str, body: BudgetChange) -> dict[str, Acts]:
        """What it does, where something of that is given: what is left out stays."""
        if not body.model_fields_set & set(_ACTS):
            return {}
        old = self._budgets.get(id).acts
        said = body.model_fields_set
        thresholds = body.alert_thresholds if body.alert_thresholds is not None else old.thresholds
        actions: dict[str, Any] = body.actions if body.actions is not None else old.written
        model = body.cheaper_model if "cheaper_model" in said else old.cheaper_model
        if body.alert_thresholds is not None and body.actions is None:
            # Thresholds that were taken away go with what happened at them.
            actions = {at: words for at, words in actions.items() if int(at.removeprefix("at_")) in thresholds}
        acts = self._acts(thresholds, actions, model, body.throttle if "throttle" in said else None)
        if "throttle" not in said:
            acts = Acts(acts.steps, acts.cheaper_model, old.throttle)
        return {"acts": acts}

    def _acts(
        self, thresholds: Sequence[int], actions: dict[str, Any], cheaper_model: str | None, throttle: ThrottleIn | None
    ) -> Acts:
        """Raises BadRequest, also for channels and models that are not there."""
        if throttle is not None and (throttle.requests_per_minute is None) == (throttle.share is None):
            raise BadRequest("throttle: give requests_per_minute or share.", param="throttle")
        how = None if throttle is None else Throttle(throttle.requests_per_minute, throttle.share)
        acts = acts_of(thresholds, actions, cheaper_model, how)
        there = {channel.name for channel in self._parts.notifier.channels()}
        for step in acts.steps:
            for name in step.tell or ():
                if not {name, name.removeprefix("notify_")} & there:
                    known = ", ".join(sorted(there)) or "none"
                    raise BadRequest(
                        f"at_{step.at}: '{name}' is no channel of notify.channels (there is {known}) and no action.",
                        param="actions",
                    )
        self._check_model(cheaper_model)
        return acts

    def _check_model(self, name: str | None) -> None:
        if name is None or name.partition("/")[0] in self._parts.providers():
            return
        there = {route.name for route in self._parts.routes()} | {model.name for model in self._parts.models()}
        if name not in there:
            raise BadRequest(f"cheaper_model: there is no route or model '{name[:100]}'.", param="cheaper_model")

    async def _shown(self, budget: Budget) -> BudgetOut:
        outlook = await outlook_of(self._parts.database, budget, time.time())
        acts, spent = budget.acts, outlook.spent_microusd
        step = acts.now(spent * 100 / budget.limit_microusd)
        blocked = acts.hard_percent is not None and spent * 100 >= budget.limit_microusd * acts.hard_percent
        alerts = Alerts(self._parts.database, self._parts.notifier.send)
        passed = await alerts.passed(budget, outlook.begin_s) if acts.steps else []
        return BudgetOut(
            id=budget.id, name=budget.name, scope=budget.scope, value=budget.value, also=budget.also, per=budget.per,
            period=budget.period, limit_microusd=budget.limit_microusd, begins_at=_at(outlook.begin_s),
            ends_at=_at(outlook.end_s), spent_microusd=spent, alert_thresholds=acts.thresholds, actions=acts.written,
            cheaper_model=acts.cheaper_model, throttle=_throttle(acts.throttle), enforced=acts.hard_percent is not None,
            now="block_requests" if blocked else step.does if step is not None else None,
            passed=[_passed(one) for one in passed],
            forecast=_forecast(outlook), source="api" if budget.created_at_s else "file",
            created_at=moment(budget.created_at_s or None), created_by=budget.created_by,
        )  # fmt: skip


def _forecast(outlook: Outlook) -> ForecastOut:
    found = outlook.forecast
    if isinstance(found, TooLittle):
        return ForecastOut(basis=None, reason=found.reason)
    assert isinstance(found, Forecast)
    return ForecastOut(
        basis=found.basis, reason=None, history_days=round(found.history_days, 2),
        expected_microusd=found.expected_microusd, low_microusd=found.low_microusd, high_microusd=found.high_microusd,
        used_up_at=moment(found.used_up_at_s), used_up_earliest=moment(found.earliest_s),
        used_up_latest=moment(found.latest_s),
    )  # fmt: skip


def _passed(one: Passed) -> PassedOut:
    return PassedOut(threshold=one.threshold, at=_at(one.at_s), spent_microusd=one.spent_microusd)


def _throttle(throttle: Throttle | None) -> dict[str, float] | None:
    if throttle is None:
        return None
    said = {"requests_per_minute": throttle.requests_per_minute, "share": throttle.share}
    return {name: value for name, value in said.items() if value is not None}


def _at(seconds: float) -> datetime:
    found = moment(seconds)
    assert found is not None
    return found
