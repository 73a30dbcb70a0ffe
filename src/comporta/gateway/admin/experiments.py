"""`/admin/experiments`: two sides with fixed shares, one metric that decides, a verdict; nothing moves by itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from comporta.gateway.admin.rollouts import GuardIn, OnShared, RolloutOut, ToIn, Which, WhyIn, out_of, wanted_of
from comporta.gateway.admin.shapes import NAMED, SHOWN, WHOLE, By, In, Tags
from comporta.routing.rollout.releases import Releases

_Name = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=SHOWN)]
_Long = Annotated[str, Field(min_length=1, max_length=200)]


class AdaptiveIn(In):
    """Shares that follow what is known; callers then change sides, in both directions."""

    floor: Annotated[float, Field(gt=0, lt=0.5)] | None = Field(None, description="The least that a side gets.")
    every_s: Annotated[float, Field(ge=1)] | None = Field(None, description="How often shares are looked at.")


class ExperimentIn(In):
    """An experiment to start, on a `route` or on a `prompt`'s `label`."""

    route: _Long | None = None
    variant: _Long | None = Field(None, description="Side A: default the route's only, else its heaviest variant.")
    prompt: _Long | None = Field(None, description="The prompt's id.")
    label: _Name | None = Field(None, description="The environment whose calls take part.", examples=["production"])
    to: ToIn
    metric: GuardIn = Field(description="What decides; its margin is the difference that is worth having.")
    guards: Annotated[list[GuardIn], Field(min_length=1, max_length=20)] | None = Field(
        None, description="What must not become worse; default: errors, with a margin of one percentage point."
    )
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="B's share of callers; default 0.5.")
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = Field(None, description="The chance of a wrong winner.")
    min_calls: Annotated[int, Field(ge=1, le=10**9), WHOLE] | None = Field(
        None, description="Calls of each side before there is a verdict."
    )
    min_time_s: Annotated[float, Field(ge=0)] | None = Field(None, description="Seconds before there is a verdict.")
    adaptive: AdaptiveIn | None = Field(None, description="Let shares follow what is known (Thompson sampling).")
    tags: Tags = Field(default_factory=dict, description="commit_sha, author and model_version are required.")
    name: _Name | None = None
    why: Annotated[str, Field(max_length=1000)] = ""


_PLAN = {"metric", "guards", "share", "alpha", "min_calls", "min_time_s", "adaptive"}


def router(releases: Releases) -> APIRouter:
    on = OnExperiments(releases, "experiment")
    made = APIRouter(prefix="/admin/experiments", tags=["experiments"])
    named: dict[str, Any] = {"methods": ["POST"]}
    made.add_api_route("", on.list, methods=["GET"], summary="List experiments", operation_id="list_experiments")
    made.add_api_route("", on.start, status_code=201, summary="Start an experiment", responses=NAMED, **named)
    # Names hold slashes: the paths that say more come first.
    made.add_api_route(
        "/{which:path}/events", on.events, methods=["GET"], summary="Show what was found and done",
        operation_id="experiment_events",
    )  # fmt: skip
    made.add_api_route(
        "/{which:path}/pause", on.pause, summary="Keep the shares, tell no verdict", operation_id="pause_experiment",
        **named,
    )  # fmt: skip
    made.add_api_route(
        "/{which:path}/resume", on.resume, summary="Go on after a pause", operation_id="resume_experiment", **named
    )
    made.add_api_route("/{which:path}/stop", on.stop, summary="End it: all calls go to side A again", **named)
    made.add_api_route(
        "/{which:path}", on.get, methods=["GET"], summary="Show an experiment and its verdict",
        operation_id="get_experiment",
    )  # fmt: skip
    return made


class OnExperiments(OnShared):
    async def start(self, body: ExperimentIn, by: By) -> RolloutOut:
        """Start one. Its verdict follows as calls and scores come in."""
        plan, share = self._releases.experiment_plan(body.model_dump(include=_PLAN))
        return out_of(await self._releases.start(wanted_of(body, "experiment", plan, share, by), body.why))

    async def stop(self, which: Which, by: By, body: WhyIn | None = None) -> RolloutOut:
        """End it: all calls go to side A again. What it found stays."""
        return await self._act(which, "abort", by, body)
