"""The output items of a streamed response while they grow: each announced, filled, and told once more when done."""

from __future__ import annotations

from typing import Any

from comporta.gateway.doors.responses_writing import (
    annotations_of,
    function_call,
    item_id,
    logprobs_of,
    message,
    output_text,
    reasoning,
    sealed,
)
from comporta.gateway.doors.writing import encode, is_whole, named_frame
from comporta.types import JSON, Delta, ToolDelta


class Item:
    """One item: a message, a stretch of thinking, or a tool call."""

    __slots__ = (
        "annotations",
        "call_id",
        "head",
        "id",
        "index",
        "kind",
        "logprobs",
        "name",
        "parts",
        "pieces",
        "refusal",
        "seal",
    )

    def __init__(self, kind: str, index: int, identity: str, call_id: str = "", name: str = "") -> None:
        self.kind = kind
        self.index = index
        self.id = identity
        self.call_id = call_id
        self.name = name
        #: Text, thinking or arguments, as they came; a message may also hold a refusal.
        self.pieces: list[str] = []
        self.refusal: list[str] = []
        #: The content parts that were announced, in order.
        self.parts: list[str] = []
        self.seal: str | None = None
        #: What every piece of text repeats.
        self.head = b""
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []

    def part(self, kind: str) -> JSON:
        """A content part as it stands."""
        if kind == "refusal":
            return {"type": "refusal", "refusal": "".join(self.refusal)}
        if kind == "summary_text":
            return {"type": "summary_text", "text": "".join(self.pieces)}
        return output_text("".join(self.pieces), self.annotations, self.logprobs)

    def written(self, status: str) -> JSON:
        if self.kind == "function_call":
            return function_call(self.id, self.call_id, self.name, "".join(self.pieces), status)
        if self.kind == "reasoning":
            return reasoning(self.id, "".join(self.pieces), self.seal, status)
        return message(self.id, [self.part(kind) for kind in self.parts], status)


