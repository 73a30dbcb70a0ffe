"""`/admin/findings`: what was found to have changed, what was done about it; complaints that are alike; trends."""

from __future__ import annotations

import datetime
import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from comporta.feedback.findings import reads
from comporta.feedback.findings.shapes import ActState, Direction, Kind, State, Trend
from comporta.feedback.findings.suites import suite_of
from comporta.gateway.admin.shapes import By, In, Listing, Moment, Out
from comporta.store.database import Database

_Text = Annotated[str, Query(min_length=1, max_length=256)]
_Finding = Annotated[str, Path(min_length=1, max_length=100, description="The finding's id.")]


class ActOut(Out):
    """What was done about a finding, once."""

    action: str
    state: ActState
    attempts: int
    told: str = Field(description="What came of it, in words.")
    at: datetime.datetime


class ExampleOut(Out):
    """A call that shows it."""

    call_id: str
    at: datetime.datetime
    trace_id: str | None
    user: str | None
    input: str | None = Field(description="The last question, as far as it was kept.")
    output: str | None


class FindingOut(Out):
    """Something that changed."""

    id: str
    kind: Kind
    measure: str = Field(description="What changed: `topics`, `words`, `refusals`, `cost`, a score's name …")
    title: str
    route: str | None
    prompt_id: str | None
    prompt_version: str | None
    since: datetime.datetime = Field(description="About when it began.")
    found_at: datetime.datetime
    before: float | None
    after: float | None
    size: float = Field(description="How much, in the unit that `facts.unit` names.")
    low: float | None = Field(description="Where the size lies (95 %).")
    high: float | None
    n_before: int
    n_after: int
    facts: dict[str, Any]
    state: State
    by: str | None
    note: str | None
    state_at: datetime.datetime | None
    acts: list[ActOut]
    examples: list[ExampleOut] = Field(description="Empty in lists.")


class FindingsPage(Out):
    """Findings, the newest first."""

    data: list[FindingOut]
    next: str | None = Field(description="Ask again with it as `after` for more; null at the end.")


class Search(In):
    """What narrows a list of findings."""

    state: State | None = None
    kind: Kind | None = None
    measure: _Text | None = None
    route: _Text | None = None
    prompt: _Text | None = None
    version: _Text | None = None
    since: Moment | None = Field(None, description="Found not before it; UTC where no zone is given.")
    until: Moment | None = Field(None, description="Found before it.")
    after: str | None = Field(None, max_length=1000, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=reads.MAX_LIMIT)

    def filters(self) -> dict[str, str]:
        return self.model_dump(include=set(reads.COLUMNS), exclude_none=True)


class StateIn(In):
    """What becomes of a finding."""

    state: Literal["open", "acknowledged", "closed"]
    note: Annotated[str, Field(min_length=1, max_length=2000)] | None = None


class TestsOut(Out):
    """A file of tests."""

    text: str = Field(description="YAML, for `comporta prompts test`.")


class ComplaintOut(Out):
    """One comment, as it was said."""

    text: str
    at: datetime.datetime
    mood: float = Field(description="How it sounds, from -1 to 1.")
    route: str | None
    prompt_id: str | None
    prompt_version: str | None
    call_id: str | None
    trace_id: str | None


class ClusterOut(Out):
    """Complaints that are alike."""

    id: str
    title: str
    language: str
    complaints: int
    share: float = Field(description="Of all complaints in that time.")
    first_at: datetime.datetime
    last_at: datetime.datetime
    routes: list[str]
    examples: list[ComplaintOut]


class WeekOut(Out):
    """A score in one week."""

    at: datetime.date = Field(description="Its Monday, UTC.")
    n: int
    mean: float
    low: float | None
    high: float | None


class TrendOut(Out):
    """A score by week."""

    name: str
    weeks: list[WeekOut]
    slope: float | None = Field(description="Its change a week.")
    low: float | None
    high: float | None
    direction: Direction


class Where(In):
    """What narrows complaints."""

    route: _Text | None = None
    prompt: _Text | None = None
    version: _Text | None = None
    since: Moment | None = Field(None, description="Default: 30 days back.")
    until: Moment | None = None
    limit: int = Field(20, ge=1, le=reads.MAX_LIMIT)
    examples: int = Field(3, ge=0, le=50, description="How many comments of each.")


class Weeks(In):
    """What narrows trends."""

    name: _Text | None = Field(None, description="One score, or `mood`: how comments sound.")
    route: _Text | None = None
    prompt: _Text | None = None
    version: _Text | None = None
    weeks: int = Field(12, ge=1, le=reads.MOST_WEEKS)


def router(database: Database) -> APIRouter:
    on = _On(database)
    made = APIRouter(prefix="/admin/findings", tags=["findings"])
    made.add_api_route("", on.list, methods=["GET"], summary="List findings")
    made.add_api_route("/complaints", on.complaints, methods=["GET"], summary="List complaints that are alike")
    made.add_api_route("/trends", on.trends, methods=["GET"], summary="Show scores by week")
    made.add_api_route("/{id}", on.get, methods=["GET"], summary="Show a finding with its examples")
    made.add_api_route("/{id}/state", on.state, methods=["POST"], summary="Acknowledge, close or reopen a finding")
    made.add_api_route("/{id}/tests", on.tests, methods=["GET"], summary="Show a finding's cases as a file of tests")
    return made


class _On:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, search: Annotated[Search, Query()]) -> FindingsPage:
        page = await reads.list_findings(
            self._database, filters=search.filters(), since=search.since, until=search.until, after=search.after,
            limit=search.limit,
        )  # fmt: skip
        return FindingsPage(data=[FindingOut.model_validate(one) for one in page.findings], next=page.next)

    async def get(self, id: _Finding) -> FindingOut:
        return FindingOut.model_validate(await reads.get_finding(self._database, id))

    async def state(self, id: _Finding, body: StateIn, by: By) -> FindingOut:
        """Somebody has seen it, it is over, or it is open again."""
        return FindingOut.model_validate(await reads.set_state(self._database, id, body.state, by, body.note))

    async def tests(self, id: _Finding) -> TestsOut:
        """The cases that `update_prompt` or `add_to_dataset` gathered, for `comporta prompts test`."""
        return TestsOut(text=await suite_of(self._database, id))

    async def complaints(self, where: Annotated[Where, Query()]) -> Listing[ClusterOut]:
        """What users complain of, the most frequent first."""
        found = await reads.clusters(self._database, **where.model_dump())
        return Listing(data=[ClusterOut.model_validate(one) for one in found])

    async def trends(self, weeks: Annotated[Weeks, Query()]) -> Listing[TrendOut]:
        """Every score by week, with intervals and whether it rises or falls."""
        found = await reads.trends(
            self._database, names=None if weeks.name is None else [weeks.name], route=weeks.route,
            prompt=weeks.prompt, version=weeks.version, weeks=weeks.weeks,
        )  # fmt: skip
        return Listing(data=[_trend(one) for one in found])


def _trend(one: Trend) -> TrendOut:
    """A single value has no interval, and JSON no word for infinity."""
    weeks = [
        WeekOut(at=week.at, n=week.n, mean=week.mean, low=_finite(week.low), high=_finite(week.high))
        for week in one.weeks
    ]
    return TrendOut(name=one.name, weeks=weeks, slope=one.slope, low=one.low, high=one.high, direction=one.direction)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
