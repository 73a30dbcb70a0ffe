"""An answer of the Responses door as it goes by: what later calls can refer to it by, and what is to be kept of it."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec import Struct

from comporta.gateway.doors.responses_stream import ResponseStream
from comporta.gateway.doors.responses_writing import PREFIX, whole_response
from comporta.gateway.doors.writing import kept_id
from comporta.gateway.followups.places import sealed_key
from comporta.pipeline import Call, Gathered
from comporta.types import JSON, Delta, Event

WIRE = "openai.responses"


class _Item(Struct):
    type: str = ""
    id: str | None = None
    encrypted_content: str | None = None


class _Response(Struct):
    output: list[_Item] = []


class _Last(Struct):
    response: _Response | None = None


_response = msgspec.json.Decoder(_Response).decode
_last = msgspec.json.Decoder(_Last).decode


class Answer(Protocol):
    """One answer; `add` sees every event of it."""

    def add(self, event: Event) -> None: ...

    def keys(self) -> list[str]:
        """What it can be referred to by, its own id first; empty while it has none."""


class Native:
    """An answer in the wire's own words: its provider holds it."""

    __slots__ = ("_end", "_id", "_seals", "complete")

    def __init__(self) -> None:
        self._id: str | None = None
        self._seals: list[str] = []
        self._end: Event | None = None
        #: Whether its provider said that it is whole.
        self.complete = False

    def add(self, event: Event) -> None:
        if event.id is not None and self._id is None:
            self._id = event.id
        for delta in event.deltas:
            if delta.encrypted or delta.signature:
                self._seals.append(_seal(delta))
        if event.last or event.whole:
            self.complete = True
            # OpenAI's wire puts a bare event of its own after the one that holds the whole response.
            self._end = event if event.raw is not None else self._end

    def keys(self) -> list[str]:
        if self._id is None:
            return []
        return list(dict.fromkeys((self._id, *self._items(), *self._seals)))

    def _items(self) -> list[str]:
        """The ids of its items, and their seals; unread where a stage rewrote the end."""
        end = self._end
        if end is None or end.raw is None:
            return []
        try:
            response = _response(end.raw) if end.whole else _last(end.raw).response
        except msgspec.DecodeError:
            return []
        found = []
        for item in response.output if response is not None else ():
            found += [item.id] if item.id else []
            found += [sealed_key(item.encrypted_content)] if item.encrypted_content else []
        return found


class Translated:
    """An answer in another provider's words, which the gate alone can keep."""

    __slots__ = ("_call", "_gathered", "_id", "_run", "_seals", "_writer")

    def __init__(self, call: Call, *, keep: bool) -> None:
        self._call = call
        self._id: str | None = None
        self._seals: list[str] = []
        #: What is kept is what the client got: written the same way.
        self._writer = ResponseStream(call) if keep and call.stream else None
        self._gathered = Gathered() if keep and not call.stream else None
        #: Pieces of text that wait to be written as one: most events bring nothing else.
        self._run: list[str] = []

    def add(self, event: Event) -> None:
        if self._id is None:
            self._id = kept_id(PREFIX, self._call, event.id)
        elif self._writer is not None and _is_text(event):
            self._run.append(event.deltas[0].text)
            return
        for delta in event.deltas:
            if delta.encrypted or delta.signature:
                self._seals.append(_seal(delta))
        if self._writer is not None:
            self._write_run(self._writer)
            self._writer.event(event)
        elif self._gathered is not None:
            self._gathered.add(event)

    def keys(self) -> list[str]:
        return [] if self._id is None else [self._id, *dict.fromkeys(self._seals)]

    def response(self) -> JSON:
        """The whole response as the client gets it."""
        if self._writer is not None:
            self._write_run(self._writer)
            self._writer.end()
            body = self._writer.body
        else:
            assert self._gathered is not None, "only what is kept has a response"
            body = whole_response(self._call, self._gathered.reply())
        self._id = body["id"]
        return body

    def _write_run(self, writer: ResponseStream) -> None:
        if self._run:
            writer.event(Event((Delta(text="".join(self._run)),)))
            self._run.clear()


def _is_text(event: Event) -> bool:
    """Whether an event is a piece of text and nothing more."""
    if len(event.deltas) != 1 or event.usage is not None:
        return False
    delta = event.deltas[0]
    return bool(delta.text) and not (
        delta.finish or delta.logprobs or delta.extra or delta.tools or delta.reasoning or delta.refusal or delta.index
        or delta.signature or delta.encrypted
    )  # fmt: skip


def _seal(delta: Delta) -> str:
    return sealed_key(delta.encrypted or delta.signature or "")
