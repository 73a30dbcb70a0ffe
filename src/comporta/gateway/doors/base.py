"""What a door is: the wire a client speaks, as pure functions in both directions, no sockets.

`parse` reads a body into a call's input, `reply` and `Stream` write the answer in the client's own words, `error` puts
a failure into the client's own envelope. Reading and writing of HTTP itself is in `gateway/server.py`, once for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from comporta.errors import ComportaError
from comporta.pipeline import Call
from comporta.types import Event, Input, Kind, Reply


class Parsed(Struct, frozen=True):
    """What a body asks for."""

    input: Input
    model: str
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    session: str | None = None
    kind: Kind = "chat"


class Stream(Protocol):
    """One streamed answer being written. Each method returns the bytes to send, possibly none."""

    def event(self, event: Event) -> bytes:
        """One event in the client's words; `event.raw` passes untouched where the wire is the same."""

    def end(self) -> bytes:
        """The proper end, terminator included; called once, when all events went out."""

    def error(self, error: ComportaError) -> bytes:
        """A visible failure after the first content: an error frame, then the terminator (WIRE 1)."""


class Door(Protocol):
    """A wire that clients speak."""

    #: `openai.chat`, `openai.completions`, `openai.responses`, `openai.embeddings`, `anthropic.messages`, …
    name: str
    #: HTTP path below the root, `/v1/chat/completions`.
    path: str

    def parse(self, body: bytes, headers: Mapping[str, str]) -> Parsed:
        """Read a request. Raises BadRequest that names the field (`param`) for whatever is wrong with it."""

    def reply(self, call: Call, reply: Reply) -> bytes:
        """A plain answer. `reply.raw` passes untouched where `reply.wire` is this door's."""

    def stream(self, call: Call) -> Stream:
        """A fresh writer for one streamed answer."""

    def error(self, error: ComportaError) -> bytes:
        """The error envelope (WIRE 13)."""
