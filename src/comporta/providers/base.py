"""What a provider is to the rest: a wire (pure, over HTTP) or a local model, and the values between them.

A wire is one file with pure functions and no sockets: `encode(query, endpoint) -> Request`, `decoder(query)` whose
`feed(bytes) -> [Event]` takes the body in any cuts, `reply(query, bytes) -> Event` for a plain body, and
`fault(status, headers, body) -> UpstreamError`. Nothing else in the product knows the provider's words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct

from comporta.errors import UpstreamError
from comporta.types import JSON, Event, Input, Kind


class Caching(Struct, frozen=True):
    """What a wire is to do so that its provider caches a prefix.

    `marks` are places where a prefix ends (`tools`, `system`, `first` message, `last` one), for providers that want
    them marked; `key` is equal for calls that share a prefix.
    """

    marks: tuple[str, ...] = ()
    key: str = ""


class Query(Struct, frozen=True, omit_defaults=True):
    """What a wire must know of a call. `input` already holds the variant's parameters where the body left them out."""

    kind: Kind
    input: Input
    #: The provider's own name of the model.
    model: str
    stream: bool = False
    #: The client's headers that providers may need, lower case (`anthropic-version`, `anthropic-beta`).
    headers: dict[str, str] = {}
    #: What the model can do, as the catalogue says; empty where unknown: then nothing is refused on its account.
    capabilities: tuple[str, ...] = ()
    #: The most tokens the model can write, where known (Anthropic demands a `max_tokens`).
    max_output: int | None = None
    #: None leaves the request as it is.
    caching: Caching | None = None


class Endpoint(Struct, frozen=True, omit_defaults=True):
    """Where and how to reach a provider: its row of data, with one credential's secret put in."""

    provider: str
    base_url: str
    secret: str | None = None
    headers: dict[str, str] = {}
    #: Peculiarities of the row, each named in `providers/rows.py`.
    options: JSON = {}


class Request(Struct, frozen=True, omit_defaults=True):
    """An HTTP request to a provider."""

    url: str
    body: bytes
    headers: dict[str, str] = {}
    method: str = "POST"
    #: Sampling hints that this wire can't carry: left out, and reported to the caller (WIRE 20).
    dropped: tuple[str, ...] = ()


class Decoder(Protocol):
    """Turns the bytes of a streamed body into events, whatever the cuts."""

    def feed(self, data: bytes) -> list[Event]:
        """Events that are complete now. Raises UpstreamError for an error inside the stream (WIRE 3)."""

    def end(self) -> list[Event]:
        """What is left when the body has ended. Raises UpstreamCut where the answer is not complete (WIRE 5)."""

    @property
    def malformed(self) -> int:
        """How many frames were skipped since they could not be read (WIRE 5)."""


@runtime_checkable
class Wire(Protocol):
    """One provider's protocol, as pure functions."""

    name: str

    def encode(self, query: Query, endpoint: Endpoint) -> Request:
        """The request. Raises Unsupported for what the wire can't do (WIRE 12)."""

    def decoder(self, query: Query) -> Decoder:
        """A fresh decoder for one streamed body."""

    def reply(self, query: Query, body: bytes) -> Event:
        """A plain 2xx body as one whole event. Raises UpstreamError for an error inside it."""

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """What a non-2xx answer means, by status and code only, never by message text. Headers are lower case."""

    def listing(self, endpoint: Endpoint) -> Request | None:
        """The request for the provider's list of models, where it has one."""

    def models(self, body: bytes) -> tuple[str, ...]:
        """The names in the answer to `listing`."""


@runtime_checkable
class Local(Protocol):
    """A model in this process (offline, scripted)."""

    name: str

    def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        """The answer as events; raises UpstreamError before or between them as a provider would."""
