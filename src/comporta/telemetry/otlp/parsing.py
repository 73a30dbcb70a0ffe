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
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from comporta.types import JSON

_WBITS_GZIP = 31
_IDS = ("traceId", "spanId", "parentSpanId")
#: A value nested deeper is cut: nothing that people look at is.
_DEEPEST = 20
#: What reading a message from JSON that is none of its kind raises.
_MISREAD = (ValueError, TypeError, AttributeError, KeyError, RecursionError, json_format.ParseError)


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


def spans_of(body: bytes, content_type: str) -> tuple[list[Raw], int]:
    """All spans of a batch, and how many of them are none. Raises Unreadable for a batch that is none."""
    if content_type == "application/json":
        return _from_json(body)
    found: list[Raw] = []
    for group in _from_protobuf(body).resource_spans:
        resource = values_of(group.resource.attributes)
        for scope in group.scope_spans:
            found.extend(_raw(span, resource, scope.scope.name) for span in scope.spans)
    return found, 0


def values_of(pairs: Iterable[KeyValue]) -> JSON:
    """Attributes by their names."""
    return {_text(pair.key): _value(pair.value) for pair in pairs}


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise Unreadable("the body is not an ExportTraceServiceRequest") from None
    return request


def _from_json(body: bytes) -> tuple[list[Raw], int]:
    """Span by span: one that is wrong takes none of the others with it."""
    found: list[Raw] = []
    wrong = 0
    try:
        for group in json.loads(body).get("resourceSpans", ()):
            resource = values_of(_message(Resource(), group.get("resource", {})).attributes)
            for scope in group.get("scopeSpans", ()):
                name = _message(InstrumentationScope(), scope.get("scope", {})).name
                told = [_span(one) for one in scope.get("spans", ())]
                found.extend(_raw(span, resource, name) for span in told if span is not None)
                wrong += told.count(None)
    except _MISREAD as error:
        raise Unreadable(f"the body is not OTLP's JSON ({type(error).__name__})") from None
    return found, wrong


def _span(told: Any) -> Span | None:
    """None for what is no span. OTLP writes ids in hexadecimal, where protobuf's JSON has base64."""
    try:
        ids = {name: base64.b64encode(binascii.unhexlify(told[name])).decode() for name in _IDS if told.get(name)}
        span: Span = _message(Span(), {**told, "links": [], **ids})
    except _MISREAD:
        return None
    return span


def _message(made: Any, told: Any) -> Any:
    return json_format.ParseDict(told, made, ignore_unknown_fields=True)


def _raw(span: Span, resource: JSON, scope: str) -> Raw:
    return Raw(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=_text(span.name),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        message=_text(span.status.message),
        attributes=values_of(span.attributes),
        events=tuple((_text(event.name), values_of(event.attributes)) for event in span.events),
        resource=resource,
        scope=_text(scope),
    )


def _text(told: str) -> str:
    """As PostgreSQL can hold it."""
    return told.replace("\0", "")


def _value(value: AnyValue, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _DEEPEST:
        return None
    if kind == "array_value":
        return [_value(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {_text(one.key): _value(one.value, depth + 1) for one in value.kvlist_value.values}
    if kind == "string_value":
        return _text(value.string_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        # JSON has no word for what is no number.
        return value.double_value if abs(value.double_value) < float("inf") else None
    return getattr(value, kind)
