"""`/admin/scores`: what was judged of calls, one by one and summed up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from comporta.gateway.admin.shapes import In, Listing, Moment, Out
from comporta.store.database import Database
from comporta.telemetry.score_reads import GROUPS, MAX_LIMIT, ScoreRow, figures, list_scores

_Text = Annotated[str, Query(max_length=256)]
_GROUPS: dict[str, Any] = {"enum": [*GROUPS, None]}


class ScoreOut(Out):
    """A score with what is known of its call."""

    id: str
    name: str
    value: bool | float | str = Field(description="A number, a truth, or a text.")
    source: str = Field(description="Who judged: user, human, judge, code, guard or behaviour.")
    who: str = Field(description="By name: a key, a reviewer, a judge's model.")
    reason: str | None
    at: datetime
    trace_id: str | None
    call_id: str | None
    reply_id: str | None
    joined: bool = Field(description="Whether its call is known; until then it counts nowhere.")
    route: str | None
    variant: str | None
    provider: str | None
    model: str | None
    prompt: str | None
    version: str | None
    key_id: str | None
    team: str | None
    environment: str | None
    feature: str | None
    user: str | None
    session: str | None


class ScoresPage(Out):
    """Scores, the newest first."""

    data: list[ScoreOut]
    next: str | None = Field(description="Ask again with it as `after` for older ones; null at the end.")


class FiguresOut(Out):
    """Sums of one score in one group."""

    name: str
    kind: str = Field(description="number, boolean or text.")
    n: int
    group: str | None = Field(description="The group's value; null where calls had none, or nothing is grouped.")
    sum: float | None
    sum_squares: float | None
    mean: float | None = Field(description="Of booleans the share of true.")
    least: float | None
    most: float | None
    latest: datetime | None
    labels: dict[str, int] = Field(description="How often each text was said; the commonest 20.")


class About(In):
    """What narrows a list of scores."""

    name: _Text | None = None
    source: _Text | None = None
    who: _Text | None = None
    route: _Text | None = None
    variant: _Text | None = None
    provider: _Text | None = None
    model: _Text | None = None
    prompt: _Text | None = None
    version: _Text | None = Field(None, description="The prompt's version.")
    key: _Text | None = Field(None, description="A key's id.")
    team: _Text | None = None
    environment: _Text | None = None
    feature: _Text | None = None
    user: _Text | None = None
    session: _Text | None = None
    trace: _Text | None = None
    call: _Text | None = Field(None, description="A call's id.")
    since: Moment | None = Field(None, description="Judged not before it; UTC where no zone is given.")
    until: Moment | None = Field(None, description="Judged before it.")

    def filters(self) -> dict[str, str]:
        """The filters alone."""
        names = set(About.model_fields) - {"since", "until"}
        return self.model_dump(include=names, exclude_none=True)


class Search(About):
    """Filters, time and page."""

    after: str | None = Field(None, max_length=1000, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_LIMIT)


class Sums(About):
    """Filters, time and group."""

    group_by: Annotated[str | None, Query(max_length=20, json_schema_extra=_GROUPS)] = None


def router(database: Database) -> APIRouter:
    on = _On(database)
    made = APIRouter(prefix="/admin/scores", tags=["scores"])
    made.add_api_route("", on.list, methods=["GET"], summary="List scores")
    made.add_api_route("/figures", on.figures, methods=["GET"], summary="Sum scores up")
    return made


class _On:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, search: Annotated[Search, Query()]) -> ScoresPage:
        """Scores, the newest first. One shows up about a second after it was given."""
        page = await list_scores(
            self._database, filters=search.filters(), since=search.since, until=search.until, after=search.after,
            limit=search.limit,
        )  # fmt: skip
        return ScoresPage(data=[_out(row) for row in page.scores], next=page.next)

    async def figures(self, asked: Annotated[Sums, Query()]) -> Listing[FiguresOut]:
        """Number, sum and mean of each score, of scores whose call is known."""
        found = await figures(
            self._database, filters=asked.filters(), since=asked.since, until=asked.until, group_by=asked.group_by
        )
        return Listing(data=[FiguresOut.model_validate(one) for one in found])


def _out(row: ScoreRow) -> ScoreOut:
    return ScoreOut.model_validate(row)
