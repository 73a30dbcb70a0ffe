"""The loop that streamed answers share: bytes are cut, pieces become events, and an error waits its turn."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from comporta.errors import UpstreamError
from comporta.providers.statuses import UNREADABLE
from comporta.types import Event

Piece = TypeVar("Piece")


class Cutter(Protocol[Piece]):
    """What cuts a body: `Frames` or `Lines`."""

    def feed(self, data: bytes) -> list[Piece]: ...

    def end(self) -> list[Piece]: ...


class Reading(Generic[Piece]):
    """A decoder; a wire gives `_event` for one piece and `_close` for the end of the body."""

    __slots__ = ("_cutter", "_error", "malformed")

    def __init__(self, cutter: Cutter[Piece]) -> None:
        self._cutter = cutter
        self._error: UpstreamError | None = None
        self.malformed = 0

    def _event(self, piece: Piece) -> Event | None:
        """What a piece says. Raises msgspec.DecodeError where it can't be read, UpstreamError for an error in it."""
        raise NotImplementedError

    def _close(self) -> list[Event]:
        """What is left to say. Raises UpstreamCut where the answer is not complete."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Event]:
        if self._error is not None:
            raise self._error
        return self._read(self._cutter.feed(data)) if data else []

    def end(self) -> list[Event]:
        if self._error is not None:
            raise self._error
        events = self._read(self._cutter.end())
        return events + self._close()

    def _read(self, pieces: list[Piece]) -> list[Event]:
        """Events of pieces. What came before an error is given out first, so that all cuts give the same events."""
        events: list[Event] = []
        for piece in pieces:
            try:
                event = self._event(piece)
            except UNREADABLE:
                self.malformed += 1
                continue
            except UpstreamError as error:
                if not events:
                    raise
                self._error = error
                break
            if event is not None:
                events.append(event)
        return events
