"""Asking the gate over HTTP from the processes beside it: jobs and console ask no model themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from comporta.app.folder import Folder
from comporta.errors import ComportaError, Unavailable

_TIMEOUT_S = 620.0
_CONNECT_S = 5.0


class Answer(Struct, frozen=True):
    """An answer over HTTP; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Streamed(Struct, frozen=True):
    """An answer that comes in events: its headers (names in lower case) and what each event holds, as it comes."""

    headers: Mapping[str, str]
    events: AsyncIterator[bytes]


class Loopback:
    """The gate that runs on a data folder, asked with its admin key. `close` it when done."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """The decoded JSON of an answer, None where it has none.

        Raises Unavailable where the gate can't be reached, and a ComportaError with the answer's own status, code and
        message where it refuses.
        """
        answer = await self.send(method, path, None if body is None else msgspec.json.encode(body), headers=headers)
        if answer.status >= 400:
            raise _refusal(answer.status, answer.body)
        return msgspec.json.decode(answer.body) if answer.body else None

    async def send(
        self, method: str, path: str, body: bytes | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """An answer as it is, also a refusal. Raises Unavailable where the gate can't be reached."""
        url, key = self._place()
        own = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
        try:
            async with self._open().request(method, url + path, data=body, headers=own) as response:
                head = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, head, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = type(error).__name__
            raise Unavailable(f"The gate at {url} does not answer ({reason}).", code="gate_away") from None

    @asynccontextmanager
    async def streamed(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Streamed]:
        """An answer as it comes, by server-sent events. Raises what `ask` does; leaving early ends the call."""
        url, key = self._place()
        own = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
        try:
            async with self._open().post(url + path, data=msgspec.json.encode(body), headers=own) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                head = {name.lower(): value for name, value in response.headers.items()}
                yield Streamed(head, _data(response.content))
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = type(error).__name__
            raise Unavailable(f"The gate at {url} does not answer ({reason}).", code="gate_away") from None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _place(self) -> tuple[str, str]:
        running = self._folder.running()
        if running is None:
            raise Unavailable("The gate does not run; start it with `comporta serve`.", code="gate_away")
        return running.url, self._folder.admin_key.read_text().strip()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=_TIMEOUT_S, connect=_CONNECT_S)
            self._session = aiohttp.ClientSession(timeout=limits)
        return self._session


async def _data(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """What stands behind each `data:`; an event of ours has one such line, however long it is."""
    async for line in lines_of(content):
        if line.startswith(b"data:"):
            yield line[5:].strip()


async def lines_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of an answer of the gate's, each of which has its end, however long it is."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _refusal(status: int, text: bytes) -> ComportaError:
    try:
        said = msgspec.json.decode(text)["error"]
        message, code = str(said["message"]), str(said.get("code") or said["type"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        message, code = f"The gate answered {status}.", "gate_refused"
    return ComportaError(message, code=code, status=status)
