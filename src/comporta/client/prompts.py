"""Prompts of a gate for an application: asked once, kept, renewed in the background, and there when the gate is not.

For `fresh_s` a prompt is given as it was asked. After that it is still given at once, and asked again beside it, so
that nobody waits for a prompt but whoever is first. While the gate is away, what is kept goes on; what was never asked
comes from the program itself (`Fallback`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from comporta.client.values import Fallback, Rendered, read
from comporta.errors import BadRequest, ComportaError, ConfigError, Forbidden, InvalidKey, NotFound, Unavailable

__all__ = ["Fallback", "Prompts", "Rendered"]

log = logging.getLogger("comporta.client")

URL, KEY = "COMPORTA_URL", "COMPORTA_KEY"
_KEPT = 1000
#: After a failure the gate is left alone for so long, or until the prompt would be asked again anyway.
_AGAIN_S = 5.0
_REFUSALS: Mapping[int, type[ComportaError]] = {400: BadRequest, 401: InvalidKey, 403: Forbidden, 404: NotFound}

_Key = tuple[str, str | None, str | None, bytes]


@dataclass
class _Entry:
    """What is kept of one prompt with one set of values. Times are the clock's seconds."""

    rendered: Rendered
    etag: str | None
    asked_s: float
    next_s: float


class Prompts:
    """Prompts of the gate at `url` (else `COMPORTA_URL`), with the key `key` (else `COMPORTA_KEY`).

    `async with Prompts() as prompts: prompt = await prompts.get("support", variables={"question": text})`. Of what is
    older than `fresh_s` a newer one is asked beside it; what is older than `stale_s` is given only where the gate can't
    be asked. Raises ConfigError where there is no URL or key.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, fresh_s: float = 60.0, stale_s: float = 86_400.0,
        timeout_s: float = 5.0, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._url = (url or os.environ.get(URL, "")).rstrip("/")
        secret = key or os.environ.get(KEY, "")
        if not self._url or not secret:
            raise ConfigError(f"Say where the gate is and with which key: {URL} and {KEY}, or url and key.")
        self._headers = {"authorization": f"Bearer {secret}"}
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._kept: OrderedDict[_Key, _Entry] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[Rendered]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop asking, and let go of the connections."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self, id: str, *, version: str | None = None, label: str | None = None,
        variables: Mapping[str, Any] | None = None, fallback: Fallback | None = None,
    ) -> Rendered:  # fmt: skip
        """The prompt with these values: of this version, this label, or the environment of the key.

        Raises BadRequest for wrong values, whatever `fallback` there is; and without one InvalidKey, Forbidden,
        NotFound as the gate says, Unavailable where it can't be asked and nothing is kept.
        """
        values = dict(variables or {})
        key = (id, version, label, _written(values))
        entry, now_s = self._kept.get(key), self._clock()
        if entry is not None:
            self._kept.move_to_end(key)
            if now_s - entry.asked_s < self._fresh_s:
                return replace(entry.rendered, source="cache")
            if now_s - entry.asked_s < self._stale_s:
                if now_s >= entry.next_s:
                    self._ask(key, values).add_done_callback(_heard)
                return replace(entry.rendered, source="stale")
        try:
            return await asyncio.shield(self._ask(key, values))
        except BadRequest:
            raise
        except ComportaError as error:
            entry = self._kept.get(key)
            if entry is not None and isinstance(error, Unavailable):
                return replace(entry.rendered, source="stale")
            if fallback is None:
                raise
            log.warning("prompt %s comes from the program's own fallback: %s", id, error.message)
            return fallback.rendered(id, values)

    def forget(self) -> None:
        """Keep nothing: the next `get` of each prompt asks the gate."""
        self._kept.clear()

    # ---- asking ----

    def _ask(self, key: _Key, values: Mapping[str, Any]) -> asyncio.Task[Rendered]:
        """Ask once for all who want the same."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._renewed(key, values))
            task.add_done_callback(lambda done: self._asked(key, done))
        return task

    def _asked(self, key: _Key, done: asyncio.Task[Rendered]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            # Looked at here, since whoever waited for it may have gone.
            done.exception()

    async def _renewed(self, key: _Key, values: Mapping[str, Any]) -> Rendered:
        entry = self._kept.get(key)
        try:
            rendered, etag = await self._sent(key, values, entry)
        except Unavailable:
            if entry is not None:
                entry.next_s = self._clock() + min(self._fresh_s, _AGAIN_S)
            raise
        except ComportaError:
            # The gate says no: what was kept is not so any more.
            self._kept.pop(key, None)
            raise
        now_s = self._clock()
        self._kept[key] = _Entry(rendered, etag, now_s, now_s + self._fresh_s)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return rendered

    async def _sent(self, key: _Key, values: Mapping[str, Any], entry: _Entry | None) -> tuple[Rendered, str | None]:
        """Values go in a body: what stands in an address stands in logs, too."""
        id, version, label, _ = key
        asked = {name: value for name, value in (("version", version), ("label", label)) if value is not None}
        headers = self._headers | ({"if-none-match": entry.etag} if entry is not None and entry.etag else {})
        address = f"{self._url}/v1/prompts/{quote(id, safe='')}"
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        if values:
            body = msgspec.json.encode({**asked, "variables": values})
            sending = self._session.post(f"{address}/render", data=body, headers=headers)
        else:
            sending = self._session.get(address, params=asked, headers=headers)
        try:
            async with sending as response:
                if response.status == 304 and entry is not None:
                    return entry.rendered, entry.etag
                return _read(response.status, await response.read()), response.headers.get("etag")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"The gate at {self._url} can't be asked for prompt {id}: {why}.") from error


def _written(values: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(values, order="sorted")
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise BadRequest(f"The variables can't be written as JSON: {error}.", param="variables") from None


def _read(status: int, body: bytes) -> Rendered:
    """The prompt in an answer. Raises what the gate says."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        answer = None
    if status == 200:
        return read(answer)
    error = answer.get("error") if isinstance(answer, dict) else None
    told = error if isinstance(error, dict) else {}
    message = str(told.get("message") or f"The gate answered with status {status}.")
    raise _REFUSALS.get(status, Unavailable)(message, code=told.get("code"), param=told.get("param"))


def _heard(task: asyncio.Task[Rendered]) -> None:
    """Nobody waits for this one: what went wrong is logged, and tried again later."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a prompt could not be renewed: %s", error)
