"""The spool keeps what it took, whatever its writer died of, and stays within its bound."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from comporta.errors import Unavailable
from comporta.telemetry.record import CallRecord, decoded, encoded
from comporta.telemetry.spool import Spool, lock_folder, segments
from comporta.telemetry.spooled import Batch, Quarantine, Spooled

MakeRecord = Callable[..., CallRecord]


def read_all(folder: Path) -> list[CallRecord]:
    return Spooled(folder).read(1_000_000, 1 << 40).records


def test_what_was_appended_is_read_in_order_and_whole(spool: Spool, make_record: MakeRecord) -> None:
    records = [make_record(f"question {n}") for n in range(20)]
    assert all(spool.append(r) for r in records)
    assert read_all(spool.folder) == records


def test_a_record_survives_encoding(make_record: MakeRecord) -> None:
    record = make_record()
    assert decoded(encoded(record)) == record


def test_reading_goes_on_where_the_last_commit_was_even_in_another_process(
    spool: Spool, make_record: MakeRecord
) -> None:
    records = [make_record() for _ in range(9)]
    for record in records:
        spool.append(record)
    first = Spooled(spool.folder)
    batch = first.read(4, 1 << 20, spool.position)
    first.commit(batch.end)
    assert batch.records == records[:4]
    assert read_all(spool.folder) == records[4:]


def test_segments_turn_over_and_shipped_ones_are_removed(tmp_path: Path, make_record: MakeRecord) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20)
    records = [make_record("x" * 2000) for _ in range(120)]
    for record in records:
        spool.append(record)
    assert len(segments(spool.folder)) > 3
    spooled, found = Spooled(spool.folder), []
    while True:
        batch = spooled.read(7, 1 << 20, spool.position)
        if batch.end == spooled.place:
            break
        found += batch.records
        spooled.commit(batch.end)
    assert found == records
    assert len(segments(spool.folder)) == 1
    spool.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), zeros=st.integers(0, 40))
def test_a_torn_tail_costs_only_the_record_that_was_torn(
    tmp_path_factory: pytest.TempPathFactory, make_record: MakeRecord, cut: float, zeros: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("torn"))
    records, ends = [make_record(f"{n}") for n in range(4)], []
    for record in records:
        spool.append(record)
        ends.append(spool.position[1])
    spool.close()
    path = segments(spool.folder)[-1]
    length = int(cut * ends[-1])
    os.truncate(path, length)
    path.write_bytes(path.read_bytes() + bytes(zeros))
    batch = Spooled(spool.folder).read(100, 1 << 20)
    assert batch.records == records[: sum(end <= length for end in ends)]
    assert batch.end == (1, length + zeros)


def test_a_flipped_bit_costs_one_record_which_is_told(spool: Spool, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(3)]
    ends = []
    for record in records:
        spool.append(record)
        ends.append(spool.position[1])
    path = segments(spool.folder)[0]
    data = bytearray(path.read_bytes())
    data[ends[0] + 100] ^= 1
    path.write_bytes(bytes(data))
    batch = Spooled(spool.folder).read(100, 1 << 20)
    assert batch.records == [records[0], records[2]]
    assert [bad.reason for bad in batch.bad] == ["checksum"]


def test_a_torn_offset_means_reading_again_from_the_start(spool: Spool, make_record: MakeRecord) -> None:
    spool.append(make_record())
    spooled = Spooled(spool.folder)
    spooled.commit(spooled.read(1, 1 << 20).end)
    (spool.folder / "offset").write_bytes(b"\1" * 11)
    assert len(read_all(spool.folder)) == 1


def test_a_record_of_an_unknown_form_is_told_and_not_in_the_way(spool: Spool, make_record: MakeRecord) -> None:
    spool.append(make_record(), b"\x93\x01\x02\x03")
    spool.append(make_record())
    batch: Batch = Spooled(spool.folder).read(100, 1 << 20)
    assert len(batch.records) == 1
    assert batch.bad[0].payload == b"\x93\x01\x02\x03"


def test_near_the_bound_content_goes_first_then_records_and_both_are_counted(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    spool = Spool(tmp_path, max_bytes=64 << 10)
    with capture_logs() as logs:
        kept = [spool.append(make_record("x" * 2000)) for _ in range(80)]
    records = read_all(spool.folder)
    stripped = [r for r in records if r.capture == "dropped"]
    assert kept.count(True) == len(records) < 80
    assert 0 < len(stripped) == spool.stripped
    assert all(r.prompt is None and r.reply is None and r.usage is not None for r in stripped)
    assert spool.lost == kept.count(False) > 0
    assert sum(p.stat().st_size for p in segments(spool.folder)) <= 64 << 10
    assert [line["event"] for line in logs] == ["spool_full", "spool_full"]
    assert [(line["stripped"], line["lost"]) for line in logs] == [(1, 0), (spool.stripped, 1)], "each at its first"
    assert not spool.full
    spool.close()


def test_a_spool_that_refuses_is_full_before_anything_is_lost(tmp_path: Path, make_record: MakeRecord) -> None:
    spool = Spool(tmp_path, max_bytes=64 << 10, on_full="refuse")
    appended = [spool.append(make_record("x" * 2000)) for _ in range(80) if not spool.full]
    was_full = spool.full
    assert all(appended) and was_full
    assert spool.append(make_record("a call that was under way"))
    spooled = Spooled(spool.folder)
    spool.turn_over()
    spooled.commit((spool.position[0], 0))
    spool.survey()
    assert spool.bytes == 0
    assert not spool.full
    spool.close()


def test_the_bound_holds_for_all_processes_together(tmp_path: Path, make_record: MakeRecord) -> None:
    one, other = Spool(tmp_path, max_bytes=64 << 10), Spool(tmp_path, max_bytes=64 << 10)
    while one.append(make_record("x" * 2000)):
        pass
    other.survey()
    assert not other.append(make_record("x" * 2000))
    one.close()
    other.close()


def test_a_full_disk_is_treated_as_the_bound_and_writing_goes_on_when_there_is_room(
    spool: Spool, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes half a record, then nothing, then all again."""
    spool.append(make_record("first"))
    write, room = os.write, [100, 0]

    def limited(descriptor: int, data: bytes) -> int:
        if not room:
            return write(descriptor, data)
        left = room.pop(0)
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:left])

    monkeypatch.setattr(os, "write", limited)
    assert not spool.append(make_record("lost"))
    assert not spool.full, "where loss is preferred"
    assert spool.lost == 1
    assert spool.append(make_record("last"))
    texts = [r.prompt for r in read_all(spool.folder)]
    assert texts == ['[{"text":"first"}]', '[{"text":"last"}]']


