"""Files and batches on the page: their forms, and one operation for each method of each path."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from comporta.gateway.openapi.common import Object, Shape, Word


class UploadedFile(Shape):
    """A file of requests, or of a batch's answers."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]


class UploadedFiles(Shape):
    """A page of files, the newest first."""

    object: Literal["list"]
    data: list[UploadedFile]
    has_more: bool
    first_id: str | None
    last_id: str | None


class DeletedFile(Shape):
    """That a file is gone."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class BatchRequest(Shape):
    """A batch over a file that was uploaded."""

    input_file_id: Annotated[Word, Meta(description="The id of an uploaded file.")]
    endpoint: Annotated[
        Literal["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"],
        Meta(description="Where its requests go: the `url` of each line."),
    ]
    completion_window: Annotated[Literal["24h"], Meta(description="`batches.window` says what holds.")] = "24h"
    metadata: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]] | None,
        Meta(description="Up to 16 pairs."),
    ] = None
    native: Annotated[
        bool | None,
        Meta(description="Hand rows to their provider's own batch API where that is cheaper; `batches.native` else."),
    ] = None


class NativeSums(Shape):
    """What rows cost, and what providers' own batch APIs saved; in dollars, of rows whose answers are there."""

    native: bool
    handed_over: int
    cost_usd: float
    saved_usd: float


class Batch(Shape):
    """A batch, and how far it is; times are seconds since 1970."""

    id: str
    object: Literal["batch"]
    endpoint: str
    input_file_id: str
    completion_window: Literal["24h"]
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    errors: Annotated[Object | None, Meta(description="What is wrong with the file, with its lines.")]
    request_counts: dict[str, int]
    metadata: Object | None
    comporta: Annotated[NativeSums, Meta(description="How much went to providers' own batch APIs.")]
    created_at: int
    expires_at: int | None
    in_progress_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None


class BatchList(Shape):
    """A page of batches, the newest first."""

    object: Literal["list"]
    data: list[Batch]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Upload(Shape):
    """A form (multipart/form-data) with the file."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"}, description="JSON lines, one request each.")]
    purpose: Literal["batch"]


EXAMPLE = {"input_file_id": "file-0192f0c12345", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
