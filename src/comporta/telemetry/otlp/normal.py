"""Others' spans in our words: what each is, whose it is, and which are calls to models."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from msgspec import Struct, structs

from comporta.errors import UpstreamError
from comporta.store.people import stored_name
from comporta.telemetry.capture import Capture, Mode
from comporta.telemetry.otlp import dialects as d
from comporta.telemetry.otlp.messages_in import input_of, reply_of
from comporta.telemetry.otlp.parsing import Raw
from comporta.telemetry.record import CallRecord
from comporta.types import JSON, Caller, Usage

#: The route that such calls stand under: it is nobody's budget, since the gate never asked for them.
ROUTE = "(external)"
DOOR = "otlp"
_NAME_CHARS = 256
_WORD_CHARS = 200
#: A longer value of an attribute is cut: a span is looked at, not archived.
_VALUE_CHARS = 20_000
_MOST_ATTRIBUTES = 256
_DAY_NS = 86_400 * 10**9
_YEAR_NS = 366 * _DAY_NS
_DAY_US = 86_400_000_000
#: What one call can't have had is somebody's mistake, and sums of it would spoil everybody's figures.
_MOST_TOKENS = 2**31
_MOST_USD = 1e5
_NO = frozenset({"", "0", "false", "no", "none"})

#: What a usage of a provider's model costs, in micro-dollars; None where nobody knows.
Price = Callable[[str, str, Usage], int | None]


class Foreign(Struct, frozen=True):
    """A span of somebody else's. `record` stands for it among calls where it is a call to a model."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    started_us: int
    duration_us: int
    error: str | None
    application: str | None
    scope: str | None
    user: str | None
    session: str | None
    attributes: JSON
    record: CallRecord | None = None


class Reading(Struct, frozen=True):
    """How spans are read: what may be kept of content, and what models cost."""

    capture: Capture
    mode: Mode
    price: Price


def problem_of(raw: Raw, now_ns: int) -> str | None:
    """Why a span can't be kept; None where it can."""
    if len(raw.trace_id) != 32 or raw.trace_id == "0" * 32:
        return "trace_id"
    if len(raw.span_id) != 16 or raw.span_id == "0" * 16:
        return "span_id"
    if not 0 <= now_ns - raw.start_ns + _DAY_NS < _YEAR_NS or raw.end_ns > now_ns + _DAY_NS:
        return "time"
    return None


def foreign_of(raw: Raw, caller: Caller, reading: Reading) -> Foreign:
    """The span in our words. Its ids and times are sound (`problem_of`)."""
    values = {**raw.attributes}
    for name, more in raw.events:
        # Older instrumentations put what was said, and what failed, into events.
        if name.startswith(("gen_ai.", "exception")):
            values.update({key: value for key, value in more.items() if key not in values})
    kind = kind_of(values)
    span = Foreign(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        parent_span_id=raw.parent_id,
        name=raw.name[:_NAME_CHARS] or "span",
        kind=kind,
        started_us=raw.start_ns // 1000,
        duration_us=max(raw.end_ns - raw.start_ns, 0) // 1000,
        error=_error(raw, values),
        application=_word(raw.resource.get("service.name")),
        scope=_word(raw.scope),
        user=_named(_first(values, d.USER)),
        session=_named(_first(values, d.SESSION)),
        attributes=_kept(values, reading),
    )
    if kind not in ("chat", "embed"):
        return span
    return structs.replace(span, record=_record(span, values, caller, reading))


def kind_of(values: JSON) -> str:
    """chat, embed, tool, agent, chain, retriever, reranker, guardrail, evaluator or other."""
    for name in d.KIND_BY:
        found = d.KINDS.get(str(values.get(name, "")).lower())
        if found is not None:
            return found
    return "chat" if any(values.get(name) for name in d.MODEL_MARKS) else "other"


def call_id_of(trace_id: str, span_id: str) -> str:
    """The id of the call that a span stands for: always the same, so that a batch sent twice counts once."""
    digest = blake2b(f"{trace_id}-{span_id}".encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=5))


def field_of(values: JSON, field: str) -> Any:
    """What a span says of a field, by the first name that it has."""
    return _first(values, d.FIELDS[field])


