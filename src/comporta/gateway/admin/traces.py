"""`/admin/traces`: all that is known of one trace: the gate's calls, and spans that applications sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from comporta.errors import NotFound
from comporta.gateway.admin.calls import CallOut
from comporta.gateway.admin.shapes import Out
from comporta.store.database import Database
from comporta.telemetry.traces import read_trace

_Trace = Annotated[str, Path(min_length=1, max_length=256)]


class TraceSpanOut(Out):
    """A span that an application sent."""

    started_at: datetime
    span_id: str
    parent_span_id: str | None
    call_id: str | None = Field(description="The call that it stands for, among `calls`.")
    name: str
    kind: str = Field(
        description="chat, embed, tool, agent, chain, retriever, reranker, guardrail, evaluator or other."
    )
    duration_us: int
    error: str | None
    application: str | None
    attributes: dict[str, Any]


class TraceOut(Out):
    """A trace, in the order in which it began."""

    calls: list[CallOut]
    spans: list[TraceSpanOut]
    cut: bool = Field(description="Whether there is more than is shown.")


def router(database: Database) -> APIRouter:
    made = APIRouter(prefix="/admin/traces", tags=["calls"])

    async def show(trace_id: _Trace) -> TraceOut:
        """The calls of a trace and what else its application told: agents, tools, steps."""
        trace = await read_trace(database, trace_id)
        if not trace.calls and not trace.others:
            raise NotFound(f"There is no trace {trace_id}: nothing of it was recorded, or it is past retention.")
        return TraceOut(
            calls=[CallOut.model_validate(row) for row in trace.calls],
            spans=[TraceSpanOut.model_validate(span) for span in trace.others],
            cut=trace.cut,
        )

    made.add_api_route("/{trace_id}", show, methods=["GET"], summary="Show a trace")
    return made
