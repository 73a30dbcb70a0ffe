"""The spool: where a record is safe before its answer has gone out.

Each process appends to a folder of its own below `<data>/spool/`, which it holds by a file lock. A record is one
write to an open file: from then on it is the kernel's, and neither SIGKILL of this process nor of PostgreSQL touches
it. It is not forced to the disk: a power cut or a crash of the kernel may lose what the kernel had not written back
yet, by Linux's defaults up to 30 seconds' worth.

The folder is bounded. Near the bound records are kept without their content, at the bound they are lost, which is
counted and logged; or calls are refused before that (`on_full="refuse"`). A full disk is treated as the bound. So that
it is known before a record is lost, some room is held in reserve where calls are to be refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from zlib import crc32

import structlog

from comporta.errors import Unavailable
from comporta.telemetry.ballast import Ballast
from comporta.telemetry.record import CallRecord, encoded

log = structlog.get_logger("comporta.telemetry")

OnFull = Literal["drop", "refuse"]

#: Length of the payload and its CRC-32.
HEADER = struct.Struct("<II")
_pack = HEADER.pack
LOCK = "lock"
SUFFIX = ".records"
DEFAULT_MAX_BYTES = 1 << 30
_SEGMENT_BYTES = 16 << 20
#: What calls that are under way when the disk is found full may still write.
_RESERVE_BYTES = 1 << 20
#: A disk that was full is tried again after so long.
_DISK_REST_S = 1.0
_WARN_EVERY_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def frame(payload: bytes) -> bytes:
    """A record as it stands in a segment."""
    return _pack(len(payload), crc32(payload)) + payload


def segments(folder: Path) -> list[Path]:
    """The segments of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:012d}{SUFFIX}"


def size_of_folders(root: Path, but: Path | None = None) -> int:
    """Bytes in the segments of all folders below `root`, except one."""
    total = 0
    for path in root.glob(f"*/*{SUFFIX}"):
        if path.parent != but:
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # shipped and removed meanwhile
                continue
    return total