def _first(values: JSON, names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _word(value: Any) -> str | None:
    return str(value)[:_WORD_CHARS] if value not in (None, "") else None


def _named(value: Any) -> str | None:
    """A user or a session, as the columns of calls hold them."""
    return stored_name(str(value)) or None if value not in (None, "") else None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _count(values: JSON, field: str) -> int | None:
    found = _number(field_of(values, field))
    return int(found) if found is not None and 0 <= found < _MOST_TOKENS else None


def _us(value: Any, each_us: float) -> int | None:
    """A time in microseconds; None for what is none, or longer than a day."""
    found = _number(value)
    return int(found * each_us) if found is not None and 0 <= found * each_us < _DAY_US else None


def _error(raw: Raw, values: JSON) -> str | None:
    if not raw.failed and not values.get("exception.type"):
        return None
    return _word(field_of(values, "error")) or "error"


def usage_of(values: JSON) -> Usage | None:
    """Tokens in disjoint buckets: what is cached or thought counts inside the others there."""
    prompt, completion = _count(values, "input"), _count(values, "output")
    total = _count(values, "total")
    if prompt is None and completion is None and total is None:
        return None
    if prompt is None:
        prompt = max((total or 0) - (completion or 0), 0)
    if completion is None:
        completion = max((total or 0) - prompt, 0)
    cached, written = _count(values, "cached") or 0, _count(values, "cache_write") or 0
    reasoning = min(_count(values, "reasoning") or 0, completion)
    # Anthropic's own figures leave cached tokens out of the input; then there are more of them than of all.
    inside = cached + written <= prompt
    return Usage(
        input=prompt - cached - written if inside else prompt,
        cached=cached,
        cache_write=written,
        output=completion - reasoning,
        reasoning=reasoning,
    )


def _cost(provider: str, model: str, usage: Usage | None, values: JSON, price: Price) -> int | None:
    own = None if usage is None else price(provider, model, usage)
    if own is not None:
        return own
    told = _number(field_of(values, "cost_usd"))
    return round(told * 1e6) if told is not None and 0 <= told < _MOST_USD else None


def _record(span: Foreign, values: JSON, caller: Caller, reading: Reading) -> CallRecord:
    told = str(field_of(values, "provider") or "").lower()
    provider = _word(d.PROVIDERS.get(told, told)) or "unknown"
    asked = _word(field_of(values, "asked")) or _word(field_of(values, "model")) or "unknown"
    usage = usage_of(values)
    failed = span.error is not None
    return CallRecord(
        id=call_id_of(span.trace_id, span.span_id),
        trace_id=span.trace_id,
        parent_id=None,
        request_id=span.span_id,
        started_us=span.started_us,
        duration_us=min(span.duration_us, _DAY_US) or _us(field_of(values, "latency_ms"), 1e3) or 0,
        first_us=_us(field_of(values, "first_s"), 1e6),
        door=DOOR,
        kind=span.kind,
        stream=str(field_of(values, "stream") or "").lower() not in _NO,
        asked=asked,
        route=ROUTE,
        variant=f"{provider}/{asked}",
        provider=provider,
        model=asked,
        credential=None,
        reply_id=_word(field_of(values, "reply_id")),
        reply_model=_word(field_of(values, "model")),
        key_id=caller.key_id,
        key_name=caller.name,
        team=caller.team,
        environment=caller.environment,
        feature=caller.feature,
        tags={**caller.tags, "source": DOOR, **({"application": span.application} if span.application else {})},
        user=span.user,
        session=span.session,
        usage=usage,
        cost_microusd=_cost(provider, asked, usage, values, reading.price),
        cache="bypass",
        retries=0,
        dropped=(),
        outcome=span.error or "ok",
        outcome_class="upstream" if failed else "ok",
        status=UpstreamError.status if failed else 200,
        error_type=UpstreamError.type if failed else None,
        error_message=None,
        malformed_frames=0,
        capture=reading.mode,
        spans=(),
        prompt=_asked(values, reading),
        reply=_answered(values, reading),
        prompt_id=_word(field_of(values, "prompt_id")),
        prompt_version=_word(field_of(values, "prompt_version")),
        parent_span=span.parent_span_id,
    )


def _asked(values: JSON, reading: Reading) -> str | None:
    asked = input_of(values)
    told = None if asked is None else reading.capture.prompt(asked, reading.mode)
    return None if told is None else reading.capture.scrubber.scrub(told)


def _answered(values: JSON, reading: Reading) -> str | None:
    finish = field_of(values, "finish")
    finishes = finish if isinstance(finish, list) else [finish] if finish else []
    answered = reply_of(values, [str(one) for one in finishes])
    told = None if answered is None else reading.capture.reply(answered, reading.mode)
    return None if told is None else reading.capture.scrubber.scrub(told)


def _kept(values: JSON, reading: Reading) -> JSON:
    """Attributes as far as content may be kept, without secrets."""
    kept: JSON = {}
    for name in sorted(values)[:_MOST_ATTRIBUTES]:
        if name.startswith(d.NEVER_KEPT) or (reading.mode != "full" and is_content(name)):
            continue
        kept[name[:_NAME_CHARS]] = _clean(values[name], reading)
    return kept


def is_content(name: str) -> bool:
    """Whether an attribute holds what people or models wrote."""
    return name.startswith(d.CONTENT) and name not in d.NO_CONTENT


def _clean(value: Any, reading: Reading) -> Any:
    if isinstance(value, str):
        return reading.capture.scrubber.scrub(value[:_VALUE_CHARS])
    if isinstance(value, list):
        return [_clean(one, reading) for one in value[:_MOST_ATTRIBUTES]]
    if isinstance(value, dict):
        return {key: _clean(one, reading) for key, one in value.items()}
    return value
