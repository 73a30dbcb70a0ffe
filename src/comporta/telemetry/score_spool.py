"""Where scores wait for the database: small files in a folder of each process, read whole and removed once shipped.

As with records, one score is one write: from then on neither SIGKILL nor a database that is away loses it. A file that
is shipped twice changes nothing, since scores are idempotent, so no place in it needs to be remembered.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from comporta.telemetry.spool import HEADER, SUFFIX, frame, lock_folder, segment_path, segments, size_of_folders

log = structlog.get_logger("comporta.telemetry")

MAX_BYTES = 128 << 20
_SEGMENT_BYTES = 1 << 20
_WARN_EVERY_S = 60.0


class Found(Struct, frozen=True):
    """The payloads of one file in the order they were written, and what could not be read among them, with why."""

    payloads: list[bytes]
    bad: list[tuple[bytes, str]]


class ScoreSpool:
    """The scores of this process that are not shipped. `append` is for one thread; the folder comes with the first."""

    def __init__(self, root: Path, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._clock = clock
        self._folder: Path | None = None
        self._lock = -1
        self._file = -1
        self._number = 0
        self._size = 0
        #: Bytes on the disk: ours, and those of other processes when they were last looked at.
        self.bytes = 0
        self.others_bytes = 0
        #: Scores that found no room, since the start.
        self.lost = 0
        self._warned_s = -_WARN_EVERY_S

    def append(self, record: Struct) -> bool:
        """Keep a score; False where there is no room or the disk fails. Never raises for the disk's sake."""
        data = frame(msgspec.json.encode(record))
        try:
            if self.bytes + self.others_bytes + len(data) <= self.max_bytes and self._write(data):
                return True
            reason = "full"
        except OSError as error:
            reason = os.strerror(error.errno or 0)
        self.lost += 1
        if self._clock() - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = self._clock()
            log.error("scores_lost", folder=str(self.root), reason=reason, lost=self.lost, max_bytes=self.max_bytes)
        return False

    def _write(self, data: bytes) -> bool:
        if self._file < 0 or self._size >= _SEGMENT_BYTES:
            self._turn_over()
        written = os.write(self._file, data)
        if written < len(data):
            # Taken back, so that the next one stands at a clean edge.
            os.ftruncate(self._file, self._size)
            return False
        self._size += written
        self.bytes += written
        return True

    def _turn_over(self) -> None:
        folder = self._folder or self._own_folder()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(segment_path(folder, self._number + 1), flags, 0o600)
        self._close_file()
        self._file, self._number, self._size = file, self._number + 1, 0

    def _own_folder(self) -> Path:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            folder = self.root / f"{os.getpid()}-{time.time_ns():x}"
            folder.mkdir(mode=0o700)
            lock = lock_folder(folder)
            # Whoever adopts dead folders may have been quicker than our lock.
            if lock is not None:
                self._folder, self._lock = folder, lock
                return folder

    def sealed(self) -> list[Path]:
        """This process's files that nothing is written to any more, oldest first; what was written to is sealed now."""
        if self._folder is None:
            return []
        self._close_file()
        return segments(self._folder)

    def others(self) -> list[Path]:
        """The folders of other processes, living and dead."""
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if path.is_dir() and path != self._folder)

    def survey(self) -> None:
        """Look at what lies on the disk: files are removed by shipping, and others write below the same bound."""
        self.bytes = sum(_size_of(path) for path in segments(self._folder)) if self._folder is not None else 0
        self.others_bytes = size_of_folders(self.root, self._folder)

    def close(self) -> None:
        """Stop writing and let go of the folder: removed where it is empty, else adopted by whoever finds it."""
        self._close_file()
        if self._folder is None:
            return
        if not segments(self._folder):
            remove_folder(self._folder)
        os.close(self._lock)
        self._folder, self._lock = None, -1

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file, self._size = -1, 0


def read(path: Path) -> Found:
    """Everything in a file, whatever state its writer died in."""
    data = path.read_bytes()
    found, at = Found([], []), 0
    while at + HEADER.size <= len(data):
        length, crc = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        # Zeros are what a file system leaves where data never reached the disk.
        if not length or end > len(data):
            break
        payload = data[at + HEADER.size : end]
        if zlib.crc32(payload) == crc:
            found.payloads.append(payload)
        else:
            found.bad.append((payload, "checksum"))
        at = end
    if data[at:].strip(b"\0"):
        found.bad.append((data[at:], "torn"))
    return found


def remove_folder(folder: Path) -> None:
    """Remove a folder that we hold, its lock last: until then nobody else can take it for abandoned."""
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)
    (folder / "lock").unlink(missing_ok=True)
    folder.rmdir()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # shipped and removed meanwhile
        return 0
