"""`/admin/users`: all that is held of one user, to hand out or to erase (LGPD, GDPR).

The name travels in the body: addresses end up in logs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from comporta.gateway.admin.shapes import By, In, Listing, Out
from comporta.store.people import MAX_USER_CHARS, People


class About(In):
    """A user, and where to go on."""

    user: Annotated[str, Field(min_length=1, max_length=MAX_USER_CHARS, examples=["ana@example.org"])] = Field(
        description="As clients name them in `user` or `x-comporta-user`."
    )
    after: str | None = Field(None, max_length=500, description="The `next` of the answer before.")


class ExportOut(Out):
    """A part of what is held."""

    data: list[dict[str, Any]] = Field(
        description="Each with its `kind`: responses, cache, semantic_cache, calls, trace_spans, scores, reviews, "
        "file_lines, batch_rows, findings, waiting (not in the database yet), limits and others."
    )
    next: str | None = Field(description="Ask again with it as `after` for more; null at the end.")


class ErasedOut(Out):
    """What this request removed."""

    user_sha256: str = Field(description="What stands for the user in the record of erasures.")
    removed: dict[str, int] = Field(description="How many of each kind; calls stay as figures without a person.")
    left: list[str] = Field(description="What only somebody else can remove, in words.")
    next: str | None = Field(description="Ask again with it as `after` to go on; null when all is removed.")


class ErasureOut(Out):
    """That an erasure happened."""

    user_sha256: str
    began_at: datetime
    ended_at: datetime | None = Field(description="null where it was not brought to its end: ask for it again.")
    asked_by: str
    removed: dict[str, int]


def router(people: People) -> APIRouter:
    on = _On(people)
    made = APIRouter(prefix="/admin/users", tags=["users"])
    made.add_api_route("/export", on.export, methods=["POST"], summary="Export what is held of a user")
    made.add_api_route("/erase", on.erase, methods=["POST"], summary="Erase what is held of a user")
    made.add_api_route("/erasures", on.erasures, methods=["GET"], summary="List erasures")
    return made


class _On:
    def __init__(self, people: People) -> None:
        self._people = people

    async def export(self, body: About) -> ExportOut:
        """Everything, page by page: calls with content and spans, cached answers, kept responses."""
        page = await self._people.export(body.user, body.after)
        return ExportOut(data=page.rows, next=page.next)

    async def erase(self, body: About, by: By) -> ErasedOut:
        """Remove the person and all content; figures stay, so that totals stay right. Asking again does no harm.

        A long history takes several requests: go on with `after` until `next` is null.
        """
        return ErasedOut.model_validate(await self._people.erase(body.user, by, body.after))

    async def erasures(self) -> Listing[ErasureOut]:
        """The latest 500, the newest first. They hold a hash of the user, not the name."""
        return Listing(data=[ErasureOut.model_validate(one) for one in await self._people.erasures()])
