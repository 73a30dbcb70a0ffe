"""Scores as `gen_ai.evaluation.result` events: log records that hang at the span of the call that was judged."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from msgspec import Struct
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber

from comporta import __version__
from comporta.telemetry.otlp import names as n
from comporta.telemetry.otlp.context import span_id_of, trace_id_of
from comporta.telemetry.otlp.spans_out import SCOPE, How, attributes, resource_of


class Judged(Struct, frozen=True):
    """One score, as far as it is told of."""

    at: datetime.datetime
    name: str
    kind: str
    number: float | None
    label: str | None
    source: str
    reason: str | None
    trace_id: str | None
    call_id: str | None
    reply_id: str | None


def resource_logs(scores: Iterable[Judged], how: How) -> ResourceLogs:
    """All of these, under the gate's resource."""
    scope = InstrumentationScope(name=SCOPE, version=__version__)
    records = [_event(score, how) for score in scores]
    return ResourceLogs(
        resource=resource_of(how),
        scope_logs=[ScopeLogs(scope=scope, log_records=records, schema_url=how.names.schema)],
    )


def _event(score: Judged, how: How) -> LogRecord:
    at_ns = round(score.at.timestamp() * 1_000_000) * 1000
    truth = {1.0: "true", 0.0: "false"}.get(score.number or 0.0) if score.kind == "boolean" else None
    return LogRecord(
        time_unix_nano=at_ns,
        observed_time_unix_nano=at_ns,
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        event_name=n.EVALUATION,
        body=AnyValue(string_value=f"{score.name}: {score.label or truth or score.number}"),
        trace_id=bytes.fromhex(trace_id_of(score.trace_id)) if score.trace_id else b"",
        span_id=bytes.fromhex(span_id_of(score.call_id)) if score.call_id else b"",
        attributes=attributes(
            {
                n.EVALUATION_NAME: score.name,
                n.EVALUATION_VALUE: score.number,
                n.EVALUATION_LABEL: score.label or truth,
                # A reason may quote what a user wrote.
                n.EVALUATION_WHY: score.reason if how.content else None,
                n.RESPONSE_ID: score.reply_id,
                "comporta.score.source": score.source,
            }
        ),
    )
