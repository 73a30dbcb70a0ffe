"""A disk that is really full, and one that lets no file grow: the gate goes on or refuses, as its setting says."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from comporta.testing.servers import short_folder
from support.serving import Served
from support.talking import ask, chat, until

CONFIG = """
providers: {{scripted: {{}}}}
routes:
  echo: {{model: scripted/echo}}
records: {{spool: {{on_full: {on_full}}}}}
logging: {{format: json}}
"""
DISK_BYTES = 6 << 20


class Disk:
    """Something that can be full."""

    def fill(self, gate: Served) -> None:
        raise NotImplementedError

    def empty(self, gate: Served) -> None:
        raise NotImplementedError


class SmallDisk(Disk):
    """A file system of its own below the spool: ENOSPC."""

    def fill(self, gate: Served) -> None:
        with (gate.data / "spool" / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 512)

    def empty(self, gate: Served) -> None:
        (gate.data / "spool" / "filler").unlink()


class NoRoomInFiles(Disk):
    """A limit on the size of the worker's files: EFBIG. It can be set anywhere, and taken away again."""

    def fill(self, gate: Served) -> None:
        self._limit(gate, 0)

    def empty(self, gate: Served) -> None:
        self._limit(gate, resource.RLIM_INFINITY)

    def _limit(self, gate: Served, size: int) -> None:
        for pid in workers_of(gate):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def workers_of(gate: Served) -> list[int]:
    mains = [pid for pid, command in gate.processes().items() if "comporta.app.gate_process" in command]
    return [
        int(child)
        for pid in mains
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
        if int(child) in mains
    ]


@contextlib.contextmanager
def disk_at(place: Path) -> Iterator[Disk]:
    """A small disk of its own where one can be mounted, else a limit on files."""
    place.mkdir(parents=True)
    options = f"size={DISK_BYTES},mode=0700"
    with contextlib.suppress(FileNotFoundError):
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
        if made.returncode == 0:
            try:
                yield SmallDisk()
            finally:
                subprocess.run(["umount", "--lazy", str(place)], check=True)
            return
    yield NoRoomInFiles()


@contextlib.contextmanager
def serving(on_full: str, folder: Path) -> Iterator[Served]:
    served = Served(folder, CONFIG.format(on_full=on_full))
    served.start()
    try:
        yield served
    finally:
        code = served.stop()
    assert code == 0, served.output


def metric(gate: Served, name: str) -> float:
    lines = ask(gate, "/metrics").body.decode().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(name + " ")))


def recorded(gate: Served) -> set[str]:
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute("SELECT id::text FROM call")}


def answered(gate: Served, count: int, words: int = 2_000) -> set[str]:
    """The ids of so many answered calls, each of which is some kilobytes of record."""
    found = set()
    for number in range(count):
        answer = chat(gate, "echo", f"call {number} " + "word " * words)
        assert answer.status == 200, answer.body
        found.add(answer.call)
    return found


def test_where_records_may_be_lost_calls_go_on_visibly_and_recording_goes_on_when_there_is_room() -> None:
    disk = NoRoomInFiles()
    with short_folder() as folder, serving("drop", folder) as gate:
        before = answered(gate, 3)
        assert until(lambda: before <= recorded(gate))
        disk.fill(gate)
        answered(gate, 20)
        assert until(lambda: metric(gate, "comporta_records_lost_total") > 0)
        assert gate.ready()
        disk.empty(gate)
        assert until(lambda: (a := chat(gate, "echo")).status == 200 and until(lambda: a.call in recorded(gate), 10))
        after = answered(gate, 3)
        assert until(lambda: after <= recorded(gate))


def test_where_calls_are_refused_every_answered_one_is_recorded_though_the_disk_fills_under_them() -> None:
    with short_folder() as folder, disk_at(folder / "data" / "spool") as disk, serving("refuse", folder) as gate:
        kept = answered(gate, 3)
        disk.fill(gate)
        kept |= refused_at_last(gate)
        health = ask(gate, "/health/ready", key=None)
        assert (health.status, health.json["error"]["code"]) == (503, "spool_full")
        disk.empty(gate)
        assert until(lambda: chat(gate, "echo").status == 200)
        kept |= answered(gate, 3)
        if isinstance(disk, SmallDisk):
            assert until(lambda: kept <= recorded(gate)), kept - recorded(gate)
            assert metric(gate, "comporta_records_lost_total") == 0
            assert '"spool_full"' in gate.output
        else:
            # There is no reserve against this one: the calls that find it out are lost, and counted.
            assert until(lambda: len(kept - recorded(gate)) == metric(gate, "comporta_records_lost_total") <= 2)
        assert '"disk_has_room_again"' in gate.output


def refused_at_last(gate: Served) -> set[str]:
    """Within some calls it refuses, and goes on refusing; the calls that were answered before that."""
    found = set()
    for number in range(200):
        answer = chat(gate, "echo", f"full {number} " + "word " * 2_000)
        if answer.status != 200:
            break
        found.add(answer.call)
    else:
        raise AssertionError("never refused")
    for _ in range(5):
        answer = chat(gate, "echo")
        assert (answer.status, answer.json["error"]["code"]) == (503, "spool_full")
        assert int(answer.headers["retry-after"]) >= 1
    return found
