"""OpenAI's batch API: a file of requests, a batch over it, a file of answers and one of errors.

After https://platform.openai.com/docs/api-reference/batch: statuses, one model in a file, `custom_id`, metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from comporta.providers.base import Endpoint, Query, Request
from comporta.providers.batching import LATER, Item, Remote, Result, read, readable
from comporta.providers.carry import to_json
from comporta.providers.openai import OpenAI, address, headers_of
from comporta.providers.statuses import said
from comporta.types import JSON

_WINDOW = "24h"
#: What this side calls a batch stands in its metadata.
_NAME = "comporta"
_PARTS = frozenset({"chat/completions", "embeddings", "completions"})
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
#: Separates the parts of a form; it must stand in no request, and JSON texts hold no such line.
_BOUNDARY = "----comporta-8f14e45fceea167a5a36dedd4bea2543"


class _Problem(Struct, frozen=True):
    message: str | None = None


class _Problems(Struct, frozen=True):
    data: list[_Problem] | None = None


class _Counts(Struct, frozen=True):
    total: int = 0


class _Batch(Struct, frozen=True):
    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Problems | None = None
    created_at: float = 0.0
    metadata: JSON | None = None
    request_counts: _Counts | None = None


class _Batches(Struct, frozen=True):
    data: list[_Batch]


class _File(Struct, frozen=True):
    id: str
    filename: str | None = None


class _Files(Struct, frozen=True):
    data: list[_File]


class _Response(Struct, frozen=True):
    status_code: int
    body: Raw = Raw(b"null")


class _Line(Struct, frozen=True):
    custom_id: str
    response: _Response | None = None


class OpenAIBatches:
    """The API; `wire` says which part of it a call goes to."""

    def __init__(self, wire: OpenAI) -> None:
        self._wire = wire

    def part(self, query: Query) -> str | None:
        if query.kind == "count" or query.stream:
            return None
        part = self._wire.part(query)
        return part if part in _PARTS else None

    def upload(self, endpoint: Endpoint, name: str, part: str, items: Iterable[Item]) -> Request | None:
        lines = b"".join(_line(item, part) for item in items)
        head = (
            f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="{_filename(name)}"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        )
        headers = {**headers_of(endpoint), "content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
        body = b"".join((head.encode(), lines, f"\r\n--{_BOUNDARY}--\r\n".encode()))
        return Request(address(endpoint, "files", ""), body, headers)

    def uploaded(self, body: bytes) -> str:
        return read(body, _File).id

    def uploads(self, endpoint: Endpoint) -> Request | None:
        return _get(endpoint, "files?purpose=batch&order=desc&limit=100")

    def found_upload(self, body: bytes, name: str) -> str | None:
        return next((file.id for file in read(body, _Files).data if file.filename == _filename(name)), None)

    def create(self, endpoint: Endpoint, name: str, part: str, upload: str | None, items: Iterable[Item]) -> Request:
        body = {
            "input_file_id": upload, "endpoint": f"/v1/{part}", "completion_window": _WINDOW, "metadata": {_NAME: name},
        }  # fmt: skip
        return Request(address(endpoint, "batches", ""), to_json(body), headers_of(endpoint))

    def look(self, endpoint: Endpoint, id: str) -> Request:
        return _get(endpoint, f"batches/{quote(id, safe='')}")

    def cancel(self, endpoint: Endpoint, id: str) -> Request:
        return Request(address(endpoint, f"batches/{quote(id, safe='')}/cancel", ""), b"", headers_of(endpoint))

    def remote(self, body: bytes) -> Remote:
        return _told(read(body, _Batch))

    def recent(self, endpoint: Endpoint) -> Request:
        return _get(endpoint, "batches?limit=100")

    def listed(self, body: bytes) -> Sequence[Remote]:
        return [_told(one) for one in read(body, _Batches).data]

    def results(self, endpoint: Endpoint, remote: Remote) -> Sequence[Request]:
        return [_get(endpoint, f"files/{quote(file, safe='')}/content") for file in remote.results]

    def discard(self, endpoint: Endpoint, upload: str | None, remote: Remote) -> Sequence[Request]:
        files = [file for file in (upload, *remote.results) if file]
        return [_get(endpoint, f"files/{quote(file, safe='')}", "DELETE") for file in files]

    def result(self, line: bytes) -> Result | None:
        told = readable(line, _Line)
        if told is None:
            return None
        response = told.response
        if response is None or response.status_code in LATER:
            # Never asked (`batch_expired`, `batch_cancelled`), or it said «later».
            return Result(told.custom_id, "again")
        good = response.status_code < 400
        return Result(
            told.custom_id, "answered" if good else "refused", response.status_code, bytes(memoryview(response.body))
        )


def _line(item: Item, part: str) -> bytes:
    told = {"custom_id": item.id, "method": "POST", "url": f"/v1/{part}", "body": Raw(item.body)}
    return msgspec.json.encode(told) + b"\n"


def _filename(name: str) -> str:
    return f"{name}.jsonl"


def _get(endpoint: Endpoint, part: str, method: str = "GET") -> Request:
    return Request(address(endpoint, part, ""), b"", headers_of(endpoint), method=method)


def _told(batch: _Batch) -> Remote:
    files = tuple(file for file in (batch.output_file_id, batch.error_file_id) if file)
    problems = (batch.errors.data if batch.errors else None) or []
    refused = None
    if batch.status == "failed":
        refused = said("; ".join(one.message or "" for one in problems[:3])) or "no reason was given"
    return Remote(
        batch.id, batch.status in _ENDED, files, refused, batch.created_at,
        batch.request_counts.total if batch.request_counts else 0, (batch.metadata or {}).get(_NAME) or "",
    )  # fmt: skip
