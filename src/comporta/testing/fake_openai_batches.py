"""Files and batches of the fake OpenAI: a file with one model in it, a batch over it, its answers and its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from python_multipart import FormParser
from python_multipart.multipart import parse_options_header

from comporta.testing.fake_batches import Batch, Batches, Row
from comporta.testing.upstream import Answer, Route, Seen, Step
from comporta.types import JSON

_CREATED: Final = 1_700_000_000
_METADATA: Final = "metadata"


class Files:
    """The routes. `refuse` words an error as the fake does."""

    def __init__(self, batches: Batches, refuse: Callable[[int, str], Answer]) -> None:
        self.batches = batches
        self.files: dict[str, tuple[str, bytes]] = {}
        self._refuse = refuse
        self._left = 0

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            ("POST", "/v1/files"): self._upload,
            ("GET", "/v1/files"): self._list_files,
            ("GET", "/v1/files/{id}/content"): self._content,
            ("DELETE", "/v1/files/{id}"): self._remove,
            ("POST", "/v1/batches"): self._create,
            ("GET", "/v1/batches"): self._list_batches,
            ("GET", "/v1/batches/{id}"): self._show,
            ("POST", "/v1/batches/{id}/cancel"): self._cancel,
        }

    # ---- files ----

    def _upload(self, seen: Seen, step: Step) -> Answer:
        form = _form(seen)
        if form is None or form[0] != "batch":
            return self._refuse(400, "Invalid form: a file and the purpose `batch` are needed.")
        self._left += 1
        id = f"file-fake{self._left:06d}"
        self.files[id] = form[1], form[2]
        return _json(self._file(id))

    def _list_files(self, seen: Seen, step: Step) -> Answer:
        data = [self._file(id) for id in reversed(self.files)]
        return _json({"object": "list", "data": data, "has_more": False})

    def _file(self, id: str) -> JSON:
        name, content = self.files[id]
        return {
            "id": id, "object": "file", "bytes": len(content), "created_at": _CREATED, "filename": name,
            "purpose": "batch", "status": "processed",
        }  # fmt: skip

    def _content(self, seen: Seen, step: Step) -> Answer:
        id = seen.match["id"]
        kind, _, batch_id = id.partition("-of-")
        batch = self.batches.all.get(batch_id)
        if batch is not None and batch.ended:
            return Answer(body=b"".join(_results(batch, errors=kind == "file-errors")), content_type="text/plain")
        if id not in self.files:
            return self._refuse(404, f"No such File object: {id}")
        return Answer(body=self.files[id][1], content_type="text/plain")

    def _remove(self, seen: Seen, step: Step) -> Answer:
        self.files.pop(seen.match["id"], None)
        return _json({"id": seen.match["id"], "object": "file", "deleted": True})

    # ---- batches ----

    def _create(self, seen: Seen, step: Step) -> Answer:
        body = seen.json
        file = self.files.get(str(body.get("input_file_id")))
        if file is None:
            return self._refuse(400, "Invalid 'input_file_id'.")
        if body.get("completion_window") != "24h":
            return self._refuse(400, "Invalid 'completion_window'.")
        rows, wrong = _rows(file[1], body.get("endpoint"))
        return _json(_batch(self.batches.begin("batch_fake", rows, body, wrong)))

    def _list_batches(self, seen: Seen, step: Step) -> Answer:
        data = [_batch(batch) for batch in reversed(self.batches.all.values())]
        return _json({"object": "list", "data": data, "has_more": False})

    def _show(self, seen: Seen, step: Step) -> Answer:
        return self._told(self.batches.look(seen.match["id"]))

    def _cancel(self, seen: Seen, step: Step) -> Answer:
        return self._told(self.batches.cancel(seen.match["id"]))

    def _told(self, batch: Batch | None) -> Answer:
        return self._refuse(404, "No batch found with that id.") if batch is None else _json(_batch(batch))


def _form(seen: Seen) -> tuple[str, str, bytes] | None:
    """Purpose, file name and content."""
    kind, options = parse_options_header(seen.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        return None
    fields: dict[str, str] = {}
    files: list[Any] = []

    def on_field(one: Any) -> None:
        fields[one.field_name.decode()] = (one.value or b"").decode()

    parser = FormParser(
        "multipart/form-data", on_field, files.append, boundary=options[b"boundary"],
        config={"MAX_MEMORY_FILE_SIZE": len(seen.body) + 1},
    )  # fmt: skip
    parser.write(seen.body)
    parser.finalize()
    if not files:
        return None
    files[0].file_object.seek(0)
    return fields.get("purpose", ""), (files[0].file_name or b"").decode(), files[0].file_object.read()


def _rows(content: bytes, endpoint: Any) -> tuple[list[Row], str | None]:
    """The requests of a file, and what OpenAI would find wrong with them."""
    told = [msgspec.json.decode(line) for line in content.splitlines() if line.strip()]
    rows = [Row(one["custom_id"], one["url"], msgspec.json.encode(one["body"])) for one in told]
    if len({row.id for row in rows}) != len(rows):
        return rows, "Duplicate custom_id found."
    if {row.path for row in rows} != {endpoint}:
        return rows, "The url of a line is not the batch's endpoint."
    if len({one["body"].get("model") for one in told}) != 1:
        return rows, "All requests of a file must name the same model."
    return rows, "Requests of a batch can't be streamed." if any(one["body"].get("stream") for one in told) else None


def _good(answer: Answer | None) -> bool:
    return answer is not None and answer.status < 400


def _results(batch: Batch, *, errors: bool) -> list[bytes]:
    lines = []
    for row, answer in zip(batch.rows, batch.answers, strict=False):
        if _good(answer) == errors:
            continue
        response = None
        if answer is not None:
            response = {"status_code": answer.status, "request_id": "req_fake", "body": msgspec.Raw(answer.body)}
        why = "batch_cancelled" if batch.cancelled else "batch_expired"
        error = {"code": why, "message": "This request was not asked."} if answer is None else None
        told = {"id": f"batch_req_{row.id}", "custom_id": row.id, "response": response, "error": error}
        lines.append(msgspec.json.encode(told) + b"\n")
    return lines


def _batch(batch: Batch) -> JSON:
    good = sum(_good(answer) for answer in batch.answers)
    failed = len(batch.answers) - good
    status = "in_progress"
    if batch.refusal is not None:
        status = "failed"
    elif batch.ended:
        status = "cancelled" if batch.cancelled else "expired" if None in batch.answers else "completed"
    errors = {"object": "list", "data": [{"code": "invalid", "message": batch.refusal}]} if batch.refusal else None
    return {
        "id": batch.id, "object": "batch", "endpoint": batch.made["endpoint"], "errors": errors,
        "input_file_id": batch.made["input_file_id"], "completion_window": "24h", "status": status,
        "output_file_id": f"file-answers-of-{batch.id}" if good else None,
        "error_file_id": f"file-errors-of-{batch.id}" if failed else None, "created_at": _CREATED,
        _METADATA: batch.made.get(_METADATA),
        "request_counts": {"total": len(batch.rows), "completed": good, "failed": failed},
    }  # fmt: skip


def _json(value: JSON) -> Answer:
    return Answer(body=msgspec.json.encode(value))
