"""The record of a call: one flat value with everything that is kept of it, and how it is made when the call ends."""

from __future__ import annotations

import time
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct, structs

from comporta import errors
from comporta.pipeline import Call
from comporta.types import JSON, Usage

OK = "ok"
#: What outcomes are counted by: few, so that rollups stay small. `rejected` is a request that the provider found wrong.
CLASSES = ("ok", "refused", "rejected", "upstream", "timeout", "client_closed", "unavailable", "internal")

#: Tokens by bucket: the fields of `Usage`, in its order.
BUCKETS = tuple(f for f in Usage.__struct_fields__ if f != "estimated")


class SpanRecord(Struct, frozen=True, array_like=True, gc=False):
    """What one stage or attempt did; `start_us` counts from the start of the call."""

    name: str
    start_us: int
    duration_us: int
    depth: int
    error: str | None = None
    attributes: JSON | None = None


class CallRecord(Struct, frozen=True, array_like=True, gc=False):
    """One call. An array when encoded: new fields go to the end, with a default, so that old spools stay readable.

    `cost_microusd` None is unknown, never free. `prompt` and `reply` are JSON text as captured.
    """

    id: str
    trace_id: str
    parent_id: str | None
    request_id: str
    started_us: int
    duration_us: int
    #: Until the first event with content; None where none came.
    first_us: int | None
    door: str
    kind: str
    stream: bool
    #: The name that the client asked for.
    asked: str
    route: str | None
    variant: str | None
    provider: str | None
    model: str | None
    #: The credential's name, never its secret.
    credential: str | None
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
    usage: Usage | None
    cost_microusd: int | None
    cache: str
    retries: int
    dropped: tuple[str, ...]
    #: `ok` or the code of the error.
    outcome: str
    outcome_class: str
    status: int
    error_type: str | None
    error_message: str | None
    malformed_frames: int
    capture: str
    spans: tuple[SpanRecord, ...]
    prompt: str | None = None
    reply: str | None = None
    #: The prompt of the registry that it asked with, and the label that led to its version.
    prompt_id: str | None = None
    prompt_version: str | None = None
    prompt_label: str | None = None
    #: Tags of the deploy that had moved that label (`commit_sha`, `author`, `model_version`).
    deploy: dict[str, str] | None = None
    #: The prompt's values, JSON text as captured.
    variables: str | None = None
    #: What stages decided and why, by the stage's name; no content.
    notes: dict[str, JSON] | None = None
    #: The span of the client's that asked, as W3C trace context names it.
    parent_span: str | None = None

    def without_content(self) -> CallRecord:
        """What is kept when there is no room for content."""
        return structs.replace(self, prompt=None, reply=None, variables=None, error_message=None, capture="dropped")


#: Where a call's `Prompted` stands among its facts.
PROMPTED = "prompted"


class Prompted(Struct, frozen=True):
    """The prompt that a call asks with."""

    id: str
    version: str
    #: None where the version itself was asked for.
    label: str | None = None
    deploy: dict[str, str] | None = None
    variables: JSON = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CallRecord)


def encoded(record: CallRecord) -> bytes:
    return _encoder.encode(record)


def decoded(payload: bytes | memoryview) -> CallRecord:
    """Raises msgspec.DecodeError for what is no record."""
    return _decoder.decode(payload)


def rebuilt(record: CallRecord, change: Any) -> CallRecord:
    """The record with `change` made to its builtin form (lists, mappings and texts)."""
    return msgspec.convert(change(msgspec.to_builtins(record)), CallRecord)


def record_of(
    call: Call,
    *,
    capture: str = "off",
    prompt: str | None = None,
    reply: str | None = None,
    variables: str | None = None,
    error: errors.ComportaError | None = None,
    end_ns: int = 0,
) -> CallRecord:
    """The record of a call that has ended. `error` stands in where the call itself knows of none."""
    end_ns = end_ns or time.perf_counter_ns()
    start_ns = call.start_ns
    error = call.error or error
    target, caller = call.target, call.caller
    prompted = call.facts.get(PROMPTED)
    spans = [
        SpanRecord(
            # A span that nobody closed lasted until the call's end.
            s.name, (s.start_ns - start_ns) // 1000, ((s.end_ns or end_ns) - s.start_ns) // 1000, s.depth, s.error,
            s.attributes,
        )
        for s in call.spans
    ]  # fmt: skip
    # By place, in the order of the fields, and gathered in C: this is made of every call.
    return CallRecord(  # type: ignore[call-arg]
        *_which(call),
        int(call.started_s * 1_000_000),
        (end_ns - start_ns) // 1000,
        (call.first_ns - start_ns) // 1000 if call.first_ns else None,
        *_asked(call),
        *(_NOWHERE if target is None else _where(target)),
        call.reply_id,
        call.reply_model,
        *_who(caller),
        *_what(call),
        *(_WELL if error is None else _ill(error, capture)),
        call.facts.get("malformed_frames", 0),
        capture,
        tuple(spans),
        prompt,
        reply,
        *(_UNPROMPTED if prompted is None else _prompted(prompted)),
        variables,
        call.notes,
        call.parent_span,
    )


_which = attrgetter("id", "trace_id", "parent_id", "request_id")
_asked = attrgetter("door", "kind", "stream", "model")
_where = attrgetter("route", "variant", "provider", "model", "credential")
_who = attrgetter("key_id", "name", "team", "environment", "feature")
_what = attrgetter("tags", "user", "session", "usage", "cost_microusd", "cache", "retries", "dropped")
_prompted = attrgetter("id", "version", "label", "deploy")
_UNPROMPTED = (None, None, None, None)
_NOWHERE = (None, None, None, None, None)
_WELL = (OK, OK, 200, None, None)


def _ill(error: errors.ComportaError, capture: str) -> tuple[str, str, int, str, str | None]:
    message = error.message if capture in ("full", "preview") else None
    return error.code, class_of(error), error.status, error.type, message


_CLASSES: tuple[tuple[type[errors.ComportaError], str], ...] = (
    (errors.Refused, "refused"),
    (errors.UpstreamRejected, "rejected"),
    (errors.UpstreamTimeout, "timeout"),
    (errors.UpstreamError, "upstream"),
    (errors.ClientGone, "client_closed"),
    (errors.Unavailable, "unavailable"),
)


def class_of(error: errors.ComportaError) -> str:
    """Which of CLASSES an error belongs to."""
    for kind, name in _CLASSES:
        if isinstance(error, kind):
            return name
    return "internal"


def is_hit(cache: str) -> bool:
    """Whether an answer came out of a cache."""
    return cache.startswith("hit") or cache in ("exact", "semantic")


def in_safe_text(record: CallRecord) -> CallRecord:
    """The record without what can't be encoded: lone surrogates, values that are no JSON. Content goes."""
    lean = structs.replace(record.without_content(), tags={}, spans=tuple(_safe_span(s) for s in record.spans))
    changes = {f: _safe(getattr(lean, f)) for f in lean.__struct_fields__}
    changes["tags"] = {_safe(str(k)): _safe(str(v)) for k, v in record.tags.items()}
    return structs.replace(lean, **changes)


def _safe_span(span: SpanRecord) -> SpanRecord:
    return structs.replace(span, name=_safe(span.name), attributes=None)


def _safe(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
