"""A file of requests as one batch of the gate's, which providers' own batch APIs may answer at a lower price."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from msgspec import Struct

from comporta.app.loopback import lines_of
from comporta.cli.batch_run import Item
from comporta.errors import BadRequest, ComportaError, Unavailable

_CONNECT_S, _SILENCE_S = 10.0, 120.0
_LOOK_S = (1.0, 15.0)
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class Came(Struct, frozen=True):
    """What came of a batch: rows that were answered and refused, dollars, and whether it is over."""

    over: bool
    done: int = 0
    failed: int = 0
    spent_usd: float = 0.0
    saved_usd: float = 0.0
    handed_over: int = 0


class NativeRun:
    """One batch. Its id is kept beside `out`, so that the same command goes on waiting for it; `tell` hears how many
    rows are done. After `stop` nothing is waited for."""

    def __init__(self, url: str, key: str, out: Path, errors: Path, tell: Callable[[int], None]) -> None:
        self._url = f"{url.rstrip('/')}/v1"
        self._headers = {"authorization": f"Bearer {key}"}
        self._out = out
        self._errors = errors
        self._kept = out.with_name(f"{out.name}.batch")
        self._tell = tell
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self, items: Sequence[Item], before: set[str]) -> Came:
        """Ask all, or go on with what was begun. Raises BadRequest for items of several endpoints."""
        limits = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=_SILENCE_S)
        async with aiohttp.ClientSession(timeout=limits, headers=self._headers) as session:
            id = self._begun() or await self._begin(session, items)
            batch = await self._wait(session, id)
            if batch is None:
                return Came(False)
            if batch["status"] == "failed":
                self._kept.unlink(missing_ok=True)
                raise BadRequest(f"The batch failed: {json.dumps(batch['errors'])[:1000]}", param="file")
            done = await self._take(session, batch["output_file_id"], self._out, "a", before)
            failed = await self._take(session, batch["error_file_id"], self._errors, "w", set())
        self._kept.unlink(missing_ok=True)
        told = batch["comporta"]
        return Came(True, done, failed, told["cost_usd"], told["saved_usd"], told["handed_over"])

    def _begun(self) -> str | None:
        if not self._kept.exists():
            return None
        return self._kept.read_text("utf-8").strip() or None

    async def _begin(self, session: aiohttp.ClientSession, items: Sequence[Item]) -> str:
        paths = {item.path for item in items}
        if len(paths) != 1:
            raise BadRequest(f"A batch has one endpoint; these lines have {', '.join(sorted(paths))}.", param="file")
        lines = [
            json.dumps(
                {"custom_id": item.id, "method": "POST", "url": item.path, "body": item.body}, ensure_ascii=False
            )
            for item in items
        ]
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", "\n".join(lines).encode(), filename="requests.jsonl", content_type="application/jsonl")
        file = await self._ask(session, "POST", "/files", data=form)
        body = {"input_file_id": file["id"], "endpoint": paths.pop(), "completion_window": "24h", "native": True}
        batch = await self._ask(session, "POST", "/batches", json=body)
        self._kept.write_text(batch["id"], "utf-8")
        return str(batch["id"])

    async def _wait(self, session: aiohttp.ClientSession, id: str) -> Any:
        """The batch once it is over; None where the waiting was stopped. A gate that is away is waited for."""
        pause_s = _LOOK_S[0]
        while not self._stopped.is_set():
            with contextlib.suppress(Unavailable):
                batch = await self._ask(session, "GET", f"/batches/{id}")
                counts = batch["request_counts"]
                self._tell(counts["completed"] + counts["failed"])
                if batch["status"] in _ENDED:
                    return batch
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopped.wait()
            pause_s = min(pause_s * 1.5, _LOOK_S[1])
        return None

    async def _take(
        self, session: aiohttp.ClientSession, file: str | None, into: Path, mode: str, before: set[str]
    ) -> int:
        """Write what is not there yet; how many lines."""
        if file is None:
            return 0
        count = 0
        with into.open(mode, encoding="utf-8") as out:
            async for line in self._lines(session, file):
                told = json.loads(line)
                if told["custom_id"] not in before:
                    kept = {name: told[name] for name in ("custom_id", "response", "error")}
                    out.write(json.dumps(kept, ensure_ascii=False) + "\n")
                    count += 1
        return count

    async def _lines(self, session: aiohttp.ClientSession, file: str) -> AsyncIterator[bytes]:
        async with session.get(f"{self._url}/files/{file}/content") as response:
            if response.status >= 400:
                raise _refusal(response.status, await response.read())
            async for line in lines_of(response.content):
                yield line

    async def _ask(self, session: aiohttp.ClientSession, method: str, path: str, **sent: Any) -> Any:
        try:
            async with session.request(method, self._url + path, **sent) as response:
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"The gate does not answer ({type(error).__name__}).") from None
        if response.status >= 400:
            raise _refusal(response.status, text)
        return json.loads(text)


def _refusal(status: int, text: bytes) -> ComportaError:
    try:
        message = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The gate answered {status}."
    return Unavailable(message) if status >= 500 else ComportaError(message, status=status)
