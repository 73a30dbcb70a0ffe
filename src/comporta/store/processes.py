"""Processes we own: started so that they die with us, recognised when a crash of ours left them running, stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

PR_SET_PDEATHSIG = 1
POLL_S = 0.005
PROC = Path("/proc")


class Account(Struct, frozen=True):
    """The system user a process runs as."""

    uid: int
    gid: int
    name: str


class Child:
    """A process that is told to end (SIGINT) when this one ends, however this one ends.

    The kernel ties that to the *thread* that started the process, so the thread stays and waits for it.
    """

    def __init__(self, argv: Sequence[str], *, account: Account | None, log: Path, env: dict[str, str]) -> None:
        self._argv = list(argv)
        self._account = account
        self._log = log
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._live, name=Path(argv[0]).name, daemon=True)

    def start(self) -> None:
        """Start it; an OSError of the start is raised here."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def signal(self, number: int) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within that time."""
        self._thread.join(timeout_s)
        return not self.running

    def _live(self) -> None:
        try:
            self._process = self._spawn()
        except BaseException as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self._process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        account = self._account
        # A log can quote statements, so nobody else reads it.
        with open(self._log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            return subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=self._env,
                user=account.uid if account else None, group=account.gid if account else None,
                extra_groups=[] if account else None, process_group=0, preexec_fn=end_with_parent(),
            )  # fmt: skip


def end_with_parent() -> Callable[[], None] | None:
    """What a new process runs before its program so that the kernel interrupts it when its parent is gone."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: between fork and exec next to nothing is safe in a process with threads.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arm


def recognisable() -> bool:
    """Whether this system shows what other processes are."""
    return (PROC / "self" / "cmdline").exists()


def alive(pid: int) -> bool:
    """Whether a process with that number exists; one that has ended and waits to be collected counts as gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(") ")[2][:1]
    except OSError:
        return True
    return state not in ("Z", "X")


def command_line(pid: int) -> list[str]:
    """The words a process was started with; empty where they can't be read."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def working_in(folder: Path) -> Iterator[int]:
    """The processes whose working directory is `folder`: a PostgreSQL server and all of its children."""
    for entry in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder and alive(int(entry.name)):
                yield int(entry.name)


def send(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def gone(pids: Sequence[int], timeout_s: float) -> bool:
    """Wait for processes that are not our children to end; whether all did in time."""
    until = time.monotonic() + timeout_s
    while any(alive(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True
