"""From the bytes of a batch to its spans: what is wrong with one takes no other along."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from comporta.app.otlp_taking import read
from comporta.telemetry.capture import Capture
from comporta.telemetry.otlp import normal
from comporta.telemetry.otlp.inbox import Envelope
from comporta.telemetry.otlp.normal import Reading
from comporta.telemetry.otlp.parsing import Unreadable, spans_of, unpacked
from comporta.telemetry.scrubbing import Scrubber
from comporta.types import Caller

JSON, PROTOBUF = "application/json", "application/x-protobuf"
READING = Reading(Capture(Scrubber(), "full"), "full", lambda provider, model, usage: None)


def told(number: int, **changes: Any) -> dict[str, Any]:
    """A span as OTLP's JSON has it."""
    now_ns = str(time.time_ns())
    ids = {"traceId": "ab" * 16, "spanId": f"{number:016x}"}
    return {**ids, "name": f"span {number}", "startTimeUnixNano": now_ns, "endTimeUnixNano": now_ns, **changes}


def batch(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def test_one_wrong_span_of_a_json_batch_is_counted_and_the_others_are_taken() -> None:
    wrong = [told(2, traceId="zz"), told(3, startTimeUnixNano="noon"), 5, None, told(4, attributes="none")]
    spans, refused = spans_of(batch(told(1), *wrong, told(5, kind="SPAN_KIND_CLIENT")), JSON)
    assert [span.name for span in spans] == ["span 1", "span 5"]
    assert refused == len(wrong)


def test_a_character_that_tables_cannot_hold_is_left_out_wherever_it_stands() -> None:
    pair = KeyValue(key="a\0b", value=AnyValue(string_value="c\0d"))
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="e\0f", attributes=[pair])
    body = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    ((found,), refused) = spans_of(body.SerializeToString(), PROTOBUF)
    assert (found.name, found.attributes, refused) == ("ef", {"ab": "cd"}, 0)


def test_a_span_that_nobody_foresaw_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = normal.foreign_of

    def breaks(raw: Any, *more: Any) -> Any:
        if raw.name == "span 2":
            raise AttributeError("who would have thought")
        return whole(raw, *more)

    monkeypatch.setattr("comporta.app.otlp_taking.foreign_of", breaks)
    body = batch(told(1), told(2), told(3, spanId=""), told(4))
    spans, refused = read(Envelope(Caller("k", "app"), JSON, "identity", body), READING, 10**6)
    assert ([span.name for span in spans], refused) == (["span 1", "span 4"], 2)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"resourceSpans": 7}', b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}'],
)
def test_what_is_no_batch_is_unreadable_or_empty_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        assert spans_of(body, JSON)[0] == []


def test_deep_json_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        spans_of(b'{"a":' * 100_000, JSON)


def test_a_small_body_that_unfolds_beyond_bounds_is_refused() -> None:
    with pytest.raises(Unreadable, match="more than 1000 bytes"):
        unpacked(gzip.compress(b"0" * 1_000_000), "gzip", 1000)
    with pytest.raises(Unreadable, match="ends early"):
        unpacked(gzip.compress(b"0123456789" * 50)[:-10], "gzip", 1000)
    assert unpacked(gzip.compress(b"abc"), "gzip", 1000) == b"abc"
