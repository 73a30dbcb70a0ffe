"""`/admin/budgets`: limits on spending, and what has been spent of them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from comporta.budget.budgets import Budget, Budgets, Scope, Spent
from comporta.budget.periods import Period, period_of
from comporta.errors import BadRequest
from comporta.gateway.admin.shapes import SHOWN, WHOLE, By, Deleted, Id, In, Kept, Listing, Out, moment

_Name = Annotated[str, Field(min_length=1, max_length=100, examples=["support-monthly"], json_schema_extra=SHOWN)]
_Value = Annotated[str, Field(min_length=1, max_length=100, examples=["support"], json_schema_extra=SHOWN)]
_Limit = Annotated[int, Field(gt=0, le=10**15, examples=[100_000_000]), WHOLE]


class NewBudget(In):
    """A budget to make."""

    name: _Name
    scope: Scope = Field(description="Whose spending: that of a key, a team, an environment, a feature, or all.")
    value: _Value | None = Field(None, description="Its name (for a key its id); left out where the scope is all.")
    period: Period = Field(description="Over which period, in UTC.", examples=["month"])
    limit_microusd: _Limit = Field(description="Micro-dollars in each period: 1000000 are a dollar.")


class BudgetChange(In):
    """What to change of a budget; what is left out stays."""

    name: Annotated[_Name | None, Kept] = None
    scope: Annotated[Scope | None, Kept] = None
    value: _Value | None = Field(None, description="null where the scope is all.")
    period: Annotated[Period | None, Kept] = None
    limit_microusd: Annotated[_Limit | None, Kept] = None


class BudgetOut(Out):
    """A budget and what was spent of it in the running period."""

    id: str
    name: str
    scope: Scope
    value: str | None
    period: Period
    limit_microusd: int
    spent_microusd: int = Field(description="What the priced calls of the running period came to.")
    enforced: bool = Field(True, description="Whether calls are refused once it is used up: always.")
    source: Literal["api", "file"] = Field(description="`file`: it stands in the configuration, and is changed there.")
    created_at: datetime | None = Field(description="null where it stands in the configuration.")
    created_by: str


def router(budgets: Budgets, spent: Spent) -> APIRouter:
    on = _On(budgets, spent)
    made = APIRouter(prefix="/admin/budgets", tags=["budgets"])
    made.add_api_route("", on.list, methods=["GET"], summary="List budgets")
    made.add_api_route("", on.create, methods=["POST"], status_code=201, summary="Make a budget")
    made.add_api_route("/{id}", on.get, methods=["GET"], summary="Show a budget")
    made.add_api_route("/{id}", on.update, methods=["PATCH"], summary="Change a budget")
    made.add_api_route("/{id}", on.delete, methods=["DELETE"], summary="Delete a budget")
    return made


class _On:
    def __init__(self, budgets: Budgets, spent: Spent) -> None:
        self._budgets = budgets
        self._spent = spent

    async def list(self) -> Listing[BudgetOut]:
        """All budgets, oldest first."""
        return Listing(data=[await self._shown(budget) for budget in self._budgets.list()])

    async def create(self, body: NewBudget, by: By) -> BudgetOut:
        """Make a budget. It holds at once, in every worker within a second, for what was spent before too."""
        return await self._shown(await self._budgets.create(**body.model_dump(), by=by))

    async def get(self, id: Id) -> BudgetOut:
        """One budget."""
        return await self._shown(self._budgets.get(id))

    async def update(self, id: Id, body: BudgetChange) -> BudgetOut:
        """Change what is given and leave the rest."""
        given = body.model_dump(exclude_unset=True)
        for field, value in given.items():
            if value is None and field != "value":
                raise BadRequest(f"{field} can't be null; leave it out to keep it as it is.", param=field)
        return await self._shown(await self._budgets.update(id, **given))

    async def delete(self, id: Id) -> Deleted:
        """Delete a budget; the calls it counted stay."""
        await self._budgets.delete(id)
        return Deleted(deleted=id)

    async def _shown(self, budget: Budget) -> BudgetOut:
        at = moment(budget.created_at_s or None)
        return BudgetOut(
            id=budget.id, name=budget.name, scope=budget.scope, value=budget.value, period=budget.period,
            limit_microusd=budget.limit_microusd, spent_microusd=await self._spent_now(budget),
            source="api" if budget.created_at_s else "file", created_at=at, created_by=budget.created_by,
        )  # fmt: skip

    async def _spent_now(self, budget: Budget) -> int:
        now_s = time.time()
        known = await self._budgets.spent(budget, now_s)
        return await self._spent(budget, *period_of(budget.period, now_s)) if known is None else known