class Items:
    """All items of one response. The wire can interleave them, so nothing has to wait."""

    __slots__ = ("_identity", "_native", "_out", "_tools", "done", "following", "open", "sequence")

    def __init__(self, identity: str, *, native: bool) -> None:
        self._identity = identity
        #: Whether sealed thinking is this wire's own.
        self._native = native
        self._out: list[bytes] = []
        self._tools: dict[int, Item | None] = {}
        self.open: list[Item] = []
        #: Items that are complete, by their place.
        self.done: dict[int, Any] = {}
        self.following = 0
        self.sequence = 0

    def taken(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def output(self) -> list[Any]:
        return [item for _, item in sorted(self.done.items())]

    def send(self, kind: str, **fields: Any) -> None:
        body = {"type": kind, "sequence_number": self.sequence, **fields}
        self.sequence += 1
        self._out.append(named_frame(kind, encode(body)))

    def adopt(self, item: Item, tool: int | None) -> None:
        """Go on with an item that was announced already."""
        self.open.append(item)
        self.following = max(self.following, item.index + 1)
        if tool is not None:
            self._tools[tool] = item

    def add(self, delta: Delta) -> None:
        """What one delta says, item by item."""
        if delta.reasoning:
            self._think(delta.reasoning)
        if delta.signature or delta.encrypted is not None:
            self._seal(delta)
        if delta.text or delta.logprobs or delta.extra:
            self._text(delta)
        if delta.refusal:
            self._refuse(delta.refusal)
        for tool in delta.tools:
            self._tool(tool)

    def close(self, status: str = "completed") -> None:
        """Complete everything that is open."""
        for item in self.open:
            self._close(item, status)
        self.open.clear()

    # -- the kinds of items

    def _think(self, piece: str) -> None:
        item = self._current("reasoning", "rs_")
        self._part(item, "summary_text")
        item.pieces.append(piece)
        self.send(
            "response.reasoning_summary_text.delta",
            item_id=item.id,
            output_index=item.index,
            summary_index=0,
            delta=piece,
        )

    def _seal(self, delta: Delta) -> None:
        """Sealed or signed thinking is complete: what is thought after that is another item."""
        item = self._current("reasoning", "rs_")
        item.seal = sealed(delta.signature, delta.encrypted, native=self._native)
        self.open.remove(item)
        self._close(item, "completed")

    def _text(self, delta: Delta) -> None:
        if not delta.text and not any(i.kind == "message" for i in self.open):
            return
        item = self._current("message", "msg_")
        logprobs = logprobs_of(delta.logprobs)
        item.logprobs += logprobs
        item.annotations += annotations_of(delta.extra)
        if delta.text:
            place = self._part(item, "output_text")
            item.pieces.append(delta.text)
            self._say(item, place, delta.text, logprobs)

    def _say(self, item: Item, place: int, piece: str, logprobs: list[Any]) -> None:
        """One piece of text, as `send` would write it but quicker: there is one for almost every token."""
        if not item.head:
            at = {"item_id": item.id, "output_index": item.index, "content_index": place}
            item.head = encode(at)[1:-1] + b',"delta":'
        self._out.append(
            b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,%b%b'
            b',"logprobs":%b}\n\n' % (self.sequence, item.head, encode(piece), encode(logprobs) if logprobs else b"[]")
        )
        self.sequence += 1

    def _refuse(self, piece: str) -> None:
        item = self._current("message", "msg_")
        place = self._part(item, "refusal")
        item.refusal.append(piece)
        self.send(
            "response.refusal.delta", item_id=item.id, output_index=item.index, content_index=place, delta=piece
        )  # fmt: skip

    def _tool(self, piece: ToolDelta) -> None:
        if piece.index not in self._tools:
            item = self._begin("function_call", "fc_", piece.id, piece.name)
            self._tools[piece.index] = item
        tool = self._tools[piece.index]
        if tool is None or not piece.arguments or tool not in self.open:
            return
        tool.pieces.append(piece.arguments)
        self.send(
            "response.function_call_arguments.delta", item_id=tool.id, output_index=tool.index, delta=piece.arguments
        )  # fmt: skip

    # -- opening and closing

    def _current(self, kind: str, prefix: str) -> Item:
        """The open item of a kind, or a new one."""
        for item in self.open:
            if item.kind == kind:
                return item
        return self._begin(kind, prefix)

    def _begin(self, kind: str, prefix: str, call_id: str | None = None, name: str | None = None) -> Item:
        self._settle()
        index, self.following = self.following, self.following + 1
        item = Item(kind, index, item_id(prefix, self._identity, index), call_id or f"call_{index}", name or "")
        self.open.append(item)
        self.send("response.output_item.added", output_index=index, item=item.written("in_progress"))
        return item

    def _settle(self) -> None:
        """Something else begins: thoughts and texts are complete, and tool calls whose arguments are whole."""
        still = [item for item in self.open if item.kind == "function_call" and not is_whole(item.pieces)]
        for item in self.open:
            if item not in still:
                self._close(item, "completed")
        self.open = still

    def _part(self, item: Item, kind: str) -> int:
        """The place of a content part, which is announced when it begins."""
        if kind in item.parts:
            return item.parts.index(kind)
        item.parts.append(kind)
        place = len(item.parts) - 1
        name = "reasoning_summary_part" if kind == "summary_text" else "content_part"
        at = {"summary_index" if kind == "summary_text" else "content_index": place}
        fresh = Item(item.kind, 0, "").part(kind)
        self.send(f"response.{name}.added", item_id=item.id, output_index=item.index, **at, part=fresh)
        return place

    def _close(self, item: Item, status: str) -> None:
        for place, kind in enumerate(item.parts):
            self._close_part(item, place, kind)
        if item.kind == "function_call":
            self.send(
                "response.function_call_arguments.done", item_id=item.id, output_index=item.index, name=item.name,
                arguments="".join(item.pieces),
            )  # fmt: skip
        whole = item.written(status)
        self.done[item.index] = whole
        self.send("response.output_item.done", output_index=item.index, item=whole)

    def _close_part(self, item: Item, place: int, kind: str) -> None:
        at: JSON = {"item_id": item.id, "output_index": item.index}
        part = item.part(kind)
        if kind == "summary_text":
            self.send("response.reasoning_summary_text.done", **at, summary_index=place, text=part["text"])
            self.send("response.reasoning_summary_part.done", **at, summary_index=place, part=part)
            return
        at["content_index"] = place
        if kind == "refusal":
            self.send("response.refusal.done", **at, refusal=part["refusal"])
        else:
            self.send("response.output_text.done", **at, text=part["text"], logprobs=item.logprobs)
        self.send("response.content_part.done", **at, part=part)
