"""Tells calls and scores elsewhere, at least once: what could not be sent stays in the queue for the next round."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Struct
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from comporta.errors import Unavailable
from comporta.store.database import Database
from comporta.telemetry.otlp import outbox
from comporta.telemetry.otlp.metrics_out import Figures
from comporta.telemetry.otlp.scores_out import Judged, resource_logs
from comporta.telemetry.otlp.spans_out import Exported, How, resource_spans

log = structlog.get_logger("comporta.otlp")

BATCH = 512
_SCORES = 512
#: Answers after which the same batch is sent again (OTLP's own list); any other refusal would come every time.
RETRYABLE = frozenset({429, 502, 503, 504})
_PAUSES_S = (1.0, 60.0)
_CUT_EVERY_S = 60.0

TRACES, METRICS, LOGS = "traces", "metrics", "logs"
_ANSWERS: Mapping[str, Any] = {
    TRACES: (ExportTraceServiceResponse, "rejected_spans"),
    METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
    LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
}


class Sent(Struct, frozen=True):
    """What a backend answered; `body` is protobuf."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


#: Sends one request's protobuf for a signal. Raises Unsent where nothing was answered.
Send = Callable[[str, bytes], Awaitable[Sent]]


class Unsent(Exception):
    """The backend could not be asked, or asked for a pause (`retry_after_s`)."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 (protobuf's name)


class What(Struct, frozen=True):
    """What is sent, beside the spans of calls."""

    how: How = How()
    metrics: bool = True
    scores: bool = True


def _uncounted(name: str, more: float) -> None:
    return


class Exporter:
    """One round is `once`; `run` goes on until cancelled. `count` hears of calls under their names in `/metrics`."""

    def __init__(
        self, database: Database, send: Send, what: What, count: Callable[[str, float], None] = _uncounted
    ) -> None:
        self._database = database
        self._send = send
        self._what = what
        self._figures = Figures(what.how.names, time.time_ns())
        self._figures_told = True
        self._cut_at_s = 0.0
        self._away = False
        self._count = count

    async def run(self, every_s: float) -> None:
        """Send what is new every so often; with growing pauses while the backend or the database is away."""
        pause_s = _PAUSES_S[0]
        while True:
            try:
                more = await self.once()
            except Exception as error:
                # Whatever it is, what waits stands in the queue: this task must not end.
                pause_s = self._wait_s(error, pause_s)
                await asyncio.sleep(pause_s)
                continue
            if self._away:
                log.info("otlp.flows_again")
            self._away, pause_s = False, _PAUSES_S[0]
            if not more:
                await asyncio.sleep(every_s)

    async def once(self) -> bool:
        """Send what waits, up to a batch of each; whether there may be more. Raises Unsent and Unavailable."""
        await self._cut()
        async with outbox.taken(self._database, BATCH, self._what.how.stages) as calls:
            if calls:
                await self._calls(calls)
        if self._what.metrics:
            await self._metrics()
        scores = await self._scores() if self._what.scores else 0
        return len(calls) >= BATCH or scores >= _SCORES

    async def _calls(self, calls: Sequence[Exported]) -> None:
        request = await asyncio.to_thread(_spans_of, calls, self._what.how)
        refused = await self._ask(TRACES, request, len(calls))
        self._count("otlp_calls_exported", len(calls) - refused)
        self._count("otlp_calls_refused", refused)
        if self._what.metrics:
            self._figures.add(one.call for one in calls)
            self._figures_told = False

    async def _metrics(self) -> None:
        if self._figures_told:
            return
        told = self._figures.told(self._what.how, time.time_ns())
        await self._ask(METRICS, ExportMetricsServiceRequest(resource_metrics=[told]), 0)
        self._figures_told = True

    async def _scores(self) -> int:
        async with outbox.judged(self._database, _SCORES) as scores:
            if scores:
                await self._ask(LOGS, _logs_of(scores, self._what.how), len(scores))
        return len(scores)

    async def _ask(self, signal: str, request: _Message, count: int) -> int:
        """How many were refused. Raises Unsent where the same is to be sent again."""
        sent = await self._send(signal, request.SerializeToString())
        if sent.status in RETRYABLE:
            raise Unsent(f"it answered {sent.status}", sent.retry_after_s)
        if sent.status >= 300:
            log.warning("otlp.refused", signal=signal, status=sent.status, count=count, hint=_HINTS.get(sent.status))
            return count
        return _rejected(signal, sent.body)

    async def _cut(self) -> None:
        if time.monotonic() >= self._cut_at_s:
            self._cut_at_s = time.monotonic() + _CUT_EVERY_S
            gone = await outbox.cut(self._database)
            if gone:
                self._count("otlp_calls_dropped", gone)
                log.warning("otlp.dropped", calls=gone, hint="The backend has been away or too slow for too long.")

    def _wait_s(self, error: Exception, pause_s: float) -> float:
        if not self._away:
            expected = isinstance(error, Unsent | Unavailable)
            reason = error.reason if isinstance(error, Unsent) else type(error).__name__
            log.warning("otlp.waits", reason=reason, exc_info=None if expected else error)
        self._away = True
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        return max(min(pause_s * 2, _PAUSES_S[1]), min(asked_s, 600.0))


_HINTS = {
    401: "Check otlp.export.headers: the backend wants another key.",
    403: "Check otlp.export.headers: the backend wants another key.",
    404: "Check otlp.export.endpoint: it is the base address, without /v1/traces.",
    415: "The backend takes no protobuf over HTTP.",
}


def packed(body: bytes) -> bytes:
    """As it goes over the wire."""
    return gzip.compress(body, compresslevel=4)


def _spans_of(calls: Sequence[Exported], how: How) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(resource_spans=[resource_spans(calls, how)])


def _logs_of(scores: Sequence[Judged], how: How) -> ExportLogsServiceRequest:
    return ExportLogsServiceRequest(resource_logs=[resource_logs(scores, how)])


def _rejected(signal: str, body: bytes) -> int:
    kind, field = _ANSWERS[signal]
    answer = kind()
    # Some backends answer with JSON or a word: taken as taken.
    with contextlib.suppress(Exception):
        answer.ParseFromString(body)
    rejected = int(getattr(answer.partial_success, field))
    if rejected:
        log.warning("otlp.partly_refused", signal=signal, count=rejected, said=answer.partial_success.error_message)
    return rejected
