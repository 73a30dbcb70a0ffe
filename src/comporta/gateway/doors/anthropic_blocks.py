"""The content blocks of a streamed Anthropic message: one after another, whatever order the pieces come in."""

from __future__ import annotations

from collections import deque
from typing import Any

from comporta.gateway.doors.writing import encode, is_whole, named_frame
from comporta.types import JSON, ToolDelta


class _Block:
    """One content block while it grows. `waiting` holds deltas of a block whose turn has not come."""

    __slots__ = ("arguments", "complete", "index", "kind", "start", "tool", "waiting")

    def __init__(self, kind: str, start: JSON, tool: int | None = None) -> None:
        self.kind = kind
        self.start = start
        self.tool = tool
        self.index: int | None = None
        #: Nothing more can come: thinking that is signed, a redacted block, a tool whose end the upstream told.
        self.complete = False
        self.arguments: list[str] = []
        self.waiting: list[tuple[bytes, str]] = []

    def closable(self) -> bool:
        """Text and thinking may end whenever something else begins; a tool only when its arguments are whole."""
        return self.tool is None or self.complete or is_whole(self.arguments)


class Blocks:
    """The content blocks of one message, in the order they began, one open at a time.

    The wire can't interleave blocks. Where pieces of several tool calls come mixed, only the first one's go out at
    once; the others' wait, in memory, until its arguments are whole or the answer ends.
    """

    __slots__ = ("_line", "_out", "_tools", "next")

    def __init__(self, following: int = 0) -> None:
        #: The index that the next block gets.
        self.next = following
        self._line: deque[_Block] = deque()
        self._tools: dict[int, _Block] = {}
        self._out: list[bytes] = []

    def adopt(self, index: int, kind: str, tool: int | None) -> None:
        """Go on with a block that is open already."""
        block = _Block(kind, {}, tool)
        block.index = index
        self._line.append(block)
        if tool is not None:
            self._tools[tool] = block

    def text(self, piece: str) -> None:
        self._grow(self._last("text", {"type": "text", "text": ""}), b"text_delta", b"text", piece)

    def thinking(self, piece: str) -> None:
        self._grow(self._thought(), b"thinking_delta", b"thinking", piece)

    def signature(self, value: str) -> None:
        block = self._thought()
        self._grow(block, b"signature_delta", b"signature", value)
        block.complete = True

    def _thought(self) -> _Block:
        return self._last("thinking", {"type": "thinking", "thinking": "", "signature": ""})

    def redacted(self, data: str) -> None:
        block = self._add(_Block("redacted_thinking", {"type": "redacted_thinking", "data": data}))
        block.complete = True
        self._pump()

    def tool(self, piece: ToolDelta) -> None:
        block = self._tools.get(piece.index)
        if block is None:
            start = {
                "type": "tool_use",
                "id": piece.id or f"toolu_{piece.index}",
                "name": piece.name or "",
                "input": {},
            }
            block = self._tools[piece.index] = self._add(_Block("tool_use", start, piece.index))
            self._pump()
        if piece.arguments and (block.index is None or block in self._line):
            block.arguments.append(piece.arguments)
            self._grow(block, b"input_json_delta", b"partial_json", piece.arguments)

    def tool_ended(self) -> None:
        """The upstream closed its block: the tool call that began last has all its arguments."""
        if self._line and self._line[-1].tool is not None:
            self._line[-1].complete = True

    def close(self) -> None:
        """Let all that waits go out, and close every block."""
        while self._line:
            self._open(self._line[0])
            self._shut(self._line.popleft())

    def carry(self, name: str, body: dict[str, Any], index: int | None = None) -> int:
        """A frame that only this wire knows, as it is but for its index; without one given it opens a block."""
        if index is None:
            self.close()
            index, self.next = self.next, self.next + 1
        self._out.append(named_frame(name, encode(body | {"index": index})))
        return index

    def open_text(self) -> int | None:
        """The index of the text block that is open, if one is."""
        first = self._line[0] if self._line else None
        return first.index if first is not None and first.kind == "text" else None

    def taken(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _last(self, kind: str, start: JSON) -> _Block:
        last = self._line[-1] if self._line else None
        if last is not None and last.kind == kind and not last.complete:
            return last
        block = self._add(_Block(kind, start))
        self._pump()
        return block

    def _add(self, block: _Block) -> _Block:
        self._line.append(block)
        return block

    def _grow(self, block: _Block, kind: bytes, name: bytes, piece: str) -> None:
        if block.index is None:
            block.waiting.append((b'"type":"' + kind + b'","' + name + b'":', piece))
        else:
            self._say(block.index, b'"type":"' + kind + b'","' + name + b'":', piece)
        if len(self._line) > 1:
            self._pump()

    def _say(self, index: int, opening: bytes, piece: str) -> None:
        self._out.append(
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{' % index
            + opening + encode(piece) + b"}}\n\n"
        )  # fmt: skip

    def _pump(self) -> None:
        """Open the first block of the line, and close it where another waits and nothing more can come of it."""
        while self._line:
            self._open(self._line[0])
            if len(self._line) == 1 or not self._line[0].closable():
                return
            self._shut(self._line.popleft())

    def _open(self, block: _Block) -> None:
        if block.index is not None:
            return
        block.index, self.next = self.next, self.next + 1
        start = {"type": "content_block_start", "index": block.index, "content_block": block.start}
        self._out.append(named_frame("content_block_start", encode(start)))
        for opening, piece in block.waiting:
            self._say(block.index, opening, piece)
        block.waiting.clear()

    def _shut(self, block: _Block) -> None:
        self._out.append(
            b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % (block.index or 0)
        )
