"""From the bytes of a batch to its spans: protobuf or JSON, packed or not. Nothing is judged yet."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from comporta.types import JSON

_WBITS_GZIP = 31
_IDS = ("traceId", "spanId", "parentSpanId")
#: A value nested deeper is cut: nothing that people look at is.
_DEEPEST = 20


class Unreadable(Exception):
    """A batch that is no batch; the message says why."""


class Raw(Struct, frozen=True):
    """A span as it was sent; ids in hexadecimal digits, times in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    attributes: JSON
    #: Name and attributes of what happened within.
    events: tuple[tuple[str, JSON], ...]
    resource: JSON
    scope: str


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """The body without its packing. Raises Unreadable for what is no gzip, ends early or is larger than that."""
    if encoding != "gzip":
        return body
    unpacking = zlib.decompressobj(_WBITS_GZIP)
    try:
        found = unpacking.decompress(body, most_bytes + 1)
    except zlib.error:
        raise Unreadable("the body is not gzip") from None
    if len(found) > most_bytes or unpacking.unconsumed_tail:
        raise Unreadable(f"unpacked, the body has more than {most_bytes} bytes")
    if not unpacking.eof:
        raise Unreadable("the packed body ends early")
    return found


def spans_of(body: bytes, content_type: str) -> list[Raw]:
    """All spans of a batch. Raises Unreadable for one that is none."""
    request = _from_json(body) if content_type == "application/json" else _from_protobuf(body)
    found: list[Raw] = []
    for group in request.resource_spans:
        resource = values_of(group.resource.attributes)
        for scope in group.scope_spans:
            found.extend(_raw(span, resource, scope.scope.name) for span in scope.spans)
    return found


def values_of(pairs: Iterable[KeyValue]) -> JSON:
    """Attributes by their names."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise Unreadable("the body is not an ExportTraceServiceRequest") from None
    return request


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    try:
        told = json.loads(body)
        _with_ids(told)
        request = ExportTraceServiceRequest()
        json_format.ParseDict(told, request, ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, json_format.ParseError) as error:
        raise Unreadable(f"the body is not OTLP's JSON ({type(error).__name__})") from None
    return request


def _with_ids(told: Any) -> None:
    """OTLP writes ids in hexadecimal, where protobuf's JSON has base64."""
    for group in told.get("resourceSpans", ()):
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                span.pop("links", None)
                for name in _IDS:
                    if span.get(name):
                        span[name] = base64.b64encode(binascii.unhexlify(span[name])).decode()


def _raw(span: Span, resource: JSON, scope: str) -> Raw:
    return Raw(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        message=span.status.message,
        attributes=values_of(span.attributes),
        events=tuple((event.name, values_of(event.attributes)) for event in span.events),
        resource=resource,
        scope=scope,
    )


def _value(value: AnyValue, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _DEEPEST:
        return None
    if kind == "array_value":
        return [_value(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: _value(one.value, depth + 1) for one in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        # JSON has no word for what is no number.
        return value.double_value if abs(value.double_value) < float("inf") else None
    return getattr(value, kind)
