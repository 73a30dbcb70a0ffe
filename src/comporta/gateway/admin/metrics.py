"""`/admin/metrics`: every figure by its name, over time, against the time before, and who leads; targets."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from comporta.errors import BadRequest
from comporta.gateway.admin.shapes import In, Listing, Moment, Out
from comporta.store.database import Database
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.observability.names import METRICS
from comporta.telemetry.observability.targets import Target, standings
from comporta.telemetry.series import TOPS, compare, series, top
from comporta.telemetry.summary import parse_window

Present = Callable[[], Awaitable[Mapping[str, float | None]]]
Targets = Callable[[], tuple[Sequence[Target], float]]

_WINDOW: dict[str, Any] = {"pattern": "^[0-9]{1,5}(m|h|d)$"}
_MOST_NAMES = 60
_Text = Annotated[str, Query(max_length=256)]


class MetricOut(Out):
    """What a figure is."""

    name: str
    group: Literal["traffic", "performance", "cost", "quality", "reliability", "safety"]
    unit: Literal["s", "$", "share", "count", "per_s", "number"]
    about: str
    worse: Literal["up", "down"] | None = Field(description="The way that is bad news.")
    aliases: list[str]


class LineOut(Out):
    """One group, or all calls."""

    group: str | None
    points: dict[str, list[float | None]] = Field(description="By name, a value for each of `times`.")
    total: dict[str, float | None]
    calls: int


class SeriesOut(Out):
    """Figures by step; null is what can't be told."""

    since: datetime.datetime
    until: datetime.datetime
    step_s: int
    times: list[datetime.datetime] = Field(description="The steps' beginnings, UTC.")
    lines: list[LineOut]
    group_by: str | None
    others: int = Field(description="Groups beyond the first that were left out.")


class ComparedOut(Out):
    """A figure, the one of the window before, and the relative difference."""

    value: float | None
    before: float | None
    change: float | None


class TopOut(Out):
    """One of the first."""

    name: str
    value: float | None
    calls: int
    cost_usd: float
    error_rate: float | None


class StandingOut(Out):
    """How a target stands."""

    name: str
    target: str
    window_s: float
    value: float | None
    met: bool | None
    budget_left: float | None = Field(description="Of the error budget; below 0 where more went wrong than may.")
    burn_rate: float | None = Field(description="Of the last hour; at 1 the budget lasts exactly the window.")


class PresentOut(Out):
    """Figures of now."""

    values: dict[str, float | None]


class About(In):
    """Which calls, and when."""

    window: str = Field("24h", max_length=8, description="1h, 24h, 7d …, up to now.", json_schema_extra=_WINDOW)
    since: Moment | None = Field(None, description="Instead of a window; UTC where no zone is given.")
    until: Moment | None = Field(None, description="Before it; now where it is left out.")
    route: _Text | None = None
    variant: _Text | None = None
    provider: _Text | None = None
    model: _Text | None = None
    key: _Text | None = Field(None, description="A key's id.")
    team: _Text | None = None
    environment: _Text | None = None
    feature: _Text | None = None
    prompt: _Text | None = None
    prompt_version: _Text | None = None

    def filters(self) -> dict[str, str]:
        return {name: value for name in COLUMNS if (value := getattr(self, name)) is not None}

    def span(self) -> tuple[datetime.datetime, datetime.datetime]:
        """Raises BadRequest."""
        now = datetime.datetime.now(datetime.UTC)
        until = self.until or now
        return self.since or until - parse_window(self.window), until


class Named(About):
    """Which figures of which calls."""

    names: str = Field("", max_length=2000, description="With commas; left out: all of them.")

    def listed(self) -> list[str]:
        """Raises BadRequest."""
        found = [name.strip() for name in self.names.split(",") if name.strip()] or list(METRICS)
        if len(found) > _MOST_NAMES:
            raise BadRequest(f"At most {_MOST_NAMES} figures can be asked for at once.", param="names")
        return found


class Steps(Named):
    """In which steps and groups."""

    step: str | None = Field(None, max_length=8, description="1m, 1h, 1d …", json_schema_extra=_WINDOW)
    group_by: Annotated[str | None, Query(max_length=20, json_schema_extra={"enum": [*COLUMNS, None]})] = None


class Leading(About):
    """Whose list."""

    by: Annotated[str, Query(max_length=20, json_schema_extra={"enum": list(TOPS)})] = "user"
    metric: str = Field("cost", max_length=200)
    n: int = Field(20, ge=1, le=200)


def router(database: Database, present: Present, targets: Targets) -> APIRouter:
    on = _On(database, present, targets)
    made = APIRouter(prefix="/admin/metrics", tags=["metrics"])
    made.add_api_route("", on.series, methods=["GET"], summary="Show figures over time")
    made.add_api_route("/names", on.names, methods=["GET"], summary="List the figures")
    made.add_api_route("/compare", on.compare, methods=["GET"], summary="Compare with the window before")
    made.add_api_route("/top", on.top, methods=["GET"], summary="Show who leads")
    made.add_api_route("/targets", on.targets, methods=["GET"], summary="Show how targets stand")
    made.add_api_route("/present", on.present, methods=["GET"], summary="Show the figures of now")
    return made


class _On:
    def __init__(self, database: Database, present: Present, targets: Targets) -> None:
        self._database = database
        self._present = present
        self._targets = targets

    async def series(self, asked: Annotated[Steps, Query()]) -> SeriesOut:
        """Figures by step, of all calls or by group; without `step` the window is one."""
        since, until = asked.span()
        step_s = None if asked.step is None else int(parse_window(asked.step).total_seconds())
        found = await series(
            self._database, asked.listed(), since=since, until=until, step_s=step_s, filters=asked.filters(),
            group_by=asked.group_by, present=await self._present(),
        )  # fmt: skip
        return SeriesOut.model_validate(found)

    async def names(self) -> Listing[MetricOut]:
        """Every figure, what it means and its unit; `score.NAME` is the mean of any score."""
        return Listing(data=[MetricOut.model_validate(one) for one in METRICS.values()])

    async def compare(self, asked: Annotated[Named, Query()]) -> dict[str, ComparedOut]:
        """Figures of a window beside those of the window before it."""
        since, until = asked.span()
        found = await compare(
            self._database, asked.listed(), since=since, until=until, filters=asked.filters(),
            present=await self._present(),
        )  # fmt: skip
        return {name: ComparedOut.model_validate(one) for name, one in found.items()}

    async def top(self, asked: Annotated[Leading, Query()]) -> Listing[TopOut]:
        """The first by a figure. Users and sessions are lists by the hour of bounded length, without filters."""
        since, until = asked.span()
        found = await top(
            self._database, asked.by, asked.metric, since=since, until=until, n=asked.n, filters=asked.filters()
        )
        return Listing(data=[TopOut.model_validate(one) for one in found])

    async def targets(self, asked: Annotated[About, Query()]) -> Listing[StandingOut]:
        """The targets of `llm_observability`, over its window."""
        targets, window_s = self._targets()
        found = await standings(
            self._database, targets, window_s, filters=asked.filters(), present=await self._present()
        )
        return Listing(data=[StandingOut.model_validate(one) for one in found])

    async def present(self) -> PresentOut:
        """What no sum holds: how full the fullest budget is, and how many breakers are open."""
        return PresentOut(values=dict(await self._present()))
