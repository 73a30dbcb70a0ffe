"""Calls as OpenTelemetry's spans, in the words of the GenAI conventions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from comporta import __version__
from comporta.telemetry.calls import CallRow, SpanRow
from comporta.telemetry.capture import ASKED
from comporta.telemetry.otlp import names as n
from comporta.telemetry.otlp.context import span_id_of, trace_id_of
from comporta.telemetry.otlp.messages import (
    answered_of,
    asked_of,
    finish_reason,
    finish_reasons,
    system_of,
    tools_of,
)
from comporta.telemetry.record import is_hit
from comporta.types import Usage

SCOPE = "comporta"
#: What an attribute's whole number can hold; a larger one, of a seed for one, is told as text.
_INT64 = 2**63
_encode = msgspec.json.Encoder().encode


Servers = Mapping[str, tuple[str, int]]


class Exported(Struct, frozen=True):
    """A call with all that is kept of it."""

    call: CallRow
    spans: Sequence[SpanRow] = ()
    prompt: Any = None
    reply: Any = None


class How(Struct, frozen=True):
    """What is told of calls: by which names, with their content, with the stages inside the gate."""

    names: n.Names = n.V1_41
    content: bool = True
    stages: bool = False
    resource: Mapping[str, str] = {}
    #: Host and port of each provider, by the name that calls have for it.
    servers: Servers = {}


def resource_spans(calls: Iterable[Exported], how: How) -> ResourceSpans:
    """All of these calls' spans, under the gate's resource."""
    spans = [span for call in calls for span in _spans(call, how)]
    scope = InstrumentationScope(name=SCOPE, version=__version__)
    return ResourceSpans(
        resource=resource_of(how),
        scope_spans=[ScopeSpans(scope=scope, spans=spans, schema_url=how.names.schema)],
    )


def resource_of(how: How) -> Resource:
    """Who tells."""
    return Resource(attributes=attributes(how.resource))


def attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes without those that are None."""
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items() if value is not None]


def operation_of(call: CallRow) -> str:
    """The operation's name; what is neither a chat nor an embedding is called by its kind."""
    return n.OPERATIONS.get(call.kind, call.kind)


def provider_of(call: CallRow) -> str | None:
    """The provider by its well-known name."""
    return None if call.provider is None else n.PROVIDERS.get(call.provider, call.provider)


def server_of(call: CallRow, servers: Servers) -> dict[str, str | int]:
    """Where the provider is; nothing of a call that none was asked for, or of a model inside the gate."""
    if call.provider is None or call.provider not in servers or is_hit(call.cache):
        return {}
    return dict(zip((n.SERVER, n.SERVER_PORT), servers[call.provider], strict=True))


def error_of(call: CallRow) -> str | None:
    """The code that a call failed with."""
    return None if call.outcome == "ok" else call.outcome


def prompt_tokens(usage: Usage | None) -> int | None:
    """All tokens that went in; None where nobody knows."""
    return None if usage is None else usage.prompt


def started_ns(call: CallRow) -> int:
    """Since 1970."""
    return round(call.started_at.timestamp() * 1_000_000) * 1000


def _spans(one: Exported, how: How) -> list[Span]:
    call = one.call
    start_ns = started_ns(call)
    whole = Span(
        trace_id=bytes.fromhex(trace_id_of(call.trace_id)),
        span_id=bytes.fromhex(span_id_of(call.id)),
        parent_span_id=_parent(call),
        name=f"{operation_of(call)} {call.model or call.asked}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + call.duration_us * 1000,
        attributes=attributes(_told(one, how)),
        status=_status(call),
    )
    return [whole, *(_stages(one, start_ns) if how.stages else ())]


def _parent(call: CallRow) -> bytes:
    if call.parent_id is not None:
        return bytes.fromhex(span_id_of(call.parent_id))
    return bytes.fromhex(call.parent_span) if call.parent_span else b""


def _status(call: CallRow) -> Status:
    if call.outcome == "ok":
        return Status()
    return Status(code=Status.STATUS_CODE_ERROR, message=call.error_message or call.outcome)


