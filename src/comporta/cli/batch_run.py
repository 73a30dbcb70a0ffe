"""Asking a file of requests over HTTP: several at a time, into a file that a later run goes on from."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import aiohttp
from msgspec import Struct

from comporta.errors import BadRequest, ComportaError

_CHAT = "/v1/chat/completions"
_TOTAL_S = 620.0
#: Refusals that say «later».
_LATER = frozenset({408, 429, 502, 503, 504, 529})
_TRIES = 8
_LONGEST_PAUSE_S = 60.0
#: How a line of answers begins.
_OPENS = b'{"custom_id": '


class Item(Struct, frozen=True):
    """One request of the file."""

    id: str
    path: str
    body: dict[str, Any]


class Outcome(Struct, frozen=True):
    """What came of a run. `left` were not asked: the ceiling was reached, or the run was stopped."""

    asked: int
    failed: int
    before: int
    left: int
    spent_usd: float
    unpriced: int
    #: What providers' own batch APIs saved, and of how many of these rows.
    saved_usd: float = 0.0
    handed_over: int = 0


def items_of(text: str, model: str) -> list[Item]:
    """The requests of a file. Raises BadRequest with the number of the first line that is none.

    A line is a request as OpenAI's batches have it (`custom_id`, `url`, `body`), an object with `prompt` or `messages`
    (and other fields of a body, and perhaps an `id`), a JSON text, or plain text.
    """
    found: list[Item] = []
    seen: set[str] = set()
    # JSON texts may hold other line separators as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        item = _item(number, line, model)
        if item.id in seen:
            raise BadRequest(f"Line {number}: the id {item.id!r} stands in an earlier line too.", param="file")
        seen.add(item.id)
        found.append(item)
    return found


def _item(number: int, line: str, model: str) -> Item:
    told = _decoded(number, line)
    if isinstance(told, str):
        return Item(f"row-{number}", _CHAT, {"model": model, "messages": [{"role": "user", "content": told}]})
    id = str(told.pop("custom_id", None) or told.pop("id", None) or f"row-{number}")
    if isinstance(told.get("body"), dict):
        path = told.get("url", _CHAT)
        if not isinstance(path, str) or not path.startswith("/v1/"):
            raise BadRequest(f"Line {number}: url must begin with /v1/.", param="file")
        return Item(id, path, {"model": model, **told["body"], "stream": False})
    prompt = told.pop("prompt", None)
    messages = told.pop("messages", None) or ([{"role": "user", "content": prompt}] if prompt else None)
    if not messages:
        raise BadRequest(f"Line {number} has neither `prompt` nor `messages` nor `body`.", param="file")
    return Item(id, _CHAT, {"model": model, "messages": messages, **told, "stream": False})


def _decoded(number: int, line: str) -> str | dict[str, Any]:
    if line.lstrip()[:1] not in '{["':
        return line.strip()
    try:
        told = json.loads(line)
    except ValueError:
        raise BadRequest(f"Line {number} is not valid JSON.", param="file") from None
    if not isinstance(told, dict | str):
        raise BadRequest(f"Line {number} is neither an object nor a text.", param="file")
    return told


def done_before(out: Path) -> set[str]:
    """Ids that an earlier run answered. A last line that it did not finish writing is cut off.

    Raises BadRequest, and leaves the file as it is, where it holds anything but a run's answers.
    """
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole, rest = data[: data.rfind(b"\n") + 1], data[data.rfind(b"\n") + 1 :]
    found = {_answered(out, line) for line in whole.splitlines() if line.strip()}
    if rest:
        if rest[: len(_OPENS)] != _OPENS[: len(rest)]:
            raise _no_answers(out)
        with out.open("r+b") as file:
            file.truncate(len(whole))
    return found


def _answered(out: Path, line: bytes) -> str:
    told = _body(line)
    if not isinstance(told, dict) or not {"custom_id", "response"} <= told.keys():
        raise _no_answers(out)
    return str(told["custom_id"])


def _no_answers(out: Path) -> BadRequest:
    return BadRequest(f"{out} holds something else than a batch's answers; choose another file.", param="out")


class Ceiling:
    """Keeps a run's spending under a sum: what runs is held at the dearest call so far, and asked one by one before."""

    def __init__(self, most_usd: float | None) -> None:
        self._most_usd = most_usd
        self._dearest_usd: float | None = None
        self.spent_usd = 0.0
        self.unpriced = 0

    def admits(self, running: int) -> bool:
        """Whether one more may begin beside those that run."""
        if self._most_usd is None:
            return True
        if self._dearest_usd is None:
            return running == 0 and self._most_usd > 0
        return self.spent_usd + (running + 1) * self._dearest_usd <= self._most_usd

    def reached(self, running: int) -> bool:
        """Whether nothing may begin any more, also when what runs has ended."""
        return running == 0 and not self.admits(0)

    def take(self, cost_usd: float | None) -> None:
        if cost_usd is None:
            self.unpriced += 1
            return
        self.spent_usd += cost_usd
        self._dearest_usd = max(self._dearest_usd or 0.0, cost_usd)


