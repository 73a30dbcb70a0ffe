"""Turns OpenAI's chat completions, streamed or plain, into events (WIRE 3, 4, 5, 7, 10, 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from comporta.errors import UpstreamCut, UpstreamError
from comporta.providers.base import Query
from comporta.providers.framing import Frame, Frames
from comporta.providers.openai_chunks import Calls, Choice, Completion, Message, calls_tools, decode, delta_of
from comporta.providers.openai_fault import fault_inside, unreadable
from comporta.providers.openai_messages import NAME
from comporta.providers.openai_usage import FINISHES, KNOWN_FINISHES, usage_of
from comporta.providers.statuses import UNREADABLE, decoded
from comporta.types import Delta, Event, Finish

_LAST: Final = Event(wire=NAME, last=True)
_EMPTY: Final = Message()


class SseDecoder:
    """What the streams of OpenAI's wires share: frames, the terminator, malformed frames, the cut."""

    __slots__ = ("_ended", "_error", "_frames", "_title", "malformed")

    def __init__(self, title: str) -> None:
        self._title = title
        self._frames = Frames()
        self._ended = False
        self._error: UpstreamError | None = None
        self.malformed = 0

    def feed(self, data: bytes) -> list[Event]:
        if self._error is not None:
            raise self._error
        return self._read(self._frames.feed(data)) if data else []

    def end(self) -> list[Event]:
        if self._error is not None:
            raise self._error
        events = self._read(self._frames.end())
        if self._ended:
            return events
        if not self.complete:
            raise UpstreamCut(f"{self._title} ended the stream before the answer was complete.")
        self._ended = True
        return [*events, self.last]

    def _read(self, frames: list[Frame]) -> list[Event]:
        """Events of frames. What came before an error is given out first, so that all cuts give the same events."""
        events: list[Event] = []
        try:
            for frame in frames:
                if self._ended:
                    break
                if frame.data[:1] == b"{":
                    self._read_object(frame, events)
                elif text := frame.data.strip():
                    self._read_word(Frame(frame.name, text), events)
        except UpstreamError as error:
            if not events:
                raise
            self._error = error
        return events

    def _read_object(self, frame: Frame, events: list[Event]) -> None:
        try:
            event = self.event(frame)
        except UNREADABLE:
            self._malformed_frame(frame)
            return
        if event is not None:
            events.append(event)
            self._ended = event.last

    def _read_word(self, frame: Frame, events: list[Event]) -> None:
        if frame.data == b"[DONE]":
            self._ended = True
            events.append(self.last)
        elif frame.data[:1] == b"{":
            self._read_object(frame, events)
        else:
            self._malformed_frame(frame)

    def _malformed_frame(self, frame: Frame) -> None:
        """A frame of unknown shape is passed over, unless it is an error: that must not be lost with it."""
        value = decoded(frame.data)
        if frame.name == "error" or (isinstance(value, dict) and value.get("error")):
            raise fault_inside(self._title, value)
        self.malformed += 1

    # ---- for each wire ----

    @property
    def last(self) -> Event:
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether the answer is whole though no terminator came (WIRE 4)."""
        raise NotImplementedError

    def event(self, frame: Frame) -> Event | None:
        """What a frame says; raises DecodeError for one that can't be read."""
        raise NotImplementedError


