"""Anthropic's batch API: requests and batch in one go, results as JSON lines.

After https://docs.anthropic.com/en/api/creating-message-batches: `requests` of `custom_id` (64 of `A-Za-z0-9_-`) and
`params`, `processing_status`, results of the types succeeded, errored, canceled and expired.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct, structs

from comporta.errors import UpstreamFault
from comporta.providers.anthropic import headers_of
from comporta.providers.base import Endpoint, Query, Request
from comporta.providers.batching import Item, Remote, Result, read, readable
from comporta.providers.carry import address

_PART = "messages"
#: What is wrong with the request itself; everything else may be better another time.
_REFUSED = {"invalid_request_error": 400, "not_found_error": 404, "permission_error": 403, "request_too_large": 413}


class _Counts(Struct, frozen=True):
    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


class _Batch(Struct, frozen=True):
    id: str
    processing_status: str
    created_at: datetime.datetime
    results_url: str | None = None
    request_counts: _Counts = _Counts()


class _Batches(Struct, frozen=True):
    data: list[_Batch]


class _Said(Struct, frozen=True):
    type: str = ""


class _Error(Struct, frozen=True):
    error: _Said = _Said()


class _Outcome(Struct, frozen=True):
    type: str
    message: Raw = Raw(b"null")
    error: Raw = Raw(b"null")


class _Line(Struct, frozen=True):
    custom_id: str
    result: _Outcome


class AnthropicBatches:
    """The API. A request of its own client's beta words can't go into a batch with others."""

    def part(self, query: Query) -> str | None:
        alone = query.kind != "chat" or query.stream or "anthropic-beta" in query.headers
        return None if alone else _PART

    def upload(self, endpoint: Endpoint, name: str, part: str, items: Iterable[Item]) -> Request | None:
        return None

    def uploaded(self, body: bytes) -> str:
        raise UpstreamFault("Anthropic's batches need no file.")

    def uploads(self, endpoint: Endpoint) -> Request | None:
        return None

    def found_upload(self, body: bytes, name: str) -> str | None:
        return None

    def create(self, endpoint: Endpoint, name: str, part: str, upload: str | None, items: Iterable[Item]) -> Request:
        requests = [{"custom_id": item.id, "params": Raw(item.body)} for item in items]
        return _ask(endpoint, "", msgspec.json.encode({"requests": requests}))

    def look(self, endpoint: Endpoint, id: str) -> Request:
        return _ask(endpoint, f"/{quote(id, safe='')}")

    def cancel(self, endpoint: Endpoint, id: str) -> Request:
        return _ask(endpoint, f"/{quote(id, safe='')}/cancel", b"{}")

    def remote(self, body: bytes) -> Remote:
        return _told(read(body, _Batch))

    def recent(self, endpoint: Endpoint) -> Request:
        return _ask(endpoint, "?limit=100")

    def listed(self, body: bytes) -> Sequence[Remote]:
        return [_told(one) for one in read(body, _Batches).data]

    def results(self, endpoint: Endpoint, remote: Remote) -> Sequence[Request]:
        # Asked for below our own base: what a body says is no address to send a secret to.
        return [_ask(endpoint, f"/{quote(remote.id, safe='')}/results")] if remote.ended else []

    def discard(self, endpoint: Endpoint, upload: str | None, remote: Remote) -> Sequence[Request]:
        return [structs.replace(self.look(endpoint, remote.id), method="DELETE")]

    def result(self, line: bytes) -> Result | None:
        told = readable(line, _Line)
        if told is None:
            return None
        outcome = told.result
        if outcome.type == "succeeded":
            return Result(told.custom_id, "answered", 200, bytes(memoryview(outcome.message)))
        if outcome.type == "errored":
            status = _REFUSED.get(_kind(outcome.error))
            if status is not None:
                return Result(told.custom_id, "refused", status, bytes(memoryview(outcome.error)))
        return Result(told.custom_id, "again")


def _kind(error: Raw) -> str:
    found = readable(error, _Error)
    return "" if found is None else found.error.type


def _ask(endpoint: Endpoint, below: str, body: bytes | None = None) -> Request:
    url = address(endpoint.base_url, "v1", f"/messages/batches{below}")
    return Request(url, body or b"", headers_of(endpoint, {}), method="GET" if body is None else "POST")


def _told(batch: _Batch) -> Remote:
    counts = batch.request_counts
    total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    ended = batch.processing_status == "ended"
    return Remote(batch.id, ended, (batch.results_url,) if batch.results_url else (), None,
                  batch.created_at.timestamp(), total)  # fmt: skip