class Run:
    """One run. `tell` hears of each answer, for a progress bar; after `stop` nothing more begins."""

    def __init__(self, url: str, key: str, out: Path, errors: Path, ceiling: Ceiling, tell: Callable[[], None]) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"}
        self._out = out
        self._errors = errors
        self._tell = tell
        self._stopped = asyncio.Event()
        self.ceiling = ceiling
        self.asked = 0
        self.failed = 0

    def stop(self) -> None:
        self._stopped.set()

    async def run(self, items: list[Item], concurrency: int) -> int:
        """Ask all; how many were left."""
        waiting = iter(items)
        running: set[asyncio.Task[None]] = set()
        begun = 0
        limits = aiohttp.ClientTimeout(total=_TOTAL_S)
        with self._out.open("a", encoding="utf-8") as out, self._errors.open("w", encoding="utf-8") as errors:
            async with aiohttp.ClientSession(timeout=limits, headers=self._headers) as session:
                while True:
                    for item in self._next(waiting, running, concurrency):
                        begun += 1
                        running.add(asyncio.create_task(self._ask(session, item, out, errors)))
                    if not running:
                        return len(items) - begun
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()

    def _next(self, waiting: Iterator[Item], running: set[asyncio.Task[None]], concurrency: int) -> Iterator[Item]:
        while not self._stopped.is_set() and len(running) < concurrency and self.ceiling.admits(len(running)):
            item = next(waiting, None)
            if item is None:
                return
            yield item

    async def _ask(self, session: aiohttp.ClientSession, item: Item, out: TextIO, errors: TextIO) -> None:
        status, headers, body = await self._answer(session, item)
        cost = headers.get("x-comporta-cost-usd")
        self.ceiling.take(float(cost) if cost is not None else None if status < 400 else 0.0)
        response = {"status_code": status, "request_id": headers.get("x-request-id", ""), "body": body}
        line = json.dumps({"custom_id": item.id, "response": response, "error": None}, ensure_ascii=False)
        into = out if status < 400 else errors
        into.write(line + "\n")
        into.flush()
        self.asked += 1
        self.failed += status >= 400
        self._tell()

    async def _answer(self, session: aiohttp.ClientSession, item: Item) -> tuple[int, Mapping[str, str], Any]:
        for tried in range(_TRIES):
            last = tried == _TRIES - 1 or self._stopped.is_set()
            try:
                async with session.post(self._url + item.path, json=item.body) as response:
                    text = await response.read()
                    if response.status not in _LATER or last:
                        return response.status, response.headers, _body(text)
                    pause_s = _pause_s(response.headers.get("retry-after"), tried)
            except (aiohttp.ClientError, TimeoutError) as error:
                if last:
                    return 503, {}, {"error": {"message": f"The gate did not answer ({type(error).__name__})."}}
                pause_s = _pause_s(None, tried)
            await self._pause(pause_s)
        raise ComportaError("no answer")

    async def _pause(self, pause_s: float) -> None:
        """Wait; whoever stops the run cuts it short."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopped.wait()


def _pause_s(told: str | None, tried: int) -> float:
    pause_s = float(told) if told and told.replace(".", "", 1).isdecimal() else 2.0**tried / 2
    return min(pause_s, _LONGEST_PAUSE_S)


def _body(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")
