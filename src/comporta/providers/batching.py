"""What a provider's own batch API is to the rest: pure requests and readings, no sockets; a wire that has one gives it.

A batch goes its way in steps, so that whoever takes them can write down each one before the next: a file of requests
where the API wants one (`upload`), the batch (`create`), then `look` until it has `ended`, and `results`. A step that
broke off in the middle is looked for (`recent`, `uploads`) before it is taken again: nothing is handed in twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from comporta.errors import UpstreamFault
from comporta.providers.base import Endpoint, Query, Request
from comporta.providers.statuses import UNREADABLE

T = TypeVar("T")

#: Answers that say «later»: what got one is asked again by itself.
LATER = frozenset({408, 409, 429, *range(500, 600)})


class Item(Struct, frozen=True):
    """One request of a batch: an id of ours, and the body that its wire has encoded."""

    id: str
    body: bytes


class Remote(Struct, frozen=True):
    """A batch as its provider tells it. `refused` says in its own words why it was never begun."""

    id: str
    ended: bool
    #: Where the results lie, once it has ended; what of it depends on the API.
    results: tuple[str, ...] = ()
    refused: str | None = None
    #: Seconds since 1970.
    created_s: float = 0.0
    total: int = 0
    #: What this side called it, empty for one of others; None where the API keeps no names.
    name: str | None = None


class Result(Struct, frozen=True):
    """What came of one request: `answered` or `refused` with a body, or to be asked `again` by itself."""

    id: str
    outcome: Literal["answered", "refused", "again"]
    status: int = 0
    body: bytes = b""


class Batching(Protocol):
    """One provider's batch API. `name` is what this side calls a batch: letters, digits and hyphens.

    Readings raise UpstreamFault for what can't be read.
    """

    def part(self, query: Query) -> str | None:
        """Which part of the API a call would go to in a batch; None where its API takes no such call."""

    def upload(self, endpoint: Endpoint, name: str, part: str, items: Iterable[Item]) -> Request | None:
        """The request that leaves a file of requests; None where they go with `create`."""

    def uploaded(self, body: bytes) -> str:
        """The file's id."""

    def uploads(self, endpoint: Endpoint) -> Request | None:
        """The request for the files left last."""

    def found_upload(self, body: bytes, name: str) -> str | None:
        """The id of the file with that name among them."""

    def create(self, endpoint: Endpoint, name: str, part: str, upload: str | None, items: Iterable[Item]) -> Request:
        """The request that begins the batch."""

    def look(self, endpoint: Endpoint, id: str) -> Request:
        """The request that tells how far it is."""

    def cancel(self, endpoint: Endpoint, id: str) -> Request:
        """The request that ends it early; what was answered by then is kept."""

    def remote(self, body: bytes) -> Remote:
        """What `create`, `look` and `cancel` answered."""

    def recent(self, endpoint: Endpoint) -> Request:
        """The request for the batches begun last."""

    def listed(self, body: bytes) -> Sequence[Remote]:
        """Those batches."""

    def results(self, endpoint: Endpoint, remote: Remote) -> Sequence[Request]:
        """The requests for what came of it: JSON lines."""

    def discard(self, endpoint: Endpoint, upload: str | None, remote: Remote) -> Sequence[Request]:
        """The requests that take back what lies with the provider, once the results are here."""

    def result(self, line: bytes) -> Result | None:
        """One of the lines; None for one that is no result."""


def read(body: bytes, kind: type[T]) -> T:
    """A body as it should be. Raises UpstreamFault for any other."""
    found = readable(body, kind)
    if found is None:
        raise UpstreamFault("The provider said something of a batch that can't be read.")
    return found


def readable(body: bytes | Raw, kind: type[T]) -> T | None:
    """JSON as it should be; None for any other."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (*UNREADABLE, msgspec.ValidationError):
        return None
