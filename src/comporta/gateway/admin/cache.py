"""`/admin/cache`: what the caches hold, how often a semantic hit is wrong, clearing and seeding."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from comporta.cache.clearing import EVERYTHING
from comporta.cache.semantic.seeding import Seed
from comporta.errors import BadRequest, NotFound
from comporta.gateway.admin.asked import Caches
from comporta.gateway.admin.shapes import NAMED, WHOLE, In, Out

MOST_SEEDS = 200
_Text = Annotated[str, Field(min_length=1, max_length=100)]


class RouteOut(Out):
    """A route's semantic cache, and what can be promised of it."""

    route: str
    enabled: bool = Field(description="Whether the configuration has it on now.")
    entries: int
    seeded: int = Field(description="Those of the entries that were seeded.")
    size_bytes: int
    hits: int = Field(description="Since it was first turned on.")
    checked: int = Field(description="Hits that the threshold lets through and that were answered afresh.")
    wrong: int = Field(description="Those of them whose fresh answer said something else.")
    reported: int = Field(description="Hits that people called wrong since the threshold was moved.")
    bound: float = Field(description="At most this share of the hits is wrong, with 95 % confidence.")
    budget: float = Field(description="The share that may be wrong.")
    threshold: float = Field(description="How alike questions must be now.")
    least: float = Field(description="As configured: it never goes below.")
    promise: Literal["yes", "no", "unknown"] = Field(description="Whether the budget is kept.")
    missing: int | None = Field(description="So many more checks, all of them right, would make it a promise.")
    told: str
    why: str = Field(description="What moved the threshold last.")


class OverviewOut(Out):
    """Both caches."""

    exact_entries: int = Field(description="In PostgreSQL; what lies in Redis or in a worker's memory is not counted.")
    exact_bytes: int
    routes: list[RouteOut]


class SeedIn(In):
    """A question with its answer."""

    question: str = Field(min_length=1, max_length=1_000)
    answer: str = Field(min_length=1, max_length=100_000)
    route: str = Field(min_length=1, max_length=200, description="The route on which it is given.")
    tags: list[_Text] = Field(default=[], max_length=16, description="What it can be cleared by.")
    team: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The only team that gets it; default: all."
    )
    ttl_s: Annotated[float, Field(gt=0, le=3_153_600_000)] | None = Field(
        None, description="How many seconds it is given; default: until it is cleared."
    )


class SeedsIn(In):
    """Questions with their answers."""

    entries: list[SeedIn] = Field(min_length=1, max_length=MOST_SEEDS)


class RefusedOut(Out):
    """A seed that could not be stored."""

    at: int = Field(description="Its place among `entries`, from 0.")
    reason: str


class SeededOut(Out):
    """What became of the seeds."""

    stored: int
    refused: list[RefusedOut]


class ClearedOut(Out):
    """What was cleared."""

    removed: int = Field(description="Semantic entries that went; exact answers are left aside from now on, uncounted.")


class Which(In):
    """What to clear: by tag, by route, one entry, or everything."""

    tag: list[_Text] = Field(default=[], max_length=16, description="Every answer with one of these tags.")
    route: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(None, description="All of a route.")
    entry: Annotated[int, Field(ge=1, le=2**63 - 1), WHOLE] | None = Field(
        None, description="One entry of the semantic cache, as a call's `notes.cache.entry` names it."
    )
    everything: bool = Field(False, description="Both caches as a whole.")


def router(caches: Caches) -> APIRouter:
    on = _On(caches)
    made = APIRouter(prefix="/admin/cache", tags=["cache"])
    made.add_api_route("", on.show, methods=["GET"], summary="Show the caches")
    made.add_api_route("", on.clear, methods=["DELETE"], summary="Clear cached answers", responses=NAMED)
    made.add_api_route("/seed", on.seed, methods=["POST"], summary="Seed questions and answers")
    return made


class _On:
    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    async def show(self) -> OverviewOut:
        """What is held, and how every route stands with its budget of false hits."""
        return OverviewOut.model_validate(await self._caches.overview())

    async def clear(self, which: Annotated[Which, Query()]) -> ClearedOut:
        """Holds in every worker and for both caches, from the next call on."""
        tags = [EVERYTHING] if which.everything else list(which.tag)
        if which.route is not None:
            tags.append(f"route:{which.route}")
        if EVERYTHING in which.tag and not which.everything:
            raise BadRequest("To clear both caches as a whole, say everything=true.", param="tag")
        if not tags and which.entry is None:
            raise BadRequest("Say what to clear: tag, route, entry or everything=true.", param="tag")
        removed = await self._caches.clear(tags, which.entry)
        if not tags and not removed:
            raise NotFound(f"The semantic cache has no entry {which.entry}.", param="entry")
        return ClearedOut(removed=removed)

    async def seed(self, body: SeedsIn) -> SeededOut:
        """Stored at once, or again in place of the same question; found by calls without tools and earlier turns."""
        seeds = [
            Seed(one.question, one.answer, one.route, tuple(one.tags), one.team, one.ttl_s) for one in body.entries
        ]
        found = await self._caches.seed(seeds)
        refused = [RefusedOut(at=at, reason=reason) for at, reason in found.refused]
        return SeededOut(stored=found.stored, refused=refused)
