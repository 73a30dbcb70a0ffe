"""OpenAI's Responses API, for upstreams that have it: the client's own body there, its own events back (WIRE 27)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.errors import UpstreamCut
from comporta.providers.base import Query
from comporta.providers.framing import Frame
from comporta.providers.openai_decode import SseDecoder
from comporta.providers.openai_fault import fault_inside, unreadable
from comporta.providers.openai_usage import usage_of
from comporta.providers.statuses import UNREADABLE, decoded
from comporta.types import JSON, Delta, Event, Finish, ToolDelta

NAME: Final = "openai.responses"
#: What stands before another provider's signature or sealed thinking, where OpenAI's own encrypted thinking goes.
SIGNATURE: Final = "signature:"
SEALED: Final = "sealed:"
#: An id that the gate gave to an item itself: it holds the id of the call.
_OWN_ID: Final = re.compile(r"rs_[0-9a-f]{32}_\d+\Z")
_LAST: Final = Event(wire=NAME, last=True)
_ARGUMENTS: Final = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_TOOLS: Final = frozenset({"function_call", "custom_tool_call"})


class Content(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None


class Item(Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[Content] | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None


class Incomplete(Struct):
    reason: str | None = None


class Response(Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    error: Any = None
    incomplete_details: Incomplete | None = None
    output: list[Item] | None = None
    usage: Any = None


class Step(Struct):
    """One event of the stream."""

    type: str = ""
    delta: Any = None
    item: Item | None = None
    item_id: str | None = None
    output_index: int | None = None
    response: Response | None = None
    error: Any = None


_TEXTS: Final[dict[str, Callable[[str], Delta]]] = {
    "response.output_text.delta": lambda text: Delta(text=text),
    "response.refusal.delta": lambda text: Delta(refusal=text),
    "response.reasoning_text.delta": lambda text: Delta(reasoning=text),
    "response.reasoning_summary_text.delta": lambda text: Delta(reasoning=text),
}
_decode_step = msgspec.json.Decoder(Step).decode
_decode_response = msgspec.json.Decoder(Response).decode


def body_of(query: Query, raw: JSON) -> JSON:
    body = {**raw, "model": query.model}
    items = raw.get("input")
    if isinstance(items, list) and any(_is_foreign(item) for item in items):
        body["input"] = [item for item in items if not _is_foreign(item)]
    body.pop("stream", None)
    if query.stream:
        body["stream"] = True
    else:
        body.pop("stream_options", None)
    return body


def _is_foreign(item: Any) -> bool:
    """Whether an item is thinking of another provider's model, which this one can't read and refuses."""
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    seal, identity = item.get("encrypted_content"), item.get("id")
    if isinstance(seal, str):
        return seal.startswith((SIGNATURE, SEALED))
    return isinstance(identity, str) and _OWN_ID.match(identity) is not None


class ResponsesDecoder(SseDecoder):
    """One streamed response. It ends with an event of its own; there is no [DONE]."""

    __slots__ = ("_tools",)

    def __init__(self, title: str) -> None:
        super().__init__(title)
        #: The place of each tool call, by its place in the output.
        self._tools: dict[int, int] = {}

    @property
    def last(self) -> Event:
        return _LAST

    @property
    def complete(self) -> bool:
        return False

    def event(self, frame: Frame) -> Event | None:
        step = _decode_step(frame.data)
        kind = step.type or frame.name or ""
        if kind == "error" or (step.error and not step.response):
            raise fault_inside(self._title, decoded(frame.data))
        written = _TEXTS.get(kind)
        if written is not None:
            text = step.delta if isinstance(step.delta, str) else ""
            return self._event(kind, frame, (written(text),))
        if step.response is not None:
            return self._state(kind, step.response, frame)
        return self._event(kind, frame, self._item(kind, step))

    def _event(self, kind: str, frame: Frame, deltas: tuple[Delta, ...]) -> Event:
        return Event(deltas, wire=NAME, raw=frame.data, name=frame.name or kind)

    def _item(self, kind: str, step: Step) -> tuple[Delta, ...]:
        place = step.output_index or 0
        if kind in _ARGUMENTS:
            text = step.delta if isinstance(step.delta, str) else ""
            return (Delta(tools=(ToolDelta(self._tools.setdefault(place, len(self._tools)), arguments=text),)),)
        item = step.item
        if item is None:
            return ()
        if kind == "response.output_item.added" and item.type in _TOOLS:
            index = self._tools.setdefault(place, len(self._tools))
            return (Delta(tools=(ToolDelta(index, item.call_id or item.id, item.name),)),)
        if kind == "response.output_item.done" and item.encrypted_content:
            return (Delta(encrypted=item.encrypted_content),)
        return ()

    def _state(self, kind: str, response: Response, frame: Frame) -> Event:
        check(response, self._title)
        ended = kind in ("response.completed", "response.incomplete", "response.done")
        finish = finish_of(response, bool(self._tools)) if ended else None
        return Event(
            (Delta(finish=finish),) if finish else (),
            usage_of(response.usage),
            response.id,
            response.model,
            NAME,
            frame.data,
            frame.name or kind,
            last=ended,
        )


def check(response: Response, title: str) -> None:
    """Raises for a response that failed or was cancelled (WIRE 27)."""
    if response.status == "failed" or response.error:
        raise fault_inside(title, {"error": response.error})
    if response.status == "cancelled":
        raise UpstreamCut(f"{title} cancelled the response before it was complete.")


def finish_of(response: Response, called: bool) -> Finish:
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details is not None else None
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if called else "stop"


def reply_of(body: bytes, title: str) -> Event:
    """A plain response as one whole event."""
    try:
        response = _decode_response(body)
    except UNREADABLE:
        raise unreadable(title, "a body that can't be read") from None
    if response.status is None and response.output is None and not response.error:
        raise unreadable(title, "a body that is no response")
    check(response, title)
    delta = _whole(response.output or [])
    if response.status in (None, "completed", "incomplete"):
        delta = msgspec.structs.replace(delta, finish=finish_of(response, bool(delta.tools)))
    return Event((delta,), usage_of(response.usage), response.id, response.model, NAME, body, whole=True)


def _whole(items: list[Item]) -> Delta:
    text, refusal, reasoning = [], [], []
    encrypted: str | None = None
    tools: list[ToolDelta] = []
    for item in items:
        if item.type in _TOOLS:
            arguments = item.arguments if item.arguments is not None else item.input or ""
            tools.append(ToolDelta(len(tools), item.call_id or item.id, item.name, arguments))
        elif item.type == "reasoning":
            reasoning += [c.text or "" for c in (item.content or item.summary or ())]
            encrypted = item.encrypted_content or encrypted
        elif item.type == "message":
            text += [c.text or "" for c in item.content or ()]
            refusal += [c.refusal or "" for c in item.content or ()]
    return Delta(
        text="".join(text), refusal="".join(refusal), reasoning="".join(reasoning), encrypted=encrypted,
        tools=tuple(tools),
    )  # fmt: skip
