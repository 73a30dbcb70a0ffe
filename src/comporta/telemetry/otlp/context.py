"""W3C trace context: whose trace a call belongs to, and how its ids are written for others.

https://www.w3.org/TR/trace-context/ is the source: `version-trace_id-parent_id-flags`, all of it hexadecimal.
"""

from __future__ import annotations

import hashlib
import re

from msgspec import Struct

from comporta.pipeline import Call

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_TRACE = re.compile(r"[0-9a-f]{32}\Z")
#: Whether a trace is kept, and whether its id is random: the flags of version 00.
_KNOWN_FLAGS = 3
_STATE = re.compile(r"[\x20-\x7e]*\Z")
_STATE_CHARS = 512
_NONE = frozenset({"0" * 32, "0" * 16})


class Parent(Struct, frozen=True):
    """The client's own span, in which a call took place; `flags` say whether it keeps the trace (`01`)."""

    trace_id: str
    span_id: str
    flags: str = "01"


def parent_of(header: str) -> Parent | None:
    """What a `traceparent` header says; None where it is none: then the call begins a trace of its own."""
    found = _HEADER.match(header)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    if found[2] in _NONE or found[3] in _NONE:
        return None
    return Parent(found[2], found[3], f"{int(found[4], 16) & _KNOWN_FLAGS:02x}")


def state_of(header: str | None) -> str | None:
    """What a `tracestate` header says, to be passed on as it is; None for what is none."""
    return header if header and len(header) <= _STATE_CHARS and _STATE.match(header) else None


def span_id_of(call_id: str) -> str:
    """The 16 hexadecimal digits that a call's span goes by: the random half of its id."""
    return call_id.replace("-", "")[16:].rjust(16, "1")


def trace_id_of(trace: str) -> str:
    """A trace's id as 32 hexadecimal digits: its own, or made from it where it is a word of somebody's."""
    if _TRACE.match(trace) and trace not in _NONE:
        return trace
    return hashlib.blake2b(trace.encode(), digest_size=16).hexdigest()


def headers_of(call: Call) -> dict[str, str]:
    """The `traceparent` that leads whoever answers to the call's span, and the client's `tracestate`."""
    flags, state = call.traced or ("01", None)
    found = {"traceparent": f"00-{trace_id_of(call.trace_id)}-{span_id_of(call.id)}-{flags}"}
    return found if state is None else {**found, "tracestate": state}