def test_where_calls_are_refused_the_disk_is_full_before_a_record_is_lost(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls that are under way when the disk is found full write into what was held in reserve."""
    now_s = [100.0]
    spool = Spool(tmp_path, on_full="refuse", clock=lambda: now_s[0])
    ballast = spool.folder / "ballast"
    assert ballast.stat().st_blocks * 512 >= 1 << 20, "the room is really taken"
    write = os.write
    full_disk(monkeypatch, unless=lambda: not ballast.exists())
    assert spool.append(make_record("under way"))
    assert is_full(spool) and not ballast.exists()
    assert spool.append(make_record("under way too"))
    for _ in range(3):
        now_s[0] += 2
        assert is_full(spool), "and it is looked again, without risking a record"
    monkeypatch.undo()
    assert os.write is write
    assert is_full(spool), "not looked at again so soon"
    now_s[0] += 2
    assert not is_full(spool) and ballast.exists()
    assert spool.append(make_record("after"))
    assert (spool.lost, len(read_all(spool.folder))) == (0, 3)
    spool.close()
    assert not ballast.exists()


def is_full(spool: Spool) -> bool:
    return spool.full


def full_disk(monkeypatch: pytest.MonkeyPatch, unless: Callable[[], bool]) -> None:
    """Nothing can be written or set aside on the disk, but what the condition lets through is written."""
    write = os.write

    def limited(descriptor: int, data: bytes) -> int:
        if unless():
            return write(descriptor, data)
        raise OSError(errno.ENOSPC, "No space left on device")

    def refused(descriptor: int, at: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", limited)
    monkeypatch.setattr(os, "posix_fallocate", refused)


def test_a_living_spool_can_t_be_taken_over_and_a_dead_one_can_only_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert lock_folder(spool.folder) is None
    spool.close()
    lock = lock_folder(spool.folder)
    assert lock is not None
    assert lock_folder(spool.folder) is None
    Spooled(spool.folder).remove()
    os.close(lock)
    assert lock_folder(spool.folder) is None
    assert not spool.folder.exists()


def test_a_spool_that_can_t_be_made_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file stands here")
    with pytest.raises(Unavailable, match="spool can't be used"):
        Spool(tmp_path / "spool")


def test_what_is_quarantined_can_be_read_again(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    with capture_logs():
        quarantine.put(b"one", "torn")
        quarantine.put(b"two", "DataError")
    assert [(reason, payload) for _, reason, payload in quarantine.entries()] == [
        ("torn", b"one"),
        ("DataError", b"two"),
    ]
    assert quarantine.path.stat().st_mode & 0o777 == 0o600


def test_records_larger_than_what_is_read_at_once_are_read_too(spool: Spool, make_record: MakeRecord) -> None:
    records = [make_record(text) for text in ("small", "large " * 60_000, "small again")]
    for record in records:
        assert spool.append(record)
    batch = Spooled(spool.folder).read(10, 1 << 30, spool.position)
    assert batch.records == records and not batch.bad
    assert batch.end == spool.position
