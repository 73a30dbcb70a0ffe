"""Reads a spool folder from where shipping left off, whatever state its writer died in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog
from msgspec import Struct

from comporta.telemetry.record import CallRecord, decoded
from comporta.telemetry.spool import HEADER, LOCK, frame, segments

log = structlog.get_logger("comporta.telemetry")

OFFSET = "offset"
QUARANTINE = "quarantine"
#: Segment, byte and the CRC-32 of both.
_OFFSET = struct.Struct("<QQI")
#: Read at once; a larger record is read by itself.
_READ_BYTES = 128 << 10
_MAX_QUARANTINE_BYTES = 64 << 20

Place = tuple[int, int]


class Bad(Struct, frozen=True):
    """What could not be read as a record, and why."""

    payload: bytes
    reason: str


class Batch(Struct, frozen=True):
    """Records in the order they were written, what was unreadable among them, and where reading stopped."""

    records: list[CallRecord]
    bad: list[Bad]
    end: Place


class Spooled:
    """The records of one folder that are not shipped yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = self._saved_place()

    def read(self, max_records: int, max_bytes: int, live: Place | None = None, after: Place | None = None) -> Batch:
        """The next records, `after` an earlier batch's end. `live` is where a living writer stands: not beyond it."""
        end = after or self.place
        batch = Batch([], [], end)
        left = max_bytes
        for path in segments(self.folder):
            number = int(path.name.partition(".")[0])
            if number < end[0]:
                continue
            start = end[1] if number == end[0] else 0
            limit = live[1] if live and number == live[0] else path.stat().st_size
            offset = _read_segment(path, start, limit, max_records, left, batch)
            end = (number, offset)
            left -= offset - start
            if offset < limit or len(batch.records) >= max_records or left <= 0 or (live and number == live[0]):
                break
        return Batch(batch.records, batch.bad, end)

    def commit(self, end: Place) -> None:
        """Everything before `end` is shipped: remember it, and remove the segments that lie wholly before it."""
        packed = struct.pack("<QQ", *end)
        descriptor = os.open(self.folder / OFFSET, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A full disk may refuse this: the records are then shipped again, which changes nothing.
            os.pwrite(descriptor, packed + struct.pack("<I", zlib.crc32(packed)), 0)
        except OSError as error:
            log.warning("spool_offset_not_saved", folder=str(self.folder), reason=os.strerror(error.errno or 0))
        finally:
            os.close(descriptor)
        self.place = end
        for path in segments(self.folder):
            if int(path.name.partition(".")[0]) < end[0]:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder of a dead process, the lock last: until then nobody else can take it for abandoned."""
        for path in self.folder.iterdir():
            if path.name != LOCK:
                path.unlink(missing_ok=True)
        (self.folder / LOCK).unlink(missing_ok=True)
        self.folder.rmdir()

    def _saved_place(self) -> Place:
        try:
            saved = (self.folder / OFFSET).read_bytes()
            segment, offset, crc = _OFFSET.unpack(saved)
        except (OSError, struct.error):
            return (0, 0)
        # A torn offset costs a second shipping, which changes nothing.
        return (segment, offset) if crc == zlib.crc32(saved[:16]) else (0, 0)


def _read_segment(path: Path, start: int, limit: int, max_records: int, max_bytes: int, batch: Batch) -> int:
    """Read frames into the batch; returns where the next one starts."""
    offset = start
    with path.open("rb") as file:
        while offset < limit and len(batch.records) < max_records and (offset == start or offset - start < max_bytes):
            file.seek(offset)
            # As many frames at once as there is room for, since reading one by one takes longer than decoding.
            data = file.read(min(limit - offset, _READ_BYTES))
            taken = _read_frames(data, max_records, max_bytes - (offset - start), batch)
            if not taken:
                taken = _read_frame(file, offset, limit - offset, batch)
            offset = offset + taken if taken else limit
    return offset


def _read_frames(data: bytes, max_records: int, max_bytes: int, batch: Batch) -> int:
    """The frames that lie wholly in `data`, as many as are wanted; how many bytes they take."""
    view, size, head, at = memoryview(data), len(data), HEADER.size, 0
    unpack, crc32 = HEADER.unpack_from, zlib.crc32
    while at + head <= size and len(batch.records) < max_records and (not at or at < max_bytes):
        length, crc = unpack(data, at)
        end = at + head + length
        if not length or end > size:
            break
        payload = view[at + head : end]
        if crc32(payload) == crc:
            _decode(payload, batch)
        else:
            batch.bad.append(Bad(bytes(payload), "checksum"))
        at = end
    return at


def _read_frame(file: BinaryIO, offset: int, left: int, batch: Batch) -> int:
    """A frame that is larger than what is read at once; 0 where there is none: its writer died, or the disk did."""
    file.seek(offset)
    head = file.read(min(HEADER.size, left))
    if len(head) < HEADER.size:
        return _torn(head, batch)
    length: int = HEADER.unpack(head)[0]
    # Zeros are what a file system leaves where data never reached the disk.
    if length == 0 or length > left - HEADER.size:
        return _torn(head + file.read(left - HEADER.size), batch)
    return _read_frames(head + file.read(length), len(batch.records) + 1, 1, batch)


def _torn(rest: bytes, batch: Batch) -> int:
    if rest.strip(b"\0"):
        batch.bad.append(Bad(rest, "torn"))
    return 0


def _decode(payload: memoryview, batch: Batch) -> None:
    try:
        batch.records.append(decoded(payload))
    except msgspec.MsgspecError as error:
        batch.bad.append(Bad(bytes(payload), f"unreadable: {error}"))


class Quarantine:
    """A file of records that could not be shipped, so that they are neither lost nor in the way of the others."""

    def __init__(self, root: Path) -> None:
        self.path = root / QUARANTINE
        #: Records put aside since the start.
        self.count = 0

    def put(self, payload: bytes, reason: str) -> None:
        """Put one aside; where the file has grown too large or can't be written, it is counted only."""
        self.count += 1
        log.error("record_quarantined", reason=reason, bytes=len(payload), file=str(self.path))
        data = frame(msgspec.msgpack.encode((time.time(), reason, payload)))
        with contextlib.suppress(OSError), self._held():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_size + len(data) <= _MAX_QUARANTINE_BYTES:
                    os.write(descriptor, data)
            finally:
                os.close(descriptor)

    def drop(self, unwanted: Callable[[bytes], bool]) -> int:
        """Remove for good what was put aside and is unwanted, by payload; how many went. Raises OSError."""
        if not self.path.exists():
            return 0
        with self._held():
            entries = self.entries()
            kept = [entry for entry in entries if not unwanted(entry[2])]
            if len(kept) < len(entries):
                new = self.path.with_suffix(".new")
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.writelines(frame(msgspec.msgpack.encode(entry)) for entry in kept)
                new.replace(self.path)
        return len(entries) - len(kept)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Every process writes to this one file: nobody adds to it while it is written anew."""
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def entries(self) -> list[tuple[float, str, bytes]]:
        """What was put aside: when (seconds since 1970), why, and the payload."""
        found = []
        data = self.path.read_bytes() if self.path.exists() else b""
        while len(data) > HEADER.size:
            length, _ = HEADER.unpack_from(data)
            entry = data[HEADER.size : HEADER.size + length]
            data = data[HEADER.size + length :]
            if len(entry) == length:
                found.append(msgspec.msgpack.decode(entry, type=tuple[float, str, bytes]))
        return found
