"""The old text completions, for upstreams that still have them: the client's own body there, its own words back."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.providers.base import Query
from comporta.providers.framing import Frame
from comporta.providers.openai_chunks import Completion
from comporta.providers.openai_decode import SseDecoder, check_error, finish_of, read_plain
from comporta.providers.openai_encode import stream
from comporta.providers.openai_usage import usage_of
from comporta.types import JSON, Delta, Event

NAME: Final = "openai.completions"
_LAST: Final = Event(wire=NAME, last=True)


class TextChoice(Struct):
    index: int | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: JSON | None = None


class TextCompletion(Completion):
    """A text completion, or one chunk of it."""

    choices: list[TextChoice] | None = None  # type: ignore[assignment]


_decode = msgspec.json.Decoder(TextCompletion).decode


def body_of(query: Query, raw: JSON, options: JSON) -> JSON:
    body = {**raw, "model": query.model}
    stream(body, query, options)
    return body


class CompletionsDecoder(SseDecoder):
    """One streamed text completion."""

    __slots__ = ("_asked", "_finished", "_started")

    def __init__(self, query: Query, title: str) -> None:
        super().__init__(title)
        #: So many texts for each prompt.
        self._asked = query.input.n * max(1, len(query.input.messages))
        self._started: set[int] = set()
        self._finished: set[int] = set()

    @property
    def last(self) -> Event:
        return _LAST

    @property
    def complete(self) -> bool:
        return len(self._finished) >= self._asked and self._finished >= self._started

    def event(self, frame: Frame) -> Event | None:
        chunk = _decode(frame.data)
        check_error(chunk, frame, self._title)
        deltas = _deltas(chunk)
        self._started.update(delta.index for delta in deltas)
        self._finished.update(delta.index for delta in deltas if delta.finish)
        return _event(chunk, deltas, frame.data)


def reply_of(body: bytes, title: str) -> Event:
    """A plain text completion as one whole event."""
    whole: Any = read_plain(_decode, body, title)
    return _event(whole, _deltas(whole), body, whole=True)


def _deltas(chunk: TextCompletion) -> tuple[Delta, ...]:
    return tuple(
        Delta(
            choice.index if choice.index is not None else place,
            choice.text or "",
            finish=finish_of(choice.finish_reason, False)[0],
            logprobs=choice.logprobs or None,
        )
        for place, choice in enumerate(chunk.choices or ())
    )


def _event(chunk: TextCompletion, deltas: tuple[Delta, ...], raw: bytes, whole: bool = False) -> Event:
    usage = None if chunk.usage is None else usage_of(chunk.usage)
    return Event(deltas, usage, chunk.id, chunk.model, NAME, raw, whole=whole)
