"""Writing Anthropic's streams: its own frames as they are, everything else in its grammar."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from comporta.errors import ComportaError
from comporta.gateway.doors.anthropic_blocks import Blocks
from comporta.gateway.doors.anthropic_reading import NAME
from comporta.gateway.doors.anthropic_writing import PREFIX, envelope, head, stop_reason, usage_of
from comporta.gateway.doors.writing import (
    cost_usd,
    encode,
    frame,
    kept_id,
    model_of,
    named_frame,
    priced,
    shallow,
    usage_in,
)
from comporta.pipeline import Call
from comporta.types import Delta, Event, Finish, Usage


class _Kind(Struct):
    type: str = ""


class _Frame(Struct):
    index: int = 0
    content_block: _Kind | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode
#: Blocks whose content the canonical deltas hold.
_KNOWN = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessageStream:
    """One streamed message.

    Frames of the same wire pass as they are, until an event comes that is not such a frame (another provider's, or
    edited by a stage): from then on everything is written anew, and the block that is open is gone on with.
    """

    __slots__ = (
        "_block", "_block_tool", "_blocks", "_call", "_carried", "_finish", "_held", "_is_open", "_refused",
        "_started", "_stop_sequence", "_tools", "_usage",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        self._call = call
        #: None as long as frames pass as they are.
        self._blocks: Blocks | None = None
        self._started = False
        #: Of the frames that passed: the one that opened the last block, its tool call, whether it is open, the end.
        self._block: bytes | None = None
        self._block_tool: int | None = None
        self._is_open = False
        self._held: list[tuple[str, bytes]] = []
        #: Where blocks of kinds that only this wire knows went: the upstream's index and ours.
        self._carried: dict[int, int] = {}
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._stop_sequence: str | None = None
        self._refused = False
        self._tools = False

    def event(self, event: Event) -> bytes:
        raw, name = event.raw, event.name
        if self._blocks is not None or raw is None or name is None or event.wire != NAME or event.whole:
            return self._write(event)
        if name == "content_block_delta":
            return b"event: content_block_delta\n" + frame(raw)
        return self._pass(event, name, raw)

    def end(self) -> bytes:
        if self._blocks is None and self._held:
            return b"".join([named_frame(name, self._priced(name, raw)) for name, raw in self._held])
        opening = self._begin(None, None)
        blocks = self._blocks or self._taken_over()
        blocks.close()
        reason = stop_reason(self._finish, self._stop_sequence, tools=self._tools, refused=self._refused)
        usage = usage_of(self._usage or self._call.usage or Usage())
        cost = cost_usd(self._call)
        last = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": self._stop_sequence},
            "usage": usage if cost is None else usage | {"cost": cost},
        }
        return opening + blocks.taken() + named_frame("message_delta", encode(last)) + _STOP

    def error(self, error: ComportaError) -> bytes:
        return named_frame("error", envelope(error))

    # -- frames of the same wire

    def _pass(self, event: Event, name: str, raw: bytes) -> bytes:
        """A frame around the content. The end waits for the cost, which is known when the call has ended."""
        self._note(event)
        if name in ("message_delta", "message_stop"):
            self._held.append((name, raw))
            return b""
        if name == "message_start":
            self._started = True
        elif name == "content_block_start":
            tools = event.deltas[0].tools if event.deltas else ()
            self._block, self._block_tool, self._is_open = raw, tools[0].index if tools else None, True
        elif name == "content_block_stop":
            self._is_open = False
        return named_frame(name, raw)

    def _note(self, event: Event) -> None:
        if event.usage is not None:
            self._usage = event.usage
        for delta in event.deltas:
            self._tools = self._tools or bool(delta.tools)
            if delta.finish is not None:
                self._finish, self._stop_sequence = delta.finish, delta.stop_sequence

    def _priced(self, name: str, raw: bytes) -> bytes:
        """The upstream's own last frame with the cost in its usage (WIRE 22)."""
        cost = cost_usd(self._call)
        if name != "message_delta" or cost is None:
            return raw
        fields: dict[str, Any] = shallow(raw)
        fields["usage"] = priced(usage_in(raw), cost)
        return encode(fields)

    # -- other wires, and edited events

    def _write(self, event: Event) -> bytes:
        self._note(event)
        opening = self._begin(event.id, event.model)
        blocks = self._blocks
        if blocks is None:
            blocks = self._blocks = self._taken_over()
        for delta in event.deltas:
            # The wire has one choice.
            if delta.index == 0:
                self._delta(delta, blocks)
        if event.wire == NAME and not event.whole and event.name is not None:
            self._structure(event, event.name, blocks)
        return opening + blocks.taken()

    def _begin(self, identity: str | None, model: str | None) -> bytes:
        if self._started:
            return b""
        self._started = True
        usage = usage_of(self._usage or Usage())
        message = head(kept_id(PREFIX, self._call, identity), model_of(self._call, model), usage)
        return named_frame("message_start", encode({"type": "message_start", "message": message}))

    def _taken_over(self) -> Blocks:
        """Blocks that go on where the frames that passed left off."""
        self._held.clear()
        if self._block is None:
            return Blocks()
        opened = _decode_frame(self._block)
        kind = opened.content_block.type if opened.content_block is not None else ""
        blocks = Blocks(opened.index + 1)
        if self._is_open and kind in _KNOWN:
            blocks.adopt(opened.index, kind, self._block_tool)
        elif self._is_open:
            self._carried[opened.index] = opened.index
        return blocks

    def _delta(self, delta: Delta, blocks: Blocks) -> None:
        if delta.reasoning:
            blocks.thinking(delta.reasoning)
        if delta.signature:
            blocks.signature(delta.signature)
        if delta.encrypted is not None:
            blocks.redacted(delta.encrypted)
        if delta.text:
            blocks.text(delta.text)
        if delta.refusal:
            self._refused = True
            blocks.text(delta.refusal)
        for tool in delta.tools:
            blocks.tool(tool)
        if delta.finish is not None:
            blocks.close()

    def _structure(self, event: Event, name: str, blocks: Blocks) -> None:
        """Frames of this wire amid ones written anew: what no delta holds goes along, under new indexes."""
        if name == "content_block_stop":
            blocks.tool_ended()
        if event.raw is None or event.deltas or not name.startswith("content_block_"):
            return
        opened = _decode_frame(event.raw)
        if name == "content_block_start" and opened.content_block is not None:
            if opened.content_block.type not in _KNOWN:
                self._carried[opened.index] = blocks.carry(name, shallow(event.raw))
        elif opened.index in self._carried:
            blocks.carry(name, shallow(event.raw), self._carried[opened.index])
        elif name == "content_block_delta" and (index := blocks.open_text()) is not None:
            blocks.carry(name, shallow(event.raw), index)
