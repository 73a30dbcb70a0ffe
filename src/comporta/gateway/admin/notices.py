"""`/admin/notices` and `/admin/channels`: what people were told, by which ways, and how that went."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from comporta.gateway.admin.shapes import In, Listing, Out
from comporta.notify.notice import MAX_ID_CHARS
from comporta.notify.notifier import MAX_LIMIT, Notifier

_Notice = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARS, description="The notice's id.")]
_Channel = Annotated[str, Path(min_length=1, max_length=100, description="The channel's name.")]


class DeliveryOut(Out):
    """How far a notice came on one channel."""

    channel: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    told: str | None = Field(description="How it was taken, or why the last attempt failed.")
    next_at: datetime | None = Field(description="When it is tried again.")
    ended_at: datetime | None


class NoticeOut(Out):
    """Something that people were told."""

    id: str
    kind: str
    severity: Literal["info", "warning", "critical"]
    title: str
    text: str
    link: str | None
    facts: dict[str, Any]
    at: datetime
    deliveries: list[DeliveryOut]


class NoticesPage(Out):
    """Notices, the newest first."""

    data: list[NoticeOut]
    next: str | None = Field(description="Ask again with it as `after` for older ones; null at the end.")


class ChannelOut(Out):
    """A way to tell people; its address is shown without what may be secret in it."""

    name: str
    type: Literal["webhook", "slack", "email"]
    place: str
    at_least: Literal["info", "warning", "critical"]
    default: bool = Field(description="Whether it gets notices that name no channel.")
    signed: bool


class Search(In):
    """What narrows a list of notices."""

    kind: Annotated[str, Query(max_length=200)] | None = None
    state: Literal["waiting", "delivered", "failed"] | None = Field(None, description="Of at least one delivery.")
    after: str | None = Field(None, max_length=1000, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_LIMIT)


def router(notifier: Notifier) -> APIRouter:
    on = _On(notifier)
    made = APIRouter(prefix="/admin", tags=["notices"])
    made.add_api_route("/notices", on.list, methods=["GET"], summary="List notices")
    made.add_api_route("/notices/{id}", on.get, methods=["GET"], summary="Show a notice")
    made.add_api_route("/notices/{id}/retry", on.retry, methods=["POST"], summary="Deliver again what failed")
    made.add_api_route("/channels", on.channels, methods=["GET"], summary="List channels")
    made.add_api_route("/channels/{name}/test", on.test, methods=["POST"], summary="Send a test")
    return made


class _On:
    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    async def list(self, search: Annotated[Search, Query()]) -> NoticesPage:
        """What happened by itself and was told, with every delivery; the newest first."""
        page = await self._notifier.list(kind=search.kind, state=search.state, after=search.after, limit=search.limit)
        return NoticesPage(data=[NoticeOut.model_validate(one) for one in page.notices], next=page.next)

    async def get(self, id: _Notice) -> NoticeOut:
        return NoticeOut.model_validate(await self._notifier.one(id))

    async def retry(self, id: _Notice) -> NoticeOut:
        """Begins deliveries that were given up anew; those that were taken are left alone."""
        return NoticeOut.model_validate(await self._notifier.retry(id))

    async def channels(self) -> Listing[ChannelOut]:
        """The channels of the configuration."""
        return Listing(data=[ChannelOut.model_validate(one) for one in self._notifier.channels()])

    async def test(self, name: _Channel) -> DeliveryOut:
        """Sends a test over one channel now, once, and tells how it went."""
        return DeliveryOut.model_validate(await self._notifier.test(name))