class ChatDecoder(SseDecoder):
    """One streamed chat completion."""

    __slots__ = ("_calls", "_finished", "_old_call", "_query", "_started")

    def __init__(self, query: Query, title: str) -> None:
        super().__init__(title)
        self._query = query
        self._started: set[int] = set()
        self._finished: set[int] = set()
        self._calls: dict[int, Calls] = {}
        self._old_call = asks_the_old_way(query)

    @property
    def last(self) -> Event:
        return _LAST

    @property
    def complete(self) -> bool:
        # A choice that was asked for and never began is missing, whatever the others say.
        return len(self._finished) >= self._query.input.n and self._finished >= self._started

    def event(self, frame: Frame) -> Event | None:
        chunk = decode(frame.data)
        choices = chunk.choices
        if choices is None or chunk.error is not None or chunk.x_groq is not None:
            check_error(chunk, frame, self._title)
        usage = None if chunk.usage is None and chunk.x_groq is None else _counted(chunk)
        if not choices:
            return Event((), usage, chunk.id, chunk.model, NAME, frame.data)
        if len(choices) == 1:
            delta, good = self._choice(choices[0])
            return Event((delta,), usage, chunk.id, chunk.model, NAME, frame.data if good else None)
        conformant = True
        deltas: list[Delta] = []
        for choice in choices:
            delta, good = self._choice(choice)
            conformant = conformant and good
            deltas.append(delta)
        raw = frame.data if conformant else None
        return Event(tuple(deltas), usage, chunk.id, chunk.model, NAME, raw)

    def _choice(self, choice: Choice) -> tuple[Delta, bool]:
        index = choice.index or 0
        message = choice.delta or choice.message or _EMPTY
        self._started.add(index)
        if (
            choice.finish_reason is None
            and type(message.content) is str
            and message.tool_calls is None
            and message.function_call is None
            and message.reasoning_content is None
            and message.reasoning is None
            and message.refusal is None
            and choice.logprobs is None
            and message.annotations is None
            and message.audio is None
            and message.reasoning_details is None
            and message.images is None
        ):
            return Delta(index, message.content), choice.delta is not None
        return self._rich(choice, message, index)

    def _rich(self, choice: Choice, message: Message, index: int) -> tuple[Delta, bool]:
        """A choice with more to it than a piece of text."""
        if choice.error:
            raise fault_inside(self._title, {"error": choice.error})
        calls = self._calls.get(index)
        if calls is None and calls_tools(message):
            calls = self._calls[index] = Calls(self._query, index)
        delta, conformant = delta_of(message, index, calls)
        if self._old_call and message.tool_calls is None and not isinstance(message.content, list):
            conformant = True
        finish, known = finish_of(choice.finish_reason, calls is not None)
        if finish is not None:
            self._finished.add(index)
        if finish is not None or choice.logprobs:
            delta = msgspec.structs.replace(delta, finish=finish, logprobs=choice.logprobs or None)
        return delta, conformant and known and choice.delta is not None


def asks_the_old_way(query: Query) -> bool:
    """Whether the client speaks of `functions`: it then understands the old single `function_call`."""
    return query.input.raw is not None and "functions" in query.input.raw


def finish_of(word: str | None, called: bool) -> tuple[Finish | None, bool]:
    """The canonical finish, and whether the upstream's word is one of OpenAI's."""
    if not word:
        return None, word is None
    finish = FINISHES.get(word.lower(), "stop")
    if called and finish == "stop":
        finish = "tool_calls"
    return finish, word in KNOWN_FINISHES


def _counted(chunk: Completion) -> Any:
    counts = chunk.usage
    if counts is None and chunk.x_groq is not None:
        counts = chunk.x_groq.usage
    return None if counts is None else usage_of(counts)


def check_error(chunk: Completion, frame: Frame, title: str) -> None:
    """Raises what an error object inside a 200 means (WIRE 3)."""
    error = chunk.error or (chunk.x_groq.error if chunk.x_groq is not None else None)
    if error or chunk.object == "error" or frame.name == "error":
        raise fault_inside(title, decoded(frame.data) if chunk.x_groq is None else {"error": error})


def read_plain(decoder: Callable[[bytes], Completion], body: bytes, title: str) -> Completion:
    """A plain body, with an error inside it raised. What is no completion at all is a fault, too."""
    try:
        whole = decoder(body)
    except UNREADABLE:
        value = decoded(body)
        if isinstance(value, dict) and value.get("error"):
            raise fault_inside(title, value) from None
        raise unreadable(title, "a body that can't be read") from None
    check_error(whole, Frame(None, body), title)
    if not whole.choices:
        raise unreadable(title, "a body without choices")
    return whole


def reply_of(query: Query, body: bytes, title: str) -> Event:
    """A plain chat completion as one whole event."""
    whole = read_plain(decode, body, title)
    conformant = True
    deltas: list[Delta] = []
    for place, choice in enumerate(whole.choices or ()):
        message = choice.message or choice.delta or _EMPTY
        if choice.error:
            raise fault_inside(title, {"error": choice.error})
        index = place if choice.index is None else choice.index
        calls = Calls(query, index) if calls_tools(message) else None
        delta, good = delta_of(message, index, calls, whole=True)
        good = good or (message.function_call is not None and asks_the_old_way(query))
        finish, known = finish_of(choice.finish_reason, calls is not None)
        conformant = conformant and good and known and choice.message is not None
        deltas.append(msgspec.structs.replace(delta, finish=finish, logprobs=choice.logprobs or None))
    raw = body if conformant else None
    return Event(tuple(deltas), _counted(whole), whole.id, whole.model, NAME, raw, whole=True)
