"""`/admin/rollouts`: from side A to side B in steps, with all that was decided and the numbers that decided it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Path, Query
from pydantic import Field

from comporta.gateway.admin.shapes import NAMED, SHOWN, WHOLE, By, In, Listing, Out, Tags, moment
from comporta.routing.rollout.asking import Wanted
from comporta.routing.rollout.releases import Act, Releases
from comporta.routing.rollout.rows import Change, EventRow, Kind, RolloutRow, Shadow, State
from comporta.routing.rollout.status import RolloutStatus
from comporta.types import JSON

_Name = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=SHOWN)]
_Long = Annotated[str, Field(min_length=1, max_length=200)]
_Why = Annotated[str, Field(max_length=1000)]
Which = Annotated[
    str, Path(min_length=1, max_length=400, description="Its id, its name, its route, or `prompt@environment`.")
]


class ToIn(In):
    """What side B asks; what is left out is as on side A."""

    variant: _Long | None = Field(None, description="Another variant of the route.")
    model: _Long | None = Field(None, description="`provider/model`, or a registered model.", examples=["openai/gpt-5"])
    prompt: _Long | None = Field(None, description="Another version of the prompt.", examples=["support@2.4.0"])
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters, over those of side A.")

    def change(self) -> Change:
        return Change(self.variant, self.model, self.prompt, self.params)


class StageIn(In):
    """A share of callers for side B, held for at least so many of its calls and so long."""

    share: Annotated[float, Field(gt=0, le=1)]
    min_calls: Annotated[int, Field(ge=0, le=10**9), WHOLE] | None = None
    min_time_s: Annotated[float, Field(ge=0, le=366 * 86_400)] | None = None


class GuardIn(In):
    """One figure that side B must not make worse by more than `margin`."""

    kind: Literal["errors", "latency", "cost", "score"]
    score: _Long | None = Field(None, description="The score's name, where the kind is `score`.")
    margin: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Errors and scores: a difference (0.01 is one percentage point). Latency and cost: a share of A's.",
    )
    better: Literal["higher", "lower"] | None = Field(None, description="Which way a score is good.")
    low: float | None = Field(None, description="The least that a score can be.")
    high: float | None = Field(None, description="The most that a score can be.")
    label: _Long | None = Field(None, description="Of a score in words: the word whose share is looked at.")
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="Of latency; default: 0.95.")
    required: bool | None = Field(None, description="Whether «no worse than the margin» is asked before 100 %.")


class ShadowIn(In):
    """Copies of calls to side B, shown to nobody."""

    share: Annotated[float, Field(gt=0, le=1)]
    daily_limit_microusd: Annotated[int, Field(gt=0, le=10**15), WHOLE] = Field(
        description="What the copies may cost in a day (UTC)."
    )


class RolloutIn(In):
    """A rollout to start: of a `route`, or of a `prompt`'s version in the environment `label`."""

    route: _Long | None = None
    variant: _Long | None = Field(None, description="Side A: default the route's only, else its heaviest variant.")
    prompt: _Long | None = Field(None, description="The prompt's id.")
    label: _Name | None = Field(None, description="The environment that moves.", examples=["production"])
    to: ToIn
    stages: Annotated[list[StageIn], Field(min_length=1, max_length=50)] | None = Field(
        None, description="Default: 1 %, 10 %, 50 %, 100 %."
    )
    guards: Annotated[list[GuardIn], Field(min_length=1, max_length=20)] | None = Field(
        None, description="Default: errors, with a margin of one percentage point."
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = Field(
        None, description="The chance that a harmless B is ever brought back."
    )
    shadow: ShadowIn | None = Field(None, description="Begin with copies alone, until it is promoted.")
    tags: Tags = Field(default_factory=dict, description="commit_sha, author and model_version are required.")
    name: _Name | None = None
    why: _Why = ""


class WhyIn(In):
    """Why something is done, for the log."""

    why: _Why = ""


class PromoteIn(WhyIn):
    """Promote to the next stage, or at once to all calls."""

    whole: bool = Field(False, description="All calls at once.")


class RolloutOut(Out):
    """A rollout or an experiment as it stands."""

    id: str
    kind: Kind
    name: str
    route: str | None
    variant: str | None = Field(description="Side A.")
    prompt: str | None
    label: str | None
    to: dict[str, Any] = Field(description="Side B.")
    plan: dict[str, Any]
    shadow: dict[str, Any] | None
    tags: dict[str, str]
    state: State
    stage: int
    share: float = Field(description="The share of callers on side B.")
    stage_at: datetime | None
    started_at: datetime | None
    started_by: str
    ended_at: datetime | None
    problem: str | None = Field(description="What keeps it from going on.")


class StatusOut(RolloutOut):
    """The same with its figures, what they say, and what is to be done."""

    sides: dict[str, Any] = Field(description="Calls, errors, latency, cost and scores of sides A and B.")
    decision: dict[str, Any] | None = Field(description="The last decision, with the numbers that decided it.")
    looked_at: datetime | None
    hint: str | None = Field(description="What is to be done by somebody.")


class EventOut(Out):
    """One thing that was done or decided."""

    id: str
    at: datetime | None
    by: str
    act: str
    why: str
    before_share: float | None
    share: float | None
    stage: int | None
    numbers: dict[str, Any] | None


def router(releases: Releases) -> APIRouter:
    on = OnRollouts(releases, "rollout")
    made = APIRouter(prefix="/admin/rollouts", tags=["rollouts"])
    made.add_api_route("", on.list, methods=["GET"], summary="List rollouts")
    made.add_api_route("", on.start, methods=["POST"], status_code=201, summary="Start a rollout", responses=NAMED)
    # Names hold slashes: the paths that say more come first.
    made.add_api_route("/{which:path}/events", on.events, methods=["GET"], summary="Show what was decided and done")
    made.add_api_route("/{which:path}/pause", on.pause, methods=["POST"], summary="Keep the shares, but for harm")
    made.add_api_route("/{which:path}/resume", on.resume, methods=["POST"], summary="Go on after a pause")
    made.add_api_route("/{which:path}/promote", on.promote, methods=["POST"], summary="Go to the next stage now")
    made.add_api_route("/{which:path}/abort", on.abort, methods=["POST"], summary="Send all calls to side A again")
    made.add_api_route("/{which:path}", on.get, methods=["GET"], summary="Show a rollout and its figures")
    return made


class OnShared:
    """What rollouts and experiments have in common."""

    def __init__(self, releases: Releases, kind: Kind) -> None:
        self._releases = releases
        self._kind: Kind = kind

    async def list(
        self,
        live: Annotated[bool, Query(description="Only those that still say where calls go.")] = False,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Listing[RolloutOut]:
        """The live ones first, then the newest first."""
        found = await self._releases.list(self._kind, live=live, limit=limit)
        return Listing(data=[out_of(row) for row in found])

    async def get(self, which: Which) -> StatusOut:
        """The live one, else the latest of that name, with its figures and the last decision."""
        return status_out(await self._releases.status(which, self._kind))

    async def events(self, which: Which, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Listing[EventOut]:
        """What was done and decided, the newest first, with the numbers that decided it."""
        found = await self._releases.events(which, self._kind, limit=limit)
        return Listing(data=[_event(event) for event in found])

    async def pause(self, which: Which, by: By, body: WhyIn | None = None) -> RolloutOut:
        """Shares stay as they are until it goes on; of a rollout, harm alone still brings B back."""
        return await self._act(which, "pause", by, body)

    async def resume(self, which: Which, by: By, body: WhyIn | None = None) -> RolloutOut:
        """Go on; the pause is no time of the stage, and what was counted stays."""
        return await self._act(which, "resume", by, body)

    async def abort(self, which: Which, by: By, body: WhyIn | None = None) -> RolloutOut:
        """All calls go to side A again, in every worker within a second, for good."""
        return await self._act(which, "abort", by, body)

    async def _act(self, which: str, act: Act, by: str, body: WhyIn | None, *, whole: bool = False) -> RolloutOut:
        why = body.why if body is not None else ""
        return out_of(await self._releases.act(which, act, by=by, why=why, kind=self._kind, whole=whole))


class OnRollouts(OnShared):
    async def start(self, body: RolloutIn, by: By) -> RolloutOut:
        """Start one. Every worker shares out calls within a second; the first decisions follow as calls come in."""
        plan, share = self._releases.rollout_plan(body.model_dump(include={"stages", "guards", "alpha"}))
        return out_of(await self._releases.start(wanted_of(body, "rollout", plan, share, by, body.shadow), body.why))

    async def promote(self, which: Which, by: By, body: PromoteIn | None = None) -> RolloutOut:
        """To the next stage without waiting for evidence, or to all calls; from shadow mode to the first stage."""
        return await self._act(which, "promote", by, body, whole=body is not None and body.whole)


class Started(Protocol):
    """What bodies that start something have in common."""

    route: str | None
    variant: str | None
    prompt: str | None
    label: str | None
    to: ToIn
    tags: dict[str, str]
    name: str | None


def wanted_of(body: Started, kind: Kind, plan: JSON, share: float, by: str, shadow: ShadowIn | None = None) -> Wanted:
    return Wanted(
        body.to.change(), plan, share, kind, body.route, body.variant, body.prompt, body.label,
        None if shadow is None else Shadow(shadow.share, shadow.daily_limit_microusd), body.tags, body.name or "", by,
    )  # fmt: skip


def out_of(row: RolloutRow) -> RolloutOut:
    return RolloutOut(**_fields(row))


def status_out(status: RolloutStatus) -> StatusOut:
    return StatusOut(
        **_fields(status.row), sides=status.sides, decision=status.decision, looked_at=moment(status.looked_at_s),
        hint=status.hint,
    )  # fmt: skip


def _fields(row: RolloutRow) -> dict[str, Any]:
    shadow = None
    if row.shadow is not None:
        shadow = {"share": row.shadow.share, "daily_limit_microusd": row.shadow.daily_limit_microusd}
    change = row.change
    return {
        "id": row.id, "kind": row.kind, "name": row.name, "route": row.route, "variant": row.variant,
        "prompt": row.prompt, "label": row.label, "plan": row.plan, "shadow": shadow, "tags": row.tags,
        "to": {"variant": change.variant, "model": change.model, "prompt": change.prompt, "params": change.params},
        "state": row.state, "stage": row.stage, "share": row.share, "stage_at": moment(row.stage_at_s),
        "started_at": moment(row.started_at_s), "started_by": row.started_by, "ended_at": moment(row.ended_at_s),
        "problem": row.problem,
    }  # fmt: skip


def _event(event: EventRow) -> EventOut:
    return EventOut(
        id=event.id, at=moment(event.at_s), by=event.by, act=event.act, why=event.why,
        before_share=event.before_share, share=event.share, stage=event.stage, numbers=event.numbers,
    )  # fmt: skip
