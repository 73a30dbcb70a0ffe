"""`/admin/reviews`: what waits for a person to look at it, who looks, and what they found."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from comporta.errors import Unavailable
from comporta.gateway.admin.shapes import By, In, Moment, Out
from comporta.telemetry.reviews import MAX_LIMIT, MAX_TEXT_CHARS, Decision, Reviews

_Text = Annotated[str, Query(max_length=256)]
_Review = Annotated[str, Path(min_length=1, max_length=256, description="The review's id.")]
_Words = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
_Kind = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.\-]{0,49}$", description="`consensus`, `guard`, `feedback` …")]
_CALL = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class ReviewOut(Out):
    """Something that a person is to look at, or has looked at."""

    id: str
    at: datetime
    kind: str
    reason: str = Field(description="Why somebody is to look at it.")
    trace_id: str | None
    call_id: str | None
    route: str | None
    payload: dict[str, Any] = Field(
        description="What there is to see; `texts` as far as the route's records keep them."
    )
    user: str | None
    state: Literal["open", "claimed", "done"]
    by: str | None = Field(description="Who claimed or decided it.")
    claimed_at: datetime | None
    decided_at: datetime | None
    verdict: Literal["accept", "reject", "correct"] | None
    choice: str | None = Field(description="Which of several answers was found right.")
    correction: str | None
    note: str | None


class ReviewsPage(Out):
    """Reviews in the order asked for."""

    data: list[ReviewOut]
    next: str | None = Field(description="Ask again with it as `after` for more; null at the end.")


class CountsOut(Out):
    """How many reviews there are, by kind."""

    data: dict[str, dict[Literal["open", "claimed", "done"], int]]


class Search(In):
    """What narrows a list of reviews."""

    state: Literal["open", "claimed", "done", "waiting"] | None = Field(
        None, description="`waiting` is all that is not done."
    )
    kind: _Text | None = None
    route: _Text | None = None
    by: _Text | None = None
    verdict: Literal["accept", "reject", "correct"] | None = None
    trace: _Text | None = None
    call: _Text | None = None
    user: _Text | None = None
    since: Moment | None = Field(None, description="Put up not before it; UTC where no zone is given.")
    until: Moment | None = Field(None, description="Put up before it.")
    order: Literal["newest", "oldest"] = "newest"
    after: str | None = Field(None, max_length=1000, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_LIMIT)

    def filters(self) -> dict[str, str]:
        names = {"state", "kind", "route", "by", "verdict", "trace", "call", "user"}
        return self.model_dump(include=names, exclude_none=True)


class Put(In):
    """Something to put up for review."""

    kind: _Kind
    reason: _Words
    trace_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    call_id: Annotated[str, Field(pattern=_CALL)] | None = Field(None, description="A call's id.")
    route: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    payload: dict[str, Any] = Field(default_factory=dict, description="What there is to see.")
    user: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Its identity: put up again, it is the same."
    )


class PutOut(Out):
    """What was put up; it is listed about a second later."""

    id: str


class Decided(In):
    """What a reviewer found."""

    verdict: Literal["accept", "reject", "correct"] = Field(
        description="What was done stands; was wrong; or should have been `correction`."
    )
    choice: _Words | None = Field(None, description="Which of several answers is right.")
    correction: _Words | None = Field(None, description="What would have been right; with `correct` alone.")
    note: _Words | None = None


def router(reviews: Reviews) -> APIRouter:
    on = _On(reviews)
    made = APIRouter(prefix="/admin/reviews", tags=["reviews"])
    made.add_api_route("", on.list, methods=["GET"], summary="List reviews")
    made.add_api_route("", on.put, methods=["POST"], status_code=202, summary="Put something up for review")
    made.add_api_route("/counts", on.counts, methods=["GET"], summary="Count reviews")
    # Ids that others give may hold slashes: the paths that say more come first.
    made.add_api_route("/{id:path}/claim", on.claim, methods=["POST"], summary="Claim a review")
    made.add_api_route("/{id:path}/release", on.release, methods=["POST"], summary="Give a review back")
    made.add_api_route("/{id:path}/decide", on.decide, methods=["POST"], summary="Decide a review")
    made.add_api_route("/{id:path}", on.get, methods=["GET"], summary="Show a review")
    return made


class _On:
    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    async def list(self, search: Annotated[Search, Query()]) -> ReviewsPage:
        """What waits for a person, and what was decided. One shows up about a second after it was put up."""
        page = await self._reviews.list(
            filters=search.filters(), since=search.since, until=search.until, oldest_first=search.order == "oldest",
            after=search.after, limit=search.limit,
        )  # fmt: skip
        return ReviewsPage(data=[ReviewOut.model_validate(one) for one in page.reviews], next=page.next)

    async def put(self, body: Put) -> PutOut:
        """Puts something up by hand. It is kept when this answers, with the database away too."""
        id = self._reviews.add(
            body.kind, body.reason, trace_id=body.trace_id, call_id=body.call_id, route=body.route,
            payload=body.payload, user=body.user, id=body.id or "",
        )  # fmt: skip
        if id is None:
            raise Unavailable("There is no room on the disk for a review: see `comporta doctor`.", code="reviews_full")
        return PutOut(id=id)

    async def counts(self) -> CountsOut:
        return CountsOut(data=await self._reviews.counts())

    async def get(self, id: _Review) -> ReviewOut:
        return ReviewOut.model_validate(await self._reviews.get(id))

    async def claim(self, id: _Review, by: By) -> ReviewOut:
        """For half an hour nobody else can claim or decide it."""
        return ReviewOut.model_validate(await self._reviews.claim(id, by))

    async def release(self, id: _Review, by: By) -> ReviewOut:
        return ReviewOut.model_validate(await self._reviews.release(id, by))

    async def decide(self, id: _Review, body: Decided, by: By) -> ReviewOut:
        """Says what was found. Of a review that concerns a call it counts as a score, with the source `human`."""
        decision = Decision(body.verdict, body.choice, body.correction, body.note)
        return ReviewOut.model_validate(await self._reviews.decide(id, by, decision))
