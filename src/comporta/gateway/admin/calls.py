"""`/admin/calls`: the record of calls, page by page and one by one, and `/admin/summary`: their figures."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from comporta.gateway.admin.shapes import Id, In, Moment, Out
from comporta.store.database import Database
from comporta.telemetry.calls import MAX_LIMIT, CallRow, list_calls, one_call
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.summary import summarise


class UsageOut(Out):
    """Tokens in disjoint buckets: none is counted in two of them."""

    input: int
    cached: int
    cache_write: int
    audio_in: int
    image_in: int
    output: int
    reasoning: int
    audio_out: int
    estimated: bool = Field(description="Whether the provider gave no figures and ours stand in.")


class CallOut(Out):
    """A call without its content."""

    id: str
    parent_id: str | None
    trace_id: str
    request_id: str
    started_at: datetime
    duration_us: int
    first_us: int | None = Field(description="Until the first content.")
    door: str
    kind: str
    stream: bool
    asked: str = Field(description="The model or route as the client wrote it.")
    route: str | None
    variant: str | None
    provider: str | None
    model: str | None
    credential: str | None = Field(description="The name of the provider's key, never the key.")
    reply_id: str | None
    reply_model: str | None
    key_id: str
    key_name: str
    team: str | None
    environment: str | None
    feature: str | None
    tags: dict[str, str]
    user: str | None
    session: str | None
    usage: UsageOut | None
    cost_microusd: int | None = Field(description="Micro-dollars; null is unknown, not free.")
    cache: str
    retries: int
    dropped: list[str] = Field(description="Parameters the provider could not take.")
    outcome: str
    outcome_class: str
    status: int
    error_type: str | None
    error_message: str | None
    malformed_frames: int
    capture: str = Field(description="What is kept of prompt and reply: full, preview, hashed or off.")
    prompt_id: str | None = Field(description="The prompt of the registry that it asked with.")
    prompt_version: str | None
    prompt_label: str | None = Field(description="The label that led to the version; null where that was asked for.")
    deploy: dict[str, str] | None = Field(description="Tags of the deploy that had moved the label there.")
    notes: dict[str, Any] | None = Field(description="What stages decided and why, by the stage's name.")
    parent_span: str | None = Field(description="The client's own span, where it gave a W3C trace context.")


class CallsPage(Out):
    """Calls, the newest first."""

    data: list[CallOut]
    next: str | None = Field(description="Ask again with it as `after` for older ones; null at the end.")


class SpanOut(Out):
    """What one stage or attempt did; `start_us` counts from the start of the call."""

    name: str
    start_us: int
    duration_us: int
    depth: int
    error: str | None
    attributes: dict[str, Any] | None


class CallDetail(Out):
    """A call with its spans, and its content as far as it is kept."""

    call: CallOut
    spans: list[SpanOut]
    prompt: Any
    reply: Any
    variables: Any = Field(description="The prompt's values by name, as far as content is kept.")


_WINDOW: dict[str, Any] = {"pattern": "^[0-9]{1,5}(m|h|d)$"}
_GROUPS: dict[str, Any] = {"enum": [*COLUMNS, None]}
_Text = Annotated[str, Query(max_length=256)]


class Filters(In):
    """What narrows a list of calls."""

    route: _Text | None = None
    model: _Text | None = None
    provider: _Text | None = None
    outcome: _Text | None = Field(None, description="`ok`, or an error's code.")
    key: _Text | None = Field(None, description="A key's id.")
    team: _Text | None = None
    environment: _Text | None = None
    feature: _Text | None = None
    prompt: _Text | None = Field(None, description="A prompt's id.")
    prompt_version: _Text | None = None
    user: _Text | None = None
    session: _Text | None = None
    trace: _Text | None = None


class Search(Filters):
    """Filters, time and page."""

    since: Moment | None = Field(None, description="Not before it; UTC where no zone is given.")
    until: Moment | None = Field(None, description="Before it.")
    after: str | None = Field(None, max_length=500, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_LIMIT)


def router(database: Database) -> APIRouter:
    on = _On(database)
    made = APIRouter(prefix="/admin", tags=["calls"])
    made.add_api_route("/calls", on.list, methods=["GET"], summary="List calls")
    made.add_api_route("/calls/{id}", on.get, methods=["GET"], summary="Show a call with its spans")
    made.add_api_route("/summary", on.summary, methods=["GET"], summary="Show the figures of a window")
    return made


class _On:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, search: Annotated[Search, Query()]) -> CallsPage:
        """Calls, the newest first. A call shows up about a second after its end."""
        paging = ("since", "until", "after", "limit")
        filters = search.model_dump(exclude=set(paging), exclude_none=True)
        page = await list_calls(self._database, filters=filters, **{name: getattr(search, name) for name in paging})
        return CallsPage(data=[_call(row) for row in page.calls], next=page.next)

    async def get(self, id: Id) -> CallDetail:
        """One call: what each stage and attempt did and how long it took, and the content that is kept."""
        found = await one_call(self._database, id)
        spans = [SpanOut.model_validate(span) for span in found.spans]
        return CallDetail(
            call=_call(found.call), spans=spans, prompt=found.prompt, reply=found.reply, variables=found.variables
        )

    async def summary(
        self,
        window: Annotated[
            str, Query(max_length=8, description="1h, 24h, 7d, 30d …", json_schema_extra=_WINDOW)
        ] = "24h",
        group_by: Annotated[str | None, Query(max_length=20, json_schema_extra=_GROUPS)] = None,
    ) -> Response:
        """Requests, rates, times, tokens and cost over a window, as `/metrics/llm` shows them."""
        found = await summarise(self._database, window=window, group_by=group_by)
        return Response(msgspec.json.encode(found), media_type="application/json")


def _call(row: CallRow) -> CallOut:
    return CallOut.model_validate(row)
