"""Writing the streams of OpenAI's Responses API: its own frames as they are, everything else in its grammar."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from comporta.errors import ComportaError
from comporta.gateway.doors.responses_items import Item, Items
from comporta.gateway.doors.responses_reading import NAME
from comporta.gateway.doors.responses_writing import PREFIX, STORED, begun, ended
from comporta.gateway.doors.writing import (
    cost_usd,
    encode,
    error_body,
    frame,
    kept_id,
    model_of,
    named_frame,
    own_id,
    priced,
    shallow,
    usage_in,
)
from comporta.pipeline import Call
from comporta.types import JSON, Event, Finish, Usage


class _Step(Struct):
    """What is read of a frame that passed, should the stream have to be written anew from there."""

    sequence_number: int | None = None
    output_index: int | None = None
    item: JSON | None = None
    response: JSON | None = None
    part: JSON | None = None


_decode = msgspec.json.Decoder(_Step).decode
#: Items whose content the canonical deltas hold.
_KNOWN = frozenset({"message", "reasoning", "function_call"})
_ENDS = frozenset({"response.completed", "response.incomplete"})


class ResponseStream:
    """One streamed response.

    Frames of the same wire pass as they are, until an event comes that is not such a frame (another provider's, or
    edited by a stage): from then on everything is written anew. The frames that passed are remembered for that case,
    since this wire repeats all it said at its end; nothing waits for it.
    """

    __slots__ = (
        "_body", "_call", "_carried", "_finish", "_held", "_id", "_items", "_model", "_passed", "_usage", "body",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        self._call = call
        #: None as long as frames pass as they are.
        self._items: Items | None = None
        self._passed: list[Event] = []
        self._held: tuple[str, bytes] | None = None
        self._body: JSON | None = None
        self._id: str | None = None
        self._model: str | None = None
        #: Where items of kinds that only this wire knows went: the upstream's place and ours.
        self._carried: dict[int, int] = {}
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        #: The whole response, once it was written anew to its end.
        self.body: JSON = {}

    def event(self, event: Event) -> bytes:
        raw, name = event.raw, event.name
        if self._items is not None or raw is None or name is None or event.wire != NAME or event.whole:
            return self._write(event)
        self._passed.append(event)
        if name.endswith(".delta"):
            return b"event: " + name.encode() + b"\n" + frame(raw)
        self._note(event)
        if name in _ENDS:
            # The end waits for the cost, which is known when the call has ended.
            self._held = (name, raw)
            return b""
        return named_frame(name, raw)

    def end(self) -> bytes:
        if self._items is None and self._held is not None:
            name, raw = self._held
            return named_frame(name, self._priced(raw))
        items, opening = self._begin()
        incomplete = self._finish in ("length", "content_filter")
        items.close("incomplete" if incomplete else "completed")
        body = ended(self._body or {}, items.output(), self._finish, self._usage or self._call.usage)
        body["store"] = self._call.facts.get(STORED, body.get("store", False))
        cost = cost_usd(self._call)
        if cost is not None and body["usage"] is not None:
            body["usage"]["cost"] = cost
        items.send("response.incomplete" if incomplete else "response.completed", response=body)
        self.body = body
        return opening + items.taken()

    def error(self, error: ComportaError) -> bytes:
        """The response failed, and says so (WIRE 1, 27); the last frame is what makes the SDK raise."""
        items, opening = self._begin()
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        failure = {"code": code, "message": error.message, "type": error.type, "param": error.param}
        body = (self._body or {}) | {"status": "failed", "error": failure, "output": items.output()}
        items.send("response.failed", response=body)
        items.send("error", code=error.code, message=error.message, param=error.param, error=error_body(error))
        return opening + items.taken()

    def _note(self, event: Event) -> None:
        if event.usage is not None:
            self._usage = event.usage
        for delta in event.deltas:
            self._finish = delta.finish or self._finish

    def _priced(self, raw: bytes) -> bytes:
        """The upstream's own last frame with the cost in its usage (WIRE 22)."""
        cost = cost_usd(self._call)
        if cost is None or self._usage is None:
            return raw
        fields: dict[str, Any] = shallow(raw)
        inner: dict[str, Any] = shallow(fields["response"])
        inner["usage"] = priced(usage_in(fields["response"]), cost)
        fields["response"] = inner
        return encode(fields)

    # -- other wires, and edited events

    def _write(self, event: Event) -> bytes:
        self._note(event)
        self._id, self._model = self._id or event.id, self._model or event.model
        items, opening = self._begin()
        for delta in event.deltas:
            # The wire has one choice.
            if delta.index == 0:
                items.add(delta)
        if event.wire == NAME and event.raw is not None and event.name is not None and not event.whole:
            self._structure(event.raw, event.name, items)
        return opening + items.taken()

    def _begin(self) -> tuple[Items, bytes]:
        """The items, and the frames that open the response where they did not go out yet."""
        if self._items is not None:
            return self._items, b""
        if self._passed:
            self._items = self._taken_over()
            return self._items, b""
        identity = kept_id(PREFIX, self._call, self._id)
        self._body = begun(self._call, identity, model_of(self._call, self._model))
        items = self._items = Items(identity, native=identity == self._id)
        items.send("response.created", response=self._body)
        items.send("response.in_progress", response=self._body)
        return items, items.taken()

    def _taken_over(self) -> Items:
        """Items that go on where the frames that passed left off."""
        first = self._passed[0]
        identity = first.id or own_id(PREFIX, self._call)
        items = Items(identity, native=True)
        for event in self._passed:
            step = _decode(event.raw or b"{}")
            items.sequence = (step.sequence_number or 0) + 1
            if step.response is not None:
                self._body = self._body or step.response
            self._retrace(event, step, items)
        self._passed.clear()
        self._body = self._body or begun(self._call, identity, model_of(self._call, first.model))
        return items

    def _retrace(self, event: Event, step: _Step, items: Items) -> None:
        """One frame that passed, as it changed the items; nothing is sent."""
        name, place = event.name or "", step.output_index
        if place is None:
            return
        items.following = max(items.following, place + 1)
        item = next((i for i in items.open if i.index == place), None)
        if name == "response.output_item.added":
            self._announced(event, step.item or {}, place, items)
        elif name == "response.output_item.done":
            items.done[place] = step.item
            items.open = [i for i in items.open if i.index != place]
        elif item is not None and name.endswith("part.added"):
            kind = (step.part or {}).get("type")
            item.parts.append(kind if isinstance(kind, str) else "output_text")
        elif item is not None and event.deltas:
            delta = event.deltas[0]
            item.pieces.append(delta.text or delta.reasoning or "".join(t.arguments for t in delta.tools))
            item.refusal.append(delta.refusal)

    def _announced(self, event: Event, item: JSON, place: int, items: Items) -> None:
        kind = item.get("type")
        if kind not in _KNOWN:
            self._carried[place] = place
            return
        tools = event.deltas[0].tools if event.deltas else ()
        made = Item(kind, place, item.get("id") or "", item.get("call_id") or "", item.get("name") or "")
        items.adopt(made, tools[0].index if tools else None)

    def _structure(self, raw: bytes, name: str, items: Items) -> None:
        """Frames of this wire amid ones written anew: items that no delta holds go along, in new places."""
        step = _decode(raw)
        place = step.output_index
        if place is None:
            return
        if name == "response.output_item.added" and step.item is not None and step.item.get("type") not in _KNOWN:
            self._carried[place], items.following = items.following, items.following + 1
        ours = self._carried.get(place)
        if ours is None:
            return
        if name == "response.output_item.done":
            items.done[ours] = step.item
        fields: dict[str, Any] = shallow(raw)
        for known in ("type", "sequence_number"):
            fields.pop(known, None)
        items.send(name, **fields | {"output_index": ours})
