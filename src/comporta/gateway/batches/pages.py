"""`/v1/files` and `/v1/batches`: pages in OpenAI's shape over the tables."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from comporta.errors import BadRequest, NotFound
from comporta.gateway.batches.reading import lines_of, upload_of
from comporta.gateway.batches.settings import BatchesSection
from comporta.gateway.batches.store import Batches, BatchRow, FileRow
from comporta.gateway.doors.writing import encode
from comporta.gateway.reading import secret_of
from comporta.gateway.server import Asked, Page
from comporta.types import JSON, Caller

_MOST_LISTED = 100
_METADATA = 16
#: The only word that there is for it; what the configuration says holds.
WINDOW = "24h"


class BatchPages:
    """The pages. `authenticate` knows the caller, `settings` gives today's section."""

    def __init__(
        self, batches: Batches, authenticate: Callable[[str], Caller], settings: Callable[[], BatchesSection]
    ) -> None:
        self._batches = batches
        self._authenticate = authenticate
        self._settings = settings

    # ---- files ----

    async def upload(self, asked: Asked) -> Page:
        """Keeps a file of requests."""
        caller = self._who(asked)
        settings = self._settings()
        upload = await asyncio.to_thread(upload_of, asked.body, asked.headers.get("content-type", ""))
        purpose = upload.fields.get("purpose", "")
        if purpose != "batch":
            raise BadRequest("purpose must be `batch`: other files are kept nowhere here.", param="purpose")
        lines = await asyncio.to_thread(lambda: list(lines_of(upload.content)))
        if len(lines) > settings.max_rows:
            raise BadRequest(f"The file has {len(lines)} lines; at most {settings.max_rows} are taken.", param="file")
        row = await self._batches.add_file(
            caller, upload.filename[:200], purpose, len(upload.content), lines, settings.keep
        )
        return Page(encode(_file(row)))

    async def files(self, asked: Asked) -> Page:
        """Lists uploaded files."""
        caller, limit, after = self._listing(asked)
        purpose = asked.query.get("purpose")
        rows = await self._batches.files(caller, purpose=purpose, after=after, limit=limit + 1)
        return _listed([_file(row) for row in rows], limit)

    async def file(self, asked: Asked) -> Page:
        """A file, or its content."""
        caller = self._who(asked)
        id, _, below = asked.rest.partition("/")
        if below == "content":
            size, pieces = await self._batches.content(caller, id)
            return Page(b"", "application/jsonl", headers=[("content-length", str(size))], pieces=pieces)
        if below:
            raise NotFound(f"A file has nothing at '{below[:60]}'; there is /content.")
        return Page(encode(_file(await self._batches.file(caller, id))))

    async def remove(self, asked: Asked) -> Page:
        """Deletes a file; what was made of it stays."""
        await self._batches.remove_file(self._who(asked), asked.rest)
        return Page(encode({"id": asked.rest, "object": "file", "deleted": True}))

    # ---- batches ----

    async def create(self, asked: Asked) -> Page:
        """Begins a batch over an uploaded file."""
        caller = self._who(asked)
        body = _body(asked.body)
        if body.get("completion_window", WINDOW) != WINDOW:
            raise BadRequest(f"completion_window must be {WINDOW}.", param="completion_window")
        file, endpoint = body.get("input_file_id"), body.get("endpoint")
        if not isinstance(file, str):
            raise BadRequest("input_file_id must name an uploaded file.", param="input_file_id")
        if not isinstance(endpoint, str):
            raise BadRequest("endpoint must say where the requests go.", param="endpoint")
        settings = self._settings()
        row = await self._batches.create(
            caller, file=file, endpoint=endpoint, metadata=_metadata(body), window_s=settings.window,
            native=_native(body, settings.native),
        )  # fmt: skip
        return Page(encode(shown(row)))

    async def batches(self, asked: Asked) -> Page:
        """Lists batches."""
        caller, limit, after = self._listing(asked)
        rows = await self._batches.batches(caller, after=after, limit=limit + 1)
        return _listed([shown(row) for row in rows], limit)

    async def batch(self, asked: Asked) -> Page:
        """A batch."""
        return Page(encode(shown(await self._batches.batch(self._who(asked), asked.rest))))

    async def cancel(self, asked: Asked) -> Page:
        """Asks nothing more of a batch; what runs comes to its end."""
        id, _, below = asked.rest.partition("/")
        if below != "cancel":
            raise NotFound(f"A batch takes nothing at '{below[:60]}'; there is /cancel.")
        return Page(encode(shown(await self._batches.cancel(self._who(asked), id))))

    def _who(self, asked: Asked) -> Caller:
        return self._authenticate(secret_of(asked.headers))

    def _listing(self, asked: Asked) -> tuple[Caller, int, str | None]:
        limit = asked.query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_LISTED:
            raise BadRequest(f"limit must be a number from 1 to {_MOST_LISTED}.", param="limit")
        return self._who(asked), int(limit), asked.query.get("after")


def shown(row: BatchRow) -> JSON:
    """A batch as OpenAI shows it."""
    told: JSON = {
        "id": row.id, "object": "batch", "endpoint": row.endpoint, "input_file_id": row.input_file_id,
        "completion_window": WINDOW, "status": row.status, "output_file_id": row.output_file,
        "error_file_id": row.error_file, "metadata": row.metadata,
        "errors": None if row.mistakes is None else {"object": "list", "data": row.mistakes},
        "request_counts": {"total": row.total, "completed": row.done, "failed": row.failed},
        "comporta": {
            "native": row.native, "handed_over": row.handed, "cost_usd": row.cost_microusd / 1e6,
            "saved_usd": row.saved_microusd / 1e6,
        },
    }  # fmt: skip
    for name in (
        "created_at", "expires_at", "in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
        "cancelling_at", "cancelled_at",
    ):  # fmt: skip
        told[name] = _seconds(getattr(row, name))
    return told


def _file(row: FileRow) -> JSON:
    return {
        "id": row.id, "object": "file", "bytes": row.bytes, "created_at": _seconds(row.created_at),
        "expires_at": _seconds(row.expires_at), "filename": row.filename, "purpose": row.purpose,
        "status": "processed",
    }  # fmt: skip


def _seconds(at: datetime.datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _listed(rows: Sequence[Mapping[str, Any]], limit: int) -> Page:
    """`rows` may hold one more than was asked for: then there are more."""
    data = list(rows[:limit])
    return Page(
        encode(
            {
                "object": "list", "data": data, "has_more": len(rows) > limit,
                "first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None,
            }
        )
    )  # fmt: skip


def _body(data: bytes) -> JSON:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(found, dict):
        raise BadRequest("The body must be a JSON object.")
    return found


def _native(body: JSON, usual: bool) -> bool:
    """Whether rows may go to their provider's own batch API: as the body says, else as the configuration does."""
    found = body.get("native")
    if found is None:
        return usual
    if not isinstance(found, bool):
        raise BadRequest("native must be true or false.", param="native")
    return found


def _metadata(body: JSON) -> JSON | None:
    found = body.get("metadata")
    if found is None:
        return None
    good = isinstance(found, dict) and len(found) <= _METADATA
    if not good or not all(isinstance(v, str) and len(v) <= 512 and len(k) <= 64 for k, v in found.items()):
        raise BadRequest(f"metadata must be up to {_METADATA} pairs of texts.", param="metadata")
    if any("\0" in name + value for name, value in found.items()):
        raise BadRequest("metadata holds a NUL character.", param="metadata")
    return dict(found)
