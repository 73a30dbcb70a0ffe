"""An answer under guard: each piece is held back until it was looked at, and no longer than that takes.

What may still grow into a match waits: a window of characters at the end, the word that is being written, the sentence
that is not over where a guard judges sentences, everything where one judges whole answers, and the arguments of a tool
call until they are complete. So no match slips through because it came in two chunks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from msgspec import structs

from comporta.errors import ComportaError
from comporta.guardrails.base import Match
from comporta.guardrails.call import MASKS, UNSEEN, Looking
from comporta.guardrails.looking import Text
from comporta.guardrails.masking import may_have_begun
from comporta.guardrails.running import Found, Piece
from comporta.types import Delta, Event, ToolDelta

#: Characters at the end of what came that wait for the next ones: longer than nearly anything that is looked for.
WINDOW = 160
#: Text before what is looked at that goes along, so that a guard sees what led there.
_BEFORE = 240
#: Characters that are worth a look.
_WORTH = 48
#: A word without an end waits so long; nothing that is looked for and may be longer has no end of its own.
_LONGEST_WORD = 4_000
#: And a sentence so long.
_LONGEST_SENTENCE = 600
_SPACE = re.compile(r"\s")
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’»)\]]*(?=\s)|\n")

#: Which text of an answer: the choice, and what of it (text, reasoning, refusal, or the arguments of a tool call).
Channel = tuple[int, str]


class _Flow:
    """One text of an answer as it comes."""

    __slots__ = ("edits", "free", "looked", "text", "tool")

    def __init__(self, tool: bool) -> None:
        self.text = ""
        #: Up to here it may go out.
        self.free = 0
        #: Up to here it was looked at.
        self.looked = 0
        self.tool = tool
        #: What goes out in place of pieces of it, in order.
        self.edits: list[tuple[int, int, str]] = []

    def outgoing(self, start: int, end: int) -> str:
        """A stretch as it goes out: what replaces a piece goes with the piece's beginning."""
        parts, done = [], start
        for begin, stop, other in self.edits:
            if stop <= start or begin >= end:
                continue
            parts.append(self.text[done : max(begin, done)])
            if begin >= start:
                parts.append(other)
            done = min(stop, end)
        return "".join((*parts, self.text[done:end]))


class _Waiting:
    """An event that waits, and which stretch of which text each of its deltas brought."""

    __slots__ = ("event", "pieces")

    def __init__(self, event: Event, pieces: list[tuple[Channel, int, int]]) -> None:
        self.event = event
        self.pieces = pieces


class Held:
    """The events of an answer, each given out when all its text may go. Raises GuardrailBlocked where it may not."""

    def __init__(self, events: AsyncIterator[Event], looking: Looking) -> None:
        self._events = events
        self._looking = looking
        self._uses = looking.policy.output
        needs = {use.kind.needs for use in self._uses}
        self._whole = "whole" in needs or any(use.action == "rewrite" for use in self._uses)
        self._sentences = "sentence" in needs
        self._window = WINDOW if "span" in needs else 0
        #: So much must be new before it is worth looking again.
        self._worth = _WORTH if self._uses else 1
        self._gave = False
        self._flows: dict[Channel, _Flow] = {}
        self._queue: deque[_Waiting] = deque()
        self._ended = False

    def __aiter__(self) -> Held:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._queue and self._may_go(self._queue[0]):
                return self._given(self._queue.popleft())
            if self._ended:
                raise StopAsyncIteration
            await self._more()

    async def aclose(self) -> None:
        """Close what is below; what was held back is dropped."""
        aclose = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()

    # ---- what comes ----

    async def _more(self) -> None:
        try:
            event = await self._events.__anext__()
        except StopAsyncIteration:
            self._ended = True
            await self._look(over=True)
            return
        self._queue.append(_Waiting(event, self._taken(event)))
        over = event.whole or event.last
        if over or self._worth_a_look():
            await self._look(over)

    def _taken(self, event: Event) -> list[tuple[Channel, int, int]]:
        pieces = []
        for delta in event.deltas:
            for name, text in _texts(delta):
                channel = (delta.index, name)
                flow = self._flows.get(channel)
                if flow is None:
                    flow = self._flows[channel] = _Flow(name.startswith("tool"))
                start = len(flow.text)
                flow.text += text
                pieces.append((channel, start, len(flow.text)))
        return pieces

    def _worth_a_look(self) -> bool:
        return not self._whole and any(
            not flow.tool and len(flow.text) - max(flow.looked, flow.free + self._window) >= self._worth
            for flow in self._flows.values()
        )

    # ---- looking ----

    async def _look(self, over: bool) -> None:
        if self._whole and not over:
            return
        for channel, flow in list(self._flows.items()):
            if flow.free < len(flow.text) and (over or not flow.tool):
                await self._look_at(channel, flow, over)

    async def _look_at(self, channel: Channel, flow: _Flow, over: bool) -> None:
        until = len(flow.text) if over else self._safe(flow)
        flow.looked = len(flow.text)
        if until <= flow.free:
            return
        if not self._uses:
            self._release(flow, until, ())
            return
        first = 0 if self._whole else max(0, flow.free - _BEFORE)
        # A guard of sentences judges whole ones; one of characters sees what may still grow.
        shown = len(flow.text) if self._window or self._whole else until
        piece = Piece(Text(flow.text[first:shown]), "assistant", channel)
        report = await self._looking.check(self._uses, (piece,), "output", whole=over and first == 0)
        if report.blocked is not None:
            self._block(report.blocked)
            return
        if self._whole and report.outcome in ("rewrite", "redact"):
            rewritten, hopeless = await self._looking.rewritten(report, (piece,), "output")
            if hopeless is not None:
                self._block(hopeless)
                return
            if rewritten:
                self._replace(flow, rewritten[channel])
                return
        spans = [structs.replace(m, start=m.start + first, end=m.end + first) for m in report.spans(0)]
        self._release(flow, self._before_open(flow, spans, until, over), spans)

    def _replace(self, flow: _Flow, text: str) -> None:
        """Another text in place of all of it, in which masks lead back as they do in any other."""
        other = _Flow(flow.tool)
        other.text = text
        self._release(other, len(text), ())
        flow.edits = [(0, len(flow.text), other.outgoing(0, len(text)))]
        flow.free = len(flow.text)

    def _block(self, found: Found) -> None:
        """The policy's own words where nothing was given out yet; else the error, now."""
        refusal = None if self._gave else self._looking.refusal_of(found)
        self._queue.clear()
        self._flows.clear()
        if refusal is None:
            raise self._looking.blocking(found)
        self._ended = True
        self._queue.append(_Waiting(refusal, []))

    def _safe(self, flow: _Flow) -> int:
        """Up to where nothing can grow any more."""
        if not self._uses:
            return may_have_begun(flow.text)
        end, free = len(flow.text) - self._window, flow.free
        if end <= free:
            return free
        ends, longest = (_SENTENCE_END, _LONGEST_SENTENCE) if self._sentences else (_SPACE, _LONGEST_WORD)
        last = free
        for found in ends.finditer(flow.text, free, end):
            last = found.end()
        return end if last == free and end - free > longest else last

    def _before_open(self, flow: _Flow, spans: Sequence[Match], until: int, over: bool) -> int:
        """Not into the middle of a match, and not past one that may still grow."""
        for match in spans:
            grows = match.end >= len(flow.text) and not over
            if match.start < until and (match.end > until or grows):
                until = max(match.start, flow.free)
        return until

    def _release(self, flow: _Flow, until: int, spans: Sequence[Match]) -> None:
        masks, text = self._looking.masks, flow.text
        edits = [
            (max(m.start, flow.free), m.end, masks.mask(text[m.start : m.end], m.kind, own=False))
            for m in spans
            if flow.free < m.end <= until
        ]
        if masks.reversible:
            edits += [
                (start, end, value)
                for start, end, value in masks.values_in(text, flow.free, until, json=flow.tool)
                if all(end <= m.start or start >= m.end for m in spans)
            ]
        flow.edits += sorted(edits)
        flow.free = max(flow.free, until)

    # ---- what goes ----

    def _may_go(self, waiting: _Waiting) -> bool:
        return all(self._flows[channel].free >= end for channel, _, end in waiting.pieces)

    def _given(self, waiting: _Waiting) -> Event:
        event, self._gave = waiting.event, True
        if not any(self._flows[channel].edits for channel, _, _ in waiting.pieces):
            return event
        texts = [
            (channel, self._flows[channel].outgoing(start, end), self._flows[channel].text[start:end])
            for channel, start, end in waiting.pieces
        ]
        if all(new == old for _, new, old in texts):
            return event
        return event.edit(deltas=_with(event.deltas, [(channel, new) for channel, new, _ in texts]))


