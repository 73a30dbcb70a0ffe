"""`/admin/conversations`: those in which something went wrong, the worst first, with the reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from comporta.feedback.problems import MAX_LIMIT, list_problems
from comporta.feedback.weighing import Reason
from comporta.gateway.admin.shapes import In, Moment, Out
from comporta.store.database import Database

_Text = Annotated[str, Query(max_length=256)]


class BecauseOut(Out):
    """Why, and how often."""

    reason: Reason
    count: int
    points: float = Field(description="What it adds; a reason counts three times at most.")


class ProblemOut(Out):
    """A conversation: a session, or a trace where its calls had none."""

    kind: Literal["session", "trace"]
    id: str
    points: float
    reasons: list[BecauseOut] = Field(description="The weightiest first.")
    calls: int
    first_at: datetime
    last_at: datetime
    route: str | None = Field(description="This and what follows is of the call in which most went wrong.")
    prompt: str | None
    version: str | None
    team: str | None
    user: str | None
    trace_id: str
    call_id: str


class ProblemsPage(Out):
    """Conversations, the worst first."""

    data: list[ProblemOut]
    next: str | None = Field(description="Ask again with it as `after` for those after them; null at the end.")


class Search(In):
    """What narrows the list, and its page."""

    route: _Text | None = None
    prompt: _Text | None = None
    version: _Text | None = Field(None, description="The prompt's version.")
    team: _Text | None = None
    user: _Text | None = None
    since: Moment | None = Field(None, description="Used not before it; UTC where no zone is given.")
    after: str | None = Field(None, max_length=1000, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_LIMIT)


def router(database: Database) -> APIRouter:
    on = _On(database)
    made = APIRouter(prefix="/admin/conversations", tags=["conversations"])
    made.add_api_route("/problematic", on.list, methods=["GET"], summary="List problematic conversations")
    return made


class _On:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, search: Annotated[Search, Query()]) -> ProblemsPage:
        """The worst first, by thumbs, ratings, corrections, repeated questions, failures, blocks and low scores.

        One shows up within about a minute.
        """
        names = {"route", "prompt", "version", "team", "user"}
        page = await list_problems(
            self._database, filters=search.model_dump(include=names, exclude_none=True), since=search.since,
            after=search.after, limit=search.limit,
        )  # fmt: skip
        return ProblemsPage(data=[ProblemOut.model_validate(one) for one in page.problems], next=page.next)
