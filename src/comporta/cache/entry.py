"""What is kept of an answer: its events as they came, so that nothing is lost when it is given again (WIRE 12)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from comporta.types import Event, Usage

#: Any other ending is no answer to give again: cut for want of tokens, or stopped by a filter that may change its mind.
_FINISHED = frozenset({"stop", "tool_calls"})


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One answer. An array when encoded: new fields go to the end, with a default."""

    stored_s: float
    events: tuple[Event, ...]
    usage: Usage | None = None
    #: What it cost the one who paid for it.
    cost_microusd: int | None = None
    #: What it is cleared by.
    tags: tuple[str, ...] = ()
    #: The door it came through, and in which form: `openai.chat/stream`.
    form: str = ""
    #: Whose call it was, by a hash. It stays the last field: `mark_of` says how that looks in an encoded one.
    owner: bytes | None = None


class Row(Struct, frozen=True, gc=False):
    """An encoded entry on its way to a store. `owner` is the hash of the user whose call it was."""

    key: bytes
    body: bytes
    stored_s: float
    ttl_s: float
    tenant: str
    route: str
    owner: bytes | None = None
    #: When that call began: what was asked before an erasure is not stored after it.
    begun_s: float = 0.0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encoded(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decoded(body: bytes | memoryview) -> Entry | None:
    """The entry; None for what is none, as another version may have left it."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def form_of(door: str, stream: bool) -> str:
    """Where and how an answer was given."""
    return f"{door}/stream" if stream else door


def mark_of(owner: bytes) -> bytes:
    """How an entry of that user's ends, when it is encoded: erasing then need not decode all there is."""
    return b"\xc4" + bytes([len(owner)]) + owner


def is_complete(events: Sequence[Event], choices: int) -> bool:
    """Whether an answer that came to its end has all of its choices, each of them finished."""
    if len(events) == 1 and choices <= 1 and len(events[0].deltas) == 1:
        # A plain answer, as most are.
        return bool(events[0].vectors) or events[0].deltas[0].finish in _FINISHED
    ended: dict[int, bool] = {}
    for event in events:
        if event.vectors:
            return True
        for delta in event.deltas:
            if delta.finish is not None:
                ended[delta.index] = delta.finish in _FINISHED
            else:
                ended.setdefault(delta.index, False)
    return len(ended) >= choices and all(ended.values())


def size_of(event: Event) -> int:
    """About how many bytes an event takes when encoded: cheap, and never far too low."""
    raw = event.raw
    if raw is not None and not event.vectors:
        # What its deltas say stands in there, too.
        return 128 + 2 * len(raw)
    size = 64 + (len(raw) if raw is not None else 0) + 4096 * len(event.vectors)
    for delta in event.deltas:
        size += 32 + len(delta.text) + len(delta.reasoning) + len(delta.refusal)
        for tool in delta.tools:
            size += 64 + len(tool.arguments)
    return size
