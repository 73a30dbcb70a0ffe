"""What an uploaded file says: its form's fields, its lines, and which requests they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from comporta.errors import BadRequest
from comporta.store.people import stored_name

#: Doors that rows may be asked at.
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages")
_FIELDS = 16
_FIELD_BYTES = 16 * 1024
#: So many mistakes are told; there may be one in every line.
MOST_MISTAKES = 50
_LONGEST_ID = 256

_decode = msgspec.json.Decoder().decode


class Upload(Struct, frozen=True):
    """A form with a file."""

    fields: Mapping[str, str]
    filename: str
    content: bytes


class Row(Struct, frozen=True):
    """One request of a file. `body` is JSON text as it stands there."""

    number: int
    custom_id: str
    body: str
    user: str | None


class Mistake(Struct, frozen=True):
    """What is wrong with a line; lines count from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


def upload_of(body: bytes, content_type: str) -> Upload:
    """A form's fields and its file. Raises BadRequest where it has none."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise BadRequest("Send the file as multipart/form-data.", param="file", status=415)
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []

    def on_field(field: Any) -> None:
        if len(fields) < _FIELDS:
            fields[field.field_name.decode("utf-8", "replace")] = (field.value or b"")[:_FIELD_BYTES].decode(
                "utf-8", "replace"
            )

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        files.append(((file.file_name or b"file").decode("utf-8", "replace"), file.file_object.read()))

    try:
        parser = FormParser(
            "multipart/form-data", on_field, on_file, boundary=options[b"boundary"],
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},
        )  # fmt: skip
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise BadRequest("The form can't be read.", param="file") from None
    if not files:
        raise BadRequest("The form has no file in it.", param="file")
    return Upload(fields, *files[0])


def lines_of(content: bytes) -> Iterator[str]:
    """The lines with something in them. Raises BadRequest for bytes that are no UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("The file is not UTF-8 text.", param="file") from None
    return (line for line in text.replace("\0", "").split("\n") if line.strip())


def user_of(line: str) -> str | None:
    """Whose request a line is, as its body says; None where it does not, or is none."""
    try:
        body = _decode(line)["body"]
        found = body.get("user") or (body.get("metadata") or {}).get("user_id")
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return stored_name(found) if isinstance(found, str) and found else None


def rows_of(lines: Iterable[tuple[int, str]], endpoint: str, most: int) -> tuple[list[Row], list[Mistake]]:
    """The requests of numbered lines, and everything that is wrong with them."""
    rows: list[Row] = []
    mistakes: list[Mistake] = []
    seen: set[str] = set()
    for number, line in lines:
        found = _row(number, line, endpoint, seen)
        if isinstance(found, Row):
            rows.append(found)
        elif len(mistakes) < MOST_MISTAKES:
            mistakes.append(found)
    if not rows and not mistakes:
        mistakes.append(Mistake("empty_file", "The file has no requests, or was deleted before they were read."))
    if len(rows) > most:
        mistakes.append(Mistake("too_many_requests", f"The file has {len(rows)} requests; at most {most} are taken."))
    return rows, mistakes


def _row(number: int, line: str, endpoint: str, seen: set[str]) -> Row | Mistake:
    try:
        told = _decode(line)
    except (msgspec.MsgspecError, RecursionError):
        return Mistake("invalid_json_line", "This line is not valid JSON.", number)
    if not isinstance(told, dict):
        return Mistake("invalid_json_line", "This line is not a JSON object.", number)
    wrong = _wrong(told, endpoint, seen)
    if wrong is not None:
        return Mistake(wrong[0], wrong[1], number, wrong[2])
    seen.add(told["custom_id"])
    return Row(number, told["custom_id"], msgspec.json.encode(told["body"]).decode(), user_of(line))


def _wrong(told: dict[str, Any], endpoint: str, seen: set[str]) -> tuple[str, str, str] | None:
    custom_id, body = told.get("custom_id"), told.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _LONGEST_ID:
        return "missing_custom_id", f"custom_id must be a text of 1 to {_LONGEST_ID} characters.", "custom_id"
    if "\0" in custom_id:
        # PostgreSQL would refuse it, and with it every other row.
        return "invalid_custom_id", "custom_id holds a NUL character.", "custom_id"
    if custom_id in seen:
        return "duplicate_custom_id", f"The custom_id {custom_id!r} stands in an earlier line too.", "custom_id"
    if told.get("method", "POST") != "POST":
        return "invalid_method", "method must be POST.", "method"
    if told.get("url") != endpoint:
        return "mismatched_endpoint", f"url must be the batch's endpoint, {endpoint}.", "url"
    if not isinstance(body, dict):
        return "invalid_body", "body must be an object: the request as it would be sent by itself.", "body"
    if not isinstance(body.get("model"), str):
        return "missing_model", "body.model must name a model.", "body.model"
    if body.get("stream"):
        return "streaming_unsupported", "A batch's answers are not streamed: leave body.stream out.", "body.stream"
    return None
