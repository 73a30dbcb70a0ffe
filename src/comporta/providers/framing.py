"""Cuts the bytes of a streamed body into frames: server-sent events, and JSON lines.

Both parsers take any cuts and give the same frames for all of them (WIRE 5). They are on the hot path of every
streamed call, so the usual frame (`data: {…}` and a blank line) is found by `bytes.split` and never walked by line.
"""

from __future__ import annotations

from msgspec import Struct

from comporta.errors import UpstreamFault

#: A frame over this is no answer of a model but a runaway upstream.
MAX_FRAME_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class Frame(Struct, frozen=True, gc=False):
    """One server-sent event: its name, where it has one, and its data."""

    name: str | None
    data: bytes


def _too_large(limit: int) -> UpstreamFault:
    return UpstreamFault(
        f"The provider sent a single stream frame of more than {limit} bytes.", code="upstream_frame_too_large"
    )


class _Cutter:
    """Bytes in, pieces between separators out; what is not complete waits without being copied again and again."""

    __slots__ = ("_limit", "_rest", "_rest_bytes", "_separator", "empty")

    def __init__(self, separator: bytes, limit: int) -> None:
        self._separator = separator
        self._limit = limit
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self.empty = True

    def cut(self, data: bytes) -> list[bytes]:
        rest = self._rest
        if rest:
            if not self._completes(data):
                return self._wait(data)
            rest.append(data)
            data = b"".join(rest)
            rest.clear()
            self._rest_bytes = 0
            self.empty = True
        pieces = data.split(self._separator)
        left = pieces.pop()
        limit = self._limit
        if len(data) > limit and any(len(piece) > limit for piece in pieces):
            raise _too_large(limit)
        if left:
            self._wait(left)
        return pieces

    def _completes(self, data: bytes) -> bool:
        separator = self._separator
        if separator in data:
            return True
        # Longer separators are all blank lines, so the only other place is across the joint.
        return len(separator) > 1 and data[:1] == separator[1:] and self._rest[-1][-1:] == separator[:1]

    def _wait(self, data: bytes) -> list[bytes]:
        self._rest.append(data)
        self._rest_bytes += len(data)
        self.empty = False
        if self._rest_bytes > self._limit + len(self._separator):
            raise _too_large(self._limit)
        return []

    def left(self) -> bytes:
        data = b"".join(self._rest)
        self._rest.clear()
        self._rest_bytes = 0
        self.empty = True
        return data


class Frames:
    """Server-sent events out of bytes that come in any cuts.

    CR, LF and CRLF end lines; comments, `id` and `retry` are passed over; a leading byte order mark is dropped. An
    event without any `data` line is no frame, as the standard has it; one with an empty `data` line is.
    """

    __slots__ = ("_after_cr", "_cutter", "_head", "_limit")

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._cutter = _Cutter(b"\n\n", limit)
        self._limit = limit
        self._after_cr = False
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        if (
            self._head is None
            and data[:6] == b"data: "
            and data[-2:] == b"\n\n"
            and data.count(b"\n") == 2
            and not self._after_cr
            and self._cutter.empty
            and b"\r" not in data
            and len(data) <= self._limit
        ):
            # One whole frame in one chunk: the usual case of a stream of tokens.
            return [Frame(None, data[6:-2])]
        if self._head is not None:
            data = self._past_mark(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if not data:
            return []
        frames: list[Frame] = []
        for block in self._cutter.cut(data):
            if block[:6] == b"data: " and b"\n" not in block:
                frames.append(Frame(None, block[6:]))
            elif block and (frame := _frame(block)) is not None:
                frames.append(frame)
        return frames

    def end(self) -> list[Frame]:
        """The last frame, where the upstream left out its blank line; the decoder judges whether it is whole."""
        if self._head:
            self._cutter.cut(self._head)
        self._head = None
        frame = _frame(self._cutter.left())
        return [] if frame is None else [frame]

    def _past_mark(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """All line ends as LF. A CR counts at once; an LF that then opens the next chunk belongs to it."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _frame(block: bytes) -> Frame | None:
    name: bytes = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    if not data:
        return None
    return Frame(name.decode("utf-8", "replace") or None, data[0] if len(data) == 1 else b"\n".join(data))


class Lines:
    """JSON lines out of bytes that come in any cuts; blank lines are passed over."""

    __slots__ = ("_cutter",)

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._cutter = _Cutter(b"\n", limit)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends."""
        if not data:
            return []
        return [line for piece in self._cutter.cut(data) if (line := piece.strip())]

    def end(self) -> list[bytes]:
        """The last line, where its end is missing."""
        line = self._cutter.left().strip()
        return [line] if line else []
