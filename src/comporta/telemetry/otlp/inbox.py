"""Batches of spans on their way: one file each on this machine's disk, from the door until a job has read them."""

from __future__ import annotations

import asyncio
import os
import time
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

    async def put(self, envelope: Envelope) -> None:
        """Keep a batch. Raises Unavailable where too much waits already: senders then keep it and come again."""
        await asyncio.to_thread(self._put, envelope)

    def waiting(self, older_than_s: float = 0.0) -> list[Path]:
        """Batches, the oldest first, that have lain for so long."""
        if not self._folder.is_dir():
            return []
        until_s = time.time() - older_than_s
        return sorted(path for path in self._folder.glob(f"*{_READY}") if path.stat().st_mtime <= until_s)

    def read(self, path: Path) -> Envelope | None:
        """One of them; None for a file that is none."""
        try:
            return _decoder.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None

    def put_aside(self, path: Path) -> None:
        """Keep what could not be read for a day, for whoever looks into it."""
        path.rename(path.with_suffix(_ASIDE))

    def tidy(self) -> None:
        """Remove what dying processes left half written, and what was put aside long ago."""
        for suffix, oldest_s in ((_PARTLY, _ABANDONED_S), (_ASIDE, _ASIDE_S)):
            for path in self._folder.glob(f"*{suffix}") if self._folder.is_dir() else ():
                if path.stat().st_mtime < time.time() - oldest_s:
                    path.unlink(missing_ok=True)

    @property
    def bytes(self) -> int:
        """What waits."""
        if not self._folder.is_dir():
            return 0
        with os.scandir(self._folder) as entries:
            return sum(entry.stat().st_size for entry in entries)

    def _put(self, envelope: Envelope) -> None:
        payload = _encode(envelope)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.bytes + len(payload) > self._max_bytes:
            raise Unavailable(
                "Too many spans wait to be read; send them later. Does the job worker run, and PostgreSQL answer?",
                code="spans_waiting", retry_after_s=_RETRY_S,
            )  # fmt: skip
        name = new_id()
        partly = self._folder / f"{name}{_PARTLY}"
        partly.touch(mode=0o600, exist_ok=False)
        partly.write_bytes(payload)
        partly.rename(self._folder / f"{name}{_READY}")