def lock_folder(folder: Path) -> int | None:
    """Hold a folder: the lock's descriptor, or None where a living process holds it or it is gone."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed it between our open and our lock.
        if (folder / LOCK).stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


class Spool:
    """The records of this process. `append` is for one thread; reading and shipping are in `spooled` and `shipping`."""

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        on_full: OnFull = "drop",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self.max_bytes = max_bytes
        #: Above this, records go without content: the rest is kept for the records themselves.
        self.content_bytes = max_bytes - max(max_bytes // 8, 1)
        self._refuse = on_full == "refuse"
        self._segment_bytes = max(min(_SEGMENT_BYTES, max_bytes // 16), 4096)
        self._clock = clock
        #: Bytes on the disk: our own segments, and those of other processes when they were last looked at.
        self.bytes = 0
        self.others_bytes = 0
        self.appended = 0
        #: Records kept without content, and records lost, since the start.
        self.stripped = 0
        self.lost = 0
        self._disk_full_until_s = 0.0
        self._warned_s = -_WARN_EVERY_S
        self._segment = 0
        self._size = 0
        self._file = -1
        self.folder, self._lock = self._own_folder()
        self._ballast = Ballast(self.folder / "ballast", _RESERVE_BYTES)
        if self._refuse:
            self._ballast.hold()
        self._rotate()

    def _own_folder(self) -> tuple[Path, int]:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                folder = self.root / f"{os.getpid()}-{time.time_ns():x}"
                folder.mkdir(mode=0o700)
                lock = lock_folder(folder)
                # Whoever adopts dead folders may have been quicker than our lock.
                if lock is not None:
                    return folder, lock
        except OSError as error:
            raise Unavailable(
                f"The spool {self.root} can't be used: {error.strerror}. Calls are recorded there before they are "
                "answered: make it writable, or free some disk.",
                code="spool_unusable",
            ) from error

    @property
    def full(self) -> bool:
        """Whether calls should be refused since their records would be lost; always False where loss is preferred."""
        if not self._refuse:
            return False
        # Half of what is left beside the content is for the calls that are under way.
        if self.bytes + self.others_bytes > (self.content_bytes + self.max_bytes) // 2:
            return True
        return not self._ballast.held and not self._disk_has_room()

    def _disk_has_room(self) -> bool:
        """Whether the disk has what is to be held in reserve; looked at now and then only."""
        now_s = self._clock()
        if now_s < self._disk_full_until_s:
            return False
        self._disk_full_until_s = now_s + _DISK_REST_S
        if self._ballast.hold():
            self._disk_full_until_s = 0.0
            log.info("disk_has_room_again", folder=str(self.folder))
            return True
        self._warn()
        return False

    @property
    def position(self) -> tuple[int, int]:
        """The segment being written and how far it goes."""
        return self._segment, self._size

    def append(self, record: CallRecord, payload: bytes | None = None) -> bool:
        """Keep a record; False where it is lost. Never raises: an answer is worth more than its record."""
        if payload is None:
            payload = encoded(record)
        data = _pack(len(payload), crc32(payload)) + payload
        if self.bytes + self.others_bytes + len(data) <= self.content_bytes and self._write(data):
            self.appended += 1
            return True
        return self._append_lean(record)

    def _append_lean(self, record: CallRecord) -> bool:
        data = frame(encoded(record.without_content()))
        if self.bytes + self.others_bytes + len(data) <= self.max_bytes and self._write(data):
            self.appended += 1
            self.stripped += 1
            self._warn()
            return True
        self.lost += 1
        if self.lost == 1:
            # That content was dropped may just have been told; that a record is lost is worse news.
            self._warned_s = -_WARN_EVERY_S
        self._warn()
        return False

    def _write(self, data: bytes) -> bool:
        """One write, and another one into the reserve where the disk is full."""
        if self._write_once(data):
            return True
        if not self._ballast.release():
            return False
        self._warn()
        return self._write_once(data)

    def _write_once(self, data: bytes) -> bool:
        """What was written in part is taken back, so that the next record stands at a clean edge."""
        if self._size >= self._segment_bytes and not self._try_rotate():
            return False
        try:
            written = os.write(self._file, data)
        except OSError as error:
            return self._failed(error)
        if written < len(data):
            os.ftruncate(self._file, self._size)
            return self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._size += written
        self.bytes += written
        return True

    def _failed(self, error: OSError) -> bool:
        if error.errno in _FULL:
            self._disk_full_until_s = self._clock() + _DISK_REST_S
        else:
            log.error("spool_write_failed", folder=str(self.folder), reason=os.strerror(error.errno or 0))
        return False

    def _warn(self) -> None:
        now_s = self._clock()
        if now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            log.error(
                "spool_full",
                folder=str(self.root),
                max_bytes=self.max_bytes,
                stripped=self.stripped,
                lost=self.lost,
                hint="Is PostgreSQL reachable, and is there room on the disk? records.spool.max_size sets the bound.",
            )

    def _try_rotate(self) -> bool:
        try:
            self._rotate()
        except OSError as error:
            return self._failed(error)
        return True

    def _rotate(self) -> None:
        number = self._segment + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(segment_path(self.folder, number), flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._segment, self._size = file, number, 0

    def survey(self) -> None:
        """Look at what lies on the disk: segments are removed by shipping, and others write below the same bound."""
        self.bytes = sum(p.stat().st_size for p in segments(self.folder))
        self.others_bytes = size_of_folders(self.root, self.folder)

    def turn_over(self) -> None:
        """Begin a new segment where the one being written holds anything, so that this one can go when shipped."""
        if self._size:
            self._try_rotate()

    def close(self) -> None:
        """Stop writing and let go of the folder. What is in it and not shipped will be adopted."""
        if self._file >= 0:
            self._ballast.release()
            os.close(self._file)
            os.close(self._lock)
            self._file = self._lock = -1
