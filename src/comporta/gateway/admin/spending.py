"""`/admin/costs`: what was spent, told apart; and, for budgets, what was spent under each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from comporta.budget.costs import CostRow, Costs, costs, dimensions_of, span_of
from comporta.budget.ledger import spent_from as spent_from
from comporta.errors import NotFound
from comporta.gateway.admin.parts import Showback
from comporta.gateway.admin.shapes import Out
from comporta.store.database import Database

_FIGURES = ("calls", "cache_hits", "estimated_calls", "unpriced_calls", "tokens", "cost_microusd")


class CostOut(Out):
    """What the calls of one group came to."""

    by: dict[str, str] = Field(description="A value for each dimension; empty where its calls have none.")
    calls: int
    cache_hits: int
    estimated_calls: int = Field(description="Of these: no figures came from the provider, ours stand in.")
    unpriced_calls: int = Field(description="Of these: nobody knows the price, and they are not in the cost.")
    tokens: int
    cost_microusd: int
    kept: bool = Field(description="false: calls that can't be told apart any more, together.")


class CostsOut(Out):
    """Costs, the dearest first; the rows add up to the total, which is the ledger's."""

    begin: datetime
    end: datetime
    by: list[str]
    data: list[CostOut]
    total: CostOut
    keys: dict[str, str] = Field(description="Names of the keys among the rows, by id.")
    notes: list[str] = Field(description="What whoever reads it must know: groups that are not listed, calls not kept.")
    dashboard_url: str | None = Field(None, description="The operator's own page on costs.")


_By = Annotated[
    str,
    Query(
        description="Up to four of team, feature, environment, model, provider, route, key, day, user, tag:<name>.",
        examples=["team,feature"], max_length=500,
    ),
]  # fmt: skip
_Text = Annotated[str | None, Query(max_length=40)]


def router(database: Database, showback: Callable[[], Showback]) -> APIRouter:
    made = APIRouter(prefix="/admin/costs", tags=["budgets"])

    async def show(
        by: _By = "team",
        month: _Text = None,
        from_: Annotated[_Text, Query(alias="from")] = None,
        to: _Text = None,
        format: Literal["json", "csv"] = "json",
    ) -> CostsOut:
        """Of a `month` (2026-11), or `from` a day or full hour `to` another (UTC); without either, of this month."""
        shown = showback()
        if not shown.enabled:
            raise NotFound("Costs are not shown here: cost_allocation.showback.enabled is false.")
        begin, end = span_of(month, from_, to, datetime.now(UTC))
        found = await costs(database, dimensions_of(by), begin, end)
        if format == "csv":
            return Response(as_csv(found), media_type="text/csv; charset=utf-8")  # type: ignore[return-value]
        return _out(found, shown.dashboard_url)

    made.add_api_route("", show, methods=["GET"], summary="Show costs", response_model=CostsOut)
    return made


def as_csv(found: Costs) -> str:
    """A line for each row, and none for the total: it is their sum."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow([*found.by, *_FIGURES, "kept"])
    for row in found.rows:
        lines.writerow(
            [*(_cell(value) for value in row.by.values()), *(getattr(row, name) for name in _FIGURES), row.kept]
        )
    return written.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: users and tags are what clients wrote."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _out(found: Costs, dashboard_url: str | None) -> CostsOut:
    return CostsOut(
        begin=found.begin, end=found.end, by=list(found.by), data=[_row(row) for row in found.rows],
        total=_row(found.total), keys=found.keys, notes=list(found.notes), dashboard_url=dashboard_url,
    )  # fmt: skip


def _row(row: CostRow) -> CostOut:
    return CostOut(by=row.by, kept=row.kept, **{name: getattr(row, name) for name in _FIGURES})