class Observed:
    """The events as they come; what the guards find at the end is told, and changes nothing."""

    def __init__(self, events: AsyncIterator[Event], looking: Looking) -> None:
        self._events = events
        self._looking = looking
        self._texts: dict[Channel, list[str]] = {}
        self._told = False
        looking.call.facts[UNSEEN] = True

    def __aiter__(self) -> Observed:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await self._events.__anext__()
        except StopAsyncIteration:
            await self._tell()
            raise
        for delta in event.deltas:
            for name, text in _texts(delta):
                self._texts.setdefault((delta.index, name), []).append(text)
        return event

    async def aclose(self) -> None:
        aclose = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()
        # Whoever hangs up is told of too. Nobody waits for slow guards then: what they did not see is kept as hashes.
        with suppress(ComportaError):
            await self._tell(cut=True)

    async def _tell(self, cut: bool = False) -> None:
        if not self._told:
            self._told = True
            pieces = tuple(Piece(Text("".join(texts)), "assistant", channel) for channel, texts in self._texts.items())
            uses = tuple(use for use in self._looking.policy.output if not (cut and use.kind.slow))
            report = await self._looking.check(uses, pieces, "output")
            masks = self._looking.masks
            for at, piece in enumerate(pieces):
                # It went out as it was; what is kept of it is masked.
                masks.put(piece.text.raw, report.spans(at), own=False)
            if masks.used:
                self._looking.call.facts[MASKS] = masks
            if len(uses) == len(self._looking.policy.output):
                del self._looking.call.facts[UNSEEN]


def _texts(delta: Delta) -> list[tuple[str, str]]:
    found = [(name, text) for name in ("text", "reasoning", "refusal") if (text := getattr(delta, name))]
    found += [(f"tool {piece.index}", piece.arguments) for piece in delta.tools if piece.arguments]
    return found


def _with(deltas: tuple[Delta, ...], texts: Sequence[tuple[Channel, str]]) -> tuple[Delta, ...]:
    given = dict(texts)
    return tuple(_one_with(delta, given) for delta in deltas)


def _one_with(delta: Delta, given: dict[Channel, str]) -> Delta:
    changes: dict[str, Any] = {
        name: given[delta.index, name] for name in ("text", "reasoning", "refusal") if (delta.index, name) in given
    }
    tools = tuple(_tool(piece, given.get((delta.index, f"tool {piece.index}"))) for piece in delta.tools)
    # What providers say of single tokens no longer fits the text.
    return structs.replace(delta, tools=tools, logprobs=None, **changes)


def _tool(piece: ToolDelta, arguments: str | None) -> ToolDelta:
    return piece if arguments is None else structs.replace(piece, arguments=arguments)
