"""Tells calls and scores elsewhere, at least once: what could not be sent stays in the queue for the next round."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct, structs
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
#: What one request may hold: receivers over gRPC take 4 MiB unless somebody told them otherwise.
MOST_BYTES = 3 << 20
#: Answers after which the same batch is sent again (OTLP's own list); any other refusal would come every time.
RETRYABLE = frozenset({429, 502, 503, 504})
TOO_LARGE = 413
#: A wrong key or address: the operator's mistake, until whose end spans stay in the queue. (OTLP would drop them.)
MISTAKEN = frozenset({401, 403, 404})
_PAUSES_S = (1.0, 60.0)
_CUT_EVERY_S = 60.0
#: Figures that don't change are told again so often, since backends forget what nobody tells.
_RETELL_S = 60.0
#: How often a refusal that comes every time is logged.
_REMIND_S = 3600.0

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

    def __init__(self, reason: str, retry_after_s: float | None = None, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.hint = hint


class What(Struct, frozen=True):
    """What is sent, beside the spans of calls."""

    how: How = How()
    metrics: bool = True
    scores: bool = True


def _uncounted(name: str, more: float) -> None:
    return


class Exporter:
    """`run` goes on until cancelled. `count` hears of calls under their names in `/metrics`."""

    def __init__(
        self, database: Database, send: Send, what: What, count: Callable[[str, float], None] = _uncounted
    ) -> None:
        self._database = database
        self._send = send
        self._what = what
        self._figures = Figures(what.how.names, time.time_ns(), what.how.servers)
        self._figures_told = True
        self._retell_at_s = 0.0
        self._cut_at_s = 0.0
        self._complained_at_s: dict[tuple[str, int], float] = {}
        self._count = count

    async def run(self, every_s: float) -> None:
        """Send what is new every so often, each signal by itself: a backend that takes no metrics delays no span."""
        flows = {TRACES: self.calls}
        if self._what.metrics:
            flows[METRICS] = self.metrics
        if self._what.scores:
            flows[LOGS] = self.scores
        async with asyncio.TaskGroup() as tasks:
            for signal, step in flows.items():
                tasks.create_task(_flow(signal, step, every_s))

    async def calls(self) -> bool:
        """Send the oldest calls that wait, up to a batch; whether there may be more. Raises Unsent, Unavailable."""
        await self._cut()
        async with outbox.taken(self._database, BATCH, self._what.how.stages) as calls:
            if calls:
                refused = await self._spans(calls, self._what.how)
                self._count("otlp_calls_exported", len(calls) - refused)
                self._count("otlp_calls_refused", refused)
        if calls and self._what.metrics:
            self._figures.add(one.call for one in calls)
            self._figures_told = False
        return len(calls) >= BATCH

    async def metrics(self) -> bool:
        """Send the histograms, where there are new calls in them or nobody was told for a while. Raises Unsent."""
        if self._figures.empty or (self._figures_told and time.monotonic() < self._retell_at_s):
            return False
        self._figures_told = True
        try:
            told = self._figures.told(self._what.how, time.time_ns())
            body = ExportMetricsServiceRequest(resource_metrics=[told]).SerializeToString()
            self._refused(METRICS, await self._ask(METRICS, body), 0)
        except BaseException:
            self._figures_told = False
            raise
        self._retell_at_s = time.monotonic() + _RETELL_S
        return False

    async def scores(self) -> bool:
        """Send the next scores; whether there may be more. Raises Unsent, Unavailable."""
        async with outbox.judged(self._database, _SCORES) as scores:
            if scores:
                body = _logs_of(scores, self._what.how).SerializeToString()
                self._refused(LOGS, await self._ask(LOGS, body), len(scores))
        return len(scores) >= _SCORES

    async def _spans(self, calls: Sequence[Exported], how: How) -> int:
        """Send calls, in as many requests as it takes; how many of them were refused."""
        body = await asyncio.to_thread(_spans_of, calls, how)
        if len(body) > MOST_BYTES and (len(calls) > 1 or how.content):
            return await self._smaller(calls, how)
        sent = await self._ask(TRACES, body)
        if sent.status == TOO_LARGE and (len(calls) > 1 or how.content):
            return await self._smaller(calls, how)
        return self._refused(TRACES, sent, len(calls))

    async def _smaller(self, calls: Sequence[Exported], how: How) -> int:
        """The same in two halves; one call that is too large alone goes without what was said in it."""
        if len(calls) == 1:
            return await self._spans(calls, structs.replace(how, content=False))
        half = len(calls) // 2
        return await self._spans(calls[:half], how) + await self._spans(calls[half:], how)

    async def _ask(self, signal: str, body: bytes) -> Sent:
        """Raises Unsent where the same is to be sent again."""
        sent = await self._send(signal, body)
        if sent.status in RETRYABLE or (signal == TRACES and sent.status in MISTAKEN):
            raise Unsent(f"it answered {sent.status}", sent.retry_after_s, hint_of(signal, sent.status))
        return sent

    def _refused(self, signal: str, sent: Sent, count: int) -> int:
        """How many of `count` were."""
        if sent.status < 300:
            return _rejected(signal, sent.body)
        now_s = time.monotonic()
        if now_s >= self._complained_at_s.get((signal, sent.status), -math.inf) + _REMIND_S:
            self._complained_at_s[signal, sent.status] = now_s
            log.warning(
                "otlp.refused", signal=signal, status=sent.status, count=count, hint=hint_of(signal, sent.status)
            )
        return count

    async def _cut(self) -> None:
        if time.monotonic() >= self._cut_at_s:
            self._cut_at_s = time.monotonic() + _CUT_EVERY_S
            gone = await outbox.cut(self._database)
            if gone:
                self._count("otlp_calls_dropped", gone)
                log.warning("otlp.dropped", calls=gone, hint="The backend has been away or too slow for too long.")


async def _flow(signal: str, step: Callable[[], Awaitable[bool]], every_s: float) -> None:
    """Take one step after another, with growing pauses while the backend or the database is away."""
    pause_s, away = _PAUSES_S[0], False
    while True:
        try:
            more = await step()
        except Exception as error:
            # Whatever it is, what waits stands in the queue: this task must not end.
            if not away:
                _tell_waiting(signal, error)
            away, pause_s = True, min(pause_s * 2, _PAUSES_S[1])
            asked_s = getattr(error, "retry_after_s", None) or 0.0
            await asyncio.sleep(max(pause_s, min(asked_s, 600.0)))
            continue
        if away:
            log.info("otlp.flows_again", signal=signal)
        away, pause_s = False, _PAUSES_S[0]
        if not more:
            await asyncio.sleep(every_s)


def _tell_waiting(signal: str, error: Exception) -> None:
    expected = isinstance(error, Unsent | Unavailable)
    reason = error.reason if isinstance(error, Unsent) else type(error).__name__
    hint = getattr(error, "hint", None)
    log.warning("otlp.waits", signal=signal, reason=reason, hint=hint, exc_info=None if expected else error)


_HINTS = {
    401: "Check otlp.export.headers: the backend wants another key.",
    403: "Check otlp.export.headers: the backend wants another key.",
    404: "Check otlp.export.endpoint: it is the base address, without /v1/traces.",
    413: "The backend takes no request of this size, however few calls are in it.",
    415: "The backend takes no protobuf over HTTP.",
}
_NOT_TAKEN = frozenset({404, 405, 501})
#: What turns off a signal that not every backend takes.
_SWITCHES = {METRICS: "otlp.export.metrics: false", LOGS: "otlp.export.scores: false"}


def hint_of(signal: str, status: int) -> str | None:
    """What to do about a refusal that comes every time."""
    if signal in _SWITCHES and status in _NOT_TAKEN:
        return f"The backend seems to take no {signal}: turn them off with {_SWITCHES[signal]}."
    return _HINTS.get(status)


def packed(body: bytes) -> bytes:
    """As it goes over the wire."""
    return gzip.compress(body, compresslevel=4)


def _spans_of(calls: Sequence[Exported], how: How) -> bytes:
    request = ExportTraceServiceRequest(resource_spans=[resource_spans(calls, how)])
    return bytes(request.SerializeToString())


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
