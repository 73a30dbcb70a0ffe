"""Batches of the fake Anthropic: begun with all their requests, results as JSON lines once they have ended."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from comporta.testing.fake_batches import Batch, Batches, Row
from comporta.testing.upstream import Answer, Route, Seen, Step
from comporta.types import JSON

_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_BELOW: Final = "/v1/messages/batches"


class MessageBatches:
    """The routes. `refuse` words an error as the fake does."""

    def __init__(self, batches: Batches, refuse: Callable[[int, str], Answer], url: Callable[[], str]) -> None:
        self.batches = batches
        self._refuse = refuse
        self._url = url

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            ("POST", _BELOW): self._create,
            ("GET", _BELOW): self._list,
            ("GET", f"{_BELOW}/{{id}}"): self._show,
            ("POST", f"{_BELOW}/{{id}}/cancel"): self._cancel,
            ("DELETE", f"{_BELOW}/{{id}}"): self._remove,
            ("GET", f"{_BELOW}/{{id}}/results"): self._results,
        }

    def _create(self, seen: Seen, step: Step) -> Answer:
        requests = seen.json.get("requests")
        if not isinstance(requests, list) or not requests:
            return self._refuse(400, "requests: at least one is needed")
        ids = [one.get("custom_id") for one in requests]
        if len(set(ids)) != len(ids) or not all(isinstance(id, str) and _ID.match(id) for id in ids):
            return self._refuse(400, "requests: each needs a custom_id of its own, of 1 to 64 letters, digits, - and _")
        rows = [Row(one["custom_id"], "/v1/messages", msgspec.json.encode(one["params"])) for one in requests]
        batch = self.batches.begin("msgbatch_fake", rows, {"at_s": time.time()})
        if batch.refusal is not None:
            del self.batches.all[batch.id]
            return self._refuse(400, batch.refusal)
        return self._told(batch)

    def _list(self, seen: Seen, step: Step) -> Answer:
        data = [self._shown(batch) for batch in reversed(self.batches.all.values())]
        return _json({"data": data, "has_more": False, "first_id": None, "last_id": None})

    def _show(self, seen: Seen, step: Step) -> Answer:
        return self._told(self.batches.look(seen.match["id"]))

    def _cancel(self, seen: Seen, step: Step) -> Answer:
        return self._told(self.batches.cancel(seen.match["id"]))

    def _remove(self, seen: Seen, step: Step) -> Answer:
        self.batches.all.pop(seen.match["id"], None)
        return _json({"id": seen.match["id"], "type": "message_batch_deleted"})

    def _results(self, seen: Seen, step: Step) -> Answer:
        batch = self.batches.all.get(seen.match["id"])
        if batch is None or not batch.ended:
            return self._refuse(404, "There are no results.")
        lines = [
            {"custom_id": row.id, "result": _result(batch, answer)}
            for row, answer in zip(batch.rows, batch.answers, strict=True)
        ]
        return Answer(
            body=b"".join(msgspec.json.encode(one) + b"\n" for one in lines), content_type="application/x-jsonl"
        )

    def _told(self, batch: Batch | None) -> Answer:
        return self._refuse(404, "There is no such batch.") if batch is None else _json(self._shown(batch))

    def _shown(self, batch: Batch) -> JSON:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch.made["at_s"]))
        kinds = Counter(_result(batch, answer)["type"] for answer in batch.answers)
        counts = {name: kinds[name] for name in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": batch.id, "type": "message_batch", "created_at": at, "expires_at": at, "archived_at": None,
            "cancel_initiated_at": at if batch.cancelled else None, "ended_at": at if batch.ended else None,
            "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": {"processing": 0 if batch.ended else len(batch.rows), **counts},
            "results_url": f"{self._url()}{_BELOW}/{batch.id}/results" if batch.ended else None,
        }  # fmt: skip


def _result(batch: Batch, answer: Answer | None) -> Any:
    if answer is None:
        return {"type": "canceled" if batch.cancelled else "expired"}
    if answer.status >= 400:
        return {"type": "errored", "error": msgspec.Raw(answer.body)}
    return {"type": "succeeded", "message": msgspec.Raw(answer.body)}


def _json(value: JSON) -> Answer:
    return Answer(body=msgspec.json.encode(value))
