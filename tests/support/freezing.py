"""PostgreSQL that stands still rather than going away."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Set
from pathlib import Path

from support.serving import Served


@contextlib.contextmanager
def frozen_database(served: Served) -> Iterator[None]:
    """A gate's own server with all its children: connections to it hang, and none is refused."""
    servers = {pid for pid, command in served.processes().items() if "postgres -D" in command}
    assert servers, "there is no database to freeze"
    stopped: list[int] = []
    try:
        # The servers first: once they stand still, no child is born that is forgotten.
        stopped += _stop(servers)
        stopped += _stop(_children(servers) - servers)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _stop(pids: Set[int]) -> list[int]:
    """Those that were still there."""
    stopped = []
    for pid in sorted(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    return stopped


def _children(parents: Set[int]) -> set[int]:
    """Their command lines tell of no folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) in parents:
                found.add(int(entry.name))
    return found