def _told(one: Exported, how: How) -> dict[str, Any]:
    call = one.call
    told: dict[str, Any] = {
        n.OPERATION: operation_of(call),
        n.PROVIDER: provider_of(call),
        n.REQUEST_MODEL: call.model or call.asked,
        n.RESPONSE_MODEL: call.reply_model,
        n.RESPONSE_ID: call.reply_id,
        n.STREAM: True if call.stream else None,
        n.FIRST_CHUNK_S: call.first_us / 1e6 if call.stream and call.first_us is not None else None,
        n.CONVERSATION: call.session,
        n.PROMPT_NAME: call.prompt_id,
        n.USER: call.user,
        n.ERROR_TYPE: error_of(call),
        **server_of(call, how.servers),
        **_of_usage(call.usage, how.names),
        **_of_ours(call),
    }
    if how.names.prompt_version is not None:
        told[how.names.prompt_version] = call.prompt_version
    if isinstance(one.prompt, dict) and call.capture == "full":
        told |= _of_request(one.prompt, how.names)
        told[n.FINISH_REASONS] = finish_reasons(one.reply) or None
        if how.content:
            told |= _of_content(one)
        return told
    asked = (call.notes or {}).get(ASKED, {})
    told[n.FINISH_REASONS] = [finish_reason(word) for word in asked.get("finish", ())] or None
    return told | _of_request(asked, how.names)


def _of_usage(usage: Usage | None, names: n.Names) -> dict[str, Any]:
    if usage is None:
        return {}
    told: dict[str, Any] = {
        n.INPUT_TOKENS: usage.prompt,
        n.OUTPUT_TOKENS: usage.completion,
        n.CACHE_READ_TOKENS: usage.cached or None,
        names.cache_write_tokens: usage.cache_write or None,
        n.REASONING_TOKENS: usage.reasoning or None,
    }
    for name, tokens in (
        (names.audio_in_tokens, usage.audio_in),
        (names.image_in_tokens, usage.image_in),
        (names.audio_out_tokens, usage.audio_out),
    ):
        if name is not None and tokens:
            told[name] = tokens
    return told


def _of_ours(call: CallRow) -> dict[str, Any]:
    """What the conventions have no word for."""
    return {
        "comporta.call": call.id,
        "comporta.route": call.route,
        "comporta.variant": call.variant,
        "comporta.cost_usd": None if call.cost_microusd is None else call.cost_microusd / 1e6,
        "comporta.cache": call.cache,
        "comporta.retries": call.retries,
        "comporta.key": call.key_name or None,
        "comporta.team": call.team,
        "comporta.environment": call.environment,
        "comporta.feature": call.feature,
        "comporta.prompt_version": call.prompt_version,
    }


def _of_request(prompt: dict[str, Any], names: n.Names) -> dict[str, Any]:
    told = {attribute: prompt.get(field) for attribute, field in n.REQUEST.items()}
    form = prompt.get("response_format")
    if isinstance(form, dict):
        told[n.OUTPUT_TYPE] = "text" if form.get("kind") == "text" else "json"
    if names.reasoning_level is not None:
        told[names.reasoning_level] = prompt.get("reasoning_effort")
    return told


def _of_content(one: Exported) -> dict[str, Any]:
    """Messages as JSON: attributes of spans hold no nested values everywhere yet."""
    found = {
        n.SYSTEM_INSTRUCTIONS: system_of(one.prompt),
        n.INPUT_MESSAGES: asked_of(one.prompt),
        n.OUTPUT_MESSAGES: answered_of(one.reply),
        n.TOOL_DEFINITIONS: tools_of(one.prompt),
    }
    return {name: _encode(value).decode() for name, value in found.items() if value}


def _stages(one: Exported, start_ns: int) -> Iterable[Span]:
    """What happened inside the gate; a span's parent is the last one before it that is less deep."""
    root = span_id_of(one.call.id)
    above: list[tuple[int, str]] = []
    for number, span in enumerate(one.spans):
        while above and above[-1][0] >= span.depth:
            above.pop()
        own = f"{(int(root, 16) + number + 1) % 2**64:016x}"
        begin_ns = start_ns + span.start_us * 1000
        failed = span.error is not None
        yield Span(
            trace_id=bytes.fromhex(trace_id_of(one.call.trace_id)),
            span_id=bytes.fromhex(own),
            parent_span_id=bytes.fromhex(above[-1][1] if above else root),
            name=span.name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=begin_ns,
            end_time_unix_nano=begin_ns + span.duration_us * 1000,
            attributes=attributes({n.ERROR_TYPE: span.error, **(span.attributes or {})}),
            status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
        )
        above.append((span.depth, own))


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list | tuple):
        return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
    return AnyValue(string_value=value if isinstance(value, str) else _encode(value).decode())
