"""A trace's spans as bars over its whole time: its calls, what their stages did, and what others sent of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from comporta.console.parts.components import Bar
from comporta.telemetry.calls import CallRow, SpanRow
from comporta.telemetry.traces import OtherSpan, Trace

_DEEPEST = 60
_TONES = {"guard": "violet", "recall": "sky", "cache": "sky", "request": "amber", "attempt": "amber", "retrieve": "sky"}


class Placed(Struct, frozen=True):
    """A bar and what it stands for: the call it belongs to, a stage of that, or somebody else's span."""

    bar: Bar
    call: CallRow | None = None
    span: SpanRow | None = None
    other: OtherSpan | None = None


class _Node(Struct):
    at_us: int
    call: CallRow | None = None
    other: OtherSpan | None = None


def placed(trace: Trace) -> list[Placed]:
    """In the order of their start, each below what it took place in."""
    nodes = [_Node(_us(call), call) for call in trace.calls]
    nodes += [_Node(_us(other), other=other) for other in trace.others if other.call_id is None]
    if not nodes:
        return []
    begin = min(node.at_us for node in nodes)
    found: list[Placed] = []
    below = _below(trace, nodes)
    # A stack and not the language's own: what others send may be nested as deep as they like.
    waiting = [(node, 0) for node in reversed(below.get("", []))]
    while waiting:
        node, depth = waiting.pop()
        found += _bars(node, min(depth, _DEEPEST), begin, trace.spans)
        waiting += [(child, depth + 1) for child in reversed(below.get(_name(node), []))]
    return found


def _below(trace: Trace, nodes: Sequence[_Node]) -> dict[str, list[_Node]]:
    """Nodes by the name of what they took place in, in the order of their start; "" has the outermost.

    What others name a parent may be missing, or lead back to where it came from: whatever hangs on no root becomes one.
    """
    names = {_name(node) for node in nodes}
    by_span = {other.span_id: other.call_id for other in trace.others if other.call_id is not None}
    below: dict[str, list[_Node]] = {}
    for node in sorted(nodes, key=lambda one: one.at_us):
        parent = _parent(node, by_span)
        below.setdefault(parent if parent in names and parent != _name(node) else "", []).append(node)
    reached = set(_reached(below))
    for node in nodes:
        if _name(node) not in reached:
            for children in below.values():
                if node in children:
                    children.remove(node)
            below.setdefault("", []).append(node)
            reached |= set(_reached(below))
    return below


def _reached(below: Mapping[str, Sequence[_Node]]) -> Iterator[str]:
    waiting, seen = [""], {""}
    while waiting:
        for child in below.get(waiting.pop(), ()):
            name = _name(child)
            if name not in seen:
                seen.add(name)
                waiting.append(name)
                yield name


def _name(node: _Node) -> str:
    if node.call is not None:
        return f"call {node.call.id}"
    assert node.other is not None
    return f"span {node.other.span_id}"


def _parent(node: _Node, by_span: Mapping[str, str]) -> str:
    if node.call is not None:
        if node.call.parent_id:
            return f"call {node.call.parent_id}"
        return f"span {node.call.parent_span}" if node.call.parent_span else ""
    assert node.other is not None
    parent = node.other.parent_span_id
    if not parent:
        return ""
    return f"call {by_span[parent]}" if parent in by_span else f"span {parent}"


def _bars(node: _Node, depth: int, begin_us: int, spans: Mapping[str, Sequence[SpanRow]]) -> Iterator[Placed]:
    start = node.at_us - begin_us
    if node.other is not None:
        other = node.other
        tone = "bad" if other.error else "violet"
        yield Placed(Bar(other.name, depth, start, other.duration_us, tone, other.kind, depth == 0), other=other)
        return
    call = node.call
    assert call is not None
    tone = "accent" if call.outcome_class == "ok" else "bad"
    detail = "" if call.outcome_class == "ok" else call.outcome
    title = f"{call.kind} {call.model or call.asked}"
    yield Placed(Bar(title, depth, start, call.duration_us, tone, detail, True), call)
    for span in spans.get(call.id, ()):
        kind = "bad" if span.error else _TONES.get(span.name.split(" ")[0].split(".")[0], "dim")
        bar = Bar(span.name, depth + 1 + span.depth, start + span.start_us, span.duration_us, kind, span.error or "")
        yield Placed(bar, call, span)


def _us(one: CallRow | OtherSpan) -> int:
    return int(one.started_at.timestamp() * 1e6)
