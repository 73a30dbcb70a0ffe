"""Processes on chosen cores: started there, what they have used, and ended with all their children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

GATEWAY_CORE = 0
LOAD_CORE = 1
_TICKS = os.sysconf("SC_CLK_TCK")


def can_pin() -> bool:
    return {GATEWAY_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Started:
    """A process and its children, pinned to a core."""

    def __init__(self, argv: Sequence[str], core: int, folder: Path, name: str, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        pin: Callable[[], None] | None = (lambda: os.sched_setaffinity(0, {core})) if can_pin() else None
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                argv, cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, preexec_fn=pin,
            )  # fmt: skip
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")[-600:]

    def tree(self) -> list[int]:
        """This process and all below it, but for PostgreSQL's."""
        return [pid for pid in below(self.pid) if command(pid) != "postgres"]

    def postgres(self) -> list[int]:
        """PostgreSQL's processes below it."""
        return [pid for pid in below(self.pid) if command(pid) == "postgres"]

    def stop(self, patience_s: float = 20.0) -> None:
        left = below(self.pid)
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for pid in left:
            if pid != self.pid and _parent(pid) is not None and _parent(pid) in (1, self.pid):
                _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _stat(pid: int) -> list[str] | None:
    """The fields after the command's name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def below(pid: int) -> list[int]:
    """A process and everything that it started, and they."""
    parents = {int(e.name): _parent(int(e.name)) for e in Path("/proc").iterdir() if e.name.isdigit()}
    return [pid, *_children(pid, parents)]


def _children(pid: int, parents: Mapping[int, int | None]) -> Iterator[int]:
    for child, parent in parents.items():
        if parent == pid:
            yield child
            yield from _children(child, parents)


def cpu_s(pids: Sequence[int]) -> float:
    """Seconds of CPU that processes used so far, their threads included."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def rss_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024


def pin(pids: Sequence[int], core: int) -> None:
    """Move processes, and with them whatever they start from now on, to a core."""
    if not can_pin():
        return
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {core})


def core_busy_s(core: int) -> float:
    """Seconds that a core has worked so far, for whomever; 0 where the machine doesn't say."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, *interrupts = map(int, fields[:8])
            return (user + nice + system + sum(interrupts)) / _TICKS
    return 0.0


def wait_for(ready: Callable[[], bool], process: Started, within_s: float) -> None:
    """Raises RuntimeError, with the end of what it said, for a process that ends or does not get ready; it is ended."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if not process.running:
            process.stop()
            raise RuntimeError(f"{process.name} ended at its start: {process.said()}")
        if ready():
            return
        time.sleep(0.1)
    process.stop()
    raise RuntimeError(f"{process.name} was not ready within {within_s:g} s: {process.said()}")
