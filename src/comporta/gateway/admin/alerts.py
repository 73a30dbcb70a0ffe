"""`/admin/alerts`: rules and how they stand, what happened, a look now, silence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from pydantic_core import PydanticCustomError

from comporta.alerts.alerts import MAX_LIMIT, Alerts
from comporta.config.values import parse_duration
from comporta.errors import BadRequest
from comporta.gateway.admin.shapes import By, In, Listing, Out

_Rule = Annotated[str, Path(min_length=1, max_length=100, description="The rule's name.")]
_State = Literal["ok", "warning", "alert", "no_data", "waiting"]


class SilenceOut(Out):
    """Until when nobody is told."""

    ends_at: datetime
    reason: str | None
    made_by: str
    made_at: datetime


class AlertOut(Out):
    """A rule and how it stands."""

    name: str
    metric: str
    threshold: str
    window_s: float
    filter: dict[str, str]
    channels: list[str] | None
    source: Literal["file", "default"]
    about: str | None
    state: _State = Field(description="`waiting` before the first look.")
    since: datetime | None
    value: float | None
    shown: str = Field(description="The value with its unit.")
    calls: int | None
    reason: str | None = Field(description="Why it can't be judged, or what was unusual.")
    looked_at: datetime | None
    silenced: SilenceOut | None


class DeliveryOut(Out):
    """How people were told on one channel."""

    channel: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    told: str | None


class EventOut(Out):
    """A change of a rule's state, or a reminder."""

    id: int
    rule: str
    at: datetime
    kind: str
    state_before: str
    state: str
    value: float | None
    calls: int | None
    reason: str | None
    silenced: bool
    notice_id: str | None
    deliveries: list[DeliveryOut]


class EventsPage(Out):
    """What happened, the newest first."""

    data: list[EventOut]
    next: int | None = Field(description="Ask again with it as `after` for older ones; null at the end.")


class TestedOut(Out):
    """What a look now would mean."""

    rule: str
    level: _State
    value: float | None
    shown: str
    calls: int
    threshold: str
    sentence: str
    reason: str | None
    facts: dict[str, Any]
    notice_id: str | None
    deliveries: list[DeliveryOut]


class Look(In):
    """How to test."""

    send: bool = Field(True, description="Whether a test goes over the rule's channels.")


class NewSilence(In):
    """How long, and why."""

    for_: str = Field(alias="for", max_length=50, description="30m, 2h, 1d …", examples=["2h"])
    reason: str | None = Field(None, max_length=1000)


class Ended(Out):
    """Whether there was a silence to end."""

    ended: bool


class Search(In):
    """What narrows the history."""

    rule: str | None = Field(None, max_length=100)
    after: int | None = Field(None, ge=0, le=2**62, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_LIMIT)


def router(alerts: Alerts) -> APIRouter:
    on = _On(alerts)
    made = APIRouter(prefix="/admin/alerts", tags=["alerts"])
    made.add_api_route("", on.list, methods=["GET"], summary="List alert rules")
    made.add_api_route("/history", on.history, methods=["GET"], summary="Show what happened")
    made.add_api_route("/{rule}/test", on.test, methods=["POST"], summary="Look now, and send a test")
    made.add_api_route("/{rule}/silence", on.silence, methods=["POST"], summary="Silence a rule")
    made.add_api_route("/{rule}/silence", on.unsilence, methods=["DELETE"], summary="End a silence")
    return made


class _On:
    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def list(self) -> Listing[AlertOut]:
        """Every rule, those that are on first."""
        return Listing(data=[AlertOut.model_validate(one) for one in await self._alerts.list()])

    async def history(self, search: Annotated[Search, Query()]) -> EventsPage:
        """Changes and reminders, with how people were told."""
        page = await self._alerts.history(search.rule, after=search.after, limit=search.limit)
        return EventsPage(data=[EventOut.model_validate(one) for one in page.events], next=page.next)

    async def test(self, rule: _Rule, body: Look) -> TestedOut:
        """Looks at the figure now and changes nothing; a test notice goes where the rule's would."""
        return TestedOut.model_validate(await self._alerts.test(rule, send=body.send))

    async def silence(self, rule: _Rule, body: NewSilence, by: By) -> SilenceOut:
        """Tells nobody for so long; what lasts longer than that is told then."""
        for_s = _seconds(body.for_)
        return SilenceOut.model_validate(await self._alerts.silence(rule, for_s, by=by, reason=body.reason))

    async def unsilence(self, rule: _Rule) -> Ended:
        return Ended(ended=await self._alerts.unsilence(rule))


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except PydanticCustomError as error:
        raise BadRequest(f"for {error.message()}.", param="for") from None
