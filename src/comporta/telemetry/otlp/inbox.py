"""Batches of spans on their way: one file each on this machine's disk, from the door until a job has read them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from comporta.errors import Unavailable
from comporta.pipeline import new_id
from comporta.types import Caller

_READY, _PARTLY, _ASIDE = ".batch", ".partly", ".unread"
_ASIDE_S = 86_400.0
#: What is left of a write that a dying process did not finish.
_ABANDONED_S = 3600.0
_RETRY_S = 30.0
_LOOK_S = 1.0
_TOO_MANY = "Too many spans wait to be read; send them later. Does the job worker run, and PostgreSQL answer?"


class Envelope(Struct, frozen=True):
    """A batch as it came, and who sent it."""

    caller: Caller
    content_type: str
    encoding: str
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Envelope)


class Inbox:
    """The folder. `max_bytes` bounds all that waits."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lying_bytes = 0
        self._look_at_s = -math.inf

    async def put(self, envelope: Envelope) -> None:
        """Keep a batch. Raises Unavailable where too much waits already, or the disk takes no more: senders then keep
        it and come again.
        """
        payload = _encode(envelope)
        try:
            await self._take_room(len(payload))
            await asyncio.to_thread(self._put, payload)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise Unavailable(
                f"Spans can't be kept in {self._folder} ({why}); send them later.", code="spans_waiting",
                retry_after_s=_RETRY_S,
            ) from error  # fmt: skip

    async def _take_room(self, count: int) -> None:
        """There may be very many files: they are not looked at for every batch."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_S
            self._lying_bytes = await asyncio.to_thread(self.count_bytes)
        if self._lying_bytes + count > self._max_bytes:
            raise Unavailable(_TOO_MANY, code="spans_waiting", retry_after_s=_RETRY_S)
        self._lying_bytes += count

    def waiting(self, older_than_s: float = 0.0) -> list[Path]:
        """Batches, the oldest first, that have lain for so long."""
        until_s = time.time() - older_than_s
        found = ((about.st_mtime_ns, path) for path, about in self._files() if about.st_mtime <= until_s)
        return [path for _, path in sorted(found) if path.suffix == _READY]

    def read(self, path: Path) -> Envelope | None:
        """One of them; None for a file that is none."""
        try:
            return _decoder.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None

    def put_aside(self, path: Path) -> None:
        """Keep what could not be read for a day, for whoever looks into it."""
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_suffix(_ASIDE))

    def tidy(self) -> None:
        """Remove what dying processes left half written, and what was put aside long ago."""
        oldest_s = {_PARTLY: _ABANDONED_S, _ASIDE: _ASIDE_S}
        for path, about in self._files():
            if about.st_mtime < time.time() - oldest_s.get(path.suffix, math.inf):
                path.unlink(missing_ok=True)

    def count_bytes(self) -> int:
        """How many lie there."""
        return sum(about.st_size for _, about in self._files())

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """All that lie there; another process may take any of them away meanwhile."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield Path(entry.path), entry.stat()

    def _put(self, payload: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = new_id()
        partly = self._folder / f"{name}{_PARTLY}"
        partly.touch(mode=0o600, exist_ok=False)
        partly.write_bytes(payload)
        partly.rename(self._folder / f"{name}{_READY}")
